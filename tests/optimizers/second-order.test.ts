/** What all methods keep to whose step is more than one program. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createObjective, type Objective } from "../../src/curvature/index.js";
import { layoutOf } from "../../src/nn/parameters.js";
import { hessianFree, lbfgs, naturalGradient, newton, type Optimizer } from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { fillSpirals, network, rosenbrock } from "./curved.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const variants: Record<string, Optimizer> = {
  "newton, trust region": newton.create({ curvature: "gaussNewton" }),
  "newton, Levenberg–Marquardt": newton.create({
    curvature: "gaussNewton",
    globalization: "levenbergMarquardt",
  }),
  "newton, bare": newton.create({ curvature: "gaussNewton", globalization: "none", damping: 0.1 }),
  "newton, grid and average": newton.create({
    curvature: "gaussNewton",
    globalization: "gridSearch",
    curvatureDecay: 0.5,
  }),
  lbfgs: lbfgs.create(),
  "lbfgs without search": lbfgs.create({ lineSearch: "none", learningRate: 0.1 }),
  hessianFree: hessianFree.create(),
  "hessianFree, curvature on a part": hessianFree.create({ curvatureExamples: 16, preconditionerDraws: 3 }),
  naturalGradient: naturalGradient.create({ divergence: 0.05 }),
  "naturalGradient, sampled and dense": naturalGradient.create({
    curvature: "sampledFisher",
    solver: "dense",
    globalization: "none",
    damping: 0.1,
    learningRate: 0.3,
  }),
  "hessianFree, Hessian": hessianFree.create({ curvature: "hessian", preconditioner: "none" }),
};
const names = Object.keys(variants);
/** Those that need the loss alone. */
const plain: Record<string, Optimizer> = {
  "newton, trust region": newton.create(),
  "newton, Levenberg–Marquardt": newton.create({ globalization: "levenbergMarquardt" }),
  lbfgs: lbfgs.create(),
  hessianFree: hessianFree.create({ curvature: "hessian", preconditioner: "none" }),
};

describe.each(names)("%s", (name) => {
  const optimizer = variants[name]!;
  const run = (
    objective: Objective,
    steps: number,
    resumed?: Record<string, ArrayLike<number>>,
    from = 0,
  ) => {
    const training = optimizer.start(objective);
    if (resumed) for (const [key, values] of Object.entries(resumed)) training.state[key]!.set(values);
    const losses: number[] = [];
    for (let k = from; k < from + steps; k++) {
      // The batch changes now and then.
      fillSpirals(objective, Math.floor(k / 3));
      losses.push(training.step().loss);
    }
    const state = Object.fromEntries(
      Object.entries(training.state).map(([key, buffer]) => [key, buffer.copy()]),
    );
    training.release();
    return { losses, state, parameters: [...objective.parameters.data] };
  };
  test.each(["f64", "f32"] as const)("learns and resumes to the bit in %s", (dtype) => {
    const [whole, first, second] = [1, 2, 3].map(() => network(runtime, { dtype })) as [
      Objective,
      Objective,
      Objective,
    ];
    const all = run(whole, 13);
    expect(all.losses.at(-1)).toBeLessThan(0.9 * all.losses[0]!);
    const half = run(first, 8);
    expect(half.losses).toEqual(all.losses.slice(0, 8));
    second.parameters.set(first.parameters.copy());
    const rest = run(second, 5, half.state, 8);
    expect(rest.losses).toEqual(all.losses.slice(8));
    expect(rest.parameters).toEqual(all.parameters);
    expect(rest.state).toEqual(all.state);
    expect(all.state.step![0]).toBe(13);
    for (const objective of [whole, first, second]) objective.release();
  });
  test("keeps its memory, and gives all of it back", () => {
    const before = runtime.used;
    const objective = network(runtime);
    const training = optimizer.start(objective);
    for (let k = 0; k < 2; k++) training.step();
    const used = runtime.used;
    for (let k = 0; k < 30; k++) training.step();
    expect(runtime.used).toBe(used);
    training.release();
    objective.release();
    expect(runtime.used).toBe(before);
  });
  test("a batch that is no numbers leaves θ as it is", () => {
    const objective = network(runtime);
    const training = optimizer.start(objective);
    training.step();
    objective.batch[0]!.data[5] = Number.NaN;
    const parameters = objective.parameters.copy();
    const report = training.step();
    expect(report.finite).toBe(false);
    expect(objective.parameters.copy()).toEqual(parameters);
    fillSpirals(objective, 0);
    expect(training.step().finite).toBe(true);
    training.release();
    objective.release();
  });
});

describe.each(Object.keys(plain))("%s, on losses that end", (name) => {
  const start = (objective: Objective) => plain[name]!.start(objective);
  test("steps into what is no number are refused", () => {
    // −log(1 − x) + x² − x: nothing beyond 1, where Newton's first step would land.
    const objective = createObjective(runtime, {
      layout: layoutOf({ x: { dtype: "f64", shape: [1] } }),
      parameters: [-30],
      batch: [],
      trace: (x) => ({
        loss: x.neg().add(1).log().neg().add(x.square().mul(0.01)).sub(x.mul(3)).sum(),
        state: undefined,
      }),
    });
    const training = start(objective);
    const losses: number[] = [];
    for (let k = 0; k < 60; k++) {
      const report = training.step();
      expect(report.finite).toBe(true);
      losses.push(report.loss);
      if (report.stop) break;
    }
    // Its derivative 1/(1 − x) + x/50 − 3 is 0 there.
    const x = objective.parameters.data[0]!;
    expect(1 / (1 - x) + x / 50 - 3).toBeCloseTo(0, 6);
    expect(losses).toEqual(losses.toSorted((a, b) => b - a));
    training.release();
    objective.release();
  });
  test("a loop over a full batch ends", () => {
    const objective = rosenbrock(runtime, 2);
    const training = start(objective);
    let steps = 0;
    while (!training.step().stop && steps < 500) steps++;
    expect(steps).toBeLessThan(100);
    expect(objective.loss()).toBeLessThan(1e-15);
    const parameters = objective.parameters.copy();
    expect(training.step()).toMatchObject({ stop: "converged", diagnostics: { accepted: false } });
    expect(objective.parameters.copy()).toEqual(parameters);
    training.release();
    objective.release();
  });
  test("the model's state advances once a step", () => {
    const objective = createObjective(runtime, {
      layout: layoutOf({ x: { dtype: "f64", shape: [2] } }),
      parameters: [3, -2],
      state: [8, 8],
      batch: [],
      trace: (x, _batch, state) => ({ loss: x.square().square().sum(), state: state!.mul(0.5) }),
    });
    const training = start(objective);
    for (let k = 0; k < 3; k++) training.step();
    expect([...objective.state!.data]).toEqual([1, 1]);
    training.release();
    objective.release();
  });
});
