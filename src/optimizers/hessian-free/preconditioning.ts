/**
 * Preconditioners of conjugate gradients on A + λI:
 *
 *     empiricalFisher    M = (D + λ)^α, D the diagonal of the empirical Fisher (../empirical-diagonal.ts)
 *     kfac               M = ⊕ (A + π√λ I) ⊗ (G + √λ/π I), K-FAC's damped factors layer by layer; of what no layer
 *                        marks the damped diagonal. Averages over the steps, of the examples that A is of; inverses
 *                        are refreshed more rarely than λ changes, which costs iterations and no accuracy
 *
 * With K-FAC's M few iterations do the work of tens: its inverse is the curvature's wherever layers are independent.
 */
import type { Objective } from "../../curvature/objective.js";
import type { Buffer } from "../../runtime/memory.js";
import { diagonal, type InverseMap } from "../conjugate-gradient.js";
import { compileEmpiricalDiagonal } from "../empirical-diagonal.js";
import { coverageOf } from "../kfac/coverage.js";
import { refreshIntervals } from "../kfac/intervals.js";
import { invertedFactors } from "../kfac/inverted-factors.js";
import { compileFactorEstimate, runningFactors } from "../kfac/running.js";
import type { Coverage, Evaluations } from "../optimizer.js";
import type { Settings } from "./settings.js";

export interface Preconditioning {
  readonly inverse: InverseMap;
  readonly state: Readonly<Record<string, Buffer>>;
  readonly coverage?: readonly Coverage[];
  /** For the step of this number, at θ and the batch as they are now, and λ. Returns what was asked. */
  refresh(number: number, damping: number): Evaluations;
  /** For another λ at the same point. */
  scale(damping: number): void;
  release(): void;
}

/** @throws SettingsError, or Error when the objective lacks what the preconditioner is made of. */
export function preconditioning(objective: Objective, settings: Settings): Preconditioning | undefined {
  switch (settings.preconditioner) {
    case "none":
      return undefined;
    case "empiricalFisher":
      return byDiagonal(objective, settings);
    case "kfac":
      return byFactors(objective, settings);
  }
}

function byDiagonal(objective: Objective, settings: Settings): Preconditioning {
  const scaling = objective.runtime.buffer(objective.dtype, objective.parameters.shape);
  const { compute, scale, release } = compileEmpiricalDiagonal("hessianFree", objective, {
    draws: Math.max(1, settings.preconditionerDraws),
    exponent: settings.preconditionerExponent,
    scaling,
  });
  return {
    inverse: diagonal(scaling),
    state: {},
    refresh(number, damping) {
      const preconditionerGradients = compute(number);
      scale(damping);
      return { preconditionerGradients };
    },
    scale,
    release() {
      release();
      scaling.release();
    },
  };
}

function byFactors(objective: Objective, settings: Settings): Preconditioning {
  const { runtime, dtype } = objective;
  const running = runningFactors(objective, "blockDiagonal");
  const inverted = invertedFactors(runtime, dtype, running, "cholesky");
  const estimate = compileFactorEstimate(objective, running, { estimator: settings.estimator });
  const intervals = refreshIntervals(runtime, { ...settings, factorStart: "zero" });
  return {
    inverse: {
      buffers: Object.values(inverted.state),
      apply: (symbols, residual) => inverted.direction(symbols, residual),
    },
    state: { progress: intervals.state, ...running.state, ...inverted.state },
    coverage: coverageOf(running, inverted),
    refresh(number, damping) {
      const due = intervals.estimateIsDue(number);
      if (due && estimate.run(intervals.weight)) intervals.estimated();
      const refreshed = due && intervals.inversionIsDue(number);
      // Before a first finite estimate M is λI.
      if (refreshed || intervals.inversions === 0) inverted.invert(Math.sqrt(damping));
      if (refreshed) intervals.inverted(number);
      return due ? { factors: 1 } : {};
    },
    scale() {},
    release() {
      for (const part of [estimate, inverted, running, intervals.state]) part.release();
    },
  };
}
