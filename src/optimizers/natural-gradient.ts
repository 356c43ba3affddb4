/**
 * Steepest descent where length is how far the model's predictions move. Amari 1998, "Natural gradient works
 * efficiently in learning"; with a trust region: Schulman, Levine, Moritz, Jordan, Abbeel 2015, "Trust region policy
 * optimization", appendix C.
 *
 *     s = −(F + λI)⁻¹ g
 *
 *     globalization none          θ ← θ + η s
 *     globalization trustRegion   θ ← θ + t s, t from min(η, √(2δ / sᵀ(F + λI)s)) back (by ⅘) until the loss falls and
 *                                 KL(model at θ₀ ‖ model at θ) ≤ δ, the mean over the batch (divergence.ts)
 *
 * Without damping the steps do not depend on how the model is parametrised, as far as F is regular. With η = 1 a step
 * ends where the quadratic model has its minimum; TRPO, whose model of the objective is linear, always goes to the
 * boundary: for that, η = 1e30.
 *
 * F is a mean over the batch: closed form ("fisher"), from sampled targets, of the data's targets, or Gauss–Newton
 * for losses that are no likelihoods. It may be taken on the first `curvatureExamples`. s comes from conjugate gradients
 * from zero, or from a dense F.
 */

import type { CurvatureKind, Objective } from "../curvature/index.js";
import { curvatureOperator } from "../curvature/index.js";
import { parameterCount } from "../curvature/model-shape.js";
import type { Buffer } from "../runtime/memory.js";
import { everyElement } from "./catalogue.js";
import { compileConjugateGradient, residualBelow } from "./conjugate-gradient.js";
import { scalars, vectors } from "./costs.js";
import { roundingOf } from "./damping.js";
import { denseFor, solveIndefinite } from "./dense-solve.js";
import { compileDivergence } from "./divergence.js";
import { compileEvaluation, compileInnerProduct, notFinite, productsOf } from "./evaluation.js";
import { firstExamples } from "./first-examples.js";
import { backtrack } from "./line-search.js";
import { defineMethod } from "./method.js";
import type { Diagnostics, StepReport, Training } from "./optimizer.js";
import { needOneLoss } from "./players.js";
import { compileRay } from "./ray.js";
import { choice, count, notNegative, type Options, positive, type SettingsOf } from "./settings.js";
import { stopwatch } from "./stopwatch.js";

const options = {
  curvature: choice("fisher", ["fisher", "sampledFisher", "empiricalFisher", "gaussNewton"], "what F is"),
  solver: choice("cg", ["cg", "dense"], "conjugate gradients, or a dense matrix for few parameters"),
  globalization: choice("trustRegion", ["trustRegion", "none"], "none is the bare damped step"),
  learningRate: positive(1, "η: the longest step, in natural gradients", {
    typical: [0.1, 1],
    sensitivity: "medium",
  }),
  damping: notNegative(1e-3, "λ", { typical: [0.0001, 0.1], sensitivity: "medium" }),
  divergence: positive(0.01, "δ: the trust region's radius, as a Kullback–Leibler divergence", {
    typical: [0.001, 0.1],
    sensitivity: "high",
  }),
  iterations: count(20, "most iterations of conjugate gradients", { typical: [5, 50], sensitivity: "low" }),
  residual: positive(1e-8, "iterations end at a residual of this share of the gradient"),
  curvatureExamples: count(0, "examples of the batch, its first, on which F is taken; 0 for all"),
  tolerance: notNegative(1e-8, "gradients as short as this have converged"),
  memoryLimit: positive(1024, "MiB that the dense matrix may take"),
} satisfies Options;
type Settings = SettingsOf<typeof options>;

/**
 *     const training = naturalGradient.create({ divergence: 0.01, iterations: 10 }).start(objective);
 *     training.step().diagnostics;   // { divergence, stepLength, iterations, … }
 */
