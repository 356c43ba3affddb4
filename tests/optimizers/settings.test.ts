import { describe, expect, test } from "vitest";
import {
  adam,
  createOptimizer,
  findMethod,
  nearestNames,
  type Option,
  optimizers,
  SettingsError,
} from "../../src/optimizers/index.js";

describe("settings", () => {
  test.each(Object.entries(optimizers))("%s is complete", (name, method) => {
    expect(method.name).toBe(name);
    expect(method.create().settings).toEqual(method.defaults);
    expect(JSON.parse(JSON.stringify(method.defaults))).toEqual(method.defaults);
    expect(method.description.length).toBeGreaterThan(20);
    expect(method.reference).toMatch(/\d{4}/);
    for (const option of Object.values(method.options)) {
      expect(option.about).not.toBe("");
      expect(option.range).not.toBe("");
      // Text of every default reads back as the default.
      expect(option.read(String(option.default))).toBe(option.default);
    }
  });
  test.each(Object.entries(optimizers))(
    "%s: typical values are allowed, and the default is one",
    (_, method) => {
      for (const [name, { default: fallback, typical, sensitivity, read }] of Object.entries<Option<unknown>>(
        method.options,
      )) {
        expect(typical === undefined, name).toBe(sensitivity === undefined);
        if (!typical) continue;
        const { from, to, scale } = typical;
        expect(from, name).toBeLessThan(to);
        if (scale === "log") expect(from, name).toBeGreaterThan(0);
        for (const value of [from, to]) expect(read(value), name).toBe(value);
        // 0 switches off.
        if (fallback !== 0) {
          expect(fallback, name).toBeGreaterThanOrEqual(from);
          expect(fallback, name).toBeLessThanOrEqual(to);
        }
      }
    },
  );
  test("the scale follows from what a number is", () => {
    expect(adam.options.learningRate.typical).toEqual({ from: 1e-4, to: 0.01, scale: "log" });
    expect(adam.options.beta2.typical?.scale).toBe("complement");
  });
  test("what is given replaces defaults, as numbers or as text", () => {
    expect(adam.create({ learningRate: 0.5 }).settings).toEqual({ ...adam.defaults, learningRate: 0.5 });
    expect(
      createOptimizer("adam", { learningRate: "1e-2", amsgrad: "true", schedule: "cosine", decaySteps: "10" })
        .settings,
    ).toEqual({ ...adam.defaults, learningRate: 0.01, amsgrad: true, schedule: "cosine", decaySteps: 10 });
  });
  const wrong: [string, Record<string, unknown>, string][] = [
    ["sgd", { learningRate: 0 }, "sgd: learningRate is 0; use a number above 0 (default 0.1)"],
    ["sgd", { learningRate: "fast" }, 'sgd: learningRate is "fast"; use a number above 0 (default 0.1)'],
    ["sgd", { learningRate: "" }, 'sgd: learningRate is ""; use a number above 0 (default 0.1)'],
    ["sgd", { learningRate: Number.NaN }, "sgd: learningRate is NaN; use a number above 0 (default 0.1)"],
    [
      "sgd",
      { learningRate: "Infinity" },
      'sgd: learningRate is "Infinity"; use a number above 0 (default 0.1)',
    ],
    ["adam", { beta1: 1 }, "adam: beta1 is 1; use a number from 0 to below 1 (default 0.9)"],
    ["adam", { beta2: -0.1 }, "adam: beta2 is -0.1; use a number from 0 to below 1 (default 0.999)"],
    ["adam", { amsgrad: "yes" }, 'adam: amsgrad is "yes"; use true or false (default false)'],
    ["adamw", { decay: "some" }, 'adamw: decay is "some"; use matrices, all (default "matrices")'],
    [
      "momentum",
      { warmupSteps: 2.5 },
      "momentum: warmupSteps is 2.5; use a whole number of at least 0 (default 0)",
    ],
    ["adam", { learningrate: 1 }, 'adam: there is no setting "learningrate"; did you mean learningRate?'],
    ["adam", { lr: 1 }, 'adam: there is no setting "lr"; did you mean learningRate?'],
    ["adam", { weight_decay: 1 }, "adam: there is no setting"],
    ["adamw", { weight_decay: 1 }, 'adamw: there is no setting "weight_decay"; did you mean weightDecay?'],
    ["adam", { constructor: 1 }, 'adam: there is no setting "constructor"'],
    [
      "sgd",
      { schedule: "step", decaySteps: 5, decayFactor: 0 },
      "sgd: decayFactor is 0; use a number above 0",
    ],
    ["adm", {}, 'there is no optimizer "adm"; did you mean adam?'],
    ["nestrov", {}, 'there is no optimizer "nestrov"; did you mean nesterov?'],
    ["toString", {}, 'there is no optimizer "toString"; there are sgd, momentum, nesterov, adam, adamw'],
  ];
  test.each(wrong)("%s %j", (name, settings, message) => {
    expect(() => createOptimizer(name, settings)).toThrow(SettingsError);
    expect(() => createOptimizer(name, settings)).toThrow(message);
  });
  test("methods are found by name", () => {
    expect(findMethod("adamw")).toBe(optimizers.adamw);
  });
  test("nearest names", () => {
    expect(nearestNames("wieghtDecay", ["weightDecay", "momentum", "l2"])).toEqual(["weightDecay"]);
    expect(nearestNames("mom", ["weightDecay", "momentum"])).toEqual(["momentum"]);
    expect(nearestNames("zzz", ["weightDecay", "momentum"])).toEqual([]);
  });
});
