/** What a race measured, by optimizer: cost to the target over seeds, and who won. */
import type { Measurement, RunResult } from "./run-record.js";
import type { Limits, Target } from "./settings.js";

/** How one run of a race ended. */
export type Outcome =
  | {
      readonly kind: "reached";
      readonly seconds: number;
      readonly steps: number;
      readonly gradients: number;
    }
  | { readonly kind: "missed"; readonly steps: number; readonly seconds: number }
  | { readonly kind: "diverged"; readonly step: number }
  | { readonly kind: "unfinished" };

/**
 * How a run ended; what has no result yet, or was interrupted, is unfinished.
 *
 *     outcomeOf(readRun("runs/cnn").result)   // { kind: "reached", seconds: …, steps: …, gradients: … }
 */
export function outcomeOf(result: RunResult | undefined): Outcome {
  if (!result || result.reason === "interrupted") return { kind: "unfinished" };
  if (result.reached) {
    const { seconds, step: steps, evaluations } = result.reached;
    return { kind: "reached", seconds, steps, gradients: evaluations.gradients ?? 0 };
  }
  if (result.diverged) return { kind: "diverged", step: result.diverged.step };
  return { kind: "missed", steps: result.steps, seconds: result.seconds };
}

/** What is compared where no run arrived: a metric, and whether larger or smaller is better. */
export type Quality = Pick<Target, "metric" | "goal">;

/** The target's metric; without a target, the test loss, or what stands for it where the problem measures none. */
export const qualityOf = ({ target, quality }: Limits): Quality =>
  target ?? quality ?? { metric: "loss", goal: "min" };

/** The best value that was measured; NaN when there is none. */
export function bestOf(measurements: readonly Measurement[], { metric, goal }: Quality): number {
  const values = measurements.map(({ test }) => test[metric]!).filter(Number.isFinite);
  // A long run has more measurements than a call may have arguments.
  return values.reduce((a, b) => ((goal === "min" ? b < a : b > a) ? b : a), values[0] ?? Number.NaN);
}

export interface Statistic {
  /** Infinite when at least half of the runs never arrived. */
  readonly median: number;
  /** Over the runs that arrived. */
  readonly low: number;
  readonly high: number;
}

export interface Score {
  /** The optimizer's label in this race. */
  readonly label: string;
  readonly runs: number;
  readonly reached: number;
  readonly missed: number;
  readonly diverged: number;
  readonly unfinished: number;
  readonly seconds: Statistic;
  readonly steps: Statistic;
  readonly gradients: Statistic;
  /** Median over runs of the best value of the quality; NaN when nothing was measured. */
  readonly best: number;
}

/** The middle value; of an even number, the mean of the two in the middle. Infinity counts as the largest. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * The score of one optimizer. Every finished run counts: one that never arrived needed infinite time, so that the
 * median says what a typical seed needs, not what the lucky ones needed.
 *
 *     scoreOf("adam", runs.map(({ result }) => outcomeOf(result)), [0.971, 0.968])
 */
export function scoreOf(label: string, outcomes: readonly Outcome[], bests: readonly number[]): Score {
  const finished = outcomes.filter((outcome) => outcome.kind !== "unfinished");
  const statistic = (of: (outcome: Extract<Outcome, { kind: "reached" }>) => number): Statistic => {
    const values = finished.map((o) => (o.kind === "reached" ? of(o) : Number.POSITIVE_INFINITY));
    const arrived = values.filter(Number.isFinite);
    return {
      median: median(values),
      low: arrived.length > 0 ? Math.min(...arrived) : Number.NaN,
      high: arrived.length > 0 ? Math.max(...arrived) : Number.NaN,
    };
  };
  const count = (kind: Outcome["kind"]) => outcomes.filter((outcome) => outcome.kind === kind).length;
  return {
    label,
    runs: outcomes.length,
    reached: count("reached"),
    missed: count("missed"),
    diverged: count("diverged"),
    unfinished: count("unfinished"),
    seconds: statistic((o) => o.seconds),
    steps: statistic((o) => o.steps),
    gradients: statistic((o) => o.gradients),
    best: median(bests.filter(Number.isFinite)),
  };
}

/**
 * Best first: by median time to the target, then by how many runs arrived, then by the best value; those without a
 * finished run come last.
 *
 *     rank(scores, { metric: "accuracy", goal: "max" })[0]!.label
 */
export function rank(scores: readonly Score[], { goal }: Quality): Score[] {
  const last = (value: number) => (Number.isNaN(value) ? Number.POSITIVE_INFINITY : value);
  const order = (a: number, b: number) => (a === b ? 0 : a < b ? -1 : 1);
  const sign = goal === "min" ? 1 : -1;
  return [...scores].sort(
    (a, b) =>
      order(Number(a.runs === a.unfinished), Number(b.runs === b.unfinished)) ||
      order(last(a.seconds.median), last(b.seconds.median)) ||
      b.reached - a.reached ||
      order(last(sign * a.best), last(sign * b.best)) ||
      a.diverged - b.diverged,
  );
}

/**
 * "3 of 3", "2 of 3, 1 diverged", "0 of 3, 3 not reached".
 *
 *     console.log(`${score.label}: ${describeReached(score)}`);
 */
export const describeReached = (score: Score): string =>
  [
    `${score.reached} of ${score.runs}`,
    ...(score.diverged > 0 ? [`${score.diverged} diverged`] : []),
    ...(score.missed > 0 ? [`${score.missed} not reached`] : []),
    ...(score.unfinished > 0 ? [`${score.unfinished} unfinished`] : []),
  ].join(", ");

/** The same without a target: "3 of 3", "2 of 3, 1 diverged". */
export const describeFinished = (score: Score): string =>
  [
    `${score.reached + score.missed} of ${score.runs}`,
    ...(score.diverged > 0 ? [`${score.diverged} diverged`] : []),
    ...(score.unfinished > 0 ? [`${score.unfinished} unfinished`] : []),
  ].join(", ");
