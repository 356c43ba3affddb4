/**
 * Several optimizers, one problem, one target: who gets there first?
 *
 *     race.json                 what is raced, written first; report.html and scores.json are made of the runs
 *     <optimizer>/seed-<n>/     one run each (store.ts)
 *
 * Runs go one after another, so that none disturbs another's clock, and alternate between optimizers within a seed, so
 * that a machine that grows slower or faster is unfair to nobody. A race is resumed by running it again: finished runs
 * stay, an unfinished one goes on from its checkpoint.
 */
import { join } from "node:path";
import * as v from "valibot";
import type { Coverage } from "../optimizers/optimizer.js";
import type { Runtime } from "../runtime/runtime.js";
import { makeFolder, replaceJson } from "./files.js";
import { folderRecord } from "./folder-record.js";
import { whileLocked } from "./lock.js";
import { describeEnvironment, type Environment, environmentSchema } from "./machine.js";
import { count, seed } from "./numbers.js";
import type { Problem } from "./problem.js";
import { recordedRun } from "./recorded-run.js";
import type { RunStatus } from "./run.js";
import { type RunRecord, readRun, runExists } from "./run-record.js";
import { bestOf, type Outcome, outcomeOf, qualityOf, rank, type Score, scoreOf } from "./score.js";
import {
  engineSettingsSchema,
  limitsSchema,
  optimizerSettingsSchema,
  problemSettingsSchema,
  type RunSettings,
} from "./settings.js";

export const raceSettingsSchema = v.strictObject({
  problem: problemSettingsSchema,
  optimizers: v.pipe(v.array(optimizerSettingsSchema), v.minLength(1), v.maxLength(64)),
  seeds: v.pipe(v.array(seed), v.minLength(1), v.maxLength(1000)),
  batch: count,
  limits: limitsSchema,
  evaluateEvery: count,
  engine: engineSettingsSchema,
});
export type RaceSettings = v.InferOutput<typeof raceSettingsSchema>;

/** race.json */
export const raceRecord = folderRecord("race", {
  settings: raceSettingsSchema,
  environment: environmentSchema,
});

/** One optimizer on one seed. */
export interface Entry {
  readonly label: string;
  readonly seed: number;
  readonly folder: string;
  readonly settings: RunSettings;
}

export interface RaceRecord {
  readonly folder: string;
  readonly created: string;
  readonly settings: RaceSettings;
  readonly environment: Environment;
  readonly entries: readonly { readonly entry: Entry; readonly run: RunRecord | undefined }[];
  /** Best first. */
  readonly scores: readonly Score[];
}

export interface RaceOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onStart?: ((entry: Entry, index: number, total: number) => void) | undefined;
  readonly onProgress?: ((entry: Entry, status: RunStatus) => void) | undefined;
  /** Called once an optimizer's first run is compiled. */
  readonly onCoverage?: ((entry: Entry, coverage: readonly Coverage[]) => void) | undefined;
  readonly onEnd?: ((entry: Entry, outcome: Outcome, run: RunRecord) => void) | undefined;
}

/** A name for each optimizer, unique within the race: "adam", or "adam(learningRate=0.01)" where that differs. */
export function labelsOf(optimizers: RaceSettings["optimizers"]): string[] {
  const names = optimizers.map(({ name }) => name);
  const full = optimizers.map(({ name, settings }) => {
    const alone = names.filter((other) => other === name).length === 1;
    const list = Object.entries(settings).map(([key, value]) => `${key}=${value}`);
    return alone || list.length === 0 ? name : `${name}(${list.join(",")})`;
  });
  return full.map((label, index) => {
    const before = full.slice(0, index).filter((other) => other === label).length;
    return before === 0 ? label : `${label}#${before + 1}`;
  });
}

/** All runs of a race, in the order in which they go. */
export function entriesOf(folder: string, settings: RaceSettings): Entry[] {
  const labels = labelsOf(settings.optimizers);
  const folders = foldersOf(labels);
  return settings.seeds.flatMap((seed) =>
    settings.optimizers.map((optimizer, index) => ({
      label: labels[index]!,
      seed,
      folder: join(folder, folders[index]!, `seed-${seed}`),
      settings: {
        problem: settings.problem,
        optimizer,
        seed,
        batch: settings.batch,
        limits: settings.limits,
        evaluateEvery: settings.evaluateEvery,
        checkpoint: { seconds: 10 },
        engine: settings.engine,
      },
    })),
  );
}

/** A folder for each label, also where two are one but for signs that a folder's name cannot have, or for their ends. */
export const foldersOf = (labels: readonly string[]): string[] =>
  labels.map((label, index) =>
    labels.every((other, k) => k === index || safe(other) !== safe(label))
      ? safe(label)
      : `${safe(label)}-${index + 1}`,
  );

/** A label as the name of a folder. */
export const safe = (label: string) =>
  label
    .replaceAll(/[^a-zA-Z0-9.=-]+/g, "-")
    .replaceAll(/^[-.]+|[-.]+$/g, "")
    .slice(0, 80) || "optimizer";

/**
 * The settings of a race that began in this folder.
 *
 *     await runRace(runtime, problem, folder, readRaceSettings(folder));   // goes on
 *
 * @throws UserError when there is none or it is damaged.
 */
export function readRaceSettings(folder: string): RaceSettings {
  return raceRecord.read(folder).settings;
}

/**
 * A race as its folder tells it, whether or not it has ended.
 *
 *     readRace("thalweg-runs/digits").scores[0]!.label   // the winner so far
 *
 * @throws UserError when there is none or it is damaged.
 */
export function readRace(folder: string): RaceRecord {
  const { created, settings, environment } = raceRecord.read(folder);
  const entries = entriesOf(folder, settings).map((entry) => ({
    entry,
    run: runExists(entry.folder) ? readRun(entry.folder) : undefined,
  }));
  const quality = qualityOf(settings.limits);
  const scores = labelsOf(settings.optimizers).map((label) => {
    const own = entries.filter(({ entry }) => entry.label === label).map(({ run }) => run);
    return scoreOf(
      label,
      own.map((run) => outcomeOf(run?.result)),
      own.map((run) => bestOf(run?.measurements ?? [], quality)),
    );
  });
  return { folder, created, settings, environment, entries, scores: rank(scores, quality) };
}

/**
 * Runs a race, or what is left of one, in its folder.
 *
 *     const problem = openProblem({ name: "digits-mlp", options: {} });
 *     const { scores } = await runRace(runtime, problem, "races/digits", settings);
 *
 * @throws UserError when the folder holds something else or cannot be written.
 */
export async function runRace(
  runtime: Runtime,
  problem: Problem,
  folder: string,
  settings: RaceSettings,
  options: RaceOptions = {},
): Promise<RaceRecord> {
  makeFolder(folder);
  return whileLocked(folder, async () => {
    if (!raceRecord.exists(folder))
      raceRecord.begin(folder, { settings, environment: describeEnvironment(runtime) });
    const entries = entriesOf(folder, settings);
    for (const [index, entry] of entries.entries()) {
      if (options.signal?.aborted) break;
      options.onStart?.(entry, index, entries.length);
      const run = await recordedRun(runtime, problem, entry.folder, entry.settings, {
        signal: options.signal,
        onProgress: (status) => options.onProgress?.(entry, status),
        onSession({ coverage }) {
          if (coverage && entry.seed === settings.seeds[0]) options.onCoverage?.(entry, coverage);
        },
      });
      options.onEnd?.(entry, outcomeOf(run.result), run);
    }
    const race = readRace(folder);
    replaceJson(join(folder, "scores.json"), race.scores);
    return race;
  });
}