export const naturalGradient = defineMethod(
  {
    name: "naturalGradient",
    family: "second order",
    description:
      "Steps of bounded change in the model's predictions, whatever its parametrisation: TRPO's step, or the bare damped one.",
    reference: "Amari 1998, Natural gradient works efficiently in learning; Schulman et al. 2015, TRPO",
    asks: {
      questions: [
        "gradients",
        "fisherVectorProducts",
        "empiricalFisherVectorProducts",
        "gaussNewtonVectorProducts",
        "divergences",
      ],
      batch: "large",
    },
    treats: everyElement("with all others, through products"),
    costs(shape, s, batch) {
      const n = parameterCount(shape);
      const share = s.curvatureExamples > 0 ? Math.min(1, s.curvatureExamples / batch) : 1;
      const dense = s.solver === "dense";
      const products = {
        fisher: "fisherVectorProducts",
        sampledFisher: "fisherVectorProducts",
        empiricalFisher: "empiricalFisherVectorProducts",
        gaussNewton: "gaussNewtonVectorProducts",
      }[s.curvature];
      return {
        state: [scalars()],
        workspace: [
          ...(dense ? [{ part: "curvature", formula: "n²", elements: n ** 2 }] : []),
          ...vectors("vectors", dense ? 4 : 7, n),
        ],
        work: [
          dense
            ? { part: "inversion", formula: "⅔n³", flops: (2 / 3) * n ** 3 }
            : { part: "inversion", formula: `${21 * s.iterations}n`, flops: 21 * s.iterations * n },
          { part: "update", formula: "18n", flops: 18 * n },
        ],
        evaluations: {
          gradients: 1,
          [products]: (dense ? n : s.iterations) * share,
          ...(s.globalization === "trustRegion" && { divergences: 1 }),
        },
      };
    },
    options,
  },
  (settings) => ({ name: "naturalGradient", settings, start: (objective) => start(objective, settings) }),
);

/** Of the trust region; t ← ⅘ t as in TRPO's code. */
const search = { decrease: 1e-4, factor: 0.8, evaluations: 30 };

function start(objective: Objective, settings: Settings): Training {
  const { runtime, dtype, key } = objective;
  const { curvatureExamples, learningRate, tolerance } = settings;
  if (settings.globalization === "trustRegion")
    needOneLoss("naturalGradient with globalization=trustRegion", objective, "use globalization=none");
  const kind: CurvatureKind = settings.curvature;
  const part = curvatureExamples ? firstExamples("naturalGradient", objective, curvatureExamples) : objective;
  const solver = settings.solver === "cg" ? iterative(part, kind, settings) : dense(part, kind, settings);
  const count = runtime.buffer("i32", []);
  const evaluation = compileEvaluation(objective);
  const ray = compileRay(objective, solver.solution);
  const slope = compileInnerProduct(runtime, evaluation.gradient, solver.solution);
  const divergence =
    settings.globalization === "trustRegion"
      ? compileDivergence("naturalGradient", objective, ray.origin)
      : undefined;
  const watch = stopwatch(runtime.clock);
  const owned = [slope, ray, evaluation, count, solver, ...(divergence ? [divergence] : [])];

  return {
    state: { step: count },
    step(): StepReport {
      const number = count.data[0]++;
      key.data[1] = number;
      watch.start();
      const point = evaluation.run();
      watch.lap("evaluation");
      const report = { ...point, learningRate, seconds: watch.seconds };
      const idle = { ...report, evaluations: { gradients: 1 }, diagnostics: { accepted: false } };
      if (!point.finite) return { ...idle, diagnostics: notFinite };
      if (point.gradientNorm <= tolerance) return { ...idle, stop: "converged" };
      const { solved, products, diagnostics } = solver.solve(evaluation.gradient, number);
      watch.lap("curvature");
      const evaluations = { gradients: 1, losses: 0, [productsOf[kind]]: products };
      const descent = solved ? slope.run() : Number.NaN;
      if (!(descent < 0))
        return {
          ...idle,
          evaluations,
          stop: "stalled",
          diagnostics: { ...diagnostics, accepted: false, fallback: "the direction does not descend" },
        };
      ray.begin();
      if (!divergence) {
        ray.move(learningRate);
        evaluation.keepState();
        watch.lap("update");
        return {
          ...report,
          evaluations,
          diagnostics: { ...diagnostics, accepted: true, stepLength: learningRate },
        };
      }
      // Conjugate gradients from zero, like an exact solution, have sᵀ(F + λI)s = −gᵀs.
      const first = Math.min(learningRate, Math.sqrt((2 * settings.divergence) / -descent));
      let moved = 0;
      const lossWithin = (t: number) => {
        ray.move(t);
        const there = divergence.run();
        moved = there.divergence;
        return moved <= settings.divergence * (1 + 1e-6) ? there.loss : Number.POSITIVE_INFINITY;
      };
      const rounding = 4 * roundingOf(dtype) * Math.abs(point.loss);
      const found = backtrack(lossWithin, { value: point.loss + rounding, slope: descent }, search, first);
      const accepted = found.t > 0;
      if (!accepted) ray.move(0);
      watch.lap("search");
      evaluation.keepState();
      watch.lap("update");
      evaluations.losses = found.evaluations;
      // Where the loss can tell nothing any more, the gradient still can.
      const equal = accepted && !(found.value < point.loss);
      if (equal) evaluations.gradients++;
      const stalled = !accepted || (equal && !(evaluation.run().gradientNorm < point.gradientNorm));
      if (equal) watch.lap("evaluation");
      return {
        ...report,
        evaluations,
        diagnostics: {
          ...diagnostics,
          accepted,
          ...(!accepted && { fallback: "no step within the trust region lowers the loss; none was taken" }),
          stepLength: found.t,
          searchEvaluations: found.evaluations,
          ...(accepted && { divergence: moved }),
        },
        ...(stalled && { stop: "stalled" }),
      };
    },
    release() {
      for (const each of owned) each.release();
      if (part !== objective) part.release();
    },
  };
}

