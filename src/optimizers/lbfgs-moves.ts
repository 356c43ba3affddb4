/** How far L-BFGS goes along its direction: found by a search, or fixed. */
import type { Objective } from "../curvature/objective.js";
import type { Buffer } from "../runtime/memory.js";
import type { CurvaturePairs } from "./curvature-pairs.js";
import { roundingOf } from "./damping.js";
import type { Evaluation, Point } from "./evaluation.js";
import { type LinePoint, strongWolfe } from "./line-search.js";
import type { Diagnostics, Evaluations } from "./optimizer.js";
import type { Ray } from "./ray.js";
import type { Stopwatch } from "./stopwatch.js";

/** The settings of L-BFGS that a step reads. */
interface LbfgsSettings {
  readonly learningRate: number;
  readonly damping: number;
  readonly decrease: number;
  readonly flatness: number;
  readonly searchEvaluations: number;
}

/** What both ways of going along d share. */
export interface Parts {
  readonly objective: Objective;
  readonly settings: LbfgsSettings;
  readonly evaluation: Evaluation;
  readonly ray: Ray;
  readonly pairs: CurvaturePairs;
  /** The gradient where the step began. */
  readonly before: Buffer;
  /** The gradient of the pair's other end. */
  readonly after: Buffer;
  /** gᵀd. */
  readonly slope: { run(): number };
  readonly watch: Stopwatch;
}

export interface Move {
  /** θ afterwards, if the gradient there is known. */
  readonly end?: Point | undefined;
  readonly evaluations: Evaluations;
  readonly stop?: "stalled";
  readonly diagnostics: Diagnostics;
}

/** d = −H g, or −g with all pairs forgotten where that does not descend; gᵀd, and the first length to try. */
function chooseDirection({ pairs, settings, watch }: Parts): {
  readonly slope: number;
  readonly first: number;
} {
  let { slope, absoluteSum } = pairs.direct();
  if (!(slope < 0)) {
    pairs.clear();
    ({ slope, absoluteSum } = pairs.direct());
  }
  watch.lap("inversion");
  return { slope, first: settings.learningRate * (pairs.count === 0 ? Math.min(1, 1 / absoluteSum) : 1) };
}

/** Along d to a point that meets the strong Wolfe conditions. */
export function searched(parts: Parts): (point: Point) => Move {
  const { objective, settings, evaluation, ray, pairs, before, slope, watch } = parts;
  const { decrease, flatness, searchEvaluations } = settings;
  const rounding = roundingOf(objective.dtype);
  let end: Point;
  let gradients = 0;
  const evaluate = (t: number): LinePoint => {
    ray.move(t);
    end = evaluation.run();
    gradients++;
    const there = { t, value: end.loss, slope: slope.run() };
    watch.lap("search");
    return there;
  };
  const search = ({ loss }: Point) => {
    const chosen = chooseDirection(parts);
    return strongWolfe(evaluate, { value: loss, slope: chosen.slope }, chosen.first, {
      decrease,
      flatness,
      evaluations: searchEvaluations,
      shortest: rounding * chosen.first,
    });
  };
  return (point) => {
    gradients = 0;
    end = point;
    before.data.set(evaluation.gradient.data);
    ray.begin();
    const stay = () => {
      ray.move(0);
      evaluation.gradient.data.set(before.data);
      end = point;
    };
    let result = search(point);
    if (result.outcome === "failed" && pairs.count > 0) {
      // H may be what is wrong.
      pairs.clear();
      stay();
      result = search(point);
    }
    const accepted = result.outcome !== "failed";
    const searchEvaluations = gradients;
    if (!accepted) stay();
    else {
      // The accepted point need not be the last one tried.
      if (ray.length !== result.t) evaluate(result.t);
      pairs.add(result.t);
      watch.lap("curvature");
    }
    const idle = !(end.loss < point.loss || end.gradientNorm < point.gradientNorm);
    return {
      end,
      evaluations: { gradients },
      diagnostics: {
        accepted,
        searchEvaluations,
        searchEnded: result.outcome,
        stepLength: result.t,
        pairs: pairs.count,
        ...(!accepted && { fallback: "the search found no lower loss; the step was not taken" }),
      },
      ...(idle && { stop: "stalled" as const }),
    };
  };
}

/** Along d by η; the pair is taken on the sample, or on the whole batch where there is none. */
export function fixed(parts: Parts, sample: Objective | undefined): (point: Point) => Move {
  const { settings, evaluation, ray, pairs, before, after, watch } = parts;
  return () => {
    before.data.set((sample ? sample.gradient() : evaluation).gradient.data);
    watch.lap("curvature");
    ray.begin();
    const { first } = chooseDirection(parts);
    ray.move(first);
    watch.lap("update");
    let end: Point | undefined;
    if (sample) after.data.set(sample.gradient().gradient.data);
    else end = evaluation.run();
    // Gradients that are no numbers make no pair.
    const added = pairs.add(first, settings.damping);
    const accepted = added || allFinite(after);
    if (!accepted) {
      ray.move(0);
      pairs.clear();
      end = undefined;
    }
    watch.lap("curvature");
    return {
      end,
      evaluations: sample ? { sampleGradients: 2 } : { gradients: 1 },
      diagnostics: {
        accepted,
        pairs: pairs.count,
        ...(accepted
          ? { stepLength: first }
          : { fallback: "the gradient there is not finite; the step was taken back" }),
      },
    };
  };
}

const allFinite = ({ data }: Buffer): boolean => data.every(Number.isFinite);
