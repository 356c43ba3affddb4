/**
 * A study: one question about optimizers, what the literature expects, points that are measured one by one, and a reading
 * that is computed from them. A study is a list of tasks, each a point; run-study.ts does those that are not done yet.
 */
import type * as v from "valibot";
import type { Runtime } from "../../runtime/runtime.js";
import type { Section } from "../account.js";
import type { Chart } from "../chart.js";
import { validate } from "../files.js";
import type { Problem } from "../problem.js";
import type { RunRecord } from "../run-record.js";
import { median } from "../score.js";
import type { OptimizerSettings, RunSettings } from "../settings.js";

/** quick: a small grid, under a minute on one core; full: within ten. */
export type Extent = "quick" | "full";

/** One row of the data: what was varied and what came out; null where nothing did. */
export type Point = Readonly<Record<string, number | string | boolean | null>>;

export interface Expectation {
  readonly text: string;
  /** Where it is written. */
  readonly source: string;
}

/** Whether the points bear the expectation out; undecided where they are too few. */
export type Verdict = "holds" | "holds in part" | "does not hold" | "undecided";

/** What the points say; every number in it is computed from them. */
export interface Reading {
  readonly verdict: Verdict;
  /** One paragraph. */
  readonly paragraph: string;
  readonly sections: readonly Section[];
  readonly figures: readonly Chart[];
}

/** What a task may use. */
export interface Lab {
  readonly runtime: Runtime;
  readonly seed: number;
  /** A training under a name of its own, recorded: what has ended is not run again. Throws when interrupted. */
  train(
    name: string,
    run: Pick<RunSettings, "seed" | "batch" | "limits" | "evaluateEvery"> & {
      readonly problem: Problem;
      readonly optimizer: OptimizerSettings;
    },
  ): Promise<RunRecord>;
  /** Lets signals in. Throws when one interrupts. */
  pause(): Promise<void>;
}

export interface Task<P extends Point = Point> {
  /** Unique within the study. */
  readonly id: string;
  /** About what it takes on one core: for the time that is left. */
  readonly seconds: number;
  /** @param earlier the points of the tasks before. */
  measure(lab: Lab, earlier: readonly P[]): Promise<P>;
}

export interface Study {
  readonly name: string;
  readonly title: string;
  readonly question: string;
  readonly expectation: Expectation;
  /** What is run, in one or two sentences. */
  readonly method: string;
  /** Meaning and unit of every column. */
  readonly columns: Readonly<Record<string, string>>;
  tasks(extent: Extent): readonly Task[];
  /** A point that was read from a file. @throws UserError */
  check(data: unknown, file: string): Point;
  read(points: readonly Point[]): Reading;
}

interface Definition<S extends v.GenericSchema<unknown, Point>>
  extends Omit<Study, "tasks" | "check" | "read"> {
  readonly schema: S;
  tasks(extent: Extent): readonly Task<v.InferOutput<S>>[];
  read(points: readonly v.InferOutput<S>[]): Reading;
}

/** A study from its definition, whose points have the types of its schema. */
export function defineStudy<S extends v.GenericSchema<unknown, Point>>({
  schema,
  tasks,
  read,
  ...about
}: Definition<S>): Study {
  const check = (data: unknown, file: string): v.InferOutput<S> => validate(schema, data, file);
  const typed = (points: readonly Point[]) => points.map((point) => check(point, about.name));
  return {
    ...about,
    check,
    tasks: (extent) =>
      tasks(extent).map((task) => ({
        ...task,
        measure: (lab, earlier) => task.measure(lab, typed(earlier)),
      })),
    read: (points) => read(typed(points)),
  };
}

/** The verdict on several parts of an expectation; undefined ones could not be told. */
export function verdictOf(parts: readonly (boolean | undefined)[]): Verdict {
  const told = parts.filter((part) => part !== undefined);
  if (told.length === 0) return "undecided";
  if (told.every(Boolean)) return told.length === parts.length ? "holds" : "holds in part";
  return told.some(Boolean) ? "holds in part" : "does not hold";
}

/** Infinity and NaN as a file holds them: nothing. */
export const finiteOrNull = (value: number): number | null => (Number.isFinite(value) ? value : null);

/** Median and range over seeds, a miss being infinite; null where that is no number. */
export const overSeeds = (values: readonly number[]) => ({
  middle: finiteOrNull(median(values)),
  low: finiteOrNull(Math.min(...values)),
  high: finiteOrNull(Math.max(...values)),
});
