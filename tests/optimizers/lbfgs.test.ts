import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { random } from "../../src/nn/random.js";
import { compileCurvaturePairs } from "../../src/optimizers/curvature-pairs.js";
import { fingerprint } from "../../src/optimizers/fingerprint.js";
import { lbfgs } from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { fillSpirals, logistic, network, quadratic, rosenbrock, symmetric, untilStop } from "./curved.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const eigenvalues = [0.1, 0.5, 1, 3, 10, 40];
const n = eigenvalues.length;
const A = symmetric(eigenvalues, 2);

describe("the two-loop recursion", () => {
  const rng = random(4);
  const draw = () => Array.from({ length: n }, () => rng.normal());
  const setUp = (m: number) => {
    const objective = quadratic(runtime, A, { b: draw(), x: draw() });
    const vector = () => runtime.buffer("f64", [n]);
    const vectors = { before: vector(), after: vector(), gradient: vector(), direction: vector() };
    const pairs = compileCurvaturePairs(objective, m, vectors);
    const release = () => {
      for (const part of [pairs, objective, ...Object.values(vectors)]) part.release();
    };
    /** One pair with y = A s, t = ½. */
    const add = () => {
      const s = draw();
      vectors.direction.set(s.map((x) => 2 * x));
      vectors.after.set(A.map((row) => row.reduce((sum, a, j) => sum + a * s[j]!, 0)));
      expect(pairs.add(0.5)).toBe(true);
      return Matrix.columnVector(s);
    };
    return { ...vectors, pairs, add, release };
  };
  test.each([
    [3, 2],
    [3, 3],
    [3, 8],
    [1, 4],
  ])("with %i pairs at most, after %i, it is BFGS's matrix", (m, count) => {
    const { pairs, add, gradient, direction, release } = setUp(m);
    const steps = Array.from({ length: count }, add).slice(-m);
    // H ← (I − ρsyᵀ) H (I − ρysᵀ) + ρssᵀ from γI (Nocedal & Wright, equation 7.16).
    const [M, I] = [new Matrix(A as number[][]), Matrix.eye(n)];
    const newest = steps.at(-1)!;
    const y = M.mmul(newest);
    let H = Matrix.eye(n).mul(newest.dot(y) / y.dot(y));
    for (const s of steps) {
      const change = M.mmul(s);
      const rho = 1 / s.dot(change);
      const left = Matrix.sub(I, s.mmul(change.transpose()).mul(rho));
      H = left.mmul(H).mmul(left.transpose()).add(s.mmul(s.transpose()).mul(rho));
    }
    const g = draw();
    gradient.set(g);
    const { slope, absoluteSum } = pairs.direct();
    const expected = H.mmul(Matrix.columnVector(g)).mul(-1).to1DArray();
    expected.forEach((value, k) => {
      expect(direction.data[k]).toBeCloseTo(value, 11);
    });
    expect(slope).toBeCloseTo(
      g.reduce((sum, x, k) => sum + x * expected[k]!, 0),
      10,
    );
    expect(absoluteSum).toBeCloseTo(
      g.reduce((sum, x) => sum + Math.abs(x), 0),
      13,
    );
    release();
  });
  test("pairs without positive curvature are left out", () => {
    const { pairs, before, after, direction, release } = setUp(3);
    direction.set([1, 0, 0, 0, 0, 0]);
    for (const y of [-1, 0, 1e-12, Number.NaN]) {
      before.set([0, 0, 0, 0, 0, 0]);
      after.set([y, y === 1e-12 ? 1 : 0, 0, 0, 0, 0]);
      expect(pairs.add(1)).toBe(false);
    }
    expect(pairs.count).toBe(0);
    release();
  });
  test("the oracle is symmetric and positive definite", () => {
    const found = new EigenvalueDecomposition(new Matrix(A as number[][])).realEigenvalues;
    found.forEach((value, k) => {
      expect(value / eigenvalues[k]!).toBeCloseTo(1, 10);
    });
  });
});

