import { describe, expect, it } from "vitest";
import { advise } from "../../src/advisor/advise.js";
import { allCosts } from "../../src/advisor/costs.js";
import { hardware } from "../../src/advisor/hardware.js";
import type { Architecture } from "../../src/advisor/model.js";
import { priors } from "../../src/advisor/priors.js";
import { minimumBatch, near } from "../../src/advisor/ranking.js";
import { readLayerList } from "../../src/advisor/read/layer-list.js";
import { adviceReport } from "../../src/advisor/report.js";
import { rules } from "../../src/advisor/rules.js";
import { contextOf, type Evidence, type Situation, tasks } from "../../src/advisor/situation.js";
import { startingSettings } from "../../src/advisor/start.js";
import { findMethod, optimizers } from "../../src/optimizers/index.js";

const base: Situation = {
  batch: 256,
  hardware: hardware.a100!,
  precision: "f32",
  workers: 1,
  task: "other",
  phase: "late",
  budget: "moderate",
  expertise: "medium",
};
const ask = (widths: string, change: Partial<Situation> = {}, evidence: Evidence = {}) =>
  advise(readLayerList(widths), { ...base, ...change }, evidence);
const first = (...given: Parameters<typeof ask>) => ask(...given).ranked[0]!.method;

describe("scenarios of the text", () => {
  it("a policy of few parameters: natural gradient", () =>
    expect(first("8-64-64-2", { task: "reinforcement-learning", batch: 4000 })).toBe("naturalGradient"));
  it("two networks against each other: first order", () =>
    expect(optimizers[first("100-512-784", { task: "adversarial", batch: 128 })].family).toBe("first order"));
  it("differential equations: what uses curvature, by far", () => {
    const { ranked } = ask("2-64-1", { task: "differential-equation", batch: 1020 });
    expect(["second order", "quasi-Newton"]).toContain(optimizers[ranked[0]!.method].family);
    expect(ranked[0]!.time).toBeLessThan(0.3);
  });
  it("image classification: momentum", () =>
    expect(["momentum", "nesterov"]).toContain(first("2048-2048-1000", { task: "image-classification" })));
  it("fine-tuning in small batches: AdamW at a low rate", () => {
    const advice = ask("768-3072-768-2", { task: "fine-tuning", batch: 32 });
    expect(advice.ranked[0]!.method).toBe("adamw");
    expect(advice.settings.learningRate).toBeLessThan(optimizers.adamw.defaults.learningRate / 10);
  });
  it("an autoencoder with large batches: K-FAC; with small ones not", () => {
    const widths = "784-1000-500-250-30-250-500-1000-784";
    expect(first(widths, { task: "regression", batch: 1000 })).toBe("kfac");
    expect(optimizers[first(widths, { task: "regression", batch: 16 })].family).not.toBe("second order");
  });
});

describe("what races showed", () => {
  const here: Partial<Situation> = { hardware: hardware["cpu-2"]!, batch: 64, phase: "early" };
  const layers = readLayerList("50-50-10").layers;
  const about = (change: Partial<Architecture>, situation: Partial<Situation>) =>
    advise({ ...readLayerList("50-50-10"), ...change }, { ...base, ...here, ...situation }).ranked.map(
      ({ method }) => method,
    );
  it("noise hides conditioning of dense layers in small batches", () => {
    const small = about({}, { task: "image-classification" });
    expect(["momentum", "nesterov"]).toContain(small[0]);
    expect(small.indexOf("sgd")).toBeLessThan(small.indexOf("adam"));
    const large = about({}, { task: "image-classification", batch: 2048 });
    expect(large.indexOf("sgd")).toBeGreaterThan(large.indexOf("adam"));
  });
  it("small convolutional networks without norms: Muon rather than momentum", () => {
    const convolutions = layers.map((layer) => ({ ...layer, kind: "conv2d" as const, positions: 196 }));
    const ranked = about({ kind: "convolutional", layers: convolutions }, { task: "image-classification" });
    expect(ranked[0]).toBe("muon");
    expect(ranked.indexOf("adam")).toBeLessThan(ranked.indexOf("momentum"));
  });
  it("a regression: K-FAC", () => expect(about({}, { task: "regression" })[0]).toBe("kfac"));
  it("recurrences: Hessian-free over 50 steps and more, and never K-FAC", () => {
    const over = (steps: number) =>
      about(
        { kind: "recurrent", layers: layers.map((layer) => ({ ...layer, uses: steps, positions: steps })) },
        { task: "recurrent", batch: 100 },
      );
    expect(over(50)[0]).toBe("hessianFree");
    expect(over(49)[0]).toBe("muon");
    expect(over(49).indexOf("kfac")).toBeGreaterThan(over(49).indexOf("adam"));
  });
});