interface Solver {
  /** s [n]. */
  readonly solution: Buffer;
  /** s ← −(F + λI)⁻¹ g; the number of the step decides what is sampled. */
  solve(
    gradient: Buffer,
    number: number,
  ): { readonly solved: boolean; readonly products: number; readonly diagnostics: Diagnostics };
  release(): void;
}

function iterative(objective: Objective, kind: CurvatureKind, settings: Settings): Solver {
  const { damping } = settings;
  const operator = curvatureOperator(objective, kind);
  const cg = compileConjugateGradient(objective.runtime, operator);
  return {
    solution: cg.solution,
    solve(gradient, number) {
      operator.linearize(number);
      const [b, g] = [cg.rightSide.data, gradient.data];
      for (let k = 0; k < b.length; k++) b[k] = -g[k]!;
      cg.solution.data.fill(0);
      const { iteration, products, ended } = cg.solve({
        damping,
        iterations: settings.iterations,
        until: residualBelow(settings.residual),
      });
      const diagnostics = { damping, iterations: iteration, iterationsEnded: ended };
      return { solved: iteration > 0, products, diagnostics };
    },
    release() {
      cg.release();
      operator.release();
    },
  };
}

function dense(objective: Objective, kind: CurvatureKind, settings: Settings): Solver {
  const { runtime, dtype, parameters } = objective;
  const { damping, memoryLimit: limitMiB } = settings;
  const curvature = denseFor("naturalGradient", objective, kind, { matrices: 1, limitMiB });
  const { matrix } = curvature;
  const solution = runtime.buffer(dtype, parameters.shape);
  const copy = runtime.buffer(dtype, parameters.shape);
  const solve = solveIndefinite(runtime.blas.functions, { matrix, gradient: copy, solution });
  return {
    solution,
    solve(gradient, number) {
      curvature.compute(number);
      copy.data.set(gradient.data);
      return { solved: solve(damping), products: parameters.size, diagnostics: { damping } };
    },
    release() {
      for (const part of [curvature, solution, copy]) part.release();
    },
  };
}
