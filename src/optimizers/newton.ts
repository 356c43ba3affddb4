/**
 * Newton's method with the dense curvature A: the Hessian, or Gauss–Newton.
 *
 *     none                θ ← θ − η (A + λI)⁻¹ g          as it is, also where it climbs
 *     gridSearch          the same with η the best of 1, ½, …, 2⁻³⁰. With Gauss–Newton on the residuals of a
 *                         differential equation this is energy natural gradient descent
 *     levenbergMarquardt  the same with η = 1 and a λ that follows the ratio ρ of reductions; steps with ρ ≤ 0 are
 *                         refused. λ rises until A + λI is positive definite
 *     trustRegion         d = argmin gᵀd + ½ dᵀA d within ‖d‖ ≤ r, exactly; r follows ρ. Negative curvature is
 *                         walked along to the boundary: saddles are left
 *
 * A may be averaged over steps, A ← βA + (1 − β)A_now: from zero (bias-corrected) or from I.
 *
 * Levenberg 1944; Marquardt 1963; Moré & Sorensen 1983; Nocedal & Wright 2006, "Numerical optimization", chapter 4;
 * Müller & Zeinhofer 2023, "Achieving high accuracy with PINNs via energy natural gradient descent".
 *
 * For n up to a few thousands; a Gauss–Newton matrix with few outputs, or of convolutions, is cheaper than its n
 * products, examples·outputs·n² FLOPs. The batch should be all of the data, or large: ρ compares two losses on it.
 */

import type { CurvatureKind, Objective } from "../curvature/index.js";
import { parameterCount } from "../curvature/model-shape.js";
import { everyElement } from "./catalogue.js";
import { outputsOf, scalars, vectors } from "./costs.js";
import { averaged, denseFor } from "./dense-solve.js";
import { compileEvaluation, notFinite, productsOf } from "./evaluation.js";
import { defineMethod } from "./method.js";
import { gridSearch, levenbergMarquardt, plainSteps, trustRegion } from "./newton-steps.js";
import type { StepReport, Training } from "./optimizer.js";
import { needOneLoss } from "./players.js";
import { compileRay } from "./ray.js";
import { choice, decayRate, notNegative, type Options, positive, type SettingsOf } from "./settings.js";
import { stopwatch } from "./stopwatch.js";

const options = {
  curvature: choice("hessian", ["hessian", "gaussNewton"], "A; gaussNewton is never negative"),
  globalization: choice(
    "trustRegion",
    ["trustRegion", "levenbergMarquardt", "gridSearch", "none"],
    "what keeps a step from going too far; gridSearch takes the best of 31 lengths, none is the bare damped step",
  ),
  learningRate: positive(1, "η, where globalization is none"),
  damping: notNegative(
    1e-3,
    "λ: fixed where globalization is none or gridSearch, the first one of levenbergMarquardt",
    {
      typical: [1e-6, 1],
      sensitivity: "medium",
    },
  ),
  radius: positive(1, "r: the first radius of the trust region", { typical: [0.1, 10], sensitivity: "low" }),
  mostRadius: positive(1000, "r does not grow beyond it"),
  curvatureDecay: decayRate(0, "β: A is averaged over steps; 0 takes the present one"),
  curvatureStart: choice("zero", ["zero", "identity"], "what the average of A begins with"),
  tolerance: notNegative(1e-8, "gradients as short as this have converged"),
  memoryLimit: positive(1024, "MiB that the dense matrices may take"),
} satisfies Options;
type Settings = SettingsOf<typeof options>;

/**
 *     const training = newton.create({ curvature: "gaussNewton" }).start(objective);
 *     while (!training.step().stop);
 */
