/**
 * How far an average over a batch is from the average over everything. Of any statistic x that is a mean over examples
 * (a gradient, a Kronecker factor, a diagonal), with Σ the covariance of one example's,
 *
 *     E‖x_B‖² = ‖x‖² + tr Σ / B
 *
 * so that two sizes of batches give both unknowns without bias, and the noise scale tr Σ/‖x‖² is the batch at which
 * noise and signal are equal (McCandlish, Kaplan, Amodei et al. 2018, "An empirical model of large-batch training",
 * appendix A.1). A ratio of means is not the mean of ratios: numerator and denominator are averaged apart.
 */

/** tr Σ of single examples, ‖x‖², and their ratio. */
export interface Noise {
  /** tr Σ: the summed variance of one example's statistic. */
  readonly variance: number;
  /** ‖x‖², unbiased: may be below 0 where noise hides it. */
  readonly squaredNorm: number;
  /** B at which noise equals signal, in examples; infinite where the noise hides the signal. */
  readonly scale: number;
}

const noiseOf = (variance: number, squaredNorm: number): Noise => ({
  variance,
  squaredNorm,
  scale: squaredNorm > 0 ? variance / squaredNorm : Number.POSITIVE_INFINITY,
});

/**
 * From mean square norms at two sizes of batches, both unbiased.
 *
 *     twoBatchNoise({ batch: 8, squaredNorm: 3 }, { batch: 64, squaredNorm: 1.25 })   // variance 16, squared norm 1, scale 16
 *
 * @throws RangeError when the sizes are equal.
 */
export function twoBatchNoise(
  small: { readonly batch: number; readonly squaredNorm: number },
  big: { readonly batch: number; readonly squaredNorm: number },
): Noise {
  if (small.batch === big.batch)
    throw new RangeError(`twoBatchNoise: both batches have ${small.batch} examples; they must differ`);
  return noiseOf(
    (small.squaredNorm - big.squaredNorm) / (1 / small.batch - 1 / big.batch),
    (big.batch * big.squaredNorm - small.batch * small.squaredNorm) / (big.batch - small.batch),
  );
}

/**
 * From gradients of K batches of B examples: their mean square norm, and the square norm of their mean.
 *
 *     gradientNoise([[1, 0], [0, 1]], 8)   // variance 8, squared norm 0: pure noise
 */
export function gradientNoise(gradients: readonly ArrayLike<number>[], batch: number): Noise {
  const spread = batchSpread(gradients[0]!.length, batch);
  for (const gradient of gradients) spread.add(gradient);
  return spread.noise();
}

/** Variances of a statistic over batches of B, 2B, 4B, … examples. */
export interface BatchSpread {
  /** The statistic [size] of the next B examples. */
  add(statistic: ArrayLike<number>): void;
  /** [size]: the mean of all. */
  readonly mean: Float64Array;
  /** By all pairs of the smallest batches: the estimate of least variance. */
  noise(): Noise;
  /** The variance at each size for which there are at least two batches, measured at that size alone. */
  sizes(): readonly SizeSpread[];
}

export interface SizeSpread {
  /** Examples. */
  readonly batch: number;
  readonly batches: number;
  /** E‖x_B − x‖², unbiased. */
  readonly variance: number;
  /** √(variance/‖x‖²): the expected error beside what is estimated; infinite where noise hides it. */
  readonly relativeError: number;
}

/**
 * Collects a statistic [size] of equal batches of `batch` examples, one after the other. Means of two, four, eight, …
 * neighbours are those of larger batches, so that one pass measures every size. Memory: log₂(batches) vectors.
 *
 *     const spread = batchSpread(n, 8);
 *     for (let k = 0; k < 64; k++) { load(k); spread.add(objective.gradient().gradient.data); }
 *     spread.sizes();   // batches of 8, 16, …, 256
 */
export function batchSpread(size: number, batch: number): BatchSpread {
  /** Of each level: the sum of squared norms of its finished means, their number, and a mean that waits for its twin. */
  const levels: { squares: number; count: number; waiting: Float64Array; waits: boolean }[] = [];
  const mean = new Float64Array(size);
  let count = 0;
  const insert = (level: number, value: Float64Array) => {
    levels[level] ??= { squares: 0, count: 0, waiting: new Float64Array(size), waits: false };
    const at = levels[level];
    for (let i = 0; i < size; i++) at.squares += value[i]! ** 2;
    at.count++;
    if (at.waits) for (let i = 0; i < size; i++) value[i] = (value[i]! + at.waiting[i]!) / 2;
    else at.waiting.set(value);
    at.waits = !at.waits;
    if (!at.waits) insert(level + 1, value);
  };
  const one = new Float64Array(size);
  /** S at a level: ‖x̄_g − x̄‖² summed over its groups g, divided by their number less one. */
  const varianceAt = ({ squares, count: groups }: (typeof levels)[number]) =>
    (squares - groups * mean.reduce((sum, x) => sum + x * x, 0)) / (groups - 1);
  const squaredNorm = () =>
    mean.reduce((sum, x) => sum + x * x, 0) - varianceAt(levels[0]!) / levels[0]!.count;
  return {
    mean,
    add(statistic) {
      if (statistic.length !== size)
        throw new RangeError(`batchSpread: a statistic of ${statistic.length} elements, not ${size}`);
      count++;
      for (let i = 0; i < size; i++) {
        one[i] = statistic[i]!;
        mean[i]! += (statistic[i]! - mean[i]!) / count;
      }
      insert(0, one);
    },
    noise() {
      if (count < 2) throw new RangeError(`batchSpread: ${count} batches; at least two have a spread`);
      return noiseOf(varianceAt(levels[0]!) * batch, squaredNorm());
    },
    sizes() {
      const signal = squaredNorm();
      return levels
        .filter((level, k) => level.count >= 2 && level.count * 2 ** k === count)
        .map((level, k) => {
          const variance = varianceAt(level);
          const relativeError =
            signal > 0 ? Math.sqrt(Math.max(0, variance) / signal) : Number.POSITIVE_INFINITY;
          return { batch: batch * 2 ** k, batches: level.count, variance, relativeError };
        });
    },
  };
}

