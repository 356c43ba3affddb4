/**
 * How fast the curvature moves along a training, and what that means for averages of it: an average is late by what its
 * factors have changed, and noisy by what it does not average away.
 */
import { kroneckerFactors } from "../curvature/kronecker/index.js";
import { bestDecay, staleness } from "../curvature/noise.js";
import type { Optimizer } from "../optimizers/optimizer.js";
import { UserError } from "./errors.js";
import { type NoiseMeasurement, namedFactors } from "./noise.js";
import type { ProblemInstance } from "./problem.js";

export interface DriftOptions {
  /** Examples of an update, as the training instance was started. */
  readonly batch: number;
  /** Updates between measurements, and how many measurements after the first. */
  readonly every: number;
  readonly snapshots: number;
  /** Batches of the measuring instance that a factor is measured on, the same ones each time. */
  readonly batches: number;
  /** Updates between the inversions of the method that is asked about. */
  readonly refresh: number;
  readonly onPart?: ((part: string) => void) | undefined;
}

/** How fast a factor moves, and what follows for its average. */
export interface FactorDrift {
  readonly name: string;
  /** Mean of ‖A_{t+Δ} − A_t‖/‖A_t‖, by Δ in updates. */
  readonly changes: readonly { readonly updates: number; readonly change: number }[];
  /** σ: relative error of one estimate at the training batch. */
  readonly noise: number;
  readonly bestDecay: number;
  /** Relative errors of an average with decay 0.9, 0.95, 0.99, and with the best. */
  readonly errors: readonly { readonly decay: number; readonly lag: number; readonly error: number }[];
}

/**
 * Trains and watches the factors move. Every measurement is on the same examples with the same draws, so that what
 * changes is θ alone.
 *
 *     measureDrift(training, measuring, optimizer, noise, { batch: 64, every: 20, snapshots: 8, batches: 32, refresh: 100 });
 */
export function measureDrift(
  training: ProblemInstance,
  measuring: ProblemInstance,
  optimizer: Optimizer,
  noise: NoiseMeasurement,
  options: DriftOptions,
): FactorDrift[] {
  const factors = kroneckerFactors(measuring.objective);
  const run = optimizer.start(training.objective);
  try {
    const named = namedFactors(factors);
    const snapshot = () => {
      measuring.objective.parameters.data.set(training.objective.parameters.data);
      if (measuring.objective.state && training.objective.state)
        measuring.objective.state.data.set(training.objective.state.data);
      const means = named.map(({ size }) => new Float32Array(size));
      for (let k = 0; k < options.batches; k++) {
        measuring.load(k);
        factors.compute(k);
        named.forEach(({ data, size }, f) => {
          const mean = means[f]!;
          for (let i = 0; i < size; i++) mean[i]! += data[i]! / options.batches;
        });
      }
      return means;
    };
    const taken = [snapshot()];
    for (let s = 0; s < options.snapshots; s++) {
      options.onPart?.(`training, step ${s * options.every} of ${options.snapshots * options.every}`);
      for (let t = 0; t < options.every; t++) {
        const step = s * options.every + t;
        training.load(step);
        if (!run.step().finite)
          throw new UserError(`${optimizer.name} diverged at step ${step + 1}; lower its learning rate`);
      }
      taken.push(snapshot());
    }
    return named.map(({ name }, f) =>
      driftOf(
        name,
        taken.map((each) => each[f]!),
        noise,
        options,
      ),
    );
  } finally {
    run.release();
    factors.release();
  }
}

function driftOf(
  name: string,
  snapshots: readonly Float32Array[],
  noise: NoiseMeasurement,
  { every, batch, refresh }: DriftOptions,
): FactorDrift {
  const changes = Array.from({ length: snapshots.length - 1 }, (_, index) => {
    const gap = index + 1;
    let total = 0;
    for (let t = 0; t + gap < snapshots.length; t++) {
      const [from, to] = [snapshots[t]!, snapshots[t + gap]!];
      let [moved, size] = [0, 0];
      for (let i = 0; i < from.length; i++) {
        moved += (to[i]! - from[i]!) ** 2;
        size += from[i]! ** 2;
      }
      total += size > 0 ? Math.sqrt(moved / size) : 0;
    }
    return { updates: gap * every, change: total / (snapshots.length - gap) };
  });
  const { variance, squaredNorm } = noise.quantities.find((quantity) => quantity.name === name)!.noise;
  const sigma =
    squaredNorm > 0 ? Math.sqrt(Math.max(0, variance) / batch / squaredNorm) : Number.POSITIVE_INFINITY;
  const drift = { noise: sigma, moved: (updates: number) => changeAfter(changes, updates) };
  const best = bestDecay(drift, { refresh });
  const errors = [0.9, 0.95, 0.99, best].map((decay) => {
    const { lag, error } = staleness(drift, decay, { refresh });
    return { decay, lag, error };
  });
  return { name, changes, noise: sigma, bestDecay: best, errors };
}

/** The measured change after any number of updates: linear between the measurements, and on from the last. */
function changeAfter(changes: FactorDrift["changes"], updates: number): number {
  const next = changes.findIndex((change) => change.updates >= updates);
  const to = changes[next === -1 ? changes.length - 1 : next]!;
  if (next <= 0) return (to.change * updates) / to.updates;
  const from = changes[next - 1]!;
  const share = (updates - from.updates) / (to.updates - from.updates);
  return from.change + share * (to.change - from.change);
}
