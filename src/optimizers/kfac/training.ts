/** The step that kfac and ekfac share: evaluate, estimate, invert, move, adapt. */

import type { Structure } from "../../curvature/kronecker/index.js";
import type { Objective } from "../../curvature/objective.js";
import { notFinite } from "../evaluation.js";
import type { StepReport, Training } from "../optimizer.js";
import { needOneLoss } from "../players.js";
import { stopwatch } from "../stopwatch.js";
import { adaptation } from "./adaptation.js";
import { clippedStep } from "./clipped.js";
import { coverageOf } from "./coverage.js";
import { frobenius } from "./damped-inverse.js";
import { compileFactorEvaluation } from "./evaluation.js";
import { refreshIntervals } from "./intervals.js";
import type { Dampings, Mover, Outcome } from "./mover.js";
import type { Inversion, Preconditioner } from "./preconditioner.js";
import { quadraticStep } from "./quadratic.js";
import { type RunningFactors, runningFactors } from "./running.js";
import type { KroneckerSettings } from "./settings.js";

export function startKronecker(
  name: string,
  objective: Objective,
  settings: KroneckerSettings & { readonly structure?: Structure },
  preconditionerOf: (running: RunningFactors) => Preconditioner,
): Training {
  const { runtime, key } = objective;
  if (settings.step === "quadratic" && settings.dampingInterval > 0)
    needOneLoss(`${name} with step=quadratic`, objective, "use step=clip, or dampingInterval=0");
  const watch = stopwatch(runtime.clock);
  const running = runningFactors(objective, settings.structure ?? "blockDiagonal", settings.factorStart);
  const preconditioner = preconditionerOf(running);
  const evaluation = compileFactorEvaluation(objective, running, preconditioner, settings);
  const count = runtime.buffer("i32", []);
  const intervals = refreshIntervals(runtime, settings);
  const dampings: Dampings = { lambda: runtime.buffer("f64", []), gamma: runtime.buffer("f64", []) };
  dampings.lambda.data[0] = settings.damping;
  dampings.gamma.data[0] = Math.sqrt(settings.damping);

  let inversion: Inversion | undefined;
  const invert = () => {
    inversion = preconditioner.invert(dampings.gamma.data[0]!);
    watch.lap("inversion");
  };
  const mover: Mover =
    settings.step === "clip"
      ? clippedMover(
          clippedStep(name, objective, evaluation.gradient, preconditioner, count, settings),
          dampings,
        )
      : adaptation({
          objective,
          step: quadraticStep(objective, evaluation.gradient, preconditioner),
          dampings,
          count,
          settings,
          invert,
          watch,
        });

  const estimate = () => {
    const point = evaluation.estimate(intervals.weight);
    if (point.factorsFinite) intervals.estimated();
    return point;
  };

  return {
    state: {
      step: count,
      progress: intervals.state,
      damping: dampings.lambda,
      gamma: dampings.gamma,
      ...running.state,
      ...preconditioner.state,
      ...mover.state,
    },
    coverage: coverageOf(running, preconditioner),
    step(): StepReport {
      watch.start();
      // Dropout and sampled targets depend on the seed and on the number of the update only.
      const update = count.data[0]!;
      key.data[1] = update;
      const due = intervals.estimateIsDue(update);
      const point = due ? estimate() : evaluation.run();
      watch.lap(due ? "curvature" : "evaluation");
      let refreshed = false;
      let outcome: Outcome = { accepted: false, diagnostics: {} };
      if (point.finite) {
        if (due && intervals.inversionIsDue(update)) {
          invert();
          intervals.inverted(update);
          refreshed = true;
          if (evaluation.observe) {
            evaluation.observe();
            watch.lap("curvature");
          }
        }
        // Until a first estimate was finite there is nothing to go by.
        if (intervals.inversions > 0) outcome = mover.move(point);
      }
      if (outcome.accepted) evaluation.keepState();
      count.data[0]!++;
      watch.lap("update");
      const fallback = fallbackOf({
        finite: point.finite,
        factorsFinite: !("factorsFinite" in point) || point.factorsFinite === true,
        raised: refreshed ? inversion!.raised : 0,
        accepted: outcome.accepted,
      });
      const { loss, gradientNorm, finite } = point;
      return {
        loss,
        gradientNorm,
        finite,
        ...(outcome.learningRate !== undefined && { learningRate: outcome.learningRate }),
        evaluations: {
          gradients: 1,
          ...(due && { factors: 1 }),
          ...(outcome.losses && { losses: outcome.losses }),
          ...(outcome.products && { gaussNewtonVectorProducts: outcome.products }),
        },
        diagnostics: {
          damping: dampings.lambda.data[0]!,
          gamma: dampings.gamma.data[0]!,
          accepted: outcome.accepted,
          refreshed,
          ...(refreshed && { factorNorm: factorNorm(running), condition: inversion!.condition }),
          ...(refreshed && inversion!.raised > 0 && { factorsWithRaisedDamping: inversion!.raised }),
          ...(fallback && { fallback }),
          ...outcome.diagnostics,
        },
        seconds: watch.seconds,
      };
    },
    release() {
      const buffers = [count, intervals.state, dampings.lambda, dampings.gamma];
      for (const part of [mover, evaluation, preconditioner, running, ...buffers]) part.release();
    },
  };
}

/** What a step did otherwise than it should, if anything. */
function fallbackOf(given: {
  readonly finite: boolean;
  readonly factorsFinite: boolean;
  readonly raised: number;
  readonly accepted: boolean;
}): string | undefined {
  if (!given.factorsFinite) return "factors were not finite and stay as they were";
  if (!given.finite) return notFinite.fallback;
  if (!given.accepted) return "the step was not finite, or raised the loss too far; it was not taken";
  return given.raised > 0 ? "factors needed more damping to be inverted" : undefined;
}

const clippedMover = (step: ReturnType<typeof clippedStep>, { gamma }: Dampings): Mover => ({
  state: step.state,
  move() {
    const { learningRate, accepted, klScale, updateNorm } = step.move(gamma.data[0]!);
    return { learningRate, accepted, diagnostics: { klScale, updateNorm } };
  },
  release: step.release,
});

/** ‖F‖ of Frobenius of the block-diagonal approximation: ‖A ⊗ G‖ = ‖A‖‖G‖; of a sum at most the sum of norms. */
function factorNorm({ factors }: RunningFactors): number {
  const square = factors.reduce((sum, block) => {
    let norm = 0;
    for (let k = 0; k < block.length; k += 2)
      norm += frobenius(block[k]!) * (block[k + 1] ? frobenius(block[k + 1]!) : 1);
    return sum + norm ** 2;
  }, 0);
  return Math.sqrt(square);
}
