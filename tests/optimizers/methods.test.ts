import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createObjective } from "../../src/curvature/index.js";
import { layoutOf } from "../../src/nn/parameters.js";
import {
  chain,
  clipByGlobalNorm,
  constant,
  cosine,
  createOptimizer,
  decoupledDecay,
  firstOrder,
  masks,
  optimizers,
  scaleByAdam,
  scaleBySchedule,
  scheduleValues,
  traceMomentum,
  warmUp,
} from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { numbers, smallObjective, trajectory } from "./small.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const names = Object.keys(optimizers) as (keyof typeof optimizers)[];
const firstOrderNames = names.filter((name) => "schedule" in optimizers[name].options);

describe("special cases are the same to the bit", () => {
  const run = (name: keyof typeof optimizers, settings: Record<string, unknown>) =>
    trajectory(runtime, createOptimizer(name, { learningRate: 0.05, ...settings }), 12);
  const same: Record<string, [ReturnType<typeof run>, ReturnType<typeof run>]> = {};
  beforeAll(() => {
    same["momentum 0 = sgd"] = [run("momentum", { momentum: 0 }), run("sgd", {})];
    same["nesterov with momentum 0 = sgd"] = [run("nesterov", { momentum: 0 }), run("sgd", {})];
    same["adamw without decay = adam"] = [run("adamw", { weightDecay: 0 }), run("adam", {})];
    same["no l2 = sgd"] = [run("sgd", { l2: 0 }), run("sgd", {})];
    same["a clip that never acts = none"] = [run("adam", { clipNorm: 1e6 }), run("adam", {})];
    same["constant = linear to the same rate"] = [
      run("sgd", { schedule: "linear", decaySteps: 5, finalFraction: 1 }),
      run("sgd", {}),
    ];
    same["warm-up over one update = none"] = [run("adam", { warmupSteps: 1 }), run("adam", {})];
    same["decay of all arrays by name = by mask vector"] = [
      run("adamw", { decay: "all" }),
      trajectory(
        runtime,
        firstOrder("adamw", chain(scaleByAdam(), decoupledDecay(0.01)), constant(0.05)),
        12,
      ),
    ];
  });
  test.each([
    "momentum 0 = sgd",
    "nesterov with momentum 0 = sgd",
    "adamw without decay = adam",
    "no l2 = sgd",
    "a clip that never acts = none",
    "constant = linear to the same rate",
    "warm-up over one update = none",
    "decay of all arrays by name = by mask vector",
  ])("%s", (name) => {
    const [a, b] = same[name]!;
    expect(a.parameters).toEqual(b.parameters);
    expect(a.reports).toEqual(b.reports);
  });
});

