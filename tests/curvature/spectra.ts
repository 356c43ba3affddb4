/** Symmetric matrices with known spectra, as operators. */
import { Matrix, QrDecomposition } from "ml-matrix";
import { expect } from "vitest";
import type { LinearOperator } from "../../src/curvature/index.js";
import { random } from "../../src/nn/index.js";

/** A matrix as an operator that counts its products. */
export const operatorOf = (matrix: Matrix): LinearOperator & { products: number } => {
  const operator = {
    size: matrix.rows,
    products: 0,
    apply(v: ArrayLike<number>, out: { set(values: ArrayLike<number>): void }) {
      operator.products++;
      out.set(matrix.mmul(Matrix.columnVector(Array.from(v))).to1DArray());
    },
  };
  return operator;
};
/** A symmetric matrix with these eigenvalues and random eigenvectors. */
export function withSpectrum(values: readonly number[], seed = 1): Matrix {
  const n = values.length;
  const rng = random(seed);
  const Q = new QrDecomposition(
    new Matrix(Array.from({ length: n }, () => Array.from({ length: n }, () => rng.normal()))),
  ).orthogonalMatrix;
  return Q.mmul(Matrix.diag([...values])).mmul(Q.transpose());
}
/** A few large eigenvalues, negative ones, and a bulk over eight decades. */
export const spread = Array.from({ length: 40 }, (_, k) =>
  k < 3 ? -(10 ** -k) : k < 6 ? 10 + k : 10 ** (-k / 5),
);
export const ascending = (values: Iterable<number>) => [...values].sort((a, b) => a - b);
export const expectClose = (actual: ArrayLike<number>, expected: readonly number[], tolerance: number) => {
  expect(actual.length).toBe(expected.length);
  expected.forEach((value, k) => {
    expect(Math.abs(actual[k]! - value), `element ${k}: ${actual[k]} for ${value}`).toBeLessThan(tolerance);
  });
};
