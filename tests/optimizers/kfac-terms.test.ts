/** K-FAC on losses that are sums of means over different examples: the residuals of a differential equation. */
import { Matrix, solve } from "ml-matrix";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type KroneckerFactors, kroneckerFactors, type Objective } from "../../src/curvature/index.js";
import type { ProblemInstance } from "../../src/lab/problem.js";
import { openProblem } from "../../src/lab/problems/registry.js";
import { ekfac, kfac } from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

function start(options: Record<string, number | string>, batch = 40): ProblemInstance {
  const instance = openProblem({ name: "pinn-poisson", options }).start(runtime, { seed: 0, batch });
  instance.load(0);
  return instance;
}

/** (Σₜ (Aₜ + πₜγI) ⊗ (Gₜ + γ/πₜ I))⁻¹ applied to a block's gradient [inputs, outputs], by a dense solve. */
function denseSolve(factors: KroneckerFactors["factors"][number], gamma: number, gradient: Matrix): Matrix {
  const damped = factors.map(
    ({ data, shape }) =>
      new Matrix(
        Array.from({ length: shape[0]! }, (_, i) =>
          Array.from(data.subarray(i * shape[0]!, (i + 1) * shape[0]!)),
        ),
      ),
  );
  let sum = Matrix.zeros(gradient.rows * gradient.columns, gradient.rows * gradient.columns);
  for (let t = 0; t < damped.length; t += 2) {
    const [A, G] = [damped[t]!, damped[t + 1]!];
    const pi = Math.sqrt(A.trace() / A.rows / (G.trace() / G.rows));
    sum = sum.add(
      A.add(Matrix.eye(A.rows).mul(gamma * pi)).kroneckerProduct(G.add(Matrix.eye(G.rows).mul(gamma / pi))),
    );
  }
  const solution = solve(sum, Matrix.columnVector(gradient.to1DArray()));
  return new Matrix(gradient.rows, gradient.columns).apply(function (this: Matrix, i, j) {
    this.set(i, j, solution.get(i * gradient.columns + j, 0));
  });
}

const bare = { momentum: 0, klClip: 0, learningRate: 1, estimator: "exact" } as const;

describe("the step", () => {
  test.each([1e-2, 1e-6])(
    "is the gradient solved with the sum of products, each factor damped: λ = %d",
    (damping) => {
      const { objective, release } = start({ hidden: "6-5", boundary: 20 });
      const computed = kroneckerFactors(objective, { estimator: "exact" });
      computed.compute();
      const gradient = Float64Array.from(objective.gradient().gradient.data);
      const before = Float64Array.from(objective.parameters.data);
      const training = kfac.create({ ...bare, damping }).start(objective);
      training.step();
      const moved = objective.parameters.data.map((x, k) => x - before[k]!);
      computed.blocks.forEach(({ parameters, inputs, outputs }, k) => {
        const indices = parameters.flatMap(({ offset, size }) =>
          Array.from({ length: size }, (_, i) => offset + i),
        );
        const G = new Matrix(inputs, outputs).apply(function (this: Matrix, i, j) {
          this.set(i, j, gradient[indices[i * outputs + j]!]!);
        });
        const expected = denseSolve(computed.factors[k]!, Math.sqrt(damping), G).to1DArray();
        const scale = Math.max(...expected.map(Math.abs));
        indices.forEach((index, i) => {
          expect(Math.abs(moved[index]! + expected[i]!) / scale).toBeLessThan(1e-7);
        });
      });
      training.release();
      computed.release();
      release();
    },
  );

  test("is finite where factors are singular", () => {
    // One point on the boundary, three inside, six units: no factor has full rank.
    const { objective, release } = start({ hidden: "6", boundary: 1 }, 3);
    const training = kfac.create({ ...bare, damping: 1e-24 }).start(objective);
    const { diagnostics } = training.step();
    expect(diagnostics).toMatchObject({ accepted: true });
    expect(objective.parameters.data.every(Number.isFinite)).toBe(true);
    training.release();
    release();
  });
});

const trained = (objective: Objective, steps: number) => {
  const training = kfac
    .create({
      step: "quadratic",
      estimator: "exact",
      damping: 1e-12,
      leastDamping: 1e-16,
      dampingInterval: 0,
      factorStart: "identity",
      factorInterval: 1,
      inverseInterval: 1,
      factorDecay: 0.9,
    })
    .start(objective);
  for (let step = 0; step < steps; step++) training.step();
  return training;
};

test("trains a network on residual and boundary, and resumes to the bit", () => {
  const whole = start({ hidden: "12", boundary: 20 });
  const first = whole.evaluate().l2Error!;
  const reference = trained(whole.objective, 120);
  expect(whole.evaluate().l2Error).toBeLessThan(first / 10);

  const half = start({ hidden: "12", boundary: 20 });
  const begun = trained(half.objective, 60);
  const saved = Object.entries(begun.state).map(([name, { data }]) => [name, data.slice()] as const);
  begun.release();
  const resumed = trained(half.objective, 0);
  for (const [name, data] of saved) resumed.state[name]!.set(data);
  for (let step = 60; step < 120; step++) resumed.step();
  expect(half.objective.parameters.data).toEqual(whole.objective.parameters.data);
  reference.release();
  resumed.release();
  whole.release();
  half.release();
});

test("EKFAC says that it has no basis for a sum", () => {
  const { objective, release } = start({ hidden: "4", boundary: 3 }, 4);
  expect(() => ekfac.create().start(objective)).toThrow(
    "ekfac: the loss is a sum of 2 means over different examples",
  );
  release();
});