describe("updates by their formulas", () => {
  /** θ of the reference and of ours, where each reference step gets the gradient at the reference's own θ. */
  const compare = (
    name: keyof typeof optimizers,
    settings: Record<string, unknown>,
    update: (theta: number[], g: number[], t: number) => number[],
  ) => {
    const objective = smallObjective(runtime);
    let theta = [...objective.parameters.data];
    const ours = trajectory(runtime, createOptimizer(name, settings), 8).parameters;
    for (let t = 1; t <= 8; t++) {
      objective.parameters.set(theta);
      theta = update(theta, [...objective.gradient().gradient.data], t);
      theta.forEach((value, k) => {
        expect(ours[t - 1]![k]).toBeCloseTo(value, 13);
      });
    }
    objective.release();
  };
  test("nesterov is Nesterov's step at the look-ahead point", () => {
    // Nesterov 1983 with constant μ: xₜ = yₜ − η∇L(yₜ), yₜ₊₁ = xₜ + μ(xₜ − xₜ₋₁); θ is y.
    const [rate, mu] = [0.05, 0.8];
    let before: number[] | undefined;
    compare("nesterov", { learningRate: rate, momentum: mu }, (theta, g) => {
      const x = theta.map((value, k) => value - rate * g[k]!);
      const next = x.map((value, k) => value + mu * (value - (before ?? theta)[k]!));
      before = x;
      return next;
    });
  });
  test("momentum with dampening", () => {
    let b: number[] | undefined;
    compare("momentum", { learningRate: 0.05, momentum: 0.7, dampening: 0.3 }, (theta, g) => {
      b = b ? b.map((value, k) => 0.7 * value + 0.7 * g[k]!) : g;
      return theta.map((value, k) => value - 0.05 * b![k]!);
    });
  });
  test("the first step of adam has the length of the learning rate in every element", () => {
    const { parameters } = trajectory(
      runtime,
      createOptimizer("adam", { learningRate: 0.01, epsilon: 1e-30 }),
      1,
    );
    numbers(parameters[0]!.length).forEach((start, k) => {
      expect(Math.abs(parameters[0]![k]! - start)).toBeCloseTo(0.01, 13);
    });
  });
  test("amsgrad divides by the largest mean square", () => {
    let [m, v, w] = [0, 0, 0].map(() => new Array<number>(24).fill(0)) as [number[], number[], number[]];
    compare("adam", { learningRate: 0.1, beta2: 0.5, amsgrad: true, l2: 0.1 }, (theta, raw, t) => {
      const g = raw.map((value, k) => value + 0.1 * theta[k]!);
      m = m.map((value, k) => 0.9 * value + 0.1 * g[k]!);
      v = v.map((value, k) => 0.5 * value + 0.5 * g[k]! ** 2);
      w = w.map((value, k) => Math.max(value, v[k]!));
      return theta.map(
        (value, k) => value - (0.1 * m[k]!) / (1 - 0.9 ** t) / (Math.sqrt(w[k]! / (1 - 0.5 ** t)) + 1e-8),
      );
    });
  });
  test.each([
    ["adamw", "adam"],
    ["learned", "learned"],
  ])("decay of %s leaves biases alone unless told otherwise", (name, without) => {
    const settings = { learningRate: 0.1, weightDecay: 0.5 };
    const plain = trajectory(runtime, createOptimizer(without, { learningRate: 0.1 }), 1).parameters[0]!;
    const start = numbers(24);
    const matrices = trajectory(runtime, createOptimizer(name, settings), 1).parameters[0]!;
    const all = trajectory(runtime, createOptimizer(name, { ...settings, decay: "all" }), 1).parameters[0]!;
    start.forEach((value, k) => {
      const isBias = k >= 12 && k < 16;
      expect(matrices[k]).toBeCloseTo(plain[k]! - (isBias ? 0 : 0.05 * value), 14);
      expect(all[k]).toBeCloseTo(plain[k]! - 0.05 * value, 14);
    });
  });
  test("the learning rate follows its schedule and is reported", () => {
    const schedule = warmUp(3, cosine({ from: 0.1, to: 0.01, steps: 6 }));
    const settings = {
      learningRate: 0.1,
      schedule: "cosine",
      decaySteps: 6,
      finalFraction: 0.1,
      warmupSteps: 3,
    };
    const { reports, parameters } = trajectory(runtime, createOptimizer("sgd", settings), 12);
    scheduleValues(schedule, 12).forEach((rate, k) => {
      expect(reports[k]!.learningRate).toBeCloseTo(rate, 15);
    });
    const inside = firstOrder("sgd", scaleBySchedule(schedule), constant(1));
    const other = trajectory(runtime, inside, 12).parameters;
    other[11]!.forEach((value, k) => {
      expect(value).toBeCloseTo(parameters[11]![k]!, 14);
    });
  });
});

