/**
 * A run on disk, complete at every moment: whatever kills the process, the folder can be read and the run resumed.
 *
 *     run.json                 settings and machine, written once (and again when limits are raised)
 *     metrics.jsonl            a line for each evaluation, appended as it happens
 *     checkpoint.safetensors   θ, the optimizer's and the model's state; replaced as a whole
 *     result.json              why the run ended and what it reached
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import * as v from "valibot";
import type { Coverage, Diagnostics } from "../optimizers/optimizer.js";
import { explainFileError, UserError } from "./errors.js";
import { lockFolder } from "./lock.js";
import type { Environment } from "./machine.js";
import { environmentSchema } from "./machine.js";
import { parseJson, type RunSettings, runSettingsSchema, validate } from "./settings.js";
import { type StopReason, stopReasons } from "./stop.js";
import { type Summary, summarySchema, type TallyState, tallySchema } from "./tally.js";
import { decodeTensors, encodeTensors, type NamedArray } from "./tensors.js";

const formatVersion = 1;

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

const counts = v.record(v.string(), v.pipe(v.number(), v.finite(), v.minValue(0)));
const metrics = v.record(v.string(), v.nullable(v.number()));
const step = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const seconds = v.pipe(v.number(), v.finite(), v.minValue(0));

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

const recordSchema = v.object({
  format: v.literal("thalweg-run"),
  version: v.literal(formatVersion),
  created: v.string(),
  settings: runSettingsSchema,
  environment: environmentSchema,
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

/** A run's folder, owned by this process. */
export interface RunStore {
  readonly folder: string;
  readonly settings: RunSettings;
  readonly measurements: readonly Measurement[];
  readonly checkpoint: Checkpoint | undefined;
  append(measurement: Measurement): void;
  saveCheckpoint(checkpoint: Checkpoint): void;
  saveResult(result: RunResult): void;
  close(): void;
}

const files = {
  run: "run.json",
  metrics: "metrics.jsonl",
  checkpoint: "checkpoint.safetensors",
  result: "result.json",
} as const;
/** Whether a run was begun in this folder. */
export const runExists = (folder: string): boolean => existsSync(join(folder, files.run));

const largest = { json: 1 << 20, metrics: 1 << 28, checkpoint: 2 ** 32 };

/**
 * Begins a run in a new or empty folder.
 *
 * @throws UserError when the folder holds something already, cannot be written, or is in use.
 */
export async function createRun(
  folder: string,
  settings: RunSettings,
  environment: Environment,
): Promise<RunStore> {
  makeFolder(folder);
  const release = await lockFolder(folder);
  try {
    const present = readdirSync(folder).filter((name) => name !== "lock");
    if (present.length > 0)
      throw new UserError(
        present.includes(files.run)
          ? `"${folder}" already holds a run; resume it with --resume "${folder}", or choose another folder`
          : `"${folder}" is not empty (it holds "${present[0]}"); choose another folder with --out`,
      );
    writeRecord(folder, settings, environment, new Date().toISOString());
    return store(folder, settings, [], undefined, release);
  } catch (error) {
    release();
    throw explainFileError(error, folder);
  }
}

/**
 * Goes on with a run: measurements after the last checkpoint are dropped, since their steps run again.
 *
 * @throws UserError when the folder holds no run, is damaged, or is in use.
 */
export async function resumeRun(folder: string, limits?: Partial<RunSettings["limits"]>): Promise<RunStore> {
  const first = readRecordFile(folder);
  const release = await lockFolder(folder);
  try {
    const settings = { ...first.settings, limits: { ...first.settings.limits, ...limits } };
    const checkpoint = readCheckpoint(folder);
    const last = checkpoint?.progress.step ?? -1;
    const kept = readMeasurements(folder).filter((measurement) => measurement.step <= last);
    if (limits && Object.keys(limits).length > 0)
      writeRecord(folder, settings, first.environment, first.created);
    replaceFile(join(folder, files.metrics), kept.map((m) => `${JSON.stringify(m)}\n`).join(""));
    rmSync(join(folder, files.result), { force: true });
    return store(folder, settings, kept, checkpoint, release);
  } catch (error) {
    release();
    throw explainFileError(error, folder);
  }
}

/** Reads a run. @throws UserError when there is none, or a file is damaged. */
export function readRun(folder: string): RunRecord {
  const { created, settings, environment } = readRecordFile(folder);
  return {
    folder,
    created,
    settings,
    environment,
    measurements: readMeasurements(folder),
    result: readResult(folder),
  };
}

/** The folder and those above it, made if need be. @throws UserError */
export function makeFolder(folder: string): void {
  // Node's own recursion never ends below /proc, where nothing can be made and nothing says so.
  const missing: string[] = [];
  for (let path = resolve(folder); !existsSync(path); path = dirname(path)) missing.push(path);
  try {
    if (missing.length === 0 && !statSync(folder).isDirectory())
      throw new UserError(`"${folder}" is a file; choose another folder with --out`);
    for (const path of missing.reverse()) if (!existsSync(path)) mkdirSync(path);
  } catch (error) {
    throw explainFileError(error, folder);
  }
}

/**
 * Writes the record that tells what a folder of runs is for, before anything else is in it.
 *
 * @throws UserError when something is.
 */
