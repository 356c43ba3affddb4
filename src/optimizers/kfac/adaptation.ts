/**
 * λ and γ along the way (Martens & Grosse 2015, sections 6.5 and 6.6). Every T₁ updates λ follows ρ, the reduction of
 * the loss on the batch over the one that the model without damping predicted, with ω₁ = (19/20)^T₁:
 *
 *     ρ > ¾: λ ← ω₁ λ        ρ < ¼: λ ← λ/ω₁
 *
 * Every T₂ updates γ becomes the one of {ω₂γ, γ, γ/ω₂}, ω₂ = (19/20)^(T₂/2), whose step has the lowest model value. A
 * step after which the loss is not finite, or beyond twice where it was, is taken back and λ raised.
 */
import type { Objective } from "../../curvature/objective.js";
import type { Buffer } from "../../runtime/memory.js";
import { adaptDamping, trustRatio } from "../damping.js";
import type { Stopwatch } from "../stopwatch.js";
import type { Dampings, Mover } from "./mover.js";
import type { Model, QuadraticStep } from "./quadratic.js";
import type { KroneckerSettings } from "./settings.js";

const base = 19 / 20;
const most = 1e12;

interface Parts {
  readonly objective: Objective;
  readonly step: QuadraticStep;
  readonly dampings: Dampings;
  readonly count: Buffer;
  readonly settings: KroneckerSettings;
  /** New inverses for the present γ. */
  readonly invert: () => void;
  readonly watch: Stopwatch;
}

/** Whether this update is one of every `interval`; never for 0. */
const isDue = (count: Buffer, interval: number) => interval > 0 && count.data[0]! % interval === 0;

export function adaptation({ objective, step, dampings, count, settings, invert, watch }: Parts): Mover {
  const { lambda, gamma } = dampings;
  const { dampingInterval, gammaInterval, leastDamping: least } = settings;
  const modelAt = (): Model => {
    step.aim(gamma.data[0]!);
    const model = step.model(lambda.data[0]!);
    watch.lap("curvature");
    return model;
  };

  const withBestGamma = (): { model: Model; tried: number } => {
    if (!isDue(count, gammaInterval)) {
      if (gammaInterval === 0) gamma.data[0] = Math.sqrt(lambda.data[0]!);
      return { model: modelAt(), tried: 1 };
    }
    const omega = base ** (gammaInterval / 2);
    const middle = gamma.data[0]!;
    let best = { gamma: middle, value: Number.POSITIVE_INFINITY };
    for (const candidate of [omega * middle, middle / omega, middle]) {
      gamma.data[0] = candidate;
      invert();
      const { value, finite } = modelAt();
      if (finite && value < best.value) best = { gamma: candidate, value };
    }
    gamma.data[0] = best.gamma;
    if (best.gamma !== middle) invert();
    return { model: modelAt(), tried: 4 };
  };

  return {
    state: step.state,
    move({ loss: before }) {
      const used = lambda.data[0]!;
      const { model, tried } = withBestGamma();
      const products = 2 * tried;
      if (!model.finite) {
        lambda.data[0] = Math.min(most, used / base ** Math.max(1, dampingInterval));
        return { accepted: false, products, diagnostics: { damping: used, gamma: gamma.data[0]! } };
      }
      const [c1, c2] = model.coefficients;
      const updateNorm = step.move(model.coefficients);
      const diagnostics = { damping: used, gamma: gamma.data[0]!, updateNorm, stepLength: -c1, momentum: c2 };
      if (!isDue(count, dampingInterval)) return { accepted: true, products, diagnostics };

      watch.lap("update");
      const after = objective.loss();
      watch.lap("search");
      const ratio = trustRatio({ before, after, predicted: model.predicted, dtype: objective.dtype });
      const omega = base ** dampingInterval;
      lambda.data[0] = adaptDamping(used, ratio, { increase: 1 / omega, decrease: omega, least, most });
      const accepted = Number.isFinite(after) && after <= 2 * Math.abs(before) + before;
      if (!accepted) step.back();
      return { accepted, products, losses: 1, diagnostics: { ...diagnostics, trustRatio: ratio } };
    },
    release: step.release,
  };
}
