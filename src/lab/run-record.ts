/**
 * What the folder of a run tells, to whoever reads it while it is written or after:
 *
 *     run.json                 settings and machine, written once (and again when limits are raised)
 *     metrics.jsonl            a line for each evaluation, appended as it happens
 *     checkpoint.safetensors   θ, the optimizer's and the model's state; replaced as a whole
 *     result.json              why the run ended and what it reached
 *
 * It is complete at every moment. store.ts writes it.
 */
import { join } from "node:path";
import * as v from "valibot";
import type { Coverage, Diagnostics } from "../optimizers/optimizer.js";
import { UserError } from "./errors.js";
import { parseJson, readFile, readJson, validate } from "./files.js";
import { folderRecord } from "./folder-record.js";
import { readLines } from "./lines.js";
import { type Environment, environmentSchema } from "./machine.js";
import { natural, notNegative } from "./numbers.js";
import { type RunSettings, runSettingsSchema } from "./settings.js";
import { type StopReason, stopReasons } from "./stop.js";
import { type Summary, summarySchema, type TallyState, tallySchema } from "./tally.js";
import { decodeTensors, type NamedArray } from "./tensors.js";

/** What was evaluated at one step. */
export interface Measurement {
  readonly step: number;
  /** Seconds of training until here: without compilation, evaluations and files. */
  readonly seconds: number;
  /** Mean training loss of the steps since the previous measurement; absent at step 0. */
  readonly loss?: number | undefined;
  readonly learningRate?: number | undefined;
  readonly gradientNorm?: number | undefined;
  /** Evaluations of each question so far: gradients, losses, Hessian-vector products, … */
  readonly evaluations: Readonly<Record<string, number>>;
  /** Metrics on the test data. */
  readonly test: Readonly<Record<string, number>>;
  /** Seconds by phase so far (tally.ts). */
  readonly phases?: Readonly<Record<string, number>> | undefined;
  /** What the last step told of how it came about. */
  readonly diagnostics?: Diagnostics | undefined;
}

const step = natural;
const seconds = notNegative;
const counts = v.record(v.string(), notNegative);
const metrics = v.record(v.string(), v.nullable(v.number()));

const measurementSchema = v.object({
  step,
  seconds,
  loss: v.optional(v.nullable(v.number())),
  learningRate: v.optional(v.nullable(v.number())),
  gradientNorm: v.optional(v.nullable(v.number())),
  evaluations: counts,
  test: metrics,
  phases: v.optional(counts),
  diagnostics: v.optional(v.record(v.string(), v.nullable(v.union([v.number(), v.string(), v.boolean()])))),
});

/** JSON has no NaN: it writes null, which is read back as NaN. */
const numbersOf = (record: Record<string, number | null>): Record<string, number> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, value ?? Number.NaN]));

/** The same of what a step told. */
const told = (record: Record<string, number | string | boolean | null>): Diagnostics =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, value ?? Number.NaN]));

export interface RunResult {
  readonly reason: StopReason;
  /** The reason as a sentence. */
  readonly message: string;
  readonly steps: number;
  readonly seconds: number;
  /** Seconds spent tracing and compiling before the first step. */
  readonly compileSeconds: number;
  readonly evaluations: Readonly<Record<string, number>>;
  /** The optimizer's settings as they were used, defaults included. */
  readonly settings?: Readonly<Record<string, unknown>> | undefined;
  /** Which parameters the optimizer treated how, where that differs. */
  readonly coverage?: readonly Coverage[] | undefined;
  /** What the steps told: time by phase, ranges of numbers. */
  readonly summary?: Summary | undefined;
  /** The first measurement that met the target. */
  readonly reached?: Measurement | undefined;
  readonly last?: Measurement | undefined;
  /** The step whose loss or gradient was not finite, and that loss as text. */
  readonly diverged?: { readonly step: number; readonly loss: string } | undefined;
  /** Metrics on the test data at the end, where a run is measured on validation data. */
  readonly test?: Readonly<Record<string, number>> | undefined;
}

const coverageSchema = v.object({
  name: v.string(),
  size: step,
  treatment: v.string(),
  orders: v.array(step),
  bytes: step,
  reason: v.string(),
});

const resultSchema = v.object({
  reason: v.picklist(Object.keys(stopReasons) as StopReason[]),
  message: v.string(),
  steps: step,
  seconds,
  compileSeconds: seconds,
  evaluations: counts,
  settings: v.optional(v.record(v.string(), v.union([v.number(), v.string(), v.boolean()]))),
  coverage: v.optional(v.array(coverageSchema)),
  summary: v.optional(summarySchema),
  reached: v.optional(measurementSchema),
  last: v.optional(measurementSchema),
  diverged: v.optional(v.object({ step, loss: v.string() })),
  test: v.optional(metrics),
});

