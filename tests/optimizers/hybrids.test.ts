import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createObjective, curvatureOperator } from "../../src/curvature/index.js";
import { layoutOf } from "../../src/nn/parameters.js";
import {
  adam,
  createOptimizer,
  curvatureSchedule,
  groups,
  kfac,
  lbfgs,
  momentum,
  nesterov,
  newton,
  type Optimizer,
  optimizers,
  periodic,
  SettingsError,
  type StepReport,
  sgd,
  switchTo,
} from "../../src/optimizers/index.js";
import { startDetector } from "../../src/optimizers/switch-detectors.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import type { Data } from "../../src/tensor/dtype.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { networks, objectiveOf } from "../curvature/networks.js";
import { fillSpirals, network, quadratic, symmetric } from "./curved.js";
import { smallObjective, trajectory } from "./small.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

/** θ after each step on the spirals (a new batch each step), and the reports. */
function spirals(optimizer: Optimizer, steps: number) {
  const objective = network(runtime);
  const training = optimizer.start(objective);
  const reports: StepReport[] = [];
  const parameters: number[][] = [];
  for (let t = 0; t < steps; t++) {
    fillSpirals(objective, t);
    reports.push(training.step());
    parameters.push([...objective.parameters.data]);
  }
  training.release();
  objective.release();
  return { parameters, reports };
}

/** Saves after each of some steps and goes on elsewhere; θ must be the same to the bit. Reports of the whole run. */
function expectToResume(optimizer: Optimizer, steps: number, savedAt: readonly number[]): StepReport[] {
  const objective = network(runtime);
  const training = optimizer.start(objective);
  const whole: number[][] = [];
  const saved = new Map<number, [string, Data][]>();
  const reports = Array.from({ length: steps }, (_, t) => {
    fillSpirals(objective, t);
    const report = training.step();
    whole.push([...objective.parameters.data]);
    if (savedAt.includes(t))
      saved.set(
        t,
        Object.entries(training.state).map(([name, buffer]) => [name, buffer.copy()]),
      );
    return report;
  });
  training.release();
  for (const [t, state] of saved) {
    const resumed = optimizer.start(objective);
    objective.parameters.set(whole[t]!);
    for (const [name, values] of state) resumed.state[name]!.set(values);
    for (let k = t + 1; k < steps; k++) {
      fillSpirals(objective, k);
      resumed.step();
      expect([...objective.parameters.data]).toEqual(whole[k]);
    }
    resumed.release();
  }
  objective.release();
  return reports;
}

const methodsOf = (reports: readonly StepReport[]) => reports.map((r) => r.diagnostics!.method);