describe("clipping", () => {
  const steps = (threshold: number, scale: number) => {
    const objective = createObjective(runtime, {
      layout: layoutOf({ x: { dtype: "f64", shape: [4] }, y: { dtype: "f64", shape: [2] } }),
      batch: [{ dtype: "f64", shape: [6] }],
      trace: (theta, [g]) => ({ loss: theta.inner(g!), state: undefined }),
    });
    objective.batch[0]!.set(numbers(6).map((value) => value * scale));
    const training = firstOrder("clipped", clipByGlobalNorm(threshold), constant(1)).start(objective);
    const report = training.step();
    const step = [...objective.parameters.data].map((value) => -value);
    training.release();
    objective.release();
    return { step, report };
  };
  test("the step is the gradient, shortened to the threshold where it is longer", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 1e-3, max: 1e3, noNaN: true }),
        fc.double({ min: 1e-3, max: 1e3, noNaN: true }),
        (threshold, scale) => {
          const gradient = numbers(6).map((value) => value * scale);
          const norm = Math.hypot(...gradient);
          const { step, report } = steps(threshold, scale);
          expect(report.gradientNorm! / norm).toBeCloseTo(1, 12);
          const factor = Math.min(1, threshold / norm);
          step.forEach((value, k) => {
            expect(value / gradient[k]!).toBeCloseTo(factor, 12);
          });
        },
      ),
      { numRuns: 20 },
    );
  });
  test("a zero gradient gives a zero step", () => {
    expect(steps(1, 0).step.map(Math.abs)).toEqual([0, 0, 0, 0, 0, 0]);
  });
});

/** Where 0.05 is no learning rate for this problem. */
const livelier: Readonly<Record<string, Record<string, unknown>>> = {
  adagrad: { learningRate: 0.3 },
  rmsprop: { learningRate: 0.01 },
  lion: { learningRate: 0.01 },
  lars: { learningRate: 1, trustCoefficient: 0.02 },
  learned: { learningRate: 0.3 },
};

describe("training", () => {
  test.each(firstOrderNames)("%s lowers the loss, in f64 and f32", (name) => {
    for (const dtype of ["f64", "f32"] as const) {
      const optimizer = createOptimizer(name, { learningRate: 0.05, ...livelier[name] });
      const { reports } = trajectory(runtime, optimizer, 60, dtype);
      expect(reports.at(-1)!.loss).toBeLessThan(0.5 * reports[0]!.loss);
      expect(reports.every((r) => r.finite && r.evaluations.gradients === 1)).toBe(true);
    }
  });

  test.each(firstOrderNames)("%s resumes from its state to the bit", (name) => {
    const optimizer = createOptimizer(name, {
      schedule: "cosine",
      decaySteps: 20,
      warmupSteps: 3,
      ...(name === "adam" ? { amsgrad: true } : {}),
    });
    const whole = trajectory(runtime, optimizer, 14, "f32").parameters;
    const first = smallObjective(runtime, "f32");
    const training = optimizer.start(first);
    for (let k = 0; k < 9; k++) training.step();
    const saved = Object.entries(training.state).map(([key, buffer]) => [key, buffer.copy()] as const);
    const second = smallObjective(runtime, "f32");
    const resumed = optimizer.start(second);
    second.parameters.set(first.parameters.copy());
    for (const [key, values] of saved) resumed.state[key]!.set(values);
    for (let k = 9; k < 14; k++) {
      resumed.step();
      expect([...second.parameters.data]).toEqual(whole[k]);
    }
    expect(resumed.state.step!.data[0]).toBe(14);
    for (const part of [training, resumed, first, second]) part.release();
  });

  test("memory stays the same over steps, and all of it is given back", () => {
    const before = runtime.used;
    const objective = smallObjective(runtime, "f32");
    const training = createOptimizer("adamw", { clipNorm: 1 }).start(objective);
    training.step();
    const used = runtime.used;
    for (let k = 0; k < 1000; k++) training.step();
    expect(runtime.used).toBe(used);
    training.release();
    objective.release();
    expect(runtime.used).toBe(before);
  });

  test("the model's state advances once a step, and the key counts the steps", () => {
    const objective = createObjective(runtime, {
      layout: layoutOf({ x: { dtype: "f32", shape: [1000] } }),
      state: [8, 8],
      batch: [],
      trace: (x, _, state, key) => {
        const noise = Tensor.source({ kind: "random", stream: 3 }, { dtype: "f32", shape: [1000] }, key);
        return { loss: x.inner(noise), state: state!.mul(0.5) };
      },
    });
    objective.key.data[0] = 7;
    const training = createOptimizer("sgd", { learningRate: 1 }).start(objective);
    const drawn: number[][] = [];
    for (let k = 0; k < 3; k++) {
      objective.parameters.data.fill(0);
      training.step();
      drawn.push([...objective.parameters.data]);
    }
    expect([...objective.state!.data]).toEqual([1, 1]);
    expect(drawn[0]).not.toEqual(drawn[1]);
    // The number of the step alone decides what is drawn.
    training.state.step!.data[0] = 1;
    objective.parameters.data.fill(0);
    training.step();
    expect([...objective.parameters.data]).toEqual(drawn[1]);
    training.release();
    objective.release();
  });

  test("says when numbers are no longer finite", () => {
    const objective = createObjective(runtime, {
      layout: layoutOf({ x: { dtype: "f32", shape: [2] } }),
      parameters: [10, 1],
      batch: [],
      trace: (x) => ({ loss: x.square().square().sum(), state: undefined }),
    });
    const training = createOptimizer("sgd", { learningRate: 10 }).start(objective);
    const reports = Array.from({ length: 6 }, () => training.step());
    expect(reports[0]!.finite).toBe(true);
    expect(reports.at(-1)!.finite).toBe(false);
    training.release();
    objective.release();
  });
});

