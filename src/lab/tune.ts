/**
 * Settings by search: trials of equal budgets at quasi-random points of given ranges, the first at the given settings
 * themselves. A trial is ended early when, at some measurement, its best value so far is worse than the median of the
 * others' at that step (the median rule of Golovin et al. 2017, "Google Vizier").
 *
 *     tune.json                   what is searched, written first
 *     trial-<k>/seed-<n>/         one run each (store.ts); trial 0 is the given settings
 *     sensitivity/<setting>-<k>/  runs with one setting moved through its range, the others at the best trial's
 *
 * A search is resumed by running it again: trials that have ended stay.
 */
import { join } from "node:path";
import * as v from "valibot";
import type { Runtime } from "../runtime/runtime.js";
import { makeFolder } from "./files.js";
import { folderRecord } from "./folder-record.js";
import { whileLocked } from "./lock.js";
import { count, finite, natural } from "./numbers.js";
import type { Problem } from "./problem.js";
import { recordedRun } from "./recorded-run.js";
import type { RunStatus } from "./run.js";
import { type Measurement, type RunRecord, readRun, runExists } from "./run-record.js";
import { bestOf, median, outcomeOf, type Quality, qualityOf, rank, type Score, scoreOf } from "./score.js";
import { searchPoints } from "./search.js";
import {
  engineSettingsSchema,
  limitsSchema,
  type OptimizerSettings,
  optimizerSettingsSchema,
  problemSettingsSchema,
  type RunSettings,
} from "./settings.js";

const rangeSchema = v.strictObject({
  from: finite,
  to: finite,
  scale: v.picklist(["log", "complement", "linear"]),
  whole: v.optional(v.boolean()),
});

export const tuneSettingsSchema = v.strictObject({
  problem: problemSettingsSchema,
  /** With what stays fixed. */
  optimizer: optimizerSettingsSchema,
  ranges: v.record(v.string(), rangeSchema),
  /** Points beside the given settings. */
  trials: natural,
  searchSeed: natural,
  seeds: v.pipe(v.array(natural), v.minLength(1)),
  batch: count,
  limits: limitsSchema,
  evaluateEvery: count,
  /** Whether hopeless trials are ended early. */
  stopsEarly: v.boolean(),
  engine: engineSettingsSchema,
});
export type TuneSettings = v.InferOutput<typeof tuneSettingsSchema>;

/** tune.json */
export const tuneRecord = folderRecord("tune", { settings: tuneSettingsSchema }, "search");

export interface Trial {
  /** 0: the given settings. */
  readonly index: number;
  /** What differs from them. */
  readonly point: Readonly<Record<string, number>>;
  readonly optimizer: OptimizerSettings;
  readonly runs: readonly RunRecord[];
  readonly score: Score;
  /** Whether a run of it was ended early. */
  readonly hopeless: boolean;
}

export interface TuneRecord {
  readonly folder: string;
  readonly settings: TuneSettings;
  /** Best first; those that were not run yet are missing. */
  readonly trials: readonly Trial[];
}

export interface TuneOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onStart?: ((label: string, index: number, total: number) => void) | undefined;
  readonly onProgress?: ((status: RunStatus) => void) | undefined;
  readonly onEnd?: ((label: string, run: RunRecord) => void) | undefined;
}

interface Point {
  readonly index: number;
  readonly point: Readonly<Record<string, number>>;
  readonly optimizer: OptimizerSettings;
}

function pointsOf({ optimizer, ranges, trials, searchSeed }: TuneSettings): Point[] {
  return [{}, ...searchPoints(ranges, trials, searchSeed)].map((point, index) => ({
    index,
    point,
    optimizer: { ...optimizer, settings: { ...optimizer.settings, ...point } },
  }));
}

const trialFolder = (folder: string, index: number, seed: number) =>
  join(folder, `trial-${index}`, `seed-${seed}`);

/** "learningRate=0.003162 damping=0.1"; of trial 0, "as given". */
export const describePoint = (point: Readonly<Record<string, number>>): string =>
  Object.entries(point)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ") || "as given";

