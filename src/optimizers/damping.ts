/**
 * How far the quadratic model is trusted. Levenberg 1944; Marquardt 1963; the ratio rule as in Nocedal & Wright 2006,
 * "Numerical optimization", algorithm 4.1, and Martens 2010, "Deep learning via Hessian-free optimization", section 4.1.
 *
 *     ρ = (L(θ) − L(θ + d)) / (q(0) − q(d)),   q(d) = L(θ) + gᵀd + ½ dᵀA d   (A without the damping)
 */

/** Relative rounding of a type. */
export const roundingOf = (dtype: "f32" | "f64"): number => (dtype === "f64" ? 2 ** -52 : 2 ** -23);

interface Reductions {
  /** L(θ), L(θ + d). */
  readonly before: number;
  readonly after: number;
  /** q(0) − q(d). */
  readonly predicted: number;
  readonly dtype: "f32" | "f64";
}

/**
 * ρ of a step. Where the loss can no longer tell two points apart (the predicted reduction is rounding beside |L|), ρ
 * tends to 1, so that the last steps are not refused (Conn, Gould, Toint 2000, "Trust-region methods", section
 * 17.4.2). −∞ for a loss that is not finite.
 *
 *     trustRatio({ before: 1, after: 0.5, predicted: 0.6, dtype: "f64" })   // 0.83
 */
export function trustRatio({ before, after, predicted, dtype }: Reductions): number {
  if (!Number.isFinite(after) || !Number.isFinite(predicted)) return Number.NEGATIVE_INFINITY;
  const rounding = 10 * roundingOf(dtype) * Math.abs(before);
  const ratio = (before - after + rounding) / (predicted + rounding);
  return Number.isNaN(ratio) ? Number.NEGATIVE_INFINITY : ratio;
}

/** Whether what a step could still win is lost in the rounding of the loss, far below where its own rounding begins. */
export const isExhausted = ({ before, predicted, dtype }: Omit<Reductions, "after">): boolean =>
  predicted <= 0.05 * roundingOf(dtype) * Math.abs(before);

export interface DampingRule {
  /** λ ← increase·λ where ρ < ¼. */
  readonly increase: number;
  /** λ ← decrease·λ where ρ > ¾. */
  readonly decrease: number;
  readonly least: number;
  readonly most: number;
}

/**
 * λ after a step with ratio ρ.
 *
 *     adaptDamping(1, 0.1, { increase: 1.5, decrease: 2 / 3, least: 0, most: 1e10 })   // 1.5
 */
export function adaptDamping(lambda: number, ratio: number, rule: DampingRule): number {
  const { increase, decrease, least, most } = rule;
  // NaN compares false: a ratio that is none raises the damping.
  const factor = ratio > 0.75 ? decrease : ratio >= 0.25 ? 1 : increase;
  return Math.min(most, Math.max(least, factor * lambda));
}
