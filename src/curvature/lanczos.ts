/**
 * Lanczos' iteration (1950) with full re-orthogonalisation: an orthonormal basis Q of the Krylov space of A and a
 * start, in which A is tridiagonal, T = Q A Qᵀ. The ends of T's spectrum approach those of A's.
 *
 *     β₀ = 0;  w = A qⱼ − βⱼ₋₁ qⱼ₋₁;  αⱼ = qⱼᵀ w;  w ← w − αⱼ qⱼ, orthogonal to all q;  βⱼ = ‖w‖;  qⱼ₊₁ = w/βⱼ
 *
 * Without re-orthogonalisation eigenvalues that have converged come again as copies (Paige 1971).
 */
import { random } from "../nn/random.js";
import type { LinearOperator } from "./operator.js";
import { tridiagonalEigen } from "./tridiagonal.js";
import { addMultiple, gaussian, inner, norm, orthogonalize, scale } from "./vector.js";

export interface LanczosProcess {
  /** α [m] and β [m]: T has β[0 … m − 2] beside the diagonal; β[m − 1] measures what is outside of the basis. */
  readonly diagonal: readonly number[];
  readonly offDiagonal: readonly number[];
  /** m orthonormal vectors [n]. */
  readonly basis: readonly Float64Array[];
  /** Whether the basis spans an invariant space: T's eigenvalues are then exact. */
  readonly exhausted: boolean;
  /** Up to so many steps more; none beyond an invariant space. */
  extend(steps: number): void;
}

/**
 * Begins Lanczos' iteration from a start [n], which need not have unit length. Memory: n numbers a step.
 *
 *     const process = lanczosProcess(H, start);
 *     process.extend(50);
 *     tridiagonalEigen(process.diagonal, process.offDiagonal).values;
 */
export function lanczosProcess(operator: LinearOperator, start: Float64Array): LanczosProcess {
  const n = operator.size;
  const length = norm(start);
  if (!(length > 0 && Number.isFinite(length)))
    throw new RangeError(`lanczos: the start has length ${length}; it needs a direction`);
  const diagonal: number[] = [];
  const offDiagonal: number[] = [];
  const basis: Float64Array[] = [];
  let next: Float64Array | undefined = Float64Array.from(start, (x) => x / length);
  let largest = 0;
  return {
    diagonal,
    offDiagonal,
    basis,
    get exhausted() {
      return next === undefined;
    },
    extend(steps) {
      for (let step = 0; step < steps && next; step++) {
        const q = next;
        const w = new Float64Array(n);
        operator.apply(q, w);
        const before = basis.at(-1);
        if (before) addMultiple(w, -offDiagonal.at(-1)!, before);
        const alpha = inner(q, w);
        if (!Number.isFinite(alpha)) throw new Error("lanczos: a product of the operator is not finite");
        addMultiple(w, -alpha, q);
        basis.push(q);
        orthogonalize(w, basis);
        const beta = norm(w);
        diagonal.push(alpha);
        offDiagonal.push(beta);
        largest = Math.max(largest, Math.abs(alpha), beta);
        const invariant = basis.length === n || beta <= 1e-13 * largest;
        if (!invariant) scale(w, 1 / beta);
        next = invariant ? undefined : w;
      }
    },
  };
}

export interface Eigenpair {
  readonly value: number;
  /** Unit length, [n]. */
  readonly vector: Float64Array;
  /** ‖A x − λ x‖ of this pair: an eigenvalue of A lies within this distance of λ. */
  readonly residual: number;
}

export interface EigenpairOptions {
  /** How many from either end of the spectrum; defaults 1 and 0. */
  readonly largest?: number;
  readonly smallest?: number;
  /** Products at most; default 300 (or n). Each step keeps a vector of n numbers. */
  readonly steps?: number;
  /** Done when residuals are below this times the largest |eigenvalue|; default 1e-6. */
  readonly tolerance?: number;
  readonly seed?: number;
}

export interface Eigenpairs {
  /** Descending. Fewer than wanted where the Krylov space holds fewer. */
  readonly largest: readonly Eigenpair[];
  /** Ascending. */
  readonly smallest: readonly Eigenpair[];
  readonly converged: boolean;
  /** Products used. */
  readonly steps: number;
}

/**
 * The algebraically largest and smallest eigenvalues of a symmetric operator, with their vectors. An eigenvalue of
 * multiplicity k is found once: from one start, Lanczos' iteration sees one direction of its space.
 *
 *     const { largest, smallest } = extremeEigenpairs(H, { largest: 10, smallest: 1, seed: 1 });
 *     largest[0]!.value;
 */
export function extremeEigenpairs(operator: LinearOperator, options: EigenpairOptions = {}): Eigenpairs {
  const { largest = 1, smallest = 0, tolerance = 1e-6, seed = 0 } = options;
  const n = operator.size;
  const limit = Math.min(n, options.steps ?? 300);
  const start = new Float64Array(n);
  gaussian(start, random(seed).stream("lanczos"));
  const process = lanczosProcess(operator, start);
  for (;;) {
    // A tenth more each time keeps the cost of solving T a small part.
    process.extend(
      Math.min(limit - process.basis.length, Math.max(10, Math.ceil(process.basis.length / 10))),
    );
    const { values, vectors } = tridiagonalEigen(process.diagonal, process.offDiagonal);
    const m = values.length;
    // A (Q s) − λ Q s = β s_m q_{m+1}.
    const residual = (k: number) =>
      process.exhausted ? 0 : Math.abs(process.offDiagonal.at(-1)! * vectors[k]!.at(-1)!);
    const top = Array.from({ length: Math.min(m, largest) }, (_, k) => m - 1 - k);
    const bottom = Array.from({ length: Math.min(m, smallest) }, (_, k) => k);
    const magnitude = Math.max(Math.abs(values[0]!), Math.abs(values[m - 1]!));
    const converged =
      process.exhausted ||
      (m >= largest + smallest && [...top, ...bottom].every((k) => residual(k) <= tolerance * magnitude));
    if (!converged && m < limit) continue;
    const pair = (k: number): Eigenpair => {
      const vector = new Float64Array(n);
      process.basis.forEach((q, j) => {
        addMultiple(vector, vectors[k]![j]!, q);
      });
      return { value: values[k]!, vector, residual: residual(k) };
    };
    return { largest: top.map(pair), smallest: bottom.map(pair), converged, steps: m };
  }
}