export function beginFolder(folder: string, file: string, record: object): void {
  const present = readdirSync(folder).filter((name) => name !== "lock");
  if (present.length > 0)
    throw new UserError(
      `"${folder}" is not empty (it holds "${present[0]}"); choose another folder with --out`,
    );
  replaceFile(join(folder, file), `${JSON.stringify(record, undefined, 2)}\n`);
}

function store(
  folder: string,
  settings: RunSettings,
  before: readonly Measurement[],
  checkpoint: Checkpoint | undefined,
  release: () => void,
): RunStore {
  const measurements = [...before];
  const path = join(folder, files.metrics);
  const descriptor = openSync(path, "a");
  const attempt = <T>(file: string, action: () => T): T => {
    try {
      return action();
    } catch (error) {
      throw explainFileError(error, file);
    }
  };
  return {
    folder,
    settings,
    measurements,
    checkpoint,
    append(measurement) {
      attempt(path, () => writeWhole(descriptor, `${JSON.stringify(measurement)}\n`));
      measurements.push(measurement);
    },
    saveCheckpoint({ progress, arrays }) {
      // The measurements that a checkpoint presupposes must not be lost before it.
      attempt(path, () => fsyncSync(descriptor));
      const metadata = { format: "thalweg-checkpoint", version: "1", progress: JSON.stringify(progress) };
      replaceFile(join(folder, files.checkpoint), encodeTensors(arrays, metadata));
    },
    saveResult: (result) =>
      replaceFile(join(folder, files.result), `${JSON.stringify(result, undefined, 2)}\n`),
    close() {
      closeSync(descriptor);
      release();
    },
  };
}

/** Writes a file under another name and renames it: readers see the old one or the new one, never half of it. */
export function replaceFile(path: string, content: string | Uint8Array): void {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  try {
    rmSync(temporary, { force: true });
    const descriptor = openSync(temporary, "wx");
    try {
      writeWhole(descriptor, content);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, path);
  } catch (error) {
    try {
      rmSync(temporary, { force: true });
    } catch {
      // What went wrong first is what is reported.
    }
    throw explainFileError(error, path);
  }
}

function writeWhole(descriptor: number, content: string | Uint8Array): void {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  for (let done = 0; done < bytes.length; ) done += writeSync(descriptor, bytes, done, bytes.length - done);
}

function writeRecord(folder: string, settings: RunSettings, environment: Environment, created: string): void {
  const record = { format: "thalweg-run", version: formatVersion, created, settings, environment };
  replaceFile(join(folder, files.run), `${JSON.stringify(record, undefined, 2)}\n`);
}

function readRecordFile(folder: string) {
  const path = join(folder, files.run);
  const text = readFile(path, largest.json)?.toString("utf8");
  if (text === undefined)
    throw new UserError(
      existsSync(folder)
        ? `"${folder}" holds no run: it has no ${files.run}; name the folder that --out made`
        : `"${folder}" does not exist; name the folder of a run`,
    );
  return validate(recordSchema, parseJson(text, path), path);
}

function readMeasurements(folder: string): Measurement[] {
  const path = join(folder, files.metrics);
  const bytes = readFile(path, largest.metrics);
  if (!bytes) return [];
  const lines = bytes.toString("utf8").split("\n");
  // A line without its end was cut off by whatever ended the process.
  lines.pop();
  const measurements = lines.map((line, index) => {
    const place = `${path}:${index + 1}`;
    const { loss, learningRate, gradientNorm, diagnostics, ...rest } = validate(
      measurementSchema,
      parseJson(line, place),
      place,
    );
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
  const path = join(folder, files.result);
  const text = readFile(path, largest.json)?.toString("utf8");
  if (text === undefined) return undefined;
  const result = validate(resultSchema, parseJson(text, path), path);
  return { ...result, ...(result.test ? { test: numbersOf(result.test) } : {}) } as RunResult;
}

/** The arrays of a run's checkpoint. @throws UserError when there is none yet, or it is damaged. */
export function readArrays(folder: string): readonly NamedArray[] {
  const checkpoint = readCheckpoint(folder);
  if (!checkpoint) throw new UserError(`"${folder}" has no checkpoint yet; let the run go on for a while`);
  return checkpoint.arrays;
}

function readCheckpoint(folder: string): Checkpoint | undefined {
  const path = join(folder, files.checkpoint);
  const bytes = readFile(path, largest.checkpoint);
  if (!bytes) return undefined;
  const { metadata, arrays } = decodeTensors(bytes, path);
  if (metadata.format !== "thalweg-checkpoint" || metadata.progress === undefined)
    throw new UserError(`"${path}" is no checkpoint of a run; delete it to start from the first step`);
  const place = `${path} (progress)`;
  return { progress: validate(progressSchema, parseJson(metadata.progress, place), place), arrays };
}

/** A regular file of a sane size, or undefined when there is none. */
/** The record that tells what a folder is; `absent` is what to say when there is none. @throws UserError */
export function readRecord<S extends v.GenericSchema>(
  path: string,
  schema: S,
  absent: () => string,
): v.InferOutput<S> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw new UserError(absent());
    throw explainFileError(error, path);
  }
  return validate(schema, parseJson(text, path), path);
}

function readFile(path: string, limit: number): Buffer | undefined {
  try {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (!stats) return undefined;
    if (!stats.isFile()) throw new UserError(`"${path}" is not a regular file; move it away`);
    if (stats.size > limit)
      throw new UserError(`"${path}" is damaged: ${stats.size} bytes are more than such a file can have`);
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOTDIR") return undefined;
    throw explainFileError(error, path);
  }
}