export const runSettingsOf = (
  settings: TuneSettings,
  optimizer: OptimizerSettings,
  seed: number,
): RunSettings => ({
  problem: settings.problem,
  optimizer,
  seed,
  batch: settings.batch,
  limits: settings.limits,
  evaluateEvery: settings.evaluateEvery,
  checkpoint: { seconds: 10 },
  engine: settings.engine,
});

/**
 * Runs a search, or what is left of one, in its folder.
 *
 *     const { trials } = await tune(runtime, problem, "searches/adam", settings);
 *     trials[0]!.point;   // of the best
 *
 * @throws UserError when the folder holds something else or cannot be written; SettingsError for unusable settings.
 */
export async function tune(
  runtime: Runtime,
  problem: Problem,
  folder: string,
  settings: TuneSettings,
  options: TuneOptions = {},
): Promise<TuneRecord> {
  makeFolder(folder);
  return whileLocked(folder, async () => {
    if (!tuneRecord.exists(folder)) tuneRecord.begin(folder, { settings });
    const quality = qualityOf(settings.limits);
    const points = pointsOf(settings);
    const total = points.length * settings.seeds.length;
    for (const { index, point, optimizer } of points)
      for (const [which, seed] of settings.seeds.entries()) {
        if (options.signal?.aborted) break;
        const label = `trial ${index}: ${describePoint(point)}`;
        options.onStart?.(label, index * settings.seeds.length + which, total);
        const others = points
          .filter((other) => other.index < index && runExists(trialFolder(folder, other.index, seed)))
          .map((other) => readRun(trialFolder(folder, other.index, seed)));
        const run = await recordedRun(
          runtime,
          problem,
          trialFolder(folder, index, seed),
          runSettingsOf(settings, optimizer, seed),
          {
            signal: options.signal,
            onProgress: options.onProgress,
            ...(settings.stopsEarly && {
              isHopeless: (measurements) => isHopeless(measurements, others, settings.limits.steps, quality),
            }),
          },
        );
        options.onEnd?.(label, run);
      }
    return readTune(folder);
  });
}

/** Trials before the median says anything, and the share of the budget that every trial has. */
const [fewest, grace] = [3, 0.25];

/** Whether the best value so far is worse than the median of the others' best at the same step. */
export function isHopeless(
  measurements: readonly Measurement[],
  others: readonly Pick<RunRecord, "measurements" | "result">[],
  steps: number,
  quality: Quality,
): boolean {
  const step = measurements.at(-1)?.step ?? 0;
  if (others.length < fewest || step < grace * steps) return false;
  const sign = quality.goal === "min" ? 1 : -1;
  const cost = (list: readonly Measurement[]) => {
    const best = sign * bestOf(list, quality);
    return Number.isNaN(best) ? Number.POSITIVE_INFINITY : best;
  };
  const theirs = others.map(({ measurements: list, result }) =>
    result?.reason === "diverged" ? Number.POSITIVE_INFINITY : cost(list.filter((m) => m.step <= step)),
  );
  return cost(measurements) > median(theirs);
}

/** A search as its folder tells it, whether or not it has ended. @throws UserError when there is none. */
export function readTune(folder: string): TuneRecord {
  const { settings } = tuneRecord.read(folder);
  const quality = qualityOf(settings.limits);
  const trials = pointsOf(settings).flatMap(({ index, point, optimizer }) => {
    const runs = settings.seeds
      .map((seed) => trialFolder(folder, index, seed))
      .filter(runExists)
      .map(readRun);
    if (runs.length === 0) return [];
    const score = scoreOf(
      `trial ${index}`,
      runs.map((run) => outcomeOf(run.result)),
      runs.map((run) => bestOf(run.measurements, quality)),
    );
    return [
      { index, point, optimizer, runs, score, hopeless: runs.some((r) => r.result?.reason === "hopeless") },
    ];
  });
  const order = rank(
    trials.map(({ score }) => score),
    quality,
  );
  return {
    folder,
    settings,
    trials: order.map((score) => trials.find((trial) => trial.score === score)!),
  };
}
