import { Matrix, solve as solveExactly } from "ml-matrix";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { curvatureOperator } from "../../src/curvature/index.js";
import { random } from "../../src/nn/random.js";
import {
  compileConjugateGradient,
  diagonal,
  type Iterate,
  relativeProgress,
  residualBelow,
} from "../../src/optimizers/conjugate-gradient.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { quadratic, symmetric } from "./curved.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const rng = random(8);
const draw = (n: number) => Array.from({ length: n }, () => rng.normal());

function setUp(
  eigenvalues: readonly number[],
  { preconditioned = false, dtype = "f64" as "f32" | "f64" } = {},
) {
  const n = eigenvalues.length;
  const A = symmetric(eigenvalues, 6);
  const objective = quadratic(runtime, A, { b: draw(n), x: draw(n), dtype });
  const operator = curvatureOperator(objective, "hessian");
  operator.linearize();
  const scaling = runtime.buffer(dtype, [n]);
  scaling.set(Array.from({ length: n }, (_, k) => 1 / (1 + k)));
  const cg = compileConjugateGradient(runtime, operator, {
    preconditioner: preconditioned ? diagonal(scaling) : undefined,
  });
  const b = draw(n);
  cg.rightSide.set(b);
  const release = () => {
    for (const part of [cg, scaling, operator, objective]) part.release();
  };
  const exact = (damping: number) =>
    solveExactly(Matrix.add(new Matrix(A), Matrix.eye(n).mul(damping)), Matrix.columnVector(b)).to1DArray();
  return { A, b, n, cg, exact, release };
}

describe("conjugate gradients", () => {
  const eigenvalues = [0.01, 0.3, 1, 2, 5, 30, 100];
  test.each([
    ["plain", false, 0],
    ["damped", false, 0.5],
    ["preconditioned", true, 0],
    ["preconditioned and damped", true, 2],
  ] as const)(
    "solve a linear system in as many iterations as it has unknowns: %s",
    (_, preconditioned, damping) => {
      const { cg, exact, n, release } = setUp(eigenvalues, { preconditioned });
      const { iteration, products, ended } = cg.solve({
        damping,
        iterations: 100,
        until: residualBelow(1e-11),
      });
      expect(ended).toBe("residual");
      expect(iteration).toBeLessThanOrEqual(n + 4);
      expect(products).toBe(iteration);
      exact(damping).forEach((value, k) => {
        expect(cg.solution.data[k]).toBeCloseTo(value, 7);
      });
      release();
    },
  );
  test("report φ and ‖x‖² of every iterate, from any start", () => {
    const { A, b, n, cg, release } = setUp(eigenvalues);
    const M = Matrix.add(new Matrix(A), Matrix.eye(n).mul(0.1));
    cg.solution.set(draw(n));
    const seen: number[] = [];
    const check = ({ iteration, model, square }: Iterate) => {
      seen.push(iteration);
      const x = Matrix.columnVector(Array.from(cg.solution.data));
      const phi = 0.5 * x.dot(M.mmul(x)) - x.dot(Matrix.columnVector(b));
      expect(model / phi).toBeCloseTo(1, 9);
      expect(square / x.dot(x)).toBeCloseTo(1, 11);
    };
    const { products, ended } = cg.solve({
      damping: 0.1,
      iterations: 5,
      until: () => undefined,
      visit: check,
    });
    expect(seen).toEqual([1, 2, 3, 4, 5]);
    expect({ products, ended }).toEqual({ products: 6, ended: "iterations" });
    release();
  });
  test("begin at the best multiple of a start that is worse than nothing", () => {
    const { A, b, n, cg, release } = setUp(eigenvalues);
    const x = Matrix.columnVector(draw(n));
    const right = Matrix.columnVector(b);
    const best = x.dot(right) / x.dot(new Matrix(A).mmul(x));
    const startAt = (c: number) => {
      cg.solution.set(Matrix.mul(x, c).to1DArray());
      return cg.solve({ damping: 0, iterations: 0, until: () => undefined }).model;
    };
    // As it is below twice the best, where φ is negative.
    startAt(1.9 * best);
    expect(cg.solution.data[0]).toBeCloseTo(1.9 * best * x.get(0, 0), 12);
    for (const c of [2.1 * best, 50 * best]) {
      expect(startAt(c)).toBeCloseTo(-0.5 * best * x.dot(right), 10);
      expect(cg.solution.data[0]).toBeCloseTo(best * x.get(0, 0), 10);
    }
    // Uphill from the very beginning.
    expect(Math.abs(startAt(-best))).toBe(0);
    release();
  });
  test("end before a direction of negative curvature, and not where damping covers it", () => {
    const { cg, exact, release } = setUp([-1, 0.5, 2, 4]);
    const options = { iterations: 20, until: residualBelow(1e-11) };
    expect(cg.solve({ damping: 0, ...options }).ended).toBe("negative curvature");
    expect([...cg.solution.data].every(Number.isFinite)).toBe(true);
    cg.solution.data.fill(0);
    expect(cg.solve({ damping: 2, ...options }).ended).toBe("residual");
    exact(2).forEach((value, k) => {
      expect(cg.solution.data[k]).toBeCloseTo(value, 9);
    });
    release();
  });
  test("end at once where there is nothing to solve, or nothing finite", () => {
    const { cg, n, release } = setUp([1, 2, 3]);
    cg.rightSide.set(Array<number>(n).fill(0));
    expect(cg.solve({ damping: 0, iterations: 9, until: () => undefined })).toMatchObject({
      iteration: 0,
      ended: "residual",
    });
    cg.rightSide.set([1, Number.NaN, 0]);
    expect(cg.solve({ damping: 0, iterations: 9, until: () => undefined })).toMatchObject({
      iteration: 0,
      ended: "not finite",
    });
    release();
  });
  test("f32 reaches the rounding of f32", () => {
    const { cg, exact, release } = setUp([1, 2, 3, 10], { dtype: "f32" });
    expect(cg.solve({ damping: 0, iterations: 50, until: () => undefined }).ended).toBe("residual");
    exact(0).forEach((value, k) => {
      expect(cg.solution.data[k]).toBeCloseTo(value, 5);
    });
    release();
  });
});

test("Martens' rule ends when φ stands still, not before ten iterations", () => {
  const rule = relativeProgress(5e-4);
  const at = (models: number[]) =>
    rule({
      iteration: models.length - 1,
      model: models.at(-1)!,
      square: 0,
      models,
      residual: 1,
      rightSide: 1,
    });
  const still = (length: number) => [0, ...Array.from({ length }, (_, k) => -1 - 1e-5 * k)];
  expect(at(still(10))).toBeUndefined();
  expect(at(still(11))).toBe("progress");
  expect(at([0, ...Array.from({ length: 11 }, (_, k) => -1 - 1e-3 * k)])).toBeUndefined();
  expect(at(still(11).map((x) => -x))).toBeUndefined();
});