export const newton = defineMethod(
  {
    name: "newton",
    family: "second order",
    description:
      "Newton's method with the dense Hessian or Gauss–Newton matrix: few steps to full precision, for up to a few thousand parameters and full batches.",
    reference: "Nocedal & Wright 2006, Numerical optimization, chapter 4; Moré & Sorensen 1983",
    asks: {
      questions: ["gradients", "losses", "hessianVectorProducts", "gaussNewtonVectorProducts"],
      batch: "full",
    },
    treats: everyElement("with all others: a dense matrix"),
    costs(shape, s, batch) {
      const n = parameterCount(shape);
      // A Gauss–Newton matrix is RᵀR (curvature/rows.ts) where that is less work than n products of 4 FLOPs a weight and place.
      const rows = batch * outputsOf(shape);
      const product =
        4 * shape.layers.reduce((sum, layer) => sum + layer.positions * layer.inputs * layer.outputs, 0);
      const byRows =
        s.curvature === "gaussNewton" &&
        outputsOf(shape) * n <= product &&
        4 * rows * n <= s.memoryLimit * 2 ** 20;
      const products = s.curvature === "hessian" ? "hessianVectorProducts" : "gaussNewtonVectorProducts";
      const { formula, inversion, update } = {
        none: { formula: "⅔n³", inversion: 2 / 3, update: 2 },
        gridSearch: { formula: "⅓n³", inversion: 1 / 3, update: 2 },
        levenbergMarquardt: { formula: "⅓n³", inversion: 1 / 3, update: 2 },
        trustRegion: { formula: "9n³", inversion: 9, update: 4 },
      }[s.globalization];
      const matrices = isFactored(s) ? 2 : 1;
      const averages = s.curvatureDecay > 0;
      const adapts = s.globalization === "levenbergMarquardt" || s.globalization === "trustRegion";
      return {
        state: [
          ...(averages ? [{ part: "moments" as const, formula: "n²", elements: n ** 2 }] : []),
          scalars(1 + Number(adapts) + Number(averages)),
        ],
        workspace: [
          { part: "curvature", formula: matrices === 1 ? "n²" : "2n²", elements: matrices * n ** 2 },
          ...vectors("vectors", s.globalization === "trustRegion" ? 5 : 3, n),
        ],
        work: [
          { part: "inversion", formula, flops: inversion * n ** 3 },
          { part: "update", formula: `${update}n²`, flops: update * n ** 2 },
          ...(byRows ? [{ part: "curvature" as const, formula: "B·outputs·n²", flops: rows * n ** 2 }] : []),
          ...(averages ? [{ part: "curvature" as const, formula: "3n²", flops: 3 * n ** 2 }] : []),
        ],
        evaluations: {
          gradients: 1,
          ...(byRows ? { sampledGradients: outputsOf(shape) } : { [products]: n }),
          losses: losses[s.globalization],
        },
      };
    },
    options,
  },
  (settings) => ({ name: "newton", settings, start: (objective) => start(objective, settings) }),
);

/** Losses in a step, usually. */
const losses = { none: 0, gridSearch: 6, levenbergMarquardt: 1, trustRegion: 1 };
/** Whether Cholesky's factors have a matrix of their own. */
const isFactored = ({ globalization }: Settings) =>
  globalization === "levenbergMarquardt" || globalization === "gridSearch";

const steppers = { none: plainSteps, gridSearch, levenbergMarquardt, trustRegion };
function start(objective: Objective, settings: Settings): Training {
  const { runtime, key, layout } = objective;
  const kind: CurvatureKind = settings.curvature;
  const { globalization, curvatureDecay: decay, curvatureStart: start } = settings;
  if (globalization !== "none")
    needOneLoss(`newton with globalization=${globalization}`, objective, "use globalization=none");
  const dense = denseFor("newton", objective, kind, {
    matrices: 1 + Number(isFactored(settings)) + Number(decay > 0),
    limitMiB: settings.memoryLimit,
  });
  const curvature = decay > 0 ? averaged(runtime, dense, { decay, start }) : { ...dense, state: {} };
  const count = runtime.buffer("i32", []);
  const evaluation = compileEvaluation(objective);
  const ray = compileRay(objective);
  const watch = stopwatch(runtime.clock);
  const stepper = steppers[globalization]({ objective, settings, evaluation, curvature, ray, watch });
  return {
    state: { step: count, ...curvature.state, ...stepper.state },
    step(): StepReport {
      key.data[1] = count.data[0]++;
      watch.start();
      const point = evaluation.run();
      watch.lap("evaluation");
      const report = { ...point, learningRate: settings.learningRate, seconds: watch.seconds };
      if (!point.finite) return { ...report, evaluations: { gradients: 1 }, diagnostics: notFinite };
      const converged = point.gradientNorm <= settings.tolerance;
      if (converged && !stepper.leavesSaddles)
        return {
          ...report,
          evaluations: { gradients: 1 },
          stop: "converged",
          diagnostics: { accepted: false },
        };
      curvature.compute();
      watch.lap("curvature");
      ray.begin();
      const { losses, stop, diagnostics } = stepper.step(point);
      evaluation.keepState();
      watch.lap("update");
      const evaluations = { gradients: 1, losses, [productsOf[kind]]: layout.size };
      // Where the loss can tell nothing any more, the gradient still can.
      const exhausted = stop === "stalled" && diagnostics.accepted === true;
      if (exhausted) evaluations.gradients++;
      const shrinks = exhausted && evaluation.run().gradientNorm < 0.5 * point.gradientNorm;
      if (exhausted) watch.lap("evaluation");
      // An average is another one at the next step, though θ is not.
      const over = stop && !shrinks && !(stop === "stalled" && decay > 0);
      return { ...report, evaluations, diagnostics, ...(over && { stop }) };
    },
    release() {
      for (const part of [stepper, ray, evaluation, count, curvature]) part.release();
    },
  };
}
