/**
 * The least loss of a linear model o = wᵀx + b, and the condition of its Hessian there: what methods are measured by.
 * Newton's method on standardised columns, where rounding is far away, by dense matrices of d + 1 rows:
 *
 *     L = (1/n) Σ ℓ(oᵢ, yᵢ)        H = (1/n) Σ ℓ″ᵢ x̃ᵢ x̃ᵢᵀ,   x̃ = [x; 1]
 */
import type { Dataset } from "../../data/dataset.js";
import { DataError } from "../../data/error.js";

export interface LinearLoss {
  value(o: number, y: number): number;
  slope(o: number, y: number): number;
  bend(o: number): number;
}

/** ½(o − y)² */
export const squaredLoss: LinearLoss = {
  value: (o, y) => (o - y) ** 2 / 2,
  slope: (o, y) => o - y,
  bend: () => 1,
};
const sigmoid = (o: number) => 1 / (1 + Math.exp(-o));
/** log(1 + eᵒ) − yo */
export const logisticLoss: LinearLoss = {
  value: (o, y) => Math.max(o, 0) + Math.log1p(Math.exp(-Math.abs(o))) - y * o,
  slope: (o, y) => sigmoid(o) - y,
  bend: (o) => sigmoid(o) * (1 - sigmoid(o)),
};

export interface LinearFit {
  /** L where w and b are 0, and at the minimum. */
  readonly atZero: number;
  readonly least: number;
  /** The largest eigenvalue of H for the columns as they are: at 0, where logistic curvature is greatest. */
  readonly curvature: number;
  /** The condition of H at the minimum, for the columns as they are. */
  readonly condition: number;
}

/**
 *     fitLinear(train, squaredLoss).least
 *
 * @throws DataError where there is no least loss: a column is constant or a sum of others, or a plane separates classes.
 */
export function fitLinear({ name, size: n, inputs, targets }: Dataset, loss: LinearLoss): LinearFit {
  const d = inputs.length / n;
  const raw = Array.from({ length: n }, (_, i) => [...inputs.subarray(i * d, (i + 1) * d), 1]);
  const scales = Array.from({ length: d + 1 }, (_, k) => {
    if (k === d) return { mean: 0, deviation: 1 };
    const mean = raw.reduce((sum, row) => sum + row[k]! / n, 0);
    return { mean, deviation: Math.sqrt(raw.reduce((sum, row) => sum + (row[k]! - mean) ** 2 / n, 0)) };
  });
  const rows = raw.map((row) => row.map((x, k) => (x - scales[k]!.mean) / scales[k]!.deviation));
  const outputsAt = (w: readonly number[]) => rows.map((row) => dot(row, w));
  const lossAt = (o: readonly number[]) => o.reduce((sum, oi, i) => sum + loss.value(oi, targets[i]!) / n, 0);

  let w: number[] = Array(d + 1).fill(0);
  const atZero = lossAt(outputsAt(w));
  let least = atZero;
  for (let step = 0; ; step++) {
    const o = outputsAt(w);
    const gradient = w.map((_, k) =>
      rows.reduce((sum, row, i) => sum + (loss.slope(o[i]!, targets[i]!) * row[k]!) / n, 0),
    );
    const direction = solverOf(hessian(rows, o, loss))?.(gradient);
    if (!direction || step === 100)
      throw new DataError(
        `${name}: a linear model has no least loss here; leave out columns that are constant or sums of others, or that separate the classes`,
      );
    // Half the step, and half of that, until the loss is lower; where none is, only rounding is left.
    const trial = [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32]
      .map((t) => w.map((wk, k) => wk - t * direction[k]!))
      .find((at) => lossAt(outputsAt(at)) < least);
    if (!trial) break;
    w = trial;
    least = lossAt(outputsAt(w));
  }
  const there = hessian(raw, outputsAt(w), loss);
  const solve = solverOf(there);
  const largest = (of: number[][]) => powerIteration((v) => of.map((row) => dot(row, v)), d + 1);
  return {
    atZero,
    least,
    curvature: largest(hessian(raw, Array(n).fill(0), loss)),
    condition: solve ? largest(there) * powerIteration(solve, d + 1) : Number.POSITIVE_INFINITY,
  };
}

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, ai, k) => sum + ai * b[k]!, 0);

const hessian = (rows: readonly number[][], o: readonly number[], { bend }: LinearLoss): number[][] =>
  rows[0]!.map((_, k) =>
    rows[0]!.map(
      (_, l) => rows.reduce((sum, row, i) => sum + bend(o[i]!) * row[k]! * row[l]!, 0) / rows.length,
    ),
  );

/** v ↦ A⁻¹v by A = LLᵀ; undefined where A is not positive definite. */
function solverOf(A: readonly number[][]): ((v: readonly number[]) => number[]) | undefined {
  const L: number[][] = [];
  for (const [i, row] of A.entries()) {
    L.push([]);
    for (let j = 0; j <= i; j++) {
      const rest = row[j]! - dot(L[i]!.slice(0, j), L[j]!.slice(0, j));
      if (i === j && !(rest > 0)) return undefined;
      L[i]!.push(i === j ? Math.sqrt(rest) : rest / L[j]![j]!);
    }
  }
  return (v) => {
    const x: number[] = [];
    for (const [i, row] of L.entries()) x.push((v[i]! - dot(row.slice(0, i), x)) / row[i]!);
    for (let i = x.length - 1; i >= 0; i--) {
      for (let j = i + 1; j < x.length; j++) x[i]! -= L[j]![i]! * x[j]!;
      x[i]! /= L[i]![i]!;
    }
    return x;
  };
}

/** The largest eigenvalue of a positive map. */
function powerIteration(map: (v: readonly number[]) => number[], n: number): number {
  let v: number[] = Array(n).fill(1 / Math.sqrt(n));
  let norm = 0;
  for (let k = 0; k < 200; k++) {
    const next = map(v);
    norm = Math.hypot(...next);
    v = next.map((x) => x / norm);
  }
  return norm;
}