/** How far a run is: what a checkpoint must hold beside the arrays. */
export interface Progress {
  readonly step: number;
  readonly seconds: number;
  readonly compileSeconds: number;
  readonly evaluations: Readonly<Record<string, number>>;
  /** Sum and number of the losses since the last measurement. */
  readonly lossSum: number;
  readonly lossCount: number;
  /** Absent in checkpoints of versions that kept none. */
  readonly tally?: TallyState | undefined;
}
const progressSchema = v.object({
  step,
  seconds,
  compileSeconds: seconds,
  evaluations: counts,
  lossSum: v.number(),
  lossCount: step,
  tally: v.optional(tallySchema),
});

export interface Checkpoint {
  readonly progress: Progress;
  readonly arrays: readonly NamedArray[];
}

/** What a folder holds, read without owning it. */
export interface RunRecord {
  readonly folder: string;
  readonly created: string;
  readonly settings: RunSettings;
  readonly environment: Environment;
  readonly measurements: readonly Measurement[];
  readonly result: RunResult | undefined;
}

const files = {
  metrics: "metrics.jsonl",
  checkpoint: "checkpoint.safetensors",
  result: "result.json",
} as const;
/** Where a run's folder has which file. */
export const pathIn = (folder: string, file: keyof typeof files): string => join(folder, files[file]);

/** run.json */
export const runRecord = folderRecord("run", { settings: runSettingsSchema, environment: environmentSchema });
/** Whether a run was begun in this folder. */
export const runExists = runRecord.exists;

/** Bytes: as much as one memory of a program can hold. */
const largestCheckpoint = 2 ** 32;

/**
 * Reads a run, whether or not it has ended.
 *
 *     readRun("runs/one").measurements.at(-1)?.test.accuracy
 *
 * @throws UserError when there is none, or a file is damaged.
 */
export function readRun(folder: string): RunRecord {
  const { created, settings, environment } = runRecord.read(folder);
  return {
    folder,
    created,
    settings,
    environment,
    measurements: readMeasurements(folder),
    result: readResult(folder),
  };
}

export function readMeasurements(folder: string): Measurement[] {
  const path = pathIn(folder, "metrics");
  const measurements = readLines(path, measurementSchema).map(({ line }): Measurement => {
    const { loss, learningRate, gradientNorm, diagnostics, ...rest } = line;
    return {
      ...rest,
      ...(loss === undefined ? {} : { loss: loss ?? Number.NaN }),
      ...(learningRate == null ? {} : { learningRate }),
      ...(gradientNorm == null ? {} : { gradientNorm }),
      test: numbersOf(rest.test),
      ...(diagnostics ? { diagnostics: told(diagnostics) } : {}),
    };
  });
  measurements.forEach((measurement, index) => {
    if (index > 0 && measurement.step <= measurements[index - 1]!.step)
      throw new UserError(
        `"${path}:${index + 1}" is damaged: step ${measurement.step} follows step ${measurements[index - 1]!.step}; delete that line`,
      );
  });
  return measurements;
}

function readResult(folder: string): RunResult | undefined {
  const result = readJson(pathIn(folder, "result"), resultSchema);
  return result && ({ ...result, ...(result.test ? { test: numbersOf(result.test) } : {}) } as RunResult);
}

/** The arrays of a run's checkpoint. @throws UserError when there is none yet, or it is damaged. */
export function readArrays(folder: string): readonly NamedArray[] {
  const checkpoint = readCheckpoint(folder);
  if (!checkpoint) throw new UserError(`"${folder}" has no checkpoint yet; let the run go on for a while`);
  return checkpoint.arrays;
}

export function readCheckpoint(folder: string): Checkpoint | undefined {
  const path = pathIn(folder, "checkpoint");
  const bytes = readFile(path, largestCheckpoint);
  if (!bytes) return undefined;
  const { metadata, arrays } = decodeTensors(bytes, path);
  if (metadata.format !== "thalweg-checkpoint" || metadata.progress === undefined)
    throw new UserError(`"${path}" is no checkpoint of a run; delete it to start from the first step`);
  const place = `${path} (progress)`;
  return { progress: validate(progressSchema, parseJson(metadata.progress, place), place), arrays };
}
