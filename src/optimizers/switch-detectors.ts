/**
 * When one method should give way to another:
 *
 *     step      t = at
 *     plateau   ℓ̄, the average of training losses, was not below best − improvement·|best| for `patience` updates
 *     noise     the gradient-noise scale tr Σ/‖∇L‖² passes a bound; both are averaged from ‖∇L‖² on the batch and on
 *               its first half (McCandlish, Kaplan, Amodei et al. 2018, "An empirical model of large-batch training")
 *     drift     ‖H_t − H_{t−k}‖_F/‖H_t‖_F passes a bound, k = every. Both norms are estimated by products with one
 *               vector of random signs, E‖Mz‖² = ‖M‖_F², on the same batch: what is seen is the motion of θ, no noise
 *
 * Averages have decay β and are believed once they are of 1/(1 − β) values. Measured is before the update.
 */

import { twoBatchNoise } from "../curvature/noise.js";
import type { Objective } from "../curvature/objective.js";
import { curvatureOperator } from "../curvature/operator.js";
import { random } from "../nn/random.js";
import type { Buffer } from "../runtime/memory.js";
import { compileEvaluation } from "./evaluation.js";
import { firstExamples } from "./first-examples.js";
import type { Evaluations, StepReport } from "./optimizer.js";
import { needOneLoss } from "./players.js";

interface Bound {
  readonly bound: number;
  readonly side: "below" | "above";
  /** Updates between measurements. */
  readonly every: number;
  /** β */
  readonly smoothing: number;
}

export type When =
  | { readonly measure: "step"; readonly at: number }
  | {
      readonly measure: "plateau";
      readonly patience: number;
      readonly improvement: number;
      readonly smoothing: number;
    }
  | ({ readonly measure: "noise" } & Bound)
  | ({ readonly measure: "drift" } & Bound);

export interface Detector {
  /** Before update t: whether it is time, and what had to be asked to know. */
  check(t: number): { readonly due: boolean; readonly evaluations: Evaluations };
  /** What an update of the first method told. */
  observe(report: StepReport): void;
  readonly state: Readonly<Record<string, Buffer>>;
  release(): void;
}

/** @throws SettingsError when the batch cannot be halved, for noise; for a game, at a plateau of the loss. */
export function startDetector(objective: Objective, when: When): Detector {
  switch (when.measure) {
    case "step":
      return {
        check: (t) => ({ due: t >= when.at, evaluations: {} }),
        observe() {},
        state: {},
        release() {},
      };
    case "plateau":
      needOneLoss("switchTo with when=plateau", objective, "use when=step");
      return plateau(objective, when);
    case "noise":
      return bounded(objective, when, noiseMeter(objective));
    case "drift":
      return bounded(objective, when, driftMeter(objective));
  }
}

function plateau(
  { runtime }: Objective,
  { patience, improvement, smoothing }: Extract<When, { measure: "plateau" }>,
): Detector {
  /** Σ βᵏ ℓ, losses so far, best average, updates since. */
  const state = runtime.buffer("f64", [4]);
  state.data[2] = Number.POSITIVE_INFINITY;
  return {
    check: () => ({ due: state.data[3]! >= patience, evaluations: {} }),
    observe({ loss }) {
      const { data } = state;
      data[0] = smoothing * data[0]! + (1 - smoothing) * loss;
      const losses = ++data[1]!;
      const average = data[0]! / (1 - smoothing ** losses);
      if (losses * (1 - smoothing) < 1 - 1e-9) return;
      const best = data[2]!;
      if (best === Number.POSITIVE_INFINITY || average < best - improvement * Math.abs(best)) {
        data[2] = average;
        data[3] = 0;
      } else data[3]!++;
    },
    state: { plateau: state },
    release: state.release,
  };
}

