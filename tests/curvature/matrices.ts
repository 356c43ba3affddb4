/** Curvature matrices by definition, from finite differences, to compare with. */
import {
  type CurvatureKind,
  type CurvatureOptions,
  denseCurvature,
  type Objective,
} from "../../src/curvature/index.js";
import { random } from "../../src/nn/index.js";

export const kinds: readonly CurvatureKind[] = [
  "hessian",
  "gaussNewton",
  "fisher",
  "sampledFisher",
  "empiricalFisher",
];

export function randomVector(n: number, seed: number): Float64Array {
  const rng = random(seed);
  return Float64Array.from({ length: n }, () => rng.normal());
}

export const inner = (u: Float64Array, v: Float64Array): number =>
  u.reduce((sum, x, k) => sum + x * v[k]!, 0);

export type Matrix = readonly Float64Array[];

/** Rows ∂f/∂θₖ by central differences, extrapolated (Richardson); θ is put back. */
export function differences(objective: Objective, f: () => ArrayLike<number>, step = 2e-4): Float64Array[] {
  const theta = objective.parameters.data;
  return Array.from(theta, (value, k) => {
    const at = (x: number) => {
      theta[k] = x;
      const result = Float64Array.from(f());
      theta[k] = value;
      return result;
    };
    const quotient = (h: number) => {
      const [plus, minus] = [at(value + h), at(value - h)];
      return plus.map((p, i) => (p - minus[i]!) / (2 * h));
    };
    const [coarse, fine] = [quotient(step), quotient(step / 2)];
    return fine.map((value, i) => (4 * value - coarse[i]!) / 3);
  });
}

/** The Hessian from gradients. */
export const hessianByDifferences = (objective: Objective): Matrix =>
  differences(objective, () => objective.gradient().gradient.data);

/** Σ over a, b of left[k][a] · middle[a][b] · right[l][b]: J M Jᵀ for rows ∂/∂θₖ. */
export function sandwiched(rows: Matrix, middle: (a: number, b: number) => number): Matrix {
  const m = rows[0]!.length;
  const half = rows.map((row) => {
    const result = new Float64Array(m);
    for (let b = 0; b < m; b++) for (let a = 0; a < m; a++) result[b]! += row[a]! * middle(a, b);
    return result;
  });
  return half.map((left) =>
    Float64Array.from(rows, (right) => left.reduce((s, x, b) => s + x * right[b]!, 0)),
  );
}

export const largest = (matrix: Matrix): number =>
  matrix.reduce((max, row) => row.reduce((m, x) => Math.max(m, Math.abs(x)), max), 0);

/** The rows of a flat [n, n]. */
export const rowsOf = (flat: ArrayLike<number>, n: number): Matrix =>
  Array.from({ length: n }, (_, i) => Float64Array.from({ length: n }, (_, j) => flat[i * n + j]!));

/** The largest deviation relative to the largest element of `expected`. */
export function deviation(actual: Matrix, expected: Matrix): number {
  const scale = largest(expected);
  return largest(expected.map((row, i) => row.map((x, j) => x - actual[i]![j]!))) / scale;
}

/** The dense matrix that the code under test computes. */
export function matrixOf(
  objective: Objective,
  kind: CurvatureKind,
  options: CurvatureOptions = {},
  draw = 0,
): Matrix {
  const computed = denseCurvature(objective, kind, options);
  computed.compute(draw);
  const rows = rowsOf(computed.matrix.data, objective.layout.size);
  computed.release();
  return rows;
}