describe("switchTo", () => {
  const at = (steps: number) => ({ measure: "step" as const, at: steps });

  test.each(["kfac", "adam", "lbfgs", "newton", "shampoo"] as const)(
    "at step 0 it is %s, to the bit",
    (name) => {
      const second = optimizers[name].create();
      const hybrid = switchTo({ first: adam.create(), second, when: at(0) });
      expect(spirals(hybrid, 6).parameters).toEqual(spirals(second, 6).parameters);
    },
  );
  test("before the switch it is the first, and the second begins where that ended", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 7 }), (steps) => {
        const [first, second] = [adam.create({ learningRate: 0.05 }), sgd.create()];
        const hybrid = spirals(switchTo({ first, second, when: at(steps) }), 8);
        expect(hybrid.parameters.slice(0, steps)).toEqual(spirals(first, steps).parameters);
        expect(methodsOf(hybrid.reports)).toEqual(
          Array.from({ length: 8 }, (_, t) => (t < steps ? "adam" : "sgd")),
        );
        const objective = network(runtime);
        objective.parameters.set(hybrid.parameters[steps - 1]!);
        const alone = second.start(objective);
        for (let t = steps; t < 8; t++) {
          fillSpirals(objective, t);
          alone.step();
          expect([...objective.parameters.data]).toEqual(hybrid.parameters[t]);
        }
        alone.release();
        objective.release();
      }),
      { numRuns: 4 },
    );
  });
  test("to itself it changes nothing: moments and their count go over", () => {
    for (const one of [adam.create({ schedule: "cosine", decaySteps: 12 }), momentum.create()]) {
      const hybrid = switchTo({ first: one, second: one, when: at(4) });
      expect(spirals(hybrid, 9).parameters).toEqual(spirals(one, 9).parameters);
    }
  });
  test("velocity goes over: a step without gradient is as long as it was, times μ", () => {
    const objective = createObjective(runtime, {
      layout: layoutOf({ x: { dtype: "f64", shape: [3] } }),
      batch: [{ dtype: "f64", shape: [3] }],
      trace: (theta, [g]) => ({ loss: theta.inner(g!), state: undefined }),
    });
    const training = switchTo({
      first: momentum.create({ learningRate: 0.5, momentum: 0.9 }),
      second: nesterov.create({ learningRate: 0.01, momentum: 0.8 }),
      when: at(1),
    }).start(objective);
    objective.batch[0]!.set([1, -2, 3]);
    training.step();
    const moved = [...objective.parameters.data];
    objective.batch[0]!.set([0, 0, 0]);
    training.step();
    // Nesterov's step looks ahead: μ·μ·b.
    moved.forEach((x, k) => {
      expect(objective.parameters.data[k]! - x).toBeCloseTo(0.8 * 0.8 * x, 14);
    });
    training.release();
    objective.release();
  });
  test.each([
    ["a step", at(5), [2, 4, 6]],
    ["a plateau", { measure: "plateau", patience: 3, improvement: 0.5, smoothing: 0.5 }, [1, 3, 4, 8]],
    ["noise", { measure: "noise", side: "above", bound: 1e-9, every: 2, smoothing: 0.5 }, [0, 1, 6]],
    ["drift", { measure: "drift", side: "above", bound: 1e-9, every: 2, smoothing: 0.5 }, [0, 1, 6]],
  ] as const)("resumes to the bit before and after a switch at %s", (_, when, savedAt) => {
    const hybrid = switchTo({ first: adam.create(), second: kfac.create({ damping: 0.5 }), when });
    const switched = methodsOf(expectToResume(hybrid, 10, savedAt)).indexOf("kfac");
    expect(switched).toBeGreaterThan(savedAt[0]);
    expect(switched).toBeLessThanOrEqual(savedAt.at(-1)!);
  });
  test("a first method that has stopped gives way at once", () => {
    const A = symmetric([1, 4, 9], 2);
    const objective = quadratic(runtime, A, { b: [0, 0, 0], x: [0, 0, 0] });
    const training = switchTo({ first: lbfgs.create(), second: sgd.create(), when: at(100) }).start(
      objective,
    );
    expect(training.step().stop).toBeUndefined();
    expect(training.step().diagnostics!.method).toBe("sgd");
    training.release();
    objective.release();
  });
});