describe("an advice", () => {
  it("ranks by time = steps × step, with reasons that multiply to the steps", () => {
    for (const task of tasks) {
      const { ranked } = ask("100-100-10", { task });
      ranked.forEach(({ time, steps, step, reasons }, k) => {
        expect(time).toBeCloseTo(steps * step, 9);
        expect(reasons.reduce((product, reason) => product * reason.steps, 1)).toBeCloseTo(steps, 9);
        for (const { fact, rule, source } of reasons)
          for (const text of [fact, rule, source]) expect(text).toBeTruthy();
        // Those that are told apart; before them the ones next to the best, the cheapest step first.
        if (k > 0 && time > near * ranked[0]!.time) expect(time).toBeGreaterThanOrEqual(ranked[k - 1]!.time);
        else if (k > 0) expect(step).toBeGreaterThanOrEqual(ranked[k - 1]!.step);
      });
    }
  });
  it("leaves out what does not fit, and says why", () => {
    const { excluded, ranked } = ask("1000-1000-1000");
    expect(excluded.find(({ method }) => method === "newton")!.because).toContain("(n²)");
    expect(ranked.map(({ method }) => method)).not.toContain("newton");
    expect(ask("1000-1000-1000", { memory: 1e6 }).ranked).toEqual([]);
  });
  it("believes measurements rather than assumptions", () => {
    const kfac = (evidence: Evidence) =>
      ask("784-1000-10", { task: "regression" }, evidence).ranked.find(({ method }) => method === "kfac")!
        .steps;
    expect(kfac({ noiseScale: 1e6 })).toBeGreaterThan(kfac({ noiseScale: 10 }));
    expect(kfac({ conditionNumber: 100 })).toBeGreaterThan(kfac({ conditionNumber: 1e8 }));
    expect(kfac({ minimumBatch: { kfac: 1e5 } })).toBeGreaterThan(kfac({ minimumBatch: { kfac: 1 } }));
    expect(kfac({ drift: 5 })).toBeGreaterThan(kfac({ drift: 0 }));
    const noted = ask("784-1000-10", {}, { noiseScale: 10, conditionNumber: 10 }).assumptions;
    expect(noted.join()).not.toContain("thalweg noise measures it");
  });
  it("names facts that would change it, each with another method", () => {
    const advice = ask("784-1000-500-250-30-250-500-1000-784", { task: "regression", batch: 1000 });
    expect(advice.changes.length).toBeGreaterThan(0);
    for (const { method } of advice.changes) expect(method).not.toBe(advice.ranked[0]!.method);
    expect(advice.changes.map(({ when }) => when)).toContain("with batches of 32");
  });
  it("names ways out where nothing fits: examples one after another, more devices, more memory", () => {
    const advice = ask("1000-1000-10", { memory: 17e6, batch: 4096 });
    expect(advice.ranked).toEqual([]);
    expect(advice.changes.map(({ when }) => when)).toEqual([
      "with 1,102 examples at a time, the gradients of 4 averaged before a step",
      "in mixed precision, with 2,205 examples at a time, the gradients of 2 averaged before a step",
      "divided among 8 devices",
      "divided among 64 devices",
      "with ten times the memory",
    ]);
  });
  it("leaves out what would be another method at a higher price: no axis is short enough for SOAP", () => {
    const { excluded } = ask("12000-12000");
    expect(excluded.find(({ method }) => method === "soap")?.because).toContain("axes that are short enough");
  });
  it("carries the published answer to the same situation, and a command that tests it", () => {
    const advice = ask("2-64-1", { task: "differential-equation" });
    expect(advice.published.summary).toBe("L-BFGS or K-FAC (ill-conditioning likely)");
    expect(advice.test).toContain("thalweg race pinn-poisson -o ");
    expect(ask("784-128-10").test).toContain("digits-mlp:hidden=128");
  });
});

