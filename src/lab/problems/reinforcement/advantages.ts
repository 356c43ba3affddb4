/**
 * How much better an action was than what the policy does on average: generalized advantage estimation (Schulman,
 * Moritz, Levine, Jordan, Abbeel 2015, "High-dimensional continuous control using generalized advantage estimation"),
 *
 *     δₜ = rₜ + γ V(sₜ₊₁) − V(sₜ),   Aₜ = δₜ + γλ Aₜ₊₁,   V and A 0 after the end of an episode,
 *
 * beside a linear baseline V(s) = wᵀφ(s, t), fitted by least squares to the discounted returns of the same rollout's
 * finished episodes, as in the benchmark of Duan, Chen, Houthooft, Schulman, Abbeel 2016. It is solved for, not
 * trained: θ is the policy alone, and the advantages are a function of the rollout, whatever came before it. With a
 * handful of features among thousands of steps, that the fit has seen the same actions biases little.
 */
import { random } from "../../../nn/index.js";
import { solveDefinite } from "../../../optimizers/dense-solve.js";
import type { Runtime } from "../../../runtime/runtime.js";
import type { Rollout } from "./rollout.js";

export interface AdvantageOptions {
  /** γ. */
  readonly discount: number;
  /** λ. */
  readonly lambda: number;
  /** Steps of the longest episode: times are counted in it. */
  readonly limit: number;
  /** Random ones in φ. */
  readonly features: number;
}

export interface Advantages {
  /** [E·T], of mean 0 and standard deviation 1 after `compute`. */
  readonly values: Float64Array;
  compute(): void;
  release(): void;
}

/**
 * φ(s, t): 1, the observation o, products of two of its numbers, τ, τ², τ³ and τ·o with τ = t/limit; and so many of
 * tanh(wᵀ(o, τ) + b), w and b drawn once and for all (Rahimi & Recht 2008, "Weighted sums of random kitchen sinks").
 */
const featureCount = (d: number, random: number): number => 1 + d + (d * (d + 1)) / 2 + 3 + d + random;

type Writer = (o: Float32Array, at: number, tau: number, phi: Float64Array) => void;

function featuresOf(d: number, count: number): Writer {
  const rng = random(0).stream("features of the baseline");
  const weights = Float64Array.from({ length: count * (d + 2) }, () => rng.normal(0, spread));
  return (o, at, tau, phi) => {
    let k = 0;
    phi[k++] = 1;
    for (let i = 0; i < d; i++) phi[k++] = o[at + i]!;
    for (let i = 0; i < d; i++) for (let j = 0; j <= i; j++) phi[k++] = o[at + i]! * o[at + j]!;
    for (let power = tau; k < 4 + d + (d * (d + 1)) / 2; power *= tau) phi[k++] = power;
    for (let i = 0; i < d; i++) phi[k++] = tau * o[at + i]!;
    for (let w = 0; w < weights.length; w += d + 2) {
      let z = weights[w + d]! * tau + weights[w + d + 1]!;
      for (let i = 0; i < d; i++) z += weights[w + i]! * o[at + i]!;
      phi[k++] = Math.tanh(z);
    }
  };
}

/** Deviation of w and b. */
const spread = 2;

/** Of the mean square of a feature: what keeps features that repeat each other from being inverted. */
const ridge = 1e-6;

/** @example const advantages = createAdvantages(runtime, rollout, { discount: 0.99, lambda: 0.95, limit: 500 }); */
export function createAdvantages(runtime: Runtime, rollout: Rollout, options: AdvantageOptions): Advantages {
  const { discount, lambda, limit } = options;
  const { environments, steps, observations, rewards, times, ends, next } = rollout;
  const size = environments * steps;
  const d = observations.length / size;
  const m = featureCount(d, options.features);
  const phi = new Float64Array(m);
  const values = new Float64Array(size);
  /** V(s) of every row, and of what comes after the last row of an environment. */
  const baseline = new Float64Array(size);
  const after = new Float64Array(environments);
  const vector = () => runtime.buffer("f64", [m]);
  const [matrix, factor] = [runtime.buffer("f64", [m, m]), runtime.buffer("f64", [m, m])];
  const [gradient, w] = [vector(), vector()];
  const solve = solveDefinite(runtime.blas.functions, { matrix, factor, gradient, solution: w });

  const writeFeatures = featuresOf(d, options.features);
  const features = (row: number) => writeFeatures(observations, row * d, times[row]! / limit, phi);
  /** w ← argmin Σ (R − wᵀφ)² over the rows of finished episodes: (ΦᵀΦ + ρI) w = ΦᵀR. */
  const solveBaseline = () => {
    const [A, b] = [matrix.data, gradient.data] as [Float64Array, Float64Array];
    A.fill(0);
    b.fill(0);
    let rows = 0;
    for (let e = 0; e < environments; e++) {
      let finished = false;
      let sum = 0;
      for (let row = (e + 1) * steps - 1; row >= e * steps; row--) {
        if (ends[row]) {
          finished = true;
          sum = 0;
        }
        if (!finished) continue;
        sum = rewards[row]! + discount * sum;
        features(row);
        for (let i = 0; i < m; i++) {
          const feature = phi[i]!;
          b[i]! -= feature * sum;
          for (let j = 0, at = i * m; j <= i; j++, at++) A[at]! += feature * phi[j]!;
        }
        rows++;
      }
    }
    if (!solve(ridge * rows)) w.data.fill(0);
  };
  const predict = () => {
    let value = 0;
    for (let i = 0; i < m; i++) value += w.data[i]! * phi[i]!;
    return value;
  };

  return {
    values,
    compute() {
      solveBaseline();
      for (let row = 0; row < size; row++) {
        features(row);
        baseline[row] = predict();
      }
      for (let e = 0; e < environments; e++) {
        writeFeatures(next.observations, e * d, next.times[e]! / limit, phi);
        after[e] = predict();
      }
      estimate(rollout, { discount, lambda }, baseline, after, values);
      normalize(values);
    },
    release() {
      for (const buffer of [matrix, factor, gradient, w]) buffer.release();
    },
  };
}

/** A [E·T] from the baseline's values of every row, and of what follows the last row of each environment. */
export function estimate(
  { environments, steps, rewards, ends }: Pick<Rollout, "environments" | "steps" | "rewards" | "ends">,
  { discount, lambda }: Pick<AdvantageOptions, "discount" | "lambda">,
  baseline: Float64Array,
  after: Float64Array,
  advantages: Float64Array,
): void {
  for (let e = 0; e < environments; e++) {
    let [value, advantage] = [after[e]!, 0];
    for (let row = (e + 1) * steps - 1; row >= e * steps; row--) {
      if (ends[row]) [value, advantage] = [0, 0];
      const delta = rewards[row]! + discount * value - baseline[row]!;
      advantage = delta + discount * lambda * advantage;
      value = baseline[row]!;
      advantages[row] = advantage;
    }
  }
}

/** Mean 0, standard deviation 1; only the mean where all are equal. */
function normalize(values: Float64Array): void {
  let [mean, square] = [0, 0];
  for (const value of values) mean += value / values.length;
  for (const value of values) square += (value - mean) ** 2 / values.length;
  const scale = square > 0 ? 1 / Math.sqrt(square) : 1;
  for (let k = 0; k < values.length; k++) values[k] = (values[k]! - mean) * scale;
}
