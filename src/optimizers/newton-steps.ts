/** The ways of Newton's method from a point with its curvature to the next: bare, grid, Levenberg–Marquardt, trust region. */
import type { DenseCurvature, Objective } from "../curvature/index.js";
import { adaptDamping, isExhausted, roundingOf, trustRatio } from "./damping.js";
import { eigenSystem, solveDefinite, solveIndefinite } from "./dense-solve.js";
import type { Evaluation, Point } from "./evaluation.js";
import { bestOfGrid } from "./line-search.js";
import type { Diagnostics, StepReport, Training } from "./optimizer.js";
import type { Ray } from "./ray.js";
import type { Stopwatch } from "./stopwatch.js";
import { adaptRadius, eigenvalueNoise, trustRegionStep } from "./trust-region.js";

/** The settings of Newton's method that a step reads. */
interface NewtonSettings {
  readonly learningRate: number;
  readonly damping: number;
  readonly radius: number;
  readonly mostRadius: number;
  readonly tolerance: number;
}

/** What the ways of taking a step share. */
export interface Parts {
  readonly objective: Objective;
  readonly settings: NewtonSettings;
  readonly evaluation: Evaluation;
  readonly curvature: DenseCurvature;
  readonly ray: Ray;
  readonly watch: Stopwatch;
}

interface Outcome {
  /** Losses evaluated. */
  readonly losses: number;
  readonly stop?: StepReport["stop"];
  readonly diagnostics: Diagnostics;
}

/** From a point whose curvature is in the matrix; moves θ, or leaves it. */
export interface Stepper {
  step(point: Point): Outcome;
  readonly state: Training["state"];
  /** Whether the curvature at a point without gradient is asked too. */
  readonly leavesSaddles?: boolean;
  release(): void;
}

/** Trials within one step: each makes it at least four times smaller. */
const mostTrials = 40;

const singular = { fallback: "the damped matrix has no inverse; the step was not taken" };
const undecomposed = "the matrix is not finite; the step was not taken";
const refused = { fallback: "no step within the trust region lowers the loss; none was taken" };

/** θ ← θ − η (A + λI)⁻¹ g and nothing else. */
export function plainSteps({ objective, settings, evaluation, curvature, ray, watch }: Parts): Stepper {
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
      watch.lap("inversion");
      if (accepted) ray.move(learningRate);
      return {
        losses: 0,
        diagnostics: { damping, accepted, ...(accepted ? { stepLength: learningRate } : singular) },
        ...(!accepted && { stop: "stalled" as const }),
      };
    },
    release() {},
  };
}

/** Raised tenfold until A + λI is positive definite; more trials than any rounding of A needs. */
const mostRaises = 30;

/** d = −(A + λI)⁻¹ g with a fixed λ, and the best of the steps d, d/2, …, 2⁻³⁰ d. */
export function gridSearch({ objective, settings, evaluation, curvature, ray, watch }: Parts): Stepper {
  const { runtime, dtype } = objective;
  const n = objective.layout.size;
  const factor = runtime.buffer(dtype, [n, n]);
  const solve = solveDefinite(runtime.blas.functions, {
    matrix: curvature.matrix,
    gradient: evaluation.gradient,
    solution: ray.direction,
    factor,
  });
  const directionAt = (wanted: number): number | undefined => {
    let lambda = wanted;
    for (let raise = 0; raise < mostRaises; raise++) {
      if (solve(lambda)) return lambda;
      lambda = Math.max(10 * lambda, roundingOf(dtype) * meanDiagonal(curvature.matrix.data, n));
    }
    return undefined;
  };
  return {
    state: {},
    step({ loss: before }) {
      const damping = directionAt(settings.damping);
      watch.lap("inversion");
      if (damping === undefined)
        return {
          losses: 0,
          stop: "stalled",
          diagnostics: { damping: settings.damping, accepted: false, ...singular },
        };
      const { t, evaluations } = bestOfGrid((length) => ray.lossAt(length), before);
      watch.lap("search");
      ray.move(t);
      const accepted = t > 0;
      return {
        losses: evaluations,
        diagnostics: {
          damping,
          stepLength: t,
          searchEvaluations: evaluations,
          accepted,
          ...(!accepted && { fallback: "no step along the direction lowers the loss; none was taken" }),
        },
        ...(!accepted && { stop: "stalled" as const }),
      };
    },
    release: factor.release,
  };
}

/** λ follows ρ, from the settings' first one; a refused step is tried again with a larger λ and the same A. */
export function levenbergMarquardt({
  objective,
  settings,
  evaluation,
  curvature,
  ray,
  watch,
}: Parts): Stepper {
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
        const solved = solve(lambda);
        watch.lap("inversion");
        if (solved) {
          // dᵀA d = −gᵀd − λ‖d‖², so q(0) − q(d) = −½gᵀd + ½λ‖d‖².
          predicted =
            0.5 * (lambda * dot(direction.data, direction.data) - dot(gradient.data, direction.data));
          losses++;
          ratio = trustRatio({ before, after: ray.lossAt(1), predicted, dtype });
          watch.lap("search");
        }
        damping.data[0] = adaptDamping(ratio < 0.25 ? Math.max(lambda, floor) : lambda, ratio, rule);
        if (ratio > 0) {
          const stop = isExhausted({ before, predicted, dtype }) ? ({ stop: "stalled" } as const) : {};
          const diagnostics = {
            damping: lambda,
            trustRatio: ratio,
            accepted: true,
            searchEvaluations: losses,
          };
          return { losses, diagnostics, ...stop };
        }
      }
      ray.move(0);
      return {
        losses,
        stop: "stalled",
        diagnostics: { damping: damping.data[0]!, accepted: false, searchEvaluations: losses, ...refused },
      };
    },
    release() {
      factor.release();
      damping.release();
    },
  };
}

/** The exact step in a ball whose radius follows ρ; A is decomposed once, whatever the number of trials. */
export function trustRegion({ objective, settings, evaluation, curvature, ray, watch }: Parts): Stepper {
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
      const decomposed = eigen.decompose();
      watch.lap("inversion");
      if (!decomposed)
        return { losses: 0, stop: "stalled", diagnostics: { accepted: false, fallback: undecomposed } };
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
        watch.lap("search");
        radius.data[0] = adaptRadius(r, ratio, step, settings.mostRadius);
        if (ratio > 0.1) {
          const diagnostics = {
            radius: r,
            damping: step.shift,
            trustRatio: ratio,
            lowestEigenvalue: lowest,
            accepted: true,
            searchEvaluations: trial + 1,
          };
          const stop = isExhausted({ before, predicted, dtype }) ? ({ stop: "stalled" } as const) : {};
          return { losses: trial + 1, diagnostics, ...stop };
        }
      }
      ray.move(0);
      return {
        losses: mostTrials,
        stop: "stalled",
        diagnostics: {
          radius: radius.data[0]!,
          accepted: false,
          searchEvaluations: mostTrials,
          ...refused,
        },
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
