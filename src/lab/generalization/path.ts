/**
 * The straight line between two solutions, θ(α) = θ_A + α (θ_B − θ_A): whether the loss has a barrier there tells
 * whether both lie in one valley, linearly connected (Frankle, Dziugaite, Roy, Carbin 2020, "Linear mode connectivity
 * and the lottery ticket hypothesis"). Height of the barrier (Entezari, Sedghi, Saukh, Neyshabur 2022, "The role of
 * permutation invariance in linear mode connectivity of neural networks", definition 2.1):
 *
 *     max over α of L(θ(α)) − [(1 − α) L(θ_A) + α L(θ_B)]
 *
 * A barrier does not tell that two functions differ: hidden units in another order are the same function elsewhere in
 * the space of parameters, with a barrier between.
 */
import { norm } from "../../curvature/vector.js";

/** θ, and the model's own state. */
export interface Place {
  readonly parameters: Float64Array;
  readonly state: Float64Array | undefined;
}

/** Writes the point at a share α of the way into live arrays. At α = 0, and where both ends agree, it is exact. */
export function interpolate(
  out: { set(values: ArrayLike<number>): void },
  from: Float64Array,
  to: Float64Array,
  share: number,
): void {
  // The far end is its own numbers, not what rounding makes of a sum.
  out.set(share === 1 ? to : from.map((a, i) => a + share * (to[i]! - a)));
}

/** `count` shares α from 0 to 1, at equal distances. */
export const sharesOf = (count: number): number[] => Array.from({ length: count }, (_, k) => k / (count - 1));

/**
 * How far values at equal distances along a line rise above the straight line between the first and the last; never
 * negative, NaN where one of them is none.
 *
 *     barrier([1, 5, 2]);   // 3.5
 */
export function barrier(values: readonly number[]): number {
  const [first, last] = [values[0]!, values.at(-1)!];
  const steps = Math.max(1, values.length - 1);
  return Math.max(0, ...values.map((value, k) => value - (first + (k / steps) * (last - first))));
}

export interface Separation {
  /** ‖θ_A − θ_B‖₂. */
  readonly distance: number;
  /** Cosine of the angle between the ways that both went from a common θ₀; undefined without one. */
  readonly cosine: number | undefined;
}

/**
 * How far two places are from each other, seen from the start that both had, if they had one; all three f64 [n].
 *
 *     separation(a, b, start).cosine   // 1: both went the same way
 */
export function separation(a: Float64Array, b: Float64Array, start: Float64Array | undefined): Separation {
  const distance = norm(a.map((x, i) => x - b[i]!));
  if (!start) return { distance, cosine: undefined };
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < start.length; i++) {
    const [u, v] = [a[i]! - start[i]!, b[i]! - start[i]!];
    ab += u * v;
    aa += u * u;
    bb += v * v;
  }
  return { distance, cosine: ab / Math.sqrt(aa * bb) };
}
