/** What a race measured, by optimizer: cost to the target over seeds, and who won. */
import type { RunResult } from "./store.js";

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

export function outcomeOf(result: RunResult | undefined): Outcome {
  if (!result || result.reason === "interrupted") return { kind: "unfinished" };
  if (result.reached) {
    const { seconds, step: steps, evaluations } = result.reached;
    return { kind: "reached", seconds, steps, gradients: evaluations.gradients ?? 0 };
  }
  if (result.diverged) return { kind: "diverged", step: result.diverged.step };
  return { kind: "missed", steps: result.steps, seconds: result.seconds };
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
 */
export function scoreOf(label: string, outcomes: readonly Outcome[]): Score {
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
  };
}

/** Best first: by median time to the target, then by how many runs arrived; those without a finished run come last. */
export function rank(scores: readonly Score[]): Score[] {
  const key = (score: Score) =>
    Number.isNaN(score.seconds.median) ? Number.MAX_VALUE : score.seconds.median;
  const order = (a: number, b: number) => (a === b ? 0 : a < b ? -1 : 1);
  return [...scores].sort(
    (a, b) =>
      order(a.runs === a.unfinished ? 1 : 0, b.runs === b.unfinished ? 1 : 0) ||
      order(key(a), key(b)) ||
      b.reached - a.reached ||
      a.diverged - b.diverged,
  );
}

/** "3 of 3", "2 of 3, 1 diverged", "0 of 3, 3 not reached". */
export function describeReached(score: Score): string {
  return [
    `${score.reached} of ${score.runs}`,
    ...(score.diverged > 0 ? [`${score.diverged} diverged`] : []),
    ...(score.missed > 0 ? [`${score.missed} not reached`] : []),
    ...(score.unfinished > 0 ? [`${score.unfinished} unfinished`] : []),
  ].join(", ");
}
