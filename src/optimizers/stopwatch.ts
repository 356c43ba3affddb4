/** Where the time of a step goes: a report's `seconds`, for methods whose step is more than one program. */
import type { Clock } from "../runtime/clock.js";

/**
 * The parts of a step, and what belongs to each. What is in one program counts as the part that comes last here.
 *
 *     for (const [phase, seconds] of Object.entries(training.step().seconds ?? {})) console.log(phases[phase], seconds);
 */
export const phases = {
  evaluation: "loss and gradient",
  curvature: "factors, diagonals, dense matrices, products of conjugate gradients",
  inversion: "inverses, roots, eigenvectors, linear systems",
  update: "the move of θ",
  search: "losses and gradients at points of a line search or trust region",
} as const;
export type Phase = keyof typeof phases;

export interface Stopwatch {
  /** The step begins. */
  start(): void;
  /** The time since the last lap, or the start, belongs to this part. */
  lap(phase: Phase): void;
  /** Of the step so far. */
  readonly seconds: PhaseSeconds;
}

export type PhaseSeconds = Readonly<Partial<Record<Phase, number>>>;

/**
 *     const watch = stopwatch(objective.runtime.clock);
 *     watch.start();
 *     evaluation.run();
 *     watch.lap("evaluation");
 *     return { …, seconds: watch.seconds };
 */
export function stopwatch(clock: Clock): Stopwatch {
  let laps: Partial<Record<Phase, number>> = {};
  let last = 0;
  return {
    start() {
      laps = {};
      last = clock();
    },
    lap(phase) {
      const time = clock();
      laps[phase] = (laps[phase] ?? 0) + time - last;
      last = time;
    },
    get seconds() {
      return laps;
    },
  };
}
