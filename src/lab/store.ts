/** A run's folder (run-record.ts) as the process that trains owns it: begun or gone on with, and written as it goes. */
import { closeSync, fsyncSync, openSync, rmSync } from "node:fs";
import { explainFileError } from "./errors.js";
import { makeFolder, replaceFile, replaceJson, writeWhole } from "./files.js";
import { lineOf, replaceLines } from "./lines.js";
import { lockFolder } from "./lock.js";
import type { Environment } from "./machine.js";
import {
  type Checkpoint,
  type Measurement,
  pathIn,
  type RunResult,
  readCheckpoint,
  readMeasurements,
  runRecord,
} from "./run-record.js";
import type { Limits, RunSettings } from "./settings.js";
import { encodeTensors } from "./tensors.js";

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

/**
 * Begins a run in a new or empty folder, which is this process's until `close`.
 *
 *     const store = await createRun("runs/one", settings, describeEnvironment(runtime));
 *     try { await train(store, session); } finally { store.close(); }
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
    runRecord.begin(folder, { settings, environment });
    return store(folder, settings, [], undefined, release);
  } catch (error) {
    release();
    throw explainFileError(error, folder);
  }
}

/**
 * Goes on with a run: measurements after the last checkpoint are dropped, since their steps run again. What limits do not
 * name stays; a target that is named and undefined is none.
 *
 *     const store = await resumeRun("runs/one", { steps: 4000 });
 *
 * @throws UserError when the folder holds no run, is damaged, or is in use.
 */
export async function resumeRun(
  folder: string,
  limits?: { readonly [K in keyof Limits]?: Limits[K] | undefined },
): Promise<RunStore> {
  const first = runRecord.read(folder);
  const release = await lockFolder(folder);
  try {
    const settings = { ...first.settings, limits: { ...first.settings.limits, ...limits } as Limits };
    const checkpoint = readCheckpoint(folder);
    const last = checkpoint?.progress.step ?? -1;
    const kept = readMeasurements(folder).filter((measurement) => measurement.step <= last);
    if (limits && Object.keys(limits).length > 0)
      runRecord.replace(folder, first.created, { settings, environment: first.environment });
    replaceLines(pathIn(folder, "metrics"), kept);
    rmSync(pathIn(folder, "result"), { force: true });
    return store(folder, settings, kept, checkpoint, release);
  } catch (error) {
    release();
    throw explainFileError(error, folder);
  }
}

function store(
  folder: string,
  settings: RunSettings,
  before: readonly Measurement[],
  checkpoint: Checkpoint | undefined,
  release: () => void,
): RunStore {
  const measurements = [...before];
  const path = pathIn(folder, "metrics");
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
      attempt(path, () => writeWhole(descriptor, lineOf(measurement)));
      measurements.push(measurement);
    },
    saveCheckpoint({ progress, arrays }) {
      // The measurements that a checkpoint presupposes must not be lost before it.
      attempt(path, () => fsyncSync(descriptor));
      const metadata = { format: "thalweg-checkpoint", version: "1", progress: JSON.stringify(progress) };
      replaceFile(pathIn(folder, "checkpoint"), encodeTensors(arrays, metadata));
    },
    saveResult: (result) => replaceJson(pathIn(folder, "result"), result),
    close() {
      closeSync(descriptor);
      release();
    },
  };
}
