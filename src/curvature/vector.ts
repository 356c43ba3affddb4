/** Algebra of vectors in f64, for methods that know a matrix by its products. */
import type { Random } from "../nn/random.js";

export function inner(u: Float64Array, v: Float64Array): number {
  let sum = 0;
  for (let k = 0; k < u.length; k++) sum += u[k]! * v[k]!;
  return sum;
}

export const norm = (v: Float64Array): number => Math.sqrt(inner(v, v));

/** y ← y + a·x. */
export function addMultiple(y: Float64Array, a: number, x: Float64Array): void {
  for (let k = 0; k < y.length; k++) y[k]! += a * x[k]!;
}

/** v ← a·v. */
export function scale(v: Float64Array, a: number): void {
  for (let k = 0; k < v.length; k++) v[k]! *= a;
}

/** v ← v − Q Qᵀ v for orthonormal rows of Q, twice: once leaves what cancellation brings (Giraud et al. 2005). */
export function orthogonalize(v: Float64Array, basis: readonly Float64Array[]): void {
  for (let pass = 0; pass < 2; pass++) for (const q of basis) addMultiple(v, -inner(q, v), q);
}

/** Every element of v ← −1 or 1 with equal probability. */
export function rademacher(v: Float64Array, rng: Random): void {
  for (let k = 0; k < v.length; k++) v[k] = 2 * rng.integer(2) - 1;
}

/** Every element of v ← a standard normal. */
export function gaussian(v: Float64Array, rng: Random): void {
  for (let k = 0; k < v.length; k++) v[k] = rng.normal();
}
