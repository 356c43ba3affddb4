/**
 * L-BFGS: Newton's method with an inverse Hessian H from the last m steps. Liu & Nocedal 1989, "On the limited memory
 * BFGS method for large scale optimization"; the search: Nocedal & Wright 2006, algorithms 3.5 and 3.6.
 *
 *     d = −H g,   θ ← θ + t d
 *
 * lineSearch strongWolfe: t meets the strong Wolfe conditions, first tried at η, or at η·min(1, 1/‖g‖₁) while there
 * are no pairs. For batches that stay the same, or are all of the data. The gradient at the end of a step is that of
 * the next one's beginning if neither θ nor the batch has changed; then it is not computed again.
 *
 * lineSearch none: t = η, for batches that change. The pair's two gradients are both taken on one sample, the first
 * examples of the batch, so that their difference is curvature and not the difference of two samples: the overlap of
 * Berahas, Nocedal, Takáč 2016, "A multi-batch L-BFGS method for machine learning". (There the sample is part of the
 * next batch too, which saves evaluations; here batches may be any.) To each y comes λs, as in Schraudolph, Yu, Günter
 * 2007, "A stochastic quasi-Newton method for online convex optimization": noise leaves no direction without curvature.
 */

import { parameterCount } from "../curvature/model-shape.js";
import type { Objective } from "../curvature/objective.js";
import { everyElement } from "./catalogue.js";
import { scalars, vectors } from "./costs.js";
import { compileCurvaturePairs } from "./curvature-pairs.js";
import { compileEvaluation, compileInnerProduct, notFinite, type Point } from "./evaluation.js";
import { fingerprint } from "./fingerprint.js";
import { firstExamples } from "./first-examples.js";
import { fixed, type Move, searched } from "./lbfgs-moves.js";
import { defineMethod } from "./method.js";
import type { StepReport, Training } from "./optimizer.js";
import { needOneLoss } from "./players.js";
import { compileRay } from "./ray.js";
import {
  choice,
  count,
  fraction,
  notNegative,
  type Options,
  positive,
  SettingsError,
  type SettingsOf,
} from "./settings.js";
import { stopwatch } from "./stopwatch.js";

const options = {
  memory: count(10, "m: pairs that are kept, at least one", { typical: [5, 50], sensitivity: "low" }),
  lineSearch: choice(
    "strongWolfe",
    ["strongWolfe", "none"],
    "strongWolfe for batches that stay the same, none for batches that change",
  ),
  learningRate: positive(1, "η: the first step length tried, or the only one", {
    typical: [0.1, 1],
    sensitivity: "medium",
  }),
  damping: notNegative(0.1, "without a line search: λ of y + λs, which keeps H below 1/λ", {
    typical: [0.01, 1],
    sensitivity: "medium",
  }),
  overlap: fraction(0.25, "without a line search: the share of the batch on which curvature is taken", {
    typical: [0.1, 1],
    sensitivity: "low",
  }),
  decrease: positive(1e-4, "c₁: sufficient decrease of the loss"),
  flatness: positive(0.9, "c₂: how much of the slope may be left", {
    typical: [0.1, 0.95],
    sensitivity: "low",
  }),
  searchEvaluations: count(25, "most points of a line search"),
  tolerance: notNegative(1e-8, "gradients as short as this have converged"),
} satisfies Options;
type Settings = SettingsOf<typeof options>;

/** Gradients of a step with the search: the first length tried is mostly the last. */
const usualSearch = 1.1;

/**
 *     const training = lbfgs.create({ memory: 20 }).start(objective);
 *     while (!training.step().stop);
 */
