/**
 * The gradient of a loss that is reached by many steps of a recurrence with parameters φ, from short stretches of it,
 * without derivatives and without bias: persistent evolution strategies. Vicol, Metz, Sohl-Dickstein 2021, "Unbiased
 * gradient estimation in unrolled computation graphs with persistent evolution strategies", algorithm 2.
 *
 * Two trajectories run side by side from the same start, one under φ + ε, one under φ − ε, with a new ε ~ N(0, σ²I) for
 * each stretch. With L± the stretch's mean losses and ξ the sum of all ε of these trajectories so far,
 *
 *     ĝ = ξ (L⁺ − L⁻) / (2σ²).
 *
 * ξ rather than ε: a stretch's loss depends on the perturbations of all stretches before it. (ε alone is a truncated
 * evolution strategy, whose expectation lacks those paths.) The mean of ĝ over the stretches of a trajectory estimates
 * the gradient of its mean loss, smoothed by σ.
 */

/** One of the two trajectories: goes on by a stretch under φ, and gives the mean loss on it. */
export type Unroll = (phi: Float64Array) => number;

export interface Pair {
  readonly plus: Unroll;
  readonly minus: Unroll;
  /** ξ: the sum of the perturbations since the trajectories began. Updated here; zeros for new trajectories. */
  readonly perturbations: Float64Array;
}

/**
 * Unrolls each pair by a stretch and writes the mean of their ĝ into `gradient`; the result is the mean of their losses.
 *
 *     const loss = persistentGradient(phi, pairs, 0.01, (_pair, epsilon) => normals(epsilon), gradient);
 *
 * @param perturb fills ε of a pair with independent standard normal numbers.
 */
export function persistentGradient(
  phi: Float64Array,
  pairs: readonly Pair[],
  sigma: number,
  perturb: (pair: number, epsilon: Float64Array) => void,
  gradient: Float64Array,
): number {
  const epsilon = new Float64Array(phi.length);
  gradient.fill(0);
  let sum = 0;
  pairs.forEach(({ plus, minus, perturbations }, pair) => {
    perturb(pair, epsilon);
    for (let i = 0; i < epsilon.length; i++) {
      epsilon[i]! *= sigma;
      perturbations[i]! += epsilon[i]!;
    }
    const above = plus(phi.map((value, i) => value + epsilon[i]!));
    const below = minus(phi.map((value, i) => value - epsilon[i]!));
    const slope = (above - below) / (2 * sigma ** 2 * pairs.length);
    for (let i = 0; i < gradient.length; i++) gradient[i]! += slope * perturbations[i]!;
    sum += (above + below) / 2;
  });
  return sum / pairs.length;
}