describe("detectors", () => {
  const report = (loss: number): StepReport => ({ loss, finite: true, evaluations: {} });

  test("a plateau is as many updates without improvement as patience says", () => {
    const objective = smallObjective(runtime);
    const detector = startDetector(objective, {
      measure: "plateau",
      patience: 4,
      improvement: 0.1,
      smoothing: 0,
    });
    const losses = [10, 8, 7.5, 7.4, 6, 5.9, 5.8, 5.7, 5.6, 5.5];
    const due = losses.map((loss, t) => {
      const result = detector.check(t).due;
      detector.observe(report(loss));
      return result;
    });
    // The last improvement by a tenth is 6, at update 4; four more pass without one.
    expect(due.indexOf(true)).toBe(9);
    detector.release();
    objective.release();
  });

  const scaled = (
    loss: (theta: Tensor, g: Tensor) => Tensor,
    batch: readonly number[],
    x: readonly number[],
  ) => {
    const objective = createObjective(runtime, {
      layout: layoutOf({ x: { dtype: "f64", shape: [x.length] } }),
      parameters: x,
      batch: [{ dtype: "f64", shape: [batch.length / x.length, x.length] }],
      trace: (theta, [g]) => ({ loss: loss(theta, g!), state: undefined }),
    });
    objective.batch[0]!.set(batch);
    return objective;
  };

  test("noise is tr Σ/‖∇L‖², from the batch and its half", () => {
    // Gradients of the examples: (3, 1), (1, −1), (2, 0), (2, 0). Halves: mean (2, 0); whole: (2, 0).
    const objective = scaled((x, g) => g.matmul(x).mean(), [4, 2, 0, -2, 1, 1, 3, -1], [0, 0]);
    // ‖(2, 0)‖² = 4 on both: no variance is seen, the scale is 0.
    const below = startDetector(objective, {
      measure: "noise",
      bound: 0.1,
      side: "below",
      every: 1,
      smoothing: 0,
    });
    expect(below.check(0).due).toBe(true);
    objective.batch[0]!.set([4, 0, 4, 0, 0, 0, 0, 0]);
    // Half: 16, whole: 4. tr Σ = (16 − 4)/(1/2 − 1/4) = 48, ‖∇L‖² = (4·4 − 2·16)/2 < 0: hidden by noise.
    expect(below.check(1).due).toBe(false);
    objective.batch[0]!.set([3, 0, 3, 0, 2, 0, 2, 0]);
    // Half: 9, whole: 6.25. tr Σ = 11, ‖∇L‖² = 3.5: 3.142…
    for (const [bound, due] of [
      [3.14, true],
      [3.15, false],
    ] as const) {
      const above = startDetector(objective, {
        measure: "noise",
        bound,
        side: "above",
        every: 1,
        smoothing: 0,
      });
      const { due: is, evaluations } = above.check(0);
      expect(is).toBe(due);
      expect(evaluations).toEqual({ gradients: 1, sampleGradients: 0.5 });
      above.release();
    }
    below.release();
    objective.release();
  });
  test("drift is the relative change of the Hessian", () => {
    // L = Σ xᵢ³/6: the Hessian is diag(x), and ‖diag(Δx)‖_F/‖diag(x)‖_F needs no luck with signs.
    const objective = scaled(
      (x) =>
        x
          .square()
          .mul(x)
          .sum()
          .mul(1 / 6),
      [0, 0, 0],
      [2, 3, 6],
    );
    for (const [bound, due] of [
      [0.099, true],
      [0.101, false],
    ] as const) {
      objective.parameters.set([2, 3, 6]);
      const above = startDetector(objective, {
        measure: "drift",
        bound,
        side: "above",
        every: 5,
        smoothing: 0,
      });
      expect(above.check(0).due).toBe(false);
      objective.parameters.set([2 / 0.9, 3 / 0.9, 6 / 0.9]);
      expect(above.check(3).due).toBe(false);
      expect(above.check(5).due).toBe(due);
      // θ is where it was.
      expect([...objective.parameters.data]).toEqual([2 / 0.9, 3 / 0.9, 6 / 0.9]);
      above.release();
    }
    objective.release();
  });
  test("averages are believed once they are of 1/(1 − β) measurements", () => {
    const objective = scaled((x, g) => g.matmul(x).mean(), [3, 0, 3, 0, 2, 0, 2, 0], [0, 0]);
    const detector = startDetector(objective, {
      measure: "noise",
      bound: 1,
      side: "above",
      every: 1,
      smoothing: 0.75,
    });
    expect([0, 1, 2, 3].map((t) => detector.check(t).due)).toEqual([false, false, false, true]);
    detector.release();
    objective.release();
  });
});

describe("periodic", () => {
  const [inner, outer] = [adam.create({ learningRate: 0.02 }), newton.create({ curvature: "gaussNewton" })];
  test("every step it is the outer method, and where its turn never comes the inner", () => {
    expect(spirals(periodic({ inner, outer, every: 1 }), 4).parameters).toEqual(spirals(outer, 4).parameters);
    expect(spirals(periodic({ inner, outer, every: 9 }), 8).parameters).toEqual(spirals(inner, 8).parameters);
  });
  test("steps come in turn, and resume to the bit", () => {
    const hybrid = periodic({ inner, outer, every: 3 });
    const reports = expectToResume(hybrid, 7, [1, 2, 4]);
    expect(methodsOf(reports)).toEqual(["adam", "adam", "newton", "adam", "adam", "newton", "adam"]);
  });
});