/**
 * From gradients of single examples, G [batch, n] row by row: the least noisy estimate there is (Gray, Tiwari, Bergsma,
 * Hestness 2024, "Normalization layer per-example gradients are sufficient to predict gradient noise scale").
 *
 *     tr Σ = (mean‖gᵢ‖² − ‖ḡ‖²)·B/(B − 1),   ‖∇L‖² = ‖ḡ‖² − tr Σ/B
 *
 *     perExample.compute();
 *     exampleNoise(perExample.gradients.data, batch);
 *
 * @throws RangeError for fewer than two examples.
 */
export function exampleNoise(gradients: ArrayLike<number>, batch: number): Noise {
  if (batch < 2) throw new RangeError(`exampleNoise: ${batch} examples; at least two have a spread`);
  const n = gradients.length / batch;
  let [squares, meanSquare] = [0, 0];
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let k = 0; k < batch; k++) {
      const g = gradients[k * n + i]!;
      sum += g;
      squares += g * g;
    }
    meanSquare += (sum / batch) ** 2;
  }
  const variance = ((squares / batch - meanSquare) * batch) / (batch - 1);
  return noiseOf(variance, meanSquare - variance / batch);
}

/**
 * Rows that a covariance [d, d] must be a mean of to be known within `error` of its largest eigenvalue:
 * E‖Â − A‖/‖A‖ ≍ √(r/M) + r/M with the effective rank r = tr A/‖A‖ (Koltchinskii & Lounici 2017, "Concentration
 * inequalities and moment bounds for sample covariance operators"). The constant is taken as one; heavy tails raise it.
 *
 *     rowsNeeded(30, 0.5)   // 224
 */
export function rowsNeeded(effectiveRank: number, error: number): number {
  // √q + q = error for q = r/M.
  const root = (Math.sqrt(1 + 4 * error) - 1) / 2;
  return Math.ceil(effectiveRank / root ** 2);
}

/** What an average with decay β over drifting, noisy estimates is worth. */
export interface Staleness {
  /** Mean age of what is averaged and used, in updates. */
  readonly lag: number;
  /** Independent batches that it is worth. */
  readonly batches: number;
  /** √ of the sampling part. */
  readonly sampling: number;
  /** The part by drift. */
  readonly drift: number;
  /** √(sampling² + drift²). */
  readonly error: number;
}

/** A statistic that moves: its noise from batch to batch, and how far it goes. */
export interface Drift {
  /** σ: √E‖x_B − x‖² of one estimate, in the units of x, or relative to ‖x‖. */
  readonly noise: number;
  /** ‖x_{t+Δ} − x_t‖ as a function of Δ in updates, in the same units; for a steady speed v, Δ ↦ vΔ. */
  readonly moved: (updates: number) => number;
}

/**
 * The error of x̂ ← β x̂ + (1 − β) x_B, an estimate every `interval` updates, used until `refresh` updates later:
 *
 *     error² = σ² (1 − β)/(1 + β) + moved(lag)²,    lag = interval·β/(1 − β) + (refresh − 1)/2
 *
 * The first term is the stationary variance of the average; the second takes all of it to be as old as its mean age,
 * which is exact where x moves steadily in one direction.
 *
 *     staleness({ noise: 0.3, moved: (updates) => 0.001 * updates }, 0.95)   // 39 batches, lag 19: error 0.0516
 */
export function staleness(
  { noise, moved }: Drift,
  decay: number,
  { interval = 1, refresh = 1 }: { readonly interval?: number; readonly refresh?: number } = {},
): Staleness {
  if (!(decay >= 0 && decay < 1))
    throw new RangeError(`staleness: the decay is ${decay}; use a number from 0 to below 1`);
  const lag = (interval * decay) / (1 - decay) + (refresh - 1) / 2;
  const batches = (1 + decay) / (1 - decay);
  const sampling = noise / Math.sqrt(batches);
  const drift = moved(lag);
  return { lag, batches, sampling, drift, error: Math.hypot(sampling, drift) };
}

/**
 * The decay of least error, by golden sections in log(1 − β), from 0 to 1 − 10⁻⁶.
 *
 *     bestDecay({ noise: 0.3, moved: (updates) => 0.001 * updates })
 */
export function bestDecay(
  drift: Drift,
  options: { readonly interval?: number; readonly refresh?: number } = {},
): number {
  const error = (x: number) => staleness(drift, 1 - Math.exp(x), options).error;
  const ratio = (Math.sqrt(5) - 1) / 2;
  let [low, high] = [Math.log(1e-6), 0];
  for (let step = 0; step < 80; step++) {
    const [a, b] = [high - ratio * (high - low), low + ratio * (high - low)];
    if (error(a) <= error(b)) high = b;
    else low = a;
  }
  const inside = 1 - Math.exp((low + high) / 2);
  return error(0) <= staleness(drift, inside, options).error ? 0 : inside;
}
