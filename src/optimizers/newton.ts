/**
 * Newton's method with the dense curvature A: the Hessian, or Gauss–Newton.
 *
 *     none                θ ← θ − η (A + λI)⁻¹ g          as it is, also where it climbs
 *     levenbergMarquardt  the same with η = 1 and a λ that follows the ratio ρ of reductions; steps with ρ ≤ 0 are
 *                         refused. λ rises until A + λI is positive definite
 *     trustRegion         d = argmin gᵀd + ½ dᵀA d within ‖d‖ ≤ r, exactly; r follows ρ. Negative curvature is
 *                         walked along to the boundary: saddles are left
 *
 * Levenberg 1944; Marquardt 1963; Moré & Sorensen 1983; Nocedal & Wright 2006, "Numerical optimization", chapter 4.
 *
 * Memory: n² numbers (levenbergMarquardt 2n²). FLOPs: n curvature products a step, and ⅔n³ (none), ⅓n³ a trial
 * (levenbergMarquardt) or about 9n³ (trustRegion). For n up to a few thousands. The batch should be all of the data,
 * or large: ρ compares two losses on it.
 */
import type { CurvatureKind, DenseCurvature, Objective } from "../curvature/index.js";
import { adaptDamping, isExhausted, roundingOf, trustRatio } from "./damping.js";
import { denseFor, eigenSystem, solveDefinite, solveIndefinite } from "./dense-solve.js";
import { compileEvaluation, type Evaluation, type Point, productsOf } from "./evaluation.js";
import { defineMethod } from "./method.js";
import type { Diagnostics, StepReport, Training } from "./optimizer.js";
import { compileRay, type Ray } from "./ray.js";
import { choice, notNegative, type Options, positive, type SettingsOf } from "./settings.js";
import { adaptRadius, eigenvalueNoise, trustRegionStep } from "./trust-region.js";

const options = {
  curvature: choice("hessian", ["hessian", "gaussNewton"], "A; gaussNewton is never negative"),
  globalization: choice(
    "trustRegion",
    ["trustRegion", "levenbergMarquardt", "none"],
    "what keeps a step from going too far; none is the bare damped step",
  ),
  learningRate: positive(1, "η, where globalization is none"),
  damping: notNegative(1e-3, "λ: fixed where globalization is none, the first one of levenbergMarquardt"),
  radius: positive(1, "r: the first radius of the trust region"),
  mostRadius: positive(1000, "r does not grow beyond it"),
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
    description:
      "Newton's method with the dense Hessian or Gauss–Newton matrix: few steps to full precision, for up to a few thousand parameters and full batches.",
    reference: "Nocedal & Wright 2006, Numerical optimization, chapter 4; Moré & Sorensen 1983",
    options,
  },
  (settings) => ({ name: "newton", settings, start: (objective) => start(objective, settings) }),
);

/** What the ways of taking a step share. */
interface Parts {
  readonly objective: Objective;
  readonly settings: Settings;
  readonly evaluation: Evaluation;
  readonly curvature: DenseCurvature;
  readonly ray: Ray;
}

interface Outcome {
  /** Losses evaluated. */
  readonly losses: number;
  readonly stop?: StepReport["stop"];
  readonly diagnostics: Diagnostics;
}

/** From a point whose curvature is in the matrix; moves θ, or leaves it. */
interface Stepper {
  step(point: Point): Outcome;
  readonly state: Training["state"];
  /** Whether the curvature at a point without gradient is asked too. */
  readonly leavesSaddles?: boolean;
  release(): void;
}

const steppers = { none: plainSteps, levenbergMarquardt, trustRegion };
/** Trials within one step: each makes it at least four times smaller. */
const mostTrials = 40;

function start(objective: Objective, settings: Settings): Training {
  const { runtime, key, layout } = objective;
  const kind: CurvatureKind = settings.curvature;
  const curvature = denseFor("newton", objective, kind, {
    matrices: settings.globalization === "levenbergMarquardt" ? 2 : 1,
    limitMiB: settings.memoryLimit,
  });
  const count = runtime.buffer("i32", []);
  const evaluation = compileEvaluation(objective);
  const ray = compileRay(objective);
  const stepper = steppers[settings.globalization]({ objective, settings, evaluation, curvature, ray });
  return {
    state: { step: count, ...stepper.state },
    step(): StepReport {
      key.data[1] = count.data[0]++;
      const point = evaluation.run();
      const report = { ...point, learningRate: settings.learningRate };
      if (!point.finite) return { ...report, evaluations: { gradients: 1 } };
      const converged = point.gradientNorm <= settings.tolerance;
      if (converged && !stepper.leavesSaddles)
        return {
          ...report,
          evaluations: { gradients: 1 },
          stop: "converged",
          diagnostics: { accepted: false },
        };
      curvature.compute();
      ray.begin();
      const { losses, stop, diagnostics } = stepper.step(point);
      evaluation.keepState();
      const evaluations = { gradients: 1, losses, [productsOf[kind]]: layout.size };
      // Where the loss can tell nothing any more, the gradient still can.
      const exhausted = stop === "stalled" && diagnostics.accepted === true;
      if (exhausted) evaluations.gradients++;
      const shrinks = exhausted && evaluation.run().gradientNorm < 0.5 * point.gradientNorm;
      return { ...report, evaluations, diagnostics, ...(stop && !shrinks && { stop }) };
    },
    release() {
      for (const part of [stepper, ray, evaluation, count, curvature]) part.release();
    },
  };
}