describe("curvatureSchedule", () => {
  test("one step solves a quadratic whose blocks are multiples of the identity", () => {
    const objective = createObjective(runtime, {
      layout: layoutOf({ "a.w": { dtype: "f64", shape: [3] }, "b.w": { dtype: "f64", shape: [2] } }),
      parameters: [1, 2, 3, 4, 5],
      batch: [],
      trace: (x) => ({
        loss: x.slice(0, 0, 3).square().sum().mul(50).add(x.slice(0, 3).square().sum().mul(0.05)),
        state: undefined,
      }),
    });
    for (const estimate of ["largest", "mean"] as const) {
      objective.parameters.set([1, 2, 3, 4, 5]);
      const training = curvatureSchedule({ optimizer: sgd.create({ learningRate: 1 }), estimate }).start(
        objective,
      );
      training.step();
      for (const x of objective.parameters.data) expect(x).toBeCloseTo(0, 12);
      training.release();
    }
    objective.release();
  });
  test("its eigenvalues are those of the diagonal blocks", () => {
    const objective = network(runtime);
    const optimizer = sgd.create({ learningRate: 1e-9 });
    const training = curvatureSchedule({
      optimizer,
      iterations: 200,
      every: 1,
      curvature: "gaussNewton",
    }).start(objective);
    training.step();
    const G = curvatureOperator(objective, "gaussNewton");
    G.linearize();
    const n = objective.layout.size;
    objective.layout.entries.forEach(({ offset, size }, l) => {
      // ‖block‖ by squaring it often: (tr B^(2^k))^(2^−k) tends to the largest eigenvalue.
      const block = Array.from({ length: size }, (_, i) => {
        const [unit, column] = [new Float64Array(n), new Float64Array(n)];
        unit[offset + i] = 1;
        G.apply(unit, column);
        return [...column.subarray(offset, offset + size)];
      });
      let [power, scale, exponent] = [block, 0, 1];
      for (let k = 0; k < 9; k++) {
        const trace = power.reduce((sum, row, i) => sum + row[i]!, 0);
        scale += Math.log(trace) / exponent;
        const B = power.map((row) => row.map((x) => x / trace));
        power = B.map((row) => B.map((_, j) => row.reduce((sum, x, m) => sum + x * B[m]![j]!, 0)));
        exponent *= 2;
      }
      scale += Math.log(power.reduce((sum, row, i) => sum + row[i]!, 0)) / exponent;
      expect(training.state["curvature.lambdas"]!.data[l]! / Math.exp(scale)).toBeCloseTo(1, 2);
    });
    G.release();
    training.release();
    objective.release();
  });
  test("curvature that rises counts at once, curvature that falls slowly; the first estimates are close together", () => {
    const objective = createObjective(runtime, {
      layout: layoutOf({ x: { dtype: "f64", shape: [2] } }),
      parameters: [1, 2],
      batch: [{ dtype: "f64", shape: [] }],
      trace: (x, [a]) => ({ loss: x.square().sum().mul(0.5).mul(a!), state: undefined }),
    });
    const optimizer = sgd.create({ learningRate: 0.1 });
    const training = curvatureSchedule({ optimizer, every: 6, decay: 0.5 }).start(objective);
    const lambdas = [1, 4, 2, 9, 1, 9, 1].map((a) => {
      objective.batch[0]!.set([a]);
      const { diagnostics } = training.step();
      return [diagnostics!.refreshed, training.state["curvature.lambdas"]!.data[0]!] as const;
    });
    const refreshed = [true, true, true, false, true, false, true];
    expect(lambdas.map(([due]) => due)).toEqual(refreshed);
    [1, 4, 3, 3, 2, 2, 1.5].forEach((lambda, t) => {
      expect(lambdas[t]![1]).toBeCloseTo(lambda, 12);
    });
    training.release();
    objective.release();
  });
  test("with equal bounds it is the method itself, to the bit", () => {
    const optimizer = adam.create({ learningRate: 0.03 });
    const bound = curvatureSchedule({ optimizer, least: 1, most: 1, every: 2 });
    expect(spirals(bound, 6).parameters).toEqual(spirals(optimizer, 6).parameters);
  });
  test("a layer has one rate, and it trains", () => {
    const objective = objectiveOf(runtime, networks.mlp!);
    const training = curvatureSchedule({
      optimizer: momentum.create({ learningRate: 0.2 }),
      per: "layer",
    }).start(objective);
    expect(training.state["curvature.rates"]!.size).toBe(3);
    const first = training.step().loss;
    for (let t = 0; t < 30; t++) training.step();
    expect(training.step().loss).toBeLessThan(0.7 * first);
    training.release();
    objective.release();
  });
  test.each(["largest", "mean"] as const)("resumes to the bit, by %s", (estimate) => {
    expectToResume(curvatureSchedule({ optimizer: momentum.create(), estimate, every: 3 }), 8, [1, 3, 6]);
  });
  test("refuses what it cannot scale", () => {
    expect(() => curvatureSchedule({ optimizer: kfac.create() })).toThrow(
      "curvatureSchedule: kfac is no chain of transforms",
    );
    expect(() => curvatureSchedule({ optimizer: sgd.create(), least: 2, most: 1 })).toThrow(
      "least is 2 and most 1",
    );
  });
});

