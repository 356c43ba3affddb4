/**
 * What the steps of a run told, added up as they come: seconds by phase, the range and the median of every number, how
 * often every word and flag. Its size does not depend on the number of steps, and a resumed run goes on with it.
 */
import * as v from "valibot";
import type { StepReport } from "../optimizers/optimizer.js";
import { phases as stepPhases } from "../optimizers/stopwatch.js";
import { observe, type RunningMedian, rangeOf, runningMedian } from "./median.js";
import { count, finite, notNegative } from "./numbers.js";

/** Where the time of a run goes, in the order in which it is shown. */
export const phases = {
  compile: "tracing and compiling",
  batches: "loading batches",
  step: "the rest of a step: where it is one program, loss, gradient and update",
  ...stepPhases,
  test: "metrics on the test data",
  files: "checkpoints and records",
} as const;
export type Phase = keyof typeof phases;

/** Those that are steps of training: what the clock of a run counts. */
export const trainingPhases = ["batches", "step", ...(Object.keys(stepPhases) as Phase[])];

export interface NumberSummary {
  /** Steps that told a finite number. */
  readonly count: number;
  readonly least: number;
  /** Estimated (median.ts) when there were more than five. */
  readonly median: number;
  readonly most: number;
  readonly last: number;
}

export interface Summary {
  /** Seconds. */
  readonly phases: Readonly<Record<string, number>>;
  readonly numbers: Readonly<Record<string, NumberSummary>>;
  /** Of each word and flag, in how many steps it had which value. */
  readonly words: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

const seconds = v.record(v.string(), notNegative);
const words = v.record(v.string(), v.record(v.string(), count));

export const summarySchema = v.object({
  phases: seconds,
  numbers: v.record(
    v.string(),
    v.object({ count, least: finite, median: finite, most: finite, last: finite }),
  ),
  words,
});

/** As a checkpoint holds it. */
export const tallySchema = v.object({
  phases: seconds,
  numbers: v.record(
    v.string(),
    v.object({
      last: finite,
      count,
      heights: v.pipe(v.array(finite), v.maxLength(5)),
      positions: v.pipe(v.array(count), v.length(5)),
    }),
  ),
  words,
});
export type TallyState = v.InferOutput<typeof tallySchema>;

export interface Tally {
  /** Of the run so far. */
  readonly state: TallyState;
  /** One step, which took so many seconds in all, its batch not counted. */
  step(report: StepReport, seconds: number): void;
  spend(phase: Phase, seconds: number): void;
  summary(): Summary;
}

/**
 *     const tally = createTally(checkpoint?.progress.tally);
 *     tally.step(training.step(), seconds);
 *     tally.summary().numbers.damping;   // { count, least, median, most, last }
 */
export function createTally(saved?: TallyState): Tally {
  const state: TallyState = structuredClone(saved ?? { phases: {}, numbers: {}, words: {} });
  const spend = (phase: Phase, time: number) => {
    state.phases[phase] = (state.phases[phase] ?? 0) + time;
  };
  const number = (name: string, value: number) => {
    if (!Number.isFinite(value)) return word(name, String(value));
    state.numbers[name] ??= { last: value, ...runningMedian() };
    const entry: RunningMedian & { last: number } = state.numbers[name];
    entry.last = value;
    observe(entry, value);
  };
  const word = (name: string, value: string) => {
    state.words[name] ??= {};
    const values = state.words[name];
    values[value] = (values[value] ?? 0) + 1;
  };
  return {
    state,
    spend,
    step(report, time) {
      let rest = time;
      for (const phase in report.seconds) {
        const spent = report.seconds[phase as keyof typeof stepPhases]!;
        spend(phase as Phase, spent);
        rest -= spent;
      }
      spend("step", Math.max(0, rest));
      if (report.learningRate !== undefined) number("learningRate", report.learningRate);
      if (report.gradientNorm !== undefined) number("gradientNorm", report.gradientNorm);
      for (const name in report.diagnostics) {
        const value = report.diagnostics[name];
        if (typeof value === "number") number(name, value);
        else if (value !== undefined) word(name, String(value));
      }
    },
    summary: () => ({
      phases: { ...state.phases },
      numbers: Object.fromEntries(
        Object.entries(state.numbers).map(([name, entry]) => [
          name,
          { count: entry.count, ...rangeOf(entry), last: entry.last },
        ]),
      ),
      words: structuredClone(state.words),
    }),
  };
}