function plainSteps({ objective, settings, evaluation, curvature, ray }: Parts): Stepper {
  const solve = solveIndefinite(objective.runtime.blas.functions, {
    matrix: curvature.matrix,
    gradient: evaluation.gradient,
    solution: ray.direction,
  });
  return {
    state: {},
    step() {
      const { learningRate, damping } = settings;
      const accepted = solve(damping);
      if (accepted) ray.move(learningRate);
      return {
        losses: 0,
        diagnostics: { damping, accepted },
        ...(!accepted && { stop: "stalled" as const }),
      };
    },
    release() {},
  };
}

function levenbergMarquardt({ objective, settings, evaluation, curvature, ray }: Parts): Stepper {
  const { runtime, dtype } = objective;
  const n = objective.layout.size;
  const factor = runtime.buffer(dtype, [n, n]);
  const damping = runtime.buffer("f64", []);
  damping.data[0] = settings.damping;
  const { gradient } = evaluation;
  const { direction } = ray;
  const solve = solveDefinite(runtime.blas.functions, {
    matrix: curvature.matrix,
    gradient,
    solution: direction,
    factor,
  });
  const rule = { increase: 4, decrease: 0.1, least: 0, most: 1e30 };
  return {
    state: { damping },
    step({ loss: before }) {
      // Where λ is 0, or far below the curvature, raising it begins at a size that makes a difference.
      const floor = roundingOf(dtype) * meanDiagonal(curvature.matrix.data, n);
      let losses = 0;
      for (let trial = 0; trial < mostTrials; trial++) {
        const lambda = damping.data[0]!;
        let ratio = Number.NEGATIVE_INFINITY;
        let predicted = 0;
        if (solve(lambda)) {
          // dᵀA d = −gᵀd − λ‖d‖², so q(0) − q(d) = −½gᵀd + ½λ‖d‖².
          predicted =
            0.5 * (lambda * dot(direction.data, direction.data) - dot(gradient.data, direction.data));
          losses++;
          ratio = trustRatio({ before, after: ray.lossAt(1), predicted, dtype });
        }
        damping.data[0] = adaptDamping(ratio < 0.25 ? Math.max(lambda, floor) : lambda, ratio, rule);
        if (ratio > 0) {
          const stop = isExhausted({ before, predicted, dtype }) ? ({ stop: "stalled" } as const) : {};
          return { losses, diagnostics: { damping: lambda, trustRatio: ratio, accepted: true }, ...stop };
        }
      }
      ray.move(0);
      return { losses, stop: "stalled", diagnostics: { damping: damping.data[0]!, accepted: false } };
    },
    release() {
      factor.release();
      damping.release();
    },
  };
}

function trustRegion({ objective, settings, evaluation, curvature, ray }: Parts): Stepper {
  const { runtime, dtype, layout } = objective;
  const n = layout.size;
  const eigen = eigenSystem(runtime, curvature.matrix);
  const radius = runtime.buffer("f64", []);
  radius.data[0] = Math.min(settings.radius, settings.mostRadius);
  /** The gradient, then the step, in the eigenvectors. */
  const rotated = runtime.buffer(dtype, [n]);
  const along = new Float64Array(n);
  const d = new Float64Array(n);
  return {
    state: { radius },
    leavesSaddles: true,
    step({ loss: before, gradientNorm }) {
      if (!eigen.decompose()) return { losses: 0, stop: "stalled", diagnostics: { accepted: false } };
      const values = eigen.eigenvalues.data;
      const epsilon = roundingOf(dtype);
      const lowest = values[0]!;
      if (gradientNorm <= settings.tolerance && lowest >= -eigenvalueNoise(values, epsilon))
        return { losses: 0, stop: "converged", diagnostics: { lowestEigenvalue: lowest, accepted: false } };
      eigen.into(evaluation.gradient, rotated);
      along.set(rotated.data);
      for (let trial = 0; trial < mostTrials; trial++) {
        const r = radius.data[0]!;
        const step = trustRegionStep(values, along, r, d, epsilon);
        rotated.data.set(d);
        eigen.from(rotated, ray.direction);
        const { predicted } = step;
        const ratio = trustRatio({ before, after: ray.lossAt(1), predicted, dtype });
        radius.data[0] = adaptRadius(r, ratio, step, settings.mostRadius);
        if (ratio > 0.1) {
          const diagnostics = {
            radius: r,
            damping: step.shift,
            trustRatio: ratio,
            lowestEigenvalue: lowest,
            accepted: true,
          };
          const stop = isExhausted({ before, predicted, dtype }) ? ({ stop: "stalled" } as const) : {};
          return { losses: trial + 1, diagnostics, ...stop };
        }
      }
      ray.move(0);
      return {
        losses: mostTrials,
        stop: "stalled",
        diagnostics: { radius: radius.data[0]!, accepted: false },
      };
    },
    release() {
      for (const buffer of [eigen, radius, rotated]) buffer.release();
    },
  };
}

function dot(u: ArrayLike<number>, v: ArrayLike<number>): number {
  let sum = 0;
  for (let k = 0; k < u.length; k++) sum += u[k]! * v[k]!;
  return sum;
}

function meanDiagonal(matrix: ArrayLike<number>, n: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += Math.abs(matrix[i * (n + 1)]!) / n;
  return sum;
}