describe("groups", () => {
  const one = adam.create({ learningRate: 0.03 });
  const two = (optimizer: Optimizer, other: Optimizer, which: readonly string[]) =>
    groups([
      { name: "some", optimizer, which },
      { name: "rest", optimizer: other },
    ]);
  test("of one elementwise method they are that method, to the bit", () => {
    const names = ["W1", "b1", "W2", "b2"];
    fc.assert(
      fc.property(fc.subarray(names, { minLength: 1 }), (which) => {
        expect(spirals(two(one, one, which), 5).parameters).toEqual(spirals(one, 5).parameters);
      }),
      { numRuns: 6 },
    );
  });
  test("a group of all arrays is its method alone", () => {
    const method = kfac.create({ damping: 0.3 });
    expect(spirals(two(method, one, ["matrices", "vectors"]), 4).parameters).toEqual(
      spirals(method, 4).parameters,
    );
  });
  test("methods that are no transforms see the others where they are: Newton by blocks, at once", () => {
    const A = symmetric([1, 2, 3, 5], 7);
    const [b, x] = [
      [1, -1, 2, 0.5],
      [3, 1, -2, 1],
    ];
    const objective = createObjective(runtime, {
      layout: layoutOf({ p: { dtype: "f64", shape: [2] }, q: { dtype: "f64", shape: [2] } }),
      parameters: x!,
      batch: [
        { dtype: "f64", shape: [4, 4] },
        { dtype: "f64", shape: [4] },
      ],
      trace: (theta, [m, v]) => ({
        loss: theta.inner(m!.matmul(theta)).mul(0.5).sub(theta.inner(v!)),
        state: undefined,
      }),
    });
    objective.batch[0]!.set(A.flat());
    objective.batch[1]!.set(b!);
    const exact = newton.create({ globalization: "none", damping: 0 });
    const training = two(exact, exact, ["q"]).start(objective);
    training.step();
    // Block Jacobi: x_g ← A_gg⁻¹ (b_g − A_gh x_h).
    for (const [g, h] of [
      [0, 2],
      [2, 0],
    ] as const) {
      const r = [0, 1].map((i) => b![g + i]! - A[g + i]![h]! * x![h]! - A[g + i]![h + 1]! * x![h + 1]!);
      const [[p, q], [s, t]] = [
        [A[g]![g]!, A[g]![g + 1]!],
        [A[g + 1]![g]!, A[g + 1]![g + 1]!],
      ];
      const det = p! * t! - q! * s!;
      expect(objective.parameters.data[g]).toBeCloseTo((t! * r[0]! - q! * r[1]!) / det, 11);
      expect(objective.parameters.data[g + 1]).toBeCloseTo((p! * r[1]! - s! * r[0]!) / det, 11);
    }
    training.release();
    objective.release();
  });
  test.each(["cnn", "rnn", "transformer"])("K-FAC finds the layers of its group, in a %s", (name) => {
    const objective = objectiveOf(runtime, networks[name]!);
    const norm = Math.hypot(...objective.gradient().gradient.data);
    const training = createOptimizer("groups", { "chosen.damping": 0.5 }).start(objective);
    const first = training.step();
    expect(first.gradientNorm).toBeCloseTo(norm, 10);
    for (let t = 0; t < 20; t++) training.step();
    expect(training.step().loss).toBeLessThan(0.9 * first.loss);
    training.release();
    objective.release();
  });
  test("a model's state advances once a step", () => {
    const objective = createObjective(runtime, {
      layout: layoutOf({ x: { dtype: "f64", shape: [2] }, y: { dtype: "f64", shape: [2] } }),
      parameters: [1, 2, 3, 4],
      state: [8],
      batch: [],
      trace: (theta, _, state) => ({
        loss: theta.square().sum().mul(state!.sum()),
        state: state!.mul(0.5),
      }),
    });
    const training = two(newton.create(), sgd.create(), ["x"]).start(objective);
    training.step();
    expect([...objective.state!.data]).toEqual([4]);
    training.step();
    expect([...objective.state!.data]).toEqual([2]);
    training.release();
    objective.release();
  });
  test("resume to the bit, and give all memory back", () => {
    const before = runtime.used;
    expectToResume(two(kfac.create({ damping: 0.3 }), one, ["W*", "b2"]), 6, [0, 3]);
    expectToResume(two(sgd.create(), one, ["b*"]), 5, [2]);
    expect(runtime.used).toBe(before);
  });
  test.each([
    [["W3"], 'groups: some selects "W3", which is no parameter; did you mean W1 or W2?'],
    [["norm.*"], 'groups: some selects "norm.*", which is no parameter; there are W1, b1, W2, b2'],
  ])("%j", (which, message) => {
    const objective = network(runtime);
    expect(() => two(one, one, which).start(objective)).toThrow(message);
    objective.release();
  });
  test("refuse what no group takes, and names given twice", () => {
    const objective = network(runtime);
    const some = groups([{ name: "some", optimizer: one, which: ["W1"] }]);
    expect(() => some.start(objective)).toThrow('groups: no group takes "b1"');
    expect(() => groups([])).toThrow("there is no group");
    expect(() =>
      groups([
        { name: "a", optimizer: one },
        { name: "a", optimizer: one },
      ]),
    ).toThrow('two groups are called "a"');
    objective.release();
  });
});