describe("settings to begin with", () => {
  it("are accepted by every method in every task", () => {
    for (const task of tasks) {
      const situation = { ...base, task, batch: 4096 };
      const model = readLayerList("100-200-10");
      const context = contextOf(model, situation, {}, allCosts(model, situation));
      for (const name of Object.keys(optimizers) as (keyof typeof optimizers)[])
        expect(() => findMethod(name).create(startingSettings(name, context))).not.toThrow();
    }
  });
  it("name what differs from the defaults", () => {
    for (const task of tasks) {
      const { ranked, settings } = ask("784-1000-10", { task });
      const defaults: Readonly<Record<string, unknown>> = optimizers[ranked[0]!.method].defaults;
      for (const [name, value] of Object.entries(settings)) expect(value).not.toBe(defaults[name]);
    }
  });
  it("let SOAP treat the widest axis, up to the length to which it was tried", () => {
    const settings = (widths: string) => {
      const model = readLayerList(widths);
      return startingSettings("soap", contextOf(model, base, {}, allCosts(model, base)));
    };
    expect(settings("6000-500")).toMatchObject({ largestAxis: 6000 });
    expect(settings("6000-12000")).toMatchObject({ largestAxis: 6000 });
    expect(settings("784-128-10")).not.toHaveProperty("largestAxis");
  });
  it("make a step of K-FAC bearable where it can be", () => {
    const { ranked } = ask("784-1000-500-250-30-250-500-1000-784", {
      batch: 1000,
      hardware: hardware["cpu-2"]!,
    });
    expect(ranked.find(({ method }) => method === "kfac")!.costs.overGradient).toBeLessThan(2);
  });
});

describe("rules and priors", () => {
  it("are of methods that exist, and all rest on something", () => {
    for (const [name, { steps, source }] of Object.entries(priors)) {
      expect(Object.hasOwn(optimizers, name)).toBe(true);
      expect(steps).toBeGreaterThan(0);
      expect(source.length).toBeGreaterThan(10);
    }
    for (const { source, effects } of rules) {
      expect(source.length).toBeGreaterThan(5);
      for (const { methods } of effects) expect(methods.length).toBeGreaterThan(0);
    }
  });
  it("positions count as rows: a factor of a sequence model needs fewer examples", () => {
    const of = (positions: number) => {
      const dense = readLayerList("4096-4096");
      const model = { ...dense, layers: dense.layers.map((layer) => ({ ...layer, positions })) };
      return minimumBatch("kfac", contextOf(model, base, {}, allCosts(model, base)));
    };
    expect(of(1)).toBeGreaterThan(5);
    expect(of(1024)).toBe(1);
  });
});

it("the page is whole, and escapes what it shows", () => {
  const model = { ...readLayerList("784-128-10"), name: "<script>alert(1)</script>" };
  const page = adviceReport(model, base, advise(model, base));
  expect(page).not.toContain("<script");
  expect(page).toContain("Seconds of a step");
  expect(page).toContain("What cannot be used");
  expect(page).not.toMatch(/https?:\/\//);
});
