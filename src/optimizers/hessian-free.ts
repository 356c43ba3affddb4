/**
 * Hessian-free optimization: Newton's step by conjugate gradients, from products with the curvature alone. Martens
 * 2010, "Deep learning via Hessian-free optimization"; Martens & Sutskever 2012, "Training deep and recurrent networks
 * with Hessian-free optimization".
 *
 *     d ≈ −(A + λI)⁻¹ g,   θ ← θ + t d
 *
 * 1. Conjugate gradients from w·(the last solution) end when the model stands still (relativeProgress), at the latest
 *    after `iterations`. Preconditioner: (D + λ)^¾ with D the diagonal of the empirical Fisher, or K-FAC's factors
 *    (hessian-free/preconditioning.ts).
 * 2. The loss often has its minimum before the model has: iterates kept on the way (at steps 1.3ʲ, the last twelve)
 *    are tried from the last one back, while the loss falls.
 * 3. ρ compares the reduction with the model's: λ ← 1.5 λ where ρ < ¼, λ ← ⅔ λ where ρ > ¾.
 * 4. t is found by backtracking to sufficient decrease. A step that finds none is tried again with more damping.
 *
 * A is Gauss–Newton, or the Hessian (Newton–CG: negative curvature ends the iterations; along it, without an iterate
 * before, goes −g). It may be taken on the first `curvatureExamples` of the batch, the gradient and losses on all of
 * it: products are most of the cost, and noise in A is less harmful than in g.
 *
 * Structural damping (Martens & Sutskever 2011, "Learning recurrent neural networks with Hessian-free optimization"): a
 * step that is short may still move the hidden states of a recurrent network far. λ(I + μS) in the place of λI, S the
 * Gauss–Newton matrix of the distance between hidden states (products.ts), holds them. A product costs the same.
 */

import type { Objective } from "../curvature/index.js";
import { curvatureOperator } from "../curvature/index.js";
import { everyElement } from "./catalogue.js";
import { type ConjugateGradient, compileConjugateGradient, relativeProgress } from "./conjugate-gradient.js";
import { adaptDamping, isExhausted, trustRatio } from "./damping.js";
import { compileEvaluation, compileInnerProduct, notFinite, type Point, productsOf } from "./evaluation.js";
import { firstExamples } from "./first-examples.js";
import { hessianFreeCosts } from "./hessian-free/costs.js";
import { preconditioning } from "./hessian-free/preconditioning.js";
import { options, type Settings } from "./hessian-free/settings.js";
import { keepIterates } from "./iterates.js";
import { backtrack } from "./line-search.js";
import { defineMethod } from "./method.js";
import type { Diagnostics, StepReport, Training } from "./optimizer.js";
import { needOneLoss } from "./players.js";
import { compileRay } from "./ray.js";
import { SettingsError } from "./settings.js";
import { stopwatch } from "./stopwatch.js";

/**
 *     const training = hessianFree.create({ damping: 10, curvatureExamples: 256 }).start(objective);
 *     training.step().diagnostics;   // { damping, trustRatio, iterations, iterationsEnded, … }
 */
export const hessianFree = defineMethod(
  {
    name: "hessianFree",
    family: "second order",
    description:
      "Gauss–Newton steps by conjugate gradients: strong curvature for any number of parameters, on large batches.",
    reference: "Martens 2010, Deep learning via Hessian-free optimization",
    asks: {
      questions: [
        "gradients",
        "losses",
        "gaussNewtonVectorProducts",
        "hessianVectorProducts",
        "preconditionerGradients",
        "factors",
      ],
      batch: "large",
    },
    treats: everyElement("with all others, through products"),
    costs: hessianFreeCosts,
    options,
  },
  (settings) => ({ name: "hessianFree", settings, start: (objective) => start(objective, settings) }),
);

const search = { decrease: 0.01, factor: 0.8, evaluations: 60 };
/** Attempts of a step, each with four times the damping of the one before. */
const mostAttempts = 8;

interface Attempt {
  readonly moved: boolean;
  /** q(0) − q(d). */
  readonly predicted: number;
  readonly losses: number;
  readonly products: number;
  readonly diagnostics: Diagnostics;
}