describe("by name, with settings of their parts", () => {
  test("nested to any depth", () => {
    const { settings } = createOptimizer("switchTo", {
      first: "switchTo",
      "first.first": "sgd",
      "first.first.learningRate": "0.5",
      "first.at": "10",
      second: "groups",
      "second.which": "matrices",
      "second.chosen": "muon",
      "second.rest.learningRate": 0.25,
      at: 20,
    });
    expect(settings).toMatchObject({
      first: "switchTo",
      "first.first": "sgd",
      "first.first.learningRate": 0.5,
      "first.at": 10,
      "second.chosen": "muon",
      "second.which": "matrices",
      "second.rest": "adamw",
      "second.rest.learningRate": 0.25,
      at: 20,
    });
    // What a run records makes the same optimizer again.
    expect(createOptimizer("switchTo", settings).settings).toEqual(settings);
  });
  test("are the same as made of parts", () => {
    const named = createOptimizer("switchTo", { at: 3, second: "sgd", "second.learningRate": 0.3 });
    const made = switchTo({
      first: adam.create(),
      second: sgd.create({ learningRate: 0.3 }),
      when: { measure: "step", at: 3 },
    });
    expect(named.settings).toEqual(made.settings);
    expect(trajectory(runtime, named, 6).parameters).toEqual(trajectory(runtime, made, 6).parameters);
  });
  test.each<[string, Record<string, unknown>, string]>([
    ["switchTo", { second: "kfak" }, 'switchTo, second: there is no optimizer "kfak"; did you mean kfac?'],
    ["switchTo", { second: "a b" }, 'switchTo, second: "a b" is no name of an optimizer'],
    [
      "switchTo",
      { "second.damping": -1 },
      "switchTo: second.damping is -1; use a number above 0 (default 0.1)",
    ],
    [
      "switchTo",
      { "second.dampng": 1 },
      'switchTo: there is no setting "second.dampng"; did you mean second.damping?',
    ],
    ["periodic", { "inner.schedule": "cosine" }, "periodic, inner: adam: schedule cosine needs decaySteps"],
    ["periodic", { every: 0 }, "periodic: every is 0; use a whole number of at least 1"],
    ["groups", { which: "+" }, 'groups: which is "+"; use kinds and names with + between them'],
    [
      "curvatureSchedule",
      { optimizer: "newton" },
      "curvatureSchedule: newton is no chain of transforms of the gradient",
    ],
  ])("%s %j", (name, settings, message) => {
    expect(() => createOptimizer(name, settings)).toThrow(SettingsError);
    expect(() => createOptimizer(name, settings)).toThrow(message);
  });
  test("an option of a part that means something else in the hybrid has its own default", () => {
    const rate = (settings: Record<string, string>) =>
      createOptimizer("curvatureSchedule", settings).settings["optimizer.learningRate"];
    const { optionsFor } = optimizers.curvatureSchedule;
    for (const optimizer of ["sgd", "momentum", "adam"]) {
      const option = optionsFor({ optimizer })["optimizer.learningRate"]!;
      expect(rate({ optimizer })).toBe(option.default);
      expect(option.default === optimizers[optimizer as "sgd"].defaults.learningRate).toBe(
        optimizer === "adam",
      );
    }
    expect(rate({ "optimizer.learningRate": "0.25" })).toBe(0.25);
  });
  test("options for given parts are those of the parts, with their typical values", () => {
    const options = optimizers.switchTo.optionsFor({ second: "lbfgs" });
    expect(options["second.memory"]).toBe(lbfgs.options.memory);
    expect(options["first.learningRate"]).toBe(adam.options.learningRate);
    expect(optimizers.adam.optionsFor()).toBe(adam.options);
  });
});
