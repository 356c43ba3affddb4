import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openProblem } from "../../src/lab/problems/registry.js";
import { optimizerFor } from "../../src/lab/session.js";
import { optimizers } from "../../src/optimizers/registry.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { deviation, hessianByDifferences, matrixOf } from "../curvature/matrices.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

type Given = Record<string, number | string>;
const start = (name: string, options: Given = {}, seed = 0) =>
  openProblem({ name, options }).start(runtime, { seed, batch: 1 });

/** Steps until the problem's target, or `most`, with the suggested settings; and the last step's word. */
function minimise(name: string, optimizer: string, { options = {}, most = 5000, seed = 0 } = {}) {
  const problem = openProblem({ name, options });
  const instance = problem.start(runtime, { seed, batch: 1 });
  const training = optimizerFor(problem, { name: optimizer, settings: {} }).start(instance.objective);
  const { metric, value } = problem.defaults.target!;
  let steps = 0;
  while (steps < most && !(instance.evaluate()[metric]! <= value)) {
    instance.load(steps++);
    if (training.step().stop) break;
  }
  const measured = instance.evaluate();
  training.release();
  instance.release();
  return { steps, reached: measured[metric]! <= value, ...measured };
}

describe("quadratic", () => {
  const eigenvalues = (options: Given) => {
    const { objective, release } = start("quadratic", options);
    const n = objective.layout.size;
    const H = matrixOf(objective, "hessian");
    expect(deviation(matrixOf(objective, "gaussNewton"), H)).toBeLessThan(1e-12);
    const rows = Matrix.from1DArray(
      n,
      n,
      Array.from({ length: n * n }, (_, k) => H[Math.floor(k / n)]![k % n]!),
    );
    const values = new EigenvalueDecomposition(rows, { assumeSymmetric: true }).realEigenvalues;
    const offDiagonal = H.flatMap((row, i) => Array.from(row).filter((_, j) => i !== j)).map(Math.abs);
    release();
    return { values: values.sort((a, b) => b - a), offDiagonal };
  };
  const spectra: Record<string, number[]> = {
    geometric: [1, 0.1, 0.01, 0.001],
    linear: [1, 0.667, 0.334, 0.001],
    clusters: [1, 0.001, 0.001, 0.001],
  };
  for (const [spectrum, expected] of Object.entries(spectra))
    it(`has the eigenvalues that were asked for: ${spectrum}`, () => {
      const { values, offDiagonal } = eigenvalues({ size: 4, condition: 1000, spectrum });
      values.forEach((value, k) => {
        expect(value).toBeCloseTo(expected[k]!, 12);
      });
      expect(Math.min(...offDiagonal)).toBeGreaterThan(1e-6);
      expect(Math.max(...eigenvalues({ size: 4, spectrum, axes: "aligned" }).offDiagonal)).toBe(0);
    });

  it("begins elsewhere with another seed, and has its minimum elsewhere with another functionSeed", () => {
    const begin = (seed: number, functionSeed: number) => {
      const instance = start("quadratic", { size: 5, functionSeed }, seed);
      const values = [instance.objective.parameters.copy(), instance.evaluate().distance];
      instance.release();
      return values;
    };
    expect(begin(1, 0)).toEqual(begin(1, 0));
    expect(begin(1, 0)[0]).not.toEqual(begin(2, 0)[0]);
    expect(begin(1, 0)[0]).toEqual(begin(1, 3)[0]);
    expect(begin(1, 0)[1]).not.toEqual(begin(1, 3)[1]);
  });

  it("takes as many steps as theory says: √κ for momentum, κ for gradient descent, few for curvature", () => {
    const steps = (optimizer: string, condition: number) => {
      const { steps, reached } = minimise("quadratic", optimizer, { options: { size: 30, condition } });
      expect(reached).toBe(true);
      return steps;
    };
    expect(steps("sgd", 400) / steps("sgd", 100)).toBeGreaterThan(3.2);
    expect(steps("momentum", 400) / steps("momentum", 100)).toBeLessThan(2.5);
    expect(steps("newton", 1_000_000)).toBeLessThan(10);
    expect(steps("lbfgs", 100)).toBeLessThan(100);
  });

  it("says what it cannot do", () => {
    expect(() => start("quadratic", { size: 5000 })).toThrow(
      /size is 5000.*use at most 4096, or axes=aligned/,
    );
    expect(() =>
      openProblem({ name: "quadratic", options: {} }).start(runtime, { seed: 0, batch: 8 }),
    ).toThrow(/the batch is 8; .*use 1/);
  });
});

describe("rosenbrock and beale", () => {
  const cases = [
    { name: "rosenbrock", options: {}, value: 24.2 },
    // (−1.2, 1, −1.2): 24.2 + 100 (−1.2 − 1)² + 0
    { name: "rosenbrock", options: { dimension: 3 }, value: 508.2 },
    { name: "beale", options: {}, value: 14.203125 },
  ];
  for (const { name, options, value } of cases)
    it(`${name} ${JSON.stringify(options)} is the function of the books, with its curvature`, () => {
      const { objective, evaluate, release } = start(name, options);
      expect(objective.loss()).toBeCloseTo(value, 10);
      expect(deviation(matrixOf(objective, "hessian"), hessianByDifferences(objective))).toBeLessThan(1e-6);
      const minimiser = name === "beale" ? [3, 0.5] : Array(objective.layout.size).fill(1);
      objective.parameters.set(minimiser);
      expect(evaluate()).toEqual({ distance: 0, loss: 0 });
      // No residual is left there: Gauss–Newton is the Hessian.
      expect(deviation(matrixOf(objective, "gaussNewton"), matrixOf(objective, "hessian"))).toBeLessThan(
        1e-12,
      );
      release();
    });
  it("are minimised in tens of steps by curvature, in thousands without", () => {
    for (const name of ["rosenbrock", "beale"])
      for (const optimizer of ["newton", "lbfgs", "hessianFree", "naturalGradient"]) {
        const { steps, reached } = minimise(name, optimizer);
        expect([name, optimizer, reached]).toEqual([name, optimizer, true]);
        expect(steps).toBeLessThan(80);
      }
    for (const name of ["rosenbrock", "beale"])
      for (const optimizer of ["adam", "lars"]) {
        const { steps, reached } = minimise(name, optimizer);
        expect([name, optimizer, reached]).toEqual([name, optimizer, true]);
        expect(steps).toBeGreaterThan(1000);
      }
    expect(() => start("rosenbrock", { dimension: 1 })).toThrow(
      /dimension is 1; the valley needs at least 2/,
    );
  });
});

describe("methods on functions", () => {
  for (const name of Object.keys(optimizers))
    it(`${name} takes steps`, () => {
      const given = name === "switchTo" ? { second: "newton" } : {};
      const problem = openProblem({ name: "quadratic", options: { size: 6, condition: 10 } });
      const instance = problem.start(runtime, { seed: 0, batch: 1 });
      const training = optimizerFor(problem, { name, settings: given }).start(instance.objective);
      for (let step = 0; step < 5; step++) {
        instance.load(step);
        expect(training.step().finite).toBe(true);
      }
      training.release();
      instance.release();
    });
});