function start(objective: Objective, settings: Settings): Training {
  const { runtime, dtype, key } = objective;
  const { curvatureExamples, structuralDamping } = settings;
  needOneLoss("hessianFree", objective, "use naturalGradient, whose steps have a set length, or adam");
  const part = curvatureExamples ? firstExamples("hessianFree", objective, curvatureExamples) : objective;
  const count = runtime.buffer("i32", []);
  const damping = runtime.buffer("f64", []);
  damping.data[0] = settings.damping;
  const evaluation = compileEvaluation(objective);
  const operator = curvatureOperator(part, settings.curvature, { structure: structuralDamping > 0 });
  const { structure } = operator;
  if (structuralDamping > 0 && !structure)
    throw new SettingsError(
      `hessianFree: structuralDamping is ${structuralDamping}, and no layer of the model has hidden states (rnn, lstm, gru); leave it at 0`,
    );
  const preconditioner = preconditioning(part, settings);
  const solver = compileConjugateGradient(runtime, operator, { preconditioner: preconditioner?.inverse });
  const iterates = keepIterates(runtime, solver.solution, settings.backtracking ? 12 : 1);
  const ray = compileRay(objective);
  const slope = compileInnerProduct(runtime, evaluation.gradient, ray.direction);
  const bend = compileInnerProduct(runtime, ray.direction, operator.product);
  const watch = stopwatch(runtime.clock);
  const dampingRule = { increase: 1.5, decrease: 2 / 3, least: settings.leastDamping, most: 1e20 };
  const owned = [bend, slope, ray, iterates, solver, operator, evaluation, count, damping];

  /** dᵀA d, without S. */
  const curvatureAlong = () => {
    structure!.data[0] = 0;
    operator.tangent.data.set(ray.direction.data);
    operator.run();
    return bend.run();
  };

  const attempt = ({ loss: before, gradientNorm }: Point): Attempt => {
    const lambda = damping.data[0]!;
    const { gradient } = evaluation;
    if (structure) structure.data[0] = lambda * structuralDamping;
    const solution = solve(solver, settings, lambda, iterates.visit);
    watch.lap("curvature");
    let losses = 0;
    const lossAt = (t: number) => {
      losses++;
      return ray.lossAt(t);
    };
    const kept = iterates.choose(solution, ray.direction, () => lossAt(1));
    let slopeThere = slope.run();
    let { after } = kept;
    // q(0) − q(d); the solver's model has the damping in it.
    let predicted = structure
      ? -slopeThere - 0.5 * curvatureAlong()
      : 0.5 * lambda * kept.square - kept.model;
    const descends = slopeThere < 0 && predicted > 0;
    if (!descends) {
      // As where curvature is negative along the very first direction: by the slope alone.
      const scale = 1 / Math.max(1, gradientNorm);
      for (let k = 0; k < gradient.size; k++) ray.direction.data[k] = -scale * gradient.data[k]!;
      slopeThere = slope.run();
      predicted = -slopeThere;
      after = lossAt(1);
    }
    const ratio = descends ? trustRatio({ before, after, predicted, dtype }) : Number.NaN;
    const found = backtrack(
      (t) => (t === 1 ? after : lossAt(t)),
      { value: before, slope: slopeThere },
      search,
    );
    // The last digits of a loss refuse steps that the ratio, which knows of rounding, does not.
    const t = found.t === 0 && ratio > 0.25 ? 1 : found.t;
    ray.move(t);
    watch.lap("search");
    damping.data[0] = adaptDamping(lambda, ratio, dampingRule);
    return {
      moved: t > 0,
      predicted,
      losses,
      products: solution.products + (structure ? 1 : 0),
      diagnostics: {
        damping: lambda,
        trustRatio: ratio,
        iterations: solution.iteration,
        iterationsEnded: solution.ended,
        iterationsUsed: descends ? kept.iteration : 0,
        searchEvaluations: found.evaluations,
        stepLength: t,
        accepted: t > 0,
        ...(t === 0 && { fallback: "no step along the direction lowers the loss; none was taken" }),
      },
    };
  };

  return {
    state: { step: count, damping, solution: solver.solution, ...preconditioner?.state },
    ...(preconditioner?.coverage && { coverage: preconditioner.coverage }),
    step(): StepReport {
      const number = count.data[0]++;
      key.data[1] = number;
      watch.start();
      const point = evaluation.run();
      watch.lap("evaluation");
      const idle = {
        ...point,
        evaluations: { gradients: 1 },
        diagnostics: { accepted: false },
        seconds: watch.seconds,
      };
      if (!point.finite) return { ...idle, diagnostics: notFinite };
      if (point.gradientNorm <= settings.tolerance) return { ...idle, stop: "converged" };
      operator.linearize();
      const asked = preconditioner?.refresh(number, damping.data[0]!);
      const [b, g] = [solver.rightSide.data, evaluation.gradient.data];
      for (let k = 0; k < b.length; k++) b[k] = -g[k]!;
      ray.begin();
      watch.lap("curvature");
      let [losses, products] = [0, 0];
      let last: Attempt;
      for (let attempts = 1; ; attempts++) {
        last = attempt(point);
        losses += last.losses;
        products += last.products;
        if (last.moved) break;
        // What led nowhere is no place to begin the next time.
        solver.solution.data.fill(0);
        damping.data[0] = adaptDamping(4 * damping.data[0]!, 0.5, dampingRule);
        preconditioner?.scale(damping.data[0]!);
        if (attempts === mostAttempts) break;
      }
      evaluation.keepState();
      watch.lap("update");
      const exhausted = isExhausted({ before: point.loss, predicted: last.predicted, dtype });
      // Where the loss can tell nothing any more, the gradient still can.
      const stalled = !last.moved || (exhausted && !(evaluation.run().gradientNorm < point.gradientNorm));
      watch.lap("evaluation");
      return {
        ...idle,
        evaluations: {
          gradients: last.moved && exhausted ? 2 : 1,
          losses,
          [productsOf[settings.curvature]]: products,
          ...asked,
        },
        diagnostics: last.diagnostics,
        ...(stalled && { stop: "stalled" }),
      };
    },
    release() {
      for (const each of owned) each.release();
      preconditioner?.release();
      if (part !== objective) part.release();
    },
  };
}

/** Conjugate gradients on (A + λI) d = −g from w·(the last solution). */
function solve(
  solver: ConjugateGradient,
  settings: Settings,
  damping: number,
  visit: NonNullable<Parameters<ConjugateGradient["solve"]>[0]["visit"]>,
) {
  const { data } = solver.solution;
  for (let k = 0; k < data.length; k++) data[k]! *= settings.warmStart;
  return solver.solve({
    damping,
    iterations: settings.iterations,
    until: relativeProgress(settings.progress),
    visit,
  });
}