describe("transforms", () => {
  test("a chain names its parts' state, and parts of one name apart", () => {
    const spec = { dtype: "f32" as const, layout: layoutOf({ x: { dtype: "f32", shape: [3] } }) };
    const momentum = traceMomentum({ decay: 0.9 });
    expect(
      Object.keys(chain(momentum, undefined, scaleByAdam({ amsgrad: true }), momentum).init(spec)),
    ).toEqual(["momentum.buffer", "adam.mean", "adam.square", "adam.largest", "momentum#2.buffer"]);
    expect(chain().init(spec)).toEqual({});
  });
  test("two momenta in a chain keep to their own state", () => {
    const twice = firstOrder(
      "twice",
      chain(traceMomentum({ decay: 0.5 }), traceMomentum({ decay: 0 })),
      constant(0.1),
    );
    const once = firstOrder("once", traceMomentum({ decay: 0.5 }), constant(0.1));
    expect(trajectory(runtime, twice, 5).parameters).toEqual(trajectory(runtime, once, 5).parameters);
  });
  test("masks by name", () => {
    expect(masks.matrices({ name: "b", shape: [3] })).toBe(false);
    expect(masks.matrices({ name: "W", shape: [3, 2] })).toBe(true);
    expect(masks.all()).toBe(true);
  });
  test("parts refuse what makes no sense", () => {
    expect(() => clipByGlobalNorm(0)).toThrow("clipByGlobalNorm: the threshold is 0; use a number above 0");
    expect(() => traceMomentum({ decay: 1 })).toThrow(
      "traceMomentum: decay is 1; use a number from 0 to below 1",
    );
    expect(() => scaleByAdam({ beta2: 1.2 })).toThrow("scaleByAdam: beta2 is 1.2");
    expect(() => decoupledDecay(-1)).toThrow("decay: the strength is -1; use a number of at least 0");
  });
});

describe("files of methods", () => {
  const folder = join(dirname(fileURLToPath(import.meta.url)), "../../src/optimizers");
  test.each(names)("%s has its own, which states its update and counts its costs", (name) => {
    const file = `${name.replace(/[A-Z]/g, (capital) => `-${capital.toLowerCase()}`)}.ts`;
    expect(readdirSync(folder)).toContain(file);
    const text = readFileSync(join(folder, file), "utf8");
    expect(text.startsWith("/**")).toBe(true);
    for (const part of ["θ ←", "costs"]) expect(text).toContain(part);
  });
});
