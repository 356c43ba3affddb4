/** What trainings keep against the catalogue's formulas: the very numbers of elements. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { modelShapeOf } from "../../src/curvature/index.js";
import { total } from "../../src/optimizers/costs.js";
import { findMethod, optimizers } from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { networks, using } from "../curvature/networks.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const check = (network: string, name: string, settings: Readonly<Record<string, unknown>> = {}) =>
  using(runtime, networks[network]!, (objective) => {
    const method = findMethod(name);
    const training = method.create(settings).start(objective);
    const kept = Object.values(training.state).reduce((sum, { size }) => sum + size, 0);
    expect(total(method.costs(modelShapeOf(objective), settings).state)).toBe(kept);
    training.release();
  });

describe.each(Object.keys(networks))("%s", (network) => {
  test.each(Object.keys(optimizers))("%s", (name) => check(network, name));
});

/** Settings that change what is kept. */
const variants: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ["adam", { amsgrad: true }],
  ["rmsprop", { momentum: 0.9, centered: true }],
  ["adahessian", { probes: 2, every: 2 }],
  ["sophia", { estimator: "gaussNewtonBartlett", every: 2 }],
  ["muon", { nesterov: false, iterations: 3, outputs: "first" }],
  ["shampoo", { blockSize: 3, graft: "sgd", beta1: 0, momentum: 0.9 }],
  ["shampoo", { graft: "adagrad", interval: 2, weightDecay: 0.1 }],
  ["shampoo", { graft: "none", variant: "sequential" }],
  ["soap", { vectors: true, interval: 2 }],
  ["soap", { largestAxis: 4 }],
  ["newton", { globalization: "levenbergMarquardt" }],
  ["newton", { globalization: "none" }],
  ["newton", { globalization: "gridSearch", curvatureDecay: 0.5 }],
  ["lbfgs", { memory: 3, lineSearch: "none" }],
  ["lbfgs", { lineSearch: "none", overlap: 1 }],
  ["hessianFree", { preconditioner: "none", backtracking: false }],
  ["hessianFree", { preconditioner: "kfac" }],
  ["naturalGradient", { globalization: "none", curvature: "gaussNewton" }],
  ["naturalGradient", { solver: "dense" }],
  ["kfac", { step: "quadratic" }],
  ["kfac", { momentum: 0, factorInterval: 2, inverseInterval: 4, inverse: "eigen" }],
  ["kfac", { estimator: "empirical", sharing: "reduce", weightDecay: 0.1 }],
  ["switchTo", { first: "momentum", second: "soap", when: "plateau" }],
  ["switchTo", { when: "noise" }],
  ["switchTo", { when: "drift", first: "lbfgs" }],
  ["periodic", { inner: "sgd", outer: "newton" }],
  ["curvatureSchedule", { optimizer: "adam", per: "layer" }],
  ["curvatureSchedule", { estimate: "mean" }],
  ["groups", { chosen: "muon", which: "matrices", rest: "momentum" }],
  ["groups", { which: "*weight", rest: "lbfgs" }],
  ["groups", { rest: "groups", which: "dense", "rest.which": "conv2d" }],
  ["ekfac", { factorInterval: 2, inverseInterval: 4 }],
];

test.each(variants)("%s %j", (name, settings) => check("cnn", name, settings));

test("kfac with links between dense layers", () => check("mlp", "kfac", { structure: "blockTridiagonal" }));