export const lbfgs = defineMethod(
  {
    name: "lbfgs",
    family: "quasi-Newton",
    description:
      "Curvature from the last steps: on full batches fast and nearly without settings, for any number of parameters.",
    reference: "Liu & Nocedal 1989, On the limited memory BFGS method for large scale optimization",
    asks: { questions: ["gradients", "sampleGradients"], batch: "full" },
    treats: everyElement("with all others, through the last m steps"),
    costs(shape, s) {
      const n = parameterCount(shape);
      const m = s.memory;
      const part = s.lineSearch === "none" && s.overlap < 1 ? s.overlap : 0;
      return {
        state: [{ part: "history", formula: "2mn + m", elements: 2 * m * n + m }, scalars(3)],
        workspace: vectors("vectors", part > 0 ? 7 : 6, n),
        work: [{ part: "update", formula: "9mn + 20n", flops: (9 * m + 20) * n }],
        evaluations:
          s.lineSearch === "strongWolfe"
            ? { gradients: usualSearch }
            : part > 0
              ? { gradients: 1, sampleGradients: 2 * part }
              : { gradients: 2 },
      };
    },
    options,
  },
  (settings) => {
    for (const name of ["memory", "searchEvaluations"] as const)
      if (settings[name] < 1)
        throw new SettingsError(`lbfgs: ${name} is ${settings[name]}; use a whole number of at least 1`);
    return { name: "lbfgs", settings, start: (objective) => start(objective, settings) };
  },
);

function start(objective: Objective, settings: Settings): Training {
  const { runtime, dtype, parameters, key } = objective;
  const count = runtime.buffer("i32", []);
  const evaluation = compileEvaluation(objective);
  const { gradient } = evaluation;
  const ray = compileRay(objective);
  const vector = () => runtime.buffer(dtype, parameters.shape);
  const before = vector();
  const searching = settings.lineSearch === "strongWolfe";
  if (searching) needOneLoss("lbfgs with lineSearch=strongWolfe", objective, "use lineSearch=none");
  const sample = searching ? undefined : curvatureSample(objective, settings.overlap);
  // Where there is no smaller sample, a pair is made of the gradients of whole batches.
  const after = sample ? vector() : gradient;
  const { direction } = ray;
  const vectors = { before, after, gradient, direction };
  const pairs = compileCurvaturePairs(objective, settings.memory, vectors);
  const slope = compileInnerProduct(runtime, gradient, direction);
  const watch = stopwatch(runtime.clock);
  const parts = { objective, settings, evaluation, ray, pairs, before, after, slope, watch };
  const move = searching ? searched(parts) : fixed(parts, sample);
  const owned = [slope, pairs, ray, evaluation, count, before, ...(sample ? [sample, after] : [])];

  /** The end of the last step, and θ and the batch there. */
  let last: { readonly point: Point; readonly at: string } | undefined;
  const where = () => fingerprint([parameters, ...objective.batch]);
  return {
    state: { step: count, ...pairs.state },
    step(): StepReport {
      key.data[1] = count.data[0]++;
      watch.start();
      const known = last && last.at === where() ? last.point : undefined;
      last = undefined;
      const point = known ?? evaluation.run();
      const gradients = known ? 0 : 1;
      watch.lap("evaluation");
      const report = { ...point, learningRate: settings.learningRate, seconds: watch.seconds };
      if (!point.finite) return { ...report, evaluations: { gradients }, diagnostics: notFinite };
      const converged = point.gradientNorm <= settings.tolerance;
      const outcome: Move = converged
        ? { end: point, evaluations: {}, diagnostics: { accepted: false } }
        : move(point);
      const { end, evaluations, ...rest } = outcome;
      if (!converged) evaluation.keepState();
      if (end && evaluation.repeatable) last = { point: end, at: where() };
      watch.lap("update");
      return {
        ...report,
        ...rest,
        ...(converged && { stop: "converged" }),
        evaluations: { ...evaluations, gradients: gradients + (evaluations.gradients ?? 0) },
      };
    },
    release() {
      for (const each of owned) each.release();
    },
  };
}

/** The share of the batch on which curvature is taken; undefined where that is all of it. */
function curvatureSample(objective: Objective, overlap: number): Objective | undefined {
  if (overlap === 1) return undefined;
  const examples = objective.batch[0]?.shape[0] ?? 0;
  return firstExamples("lbfgs", objective, Math.max(1, Math.round(overlap * examples)));
}