/** Measures numerator and denominator of a ratio; undefined where there is nothing to compare yet. */
interface Meter {
  measure(t: number): { readonly numerator: number; readonly denominator: number } | undefined;
  ratio(numerator: number, denominator: number): number;
  readonly evaluations: Evaluations;
  readonly state: Readonly<Record<string, Buffer>>;
  release(): void;
}

function bounded({ runtime }: Objective, { bound, side, every, smoothing }: Bound, meter: Meter): Detector {
  /** Averages of numerator and denominator; how many measurements. Both averages begin at 0: their ratio needs no correction. */
  const averages = runtime.buffer("f64", [3]);
  return {
    check(t) {
      if (t % every !== 0) return { due: false, evaluations: {} };
      const measured = meter.measure(t);
      const { data } = averages;
      if (measured) {
        data[0] = smoothing * data[0]! + (1 - smoothing) * measured.numerator;
        data[1] = smoothing * data[1]! + (1 - smoothing) * measured.denominator;
        data[2]!++;
      }
      const enough = data[2]! * (1 - smoothing) >= 1 - 1e-9;
      const ratio = meter.ratio(data[0]!, data[1]!);
      const due = enough && (side === "below" ? ratio < bound : ratio > bound);
      return { due, evaluations: measured ? meter.evaluations : {} };
    },
    observe() {},
    state: { averages, ...meter.state },
    release() {
      averages.release();
      meter.release();
    },
  };
}

/** tr Σ over ‖∇L‖². */
function noiseMeter(objective: Objective): Meter {
  const examples = objective.batch[0]?.shape[0] ?? 0;
  const half = Math.floor(examples / 2);
  const sample = compileEvaluation(firstExamples("switchTo", objective, Math.max(1, half)));
  const whole = compileEvaluation(objective);
  return {
    measure(t) {
      objective.key.data[1] = t;
      const small = { batch: Math.max(1, half), squaredNorm: sample.run().gradientNorm ** 2 };
      const big = { batch: examples, squaredNorm: whole.run().gradientNorm ** 2 };
      const { variance, squaredNorm } = twoBatchNoise(small, big);
      return { numerator: variance, denominator: squaredNorm };
    },
    // Where the noise hides the gradient there is no bound that it is below.
    ratio: (variance, square) => (square > 0 ? variance / square : Number.POSITIVE_INFINITY),
    evaluations: { gradients: 1, sampleGradients: half / Math.max(1, examples) },
    state: {},
    release() {
      sample.release();
      whole.release();
    },
  };
}

/** ‖(H_t − H_{t−k})z‖² over ‖H_t z‖². */
function driftMeter(objective: Objective): Meter {
  const { runtime, dtype, parameters, key } = objective;
  const operator = curvatureOperator(objective, "hessian");
  /** θ at the last measurement. */
  const anchor = runtime.buffer(dtype, parameters.shape);
  const present = new Float64Array(parameters.size);
  const product = new Float64Array(parameters.size);
  const { tangent } = operator;
  const productAt = () => {
    operator.linearize();
    operator.run();
  };
  return {
    measure(t) {
      const first = t === 0;
      let sums: { numerator: number; denominator: number } | undefined;
      if (!first) {
        key.data[1] = t;
        const signs = random(0).stream(t);
        for (let k = 0; k < tangent.size; k++) tangent.data[k] = 2 * signs.integer(2) - 1;
        productAt();
        product.set(operator.product.data);
        present.set(parameters.data);
        parameters.data.set(anchor.data);
        productAt();
        parameters.data.set(present);
        let [numerator, denominator] = [0, 0];
        for (let k = 0; k < product.length; k++) {
          numerator += (product[k]! - operator.product.data[k]!) ** 2;
          denominator += product[k]! ** 2;
        }
        sums = { numerator, denominator };
      }
      anchor.data.set(parameters.data);
      return sums;
    },
    ratio: (change, size) => (size > 0 ? Math.sqrt(change / size) : 0),
    evaluations: { hessianVectorProducts: 2 },
    state: { anchor },
    release() {
      anchor.release();
      operator.release();
    },
  };
}