describe("full batches", () => {
  test("Rosenbrock in 100 dimensions takes at most 1.1 times the evaluations of SciPy's L-BFGS-B", () => {
    // scipy 1.17.1, minimize(rosen, (−1.2, 1, …), jac=rosen_der, method="L-BFGS-B", maxcor=10, ftol=0, gtol=1e-8):
    // 639 evaluations until max|g| ≤ 1e-8. Ours: 630.
    const scipy = 639;
    const objective = rosenbrock(runtime, 100);
    const training = lbfgs.create({ memory: 10, tolerance: 0 }).start(objective);
    let evaluations = 0;
    let largest = Number.POSITIVE_INFINITY;
    while (largest > 1e-8 && evaluations < 2000) {
      evaluations += training.step().evaluations.gradients!;
      largest = Math.max(...Array.from(objective.gradient().gradient.data, Math.abs));
    }
    expect(largest).toBeLessThanOrEqual(1e-8);
    expect(evaluations).toBeLessThanOrEqual(1.1 * scipy);
    expect(objective.loss()).toBeLessThan(1e-15);
    training.release();
    objective.release();
  });
  test("converges on logistic regression, in f64 to the tolerance, in f32 to its precision", () => {
    for (const dtype of ["f64", "f32"] as const) {
      const objective = logistic(runtime, dtype);
      const reports = untilStop(objective, lbfgs.create(), 200);
      expect(reports.at(-1)!.stop).toBe(dtype === "f64" ? "converged" : "stalled");
      expect(reports.at(-1)!.gradientNorm).toBeLessThan(dtype === "f64" ? 1e-8 : 1e-3);
      for (let k = 1; k < reports.length; k++)
        expect(reports[k]!.loss).toBeLessThanOrEqual(reports[k - 1]!.loss);
      objective.release();
    }
  });
  test("the end of a step is not evaluated again, unless θ or the batch has changed", () => {
    const objective = network(runtime);
    const training = lbfgs.create().start(objective);
    const tried = () => {
      const { evaluations, diagnostics } = training.step();
      return evaluations.gradients! - (diagnostics!.searchEvaluations as number);
    };
    expect(tried()).toBe(1);
    expect(tried()).toBe(0);
    objective.parameters.data[3]! += 0.01;
    expect(tried()).toBe(1);
    expect(tried()).toBe(0);
    fillSpirals(objective, 1);
    expect(tried()).toBe(1);
    training.release();
    objective.release();
  });
  test("a fingerprint sees every bit", () => {
    const buffers = [runtime.buffer("f64", [3]), runtime.buffer("i32", [5])];
    const before = fingerprint(buffers);
    expect(fingerprint(buffers)).toBe(before);
    for (const buffer of buffers)
      for (let k = 0; k < buffer.size; k++) {
        buffer.data[k] = buffer.dtype === "f64" ? Number.MIN_VALUE : 1;
        expect(fingerprint(buffers)).not.toBe(before);
        buffer.data[k] = 0;
      }
    for (const buffer of buffers) buffer.release();
  });
});

describe("batches that change", () => {
  const train = (overlap: number) => {
    const objective = network(runtime, { examples: 60 });
    const training = lbfgs.create({ lineSearch: "none", learningRate: 0.2, overlap }).start(objective);
    for (let step = 0; step < 150; step++) {
      fillSpirals(objective, step);
      expect(training.step().finite).toBe(true);
    }
    fillSpirals(objective, 1000);
    const loss = objective.loss();
    training.release();
    objective.release();
    return loss;
  };
  test.each([0.25, 0.5, 1])("learns with an overlap of %d", (overlap) => {
    const objective = network(runtime, { examples: 60 });
    fillSpirals(objective, 1000);
    expect(train(overlap)).toBeLessThan(0.4 * objective.loss());
    objective.release();
  });
  test("counts what it evaluates", () => {
    const counts = [0.25, 1].map((overlap) => {
      const objective = network(runtime);
      const training = lbfgs.create({ lineSearch: "none", overlap }).start(objective);
      const { evaluations } = training.step();
      training.release();
      objective.release();
      return evaluations;
    });
    expect(counts).toEqual([{ gradients: 1, sampleGradients: 2 }, { gradients: 2 }]);
  });
  test("needs examples to take a part of", () => {
    const objective = rosenbrock(runtime, 4);
    expect(() => lbfgs.create({ lineSearch: "none" }).start(objective)).toThrow(
      "lbfgs: a part of the batch needs its examples along the first axis of every array; the arrays are none",
    );
    objective.release();
  });
});

test("settings that mean nothing are refused", () => {
  expect(() => lbfgs.create({ memory: 0 })).toThrow("lbfgs: memory is 0; use a whole number of at least 1");
});
