import { Matrix, SingularValueDecomposition, solve } from "ml-matrix";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Dataset } from "../../src/data/dataset.js";
import { fitLinear, logisticLoss, squaredLoss } from "../../src/lab/problems/linear-fit.js";
import { openProblem } from "../../src/lab/problems/registry.js";
import { optimizerFor } from "../../src/lab/session.js";
import { random } from "../../src/nn/random.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

/** Two columns, one of them in thousands, and values of a rule with noise. */
function table(rule: (x: readonly number[], noise: number) => number): Dataset {
  const rng = random(1);
  const rows = Array.from({ length: 80 }, () => [rng.normal(), rng.normal(3000, 500)]);
  return {
    name: "table",
    size: 80,
    inputShape: [2],
    inputs: Float32Array.from(rows.flat()),
    targetShape: [1],
    targets: Float32Array.from(rows, (row) => rule(row, rng.normal())),
  };
}

describe("the least loss of a linear model", () => {
  it("is that of least squares, and the condition that of the columns' singular values", () => {
    const data = table(([a, b], noise) => 2 * a! - 0.01 * b! + noise);
    const { atZero, least, condition, curvature } = fitLinear(data, squaredLoss);
    const X = new Matrix(
      Array.from({ length: 80 }, (_, i) => [...data.inputs.subarray(2 * i, 2 * i + 2), 1]),
    );
    const y = Matrix.columnVector([...data.targets]);
    const residual = Matrix.sub(y, X.mmul(solve(X, y, true)));
    expect(least).toBeCloseTo(residual.norm() ** 2 / 160, 10);
    expect(atZero).toBeCloseTo(y.norm() ** 2 / 160, 10);
    const values = new SingularValueDecomposition(X).diagonal;
    expect(condition / (values[0]! / values.at(-1)!) ** 2).toBeCloseTo(1, 5);
    expect(curvature / (values[0]! ** 2 / 80)).toBeCloseTo(1, 8);
  });
  it("is where the slope of the logistic loss ends, and is said not to be where there is none", () => {
    const overlapping = table(([a], noise) => Number(a! + noise > 0));
    const { least, atZero } = fitLinear(overlapping, logisticLoss);
    expect(atZero).toBeCloseTo(Math.log(2), 12);
    // The best of a grid of one slope is above it, by little.
    const at = (w: number) =>
      Array.from(overlapping.targets).reduce(
        (sum, y, i) => sum + logisticLoss.value(w * overlapping.inputs[2 * i]!, y) / 80,
        0,
      );
    const best = Math.min(...Array.from({ length: 60 }, (_, k) => at(k / 10)));
    expect(least).toBeLessThan(best);
    expect(least).toBeGreaterThan(best - 0.05);
    expect(() =>
      fitLinear(
        table(([a]) => Number(a! > 0)),
        logisticLoss,
      ),
    ).toThrow(/table: a linear model has no least loss/);
    const constant = { ...overlapping, inputs: overlapping.inputs.map((x, k) => (k % 2 === 0 ? x : 7)) };
    expect(() => fitLinear(constant, squaredLoss)).toThrow(
      /has no least loss here; leave out columns that are constant/,
    );
  });
});

for (const [name, n, condition] of [
  ["regression-penguins", 4, 1e9],
  ["logistic-tumours", 11, 1e10],
] as const)
  describe(name, () => {
    /** Steps to the target, at most `most`, and what is left then. */
    const run = (optimizer: string, most: number, every = 1) => {
      const problem = openProblem({ name, options: {} });
      const instance = problem.start(runtime, { seed: 0, batch: problem.defaults.batch });
      const training = optimizerFor(problem, { name: optimizer, settings: {} }).start(instance.objective);
      const left = () => instance.evaluate().suboptimality!;
      expect(left()).toBeCloseTo(1, 12);
      let steps = 0;
      while (steps < most && (steps % every > 0 || left() > 1e-6)) {
        instance.load(steps++);
        training.step();
      }
      const result = { steps, left: left() };
      training.release();
      instance.release();
      return result;
    };
    it("is as ill-conditioned as it says, and names its sizes", () => {
      const { summary } = openProblem({ name, options: {} });
      const told = /^(\d+) parameters, condition (\S+);/.exec(summary)!;
      expect(Number(told[1])).toBe(n);
      expect(Number(told[2])).toBeGreaterThan(condition);
      const standardised = openProblem({ name, options: { columns: "standardised" } }).summary;
      expect(Number(/condition (\S+);/.exec(standardised)![1])).toBeLessThan(condition / 1e3);
    });
    it("is solved by curvature in few steps, not below what is least", () => {
      for (const optimizer of ["newton", "hessianFree", "kfac"]) {
        const { steps, left } = run(optimizer, 150);
        expect([optimizer, left < 1e-6, left > -1e-9]).toEqual([optimizer, true, true]);
        expect(steps).toBeLessThan(optimizer === "newton" ? 20 : 150);
      }
    });
    it("is not solved by first-order methods in many times the steps", () => {
      for (const optimizer of ["sgd", "momentum", "adam"])
        expect(run(optimizer, 600, 100).left).toBeGreaterThan(1e-3);
    });
  });

it("standardised columns make the regression easy for momentum", () => {
  const problem = openProblem({ name: "regression-penguins", options: { columns: "standardised" } });
  const instance = problem.start(runtime, { seed: 0, batch: problem.defaults.batch });
  const settings = { momentum: 0.8 };
  const training = optimizerFor(problem, { name: "momentum", settings }).start(instance.objective);
  for (let step = 0; step < 300; step++) {
    instance.load(step);
    training.step();
  }
  expect(instance.evaluate().suboptimality).toBeLessThan(1e-6);
  training.release();
  instance.release();
});
