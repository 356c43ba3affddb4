/** How much longer a valley is than wide. */
import { extremeEigenpairs } from "./lanczos.js";
import type { LinearOperator } from "./operator.js";
import { magnitudeQuantile, spectralDensity } from "./spectral-density.js";

export interface ConditionOptions {
  /** δ ≥ 0, added to every eigenvalue (every magnitude, in the effective numbers); default 0. */
  readonly damping?: number;
  /** Which quantiles of |λ|; default ½, ¾ and 0.9. */
  readonly quantiles?: readonly number[];
  /** Of the eigenvalues at the ends; defaults as of `extremeEigenpairs`. */
  readonly steps?: number;
  readonly tolerance?: number;
  /** Of the distribution of |λ|: random starts, and Lanczos steps from each; defaults 10 and 80. */
  readonly probes?: number;
  readonly probeSteps?: number;
  readonly seed?: number;
}

export interface Condition {
  /** λmax and λmin, algebraic. */
  readonly largest: number;
  readonly smallest: number;
  /** Whether both ends have converged. */
  readonly converged: boolean;
  /** (λmax + δ)/(λmin + δ); Infinity where λmin + δ is not above 0 by more than its residual: there is no such number. */
  readonly number: number;
  /** For each quantile q of |λ|: (max |λ| + δ)/(|λ|_q + δ), the spread of all but the share q of smaller eigenvalues. */
  readonly effective: readonly {
    readonly quantile: number;
    readonly magnitude: number;
    readonly number: number;
  }[];
}

/**
 * Condition numbers of a symmetric operator. Networks have many eigenvalues near 0 (Sagun, Bottou, LeCun 2016), which
 * make λmax/λmin infinite and meaningless; the effective numbers say how far the others spread.
 *
 *     const { number, effective } = condition(G, { damping: 1e-3, quantiles: [0.5, 0.9] });
 */
export function condition(operator: LinearOperator, options: ConditionOptions = {}): Condition {
  const { damping = 0, quantiles = [0.5, 0.75, 0.9], seed = 0 } = options;
  if (!(damping >= 0)) throw new RangeError(`condition: damping is ${damping}; it must not be negative`);
  for (const quantile of quantiles)
    if (!(quantile >= 0 && quantile <= 1))
      throw new RangeError(`condition: quantile ${quantile} is not between 0 and 1`);
  const ends = extremeEigenpairs(operator, {
    largest: 1,
    smallest: 1,
    seed,
    ...(options.steps !== undefined && { steps: options.steps }),
    ...(options.tolerance !== undefined && { tolerance: options.tolerance }),
  });
  const [{ value: largest }, { value: smallest, residual }] = [ends.largest[0]!, ends.smallest[0]!];
  const spectrum = spectralDensity(operator, {
    seed,
    ...(options.probes !== undefined && { probes: options.probes }),
    ...(options.probeSteps !== undefined && { steps: options.probeSteps }),
  });
  const magnitude = Math.max(Math.abs(largest), Math.abs(smallest));
  const rounding = Math.max(residual, 1e-12 * magnitude);
  return {
    largest,
    smallest,
    converged: ends.converged,
    number: smallest + damping > rounding ? (largest + damping) / (smallest + damping) : Infinity,
    effective: quantiles.map((quantile) => {
      const at = magnitudeQuantile(spectrum, quantile);
      return { quantile, magnitude: at, number: (magnitude + damping) / (at + damping) };
    }),
  };
}
