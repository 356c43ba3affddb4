/**
 * A study in its folder, complete at every moment:
 *
 *     study.json          which study, how large, on which machine; written first
 *     points.jsonl        a line for each point, as it is measured
 *     runs/<task>/        one training each (store.ts)
 *
 * A study that was killed goes on where it was: points that are there stay, and so do trainings that have ended.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import type { Runtime } from "../../runtime/runtime.js";
import { makeFolder } from "../files.js";
import { folderRecord } from "../folder-record.js";
import { appendLine, readLines } from "../lines.js";
import { whileLocked } from "../lock.js";
import { describeEnvironment, type Environment, environmentSchema } from "../machine.js";
import { natural } from "../numbers.js";
import { safe } from "../race.js";
import { recordedRun } from "../recorded-run.js";
import type { RunStatus } from "../run.js";
import { engineSettingsSchema } from "../settings.js";
import type { Lab, Point, Reading, Study, Task } from "./study.js";

export const studySettingsSchema = v.strictObject({
  study: v.pipe(v.string(), v.maxLength(64)),
  extent: v.picklist(["quick", "full"]),
  seed: v.pipe(natural, v.maxValue(2 ** 30)),
  engine: engineSettingsSchema,
});
export type StudySettings = v.InferOutput<typeof studySettingsSchema>;

/** study.json */
export const studyRecord = folderRecord("study", {
  settings: studySettingsSchema,
  environment: environmentSchema,
});
const lineSchema = v.strictObject({ task: v.string(), point: v.unknown() });

export interface StudyRecord {
  readonly folder: string;
  readonly created: string;
  readonly settings: StudySettings;
  readonly environment: Environment;
  readonly study: Study;
  readonly points: readonly Point[];
  /** Tasks without a point. */
  readonly left: number;
  readonly reading: Reading;
}

export interface StudyOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onStart?: ((task: Task, index: number) => void) | undefined;
  readonly onProgress?: ((task: Task, status: RunStatus) => void) | undefined;
  readonly onEnd?: ((task: Task, point: Point) => void) | undefined;
}

/**
 * Measures the points of a study that its folder does not hold yet.
 *
 *     await runStudy(runtime, "studies/condition", condition, { study: "condition", extent: "quick", seed: 0, engine: {} });
 *
 * @throws UserError when the folder holds something else or cannot be written.
 */
export async function runStudy(
  runtime: Runtime,
  folder: string,
  study: Study,
  settings: StudySettings,
  options: StudyOptions = {},
): Promise<StudyRecord> {
  makeFolder(folder);
  return whileLocked(folder, async () => {
    if (!studyRecord.exists(folder))
      studyRecord.begin(folder, { settings, environment: describeEnvironment(runtime) });
    const lines = [...readPoints(folder, study)];
    const tasks = study.tasks(settings.extent);
    for (const [index, task] of tasks.entries()) {
      if (lines.some((line) => line.task === task.id)) continue;
      if (options.signal?.aborted) break;
      options.onStart?.(task, index);
      const lab = labFor(runtime, folder, settings, options.signal, (status) =>
        options.onProgress?.(task, status),
      );
      const point = await unlessInterrupted(
        task.measure(
          lab,
          lines.map((line) => line.point),
        ),
      );
      if (point === interrupted) break;
      const line = { task: task.id, point };
      lines.push(line);
      appendLine(pointsOf(folder), line);
      options.onEnd?.(task, point);
    }
    return readStudy(folder, study);
  });
}

/** points.jsonl */
export const pointsOf = (folder: string): string => join(folder, "points.jsonl");

const interrupted = Symbol("interrupted");
class Interruption extends Error {
  override readonly name = "Interruption";
}
const unlessInterrupted = async <T>(work: Promise<T>): Promise<T | typeof interrupted> => {
  try {
    return await work;
  } catch (error) {
    if (error instanceof Interruption) return interrupted;
    throw error;
  }
};

function labFor(
  runtime: Runtime,
  folder: string,
  { seed, engine }: StudySettings,
  signal: AbortSignal | undefined,
  onProgress: (status: RunStatus) => void,
): Lab {
  return {
    runtime,
    seed,
    async train(name, { problem, ...run }) {
      const path = join(folder, "runs", safe(name));
      const record = await recordedRun(
        runtime,
        problem,
        path,
        { ...run, problem: problem.settings, checkpoint: { seconds: 10 }, engine },
        { signal, onProgress },
      );
      if (!record.result || record.result.reason === "interrupted") throw new Interruption();
      // Nothing goes on from here.
      rmSync(join(path, "checkpoint.safetensors"), { force: true });
      return record;
    },
    async pause() {
      await new Promise((resolve) => setImmediate(resolve));
      if (signal?.aborted) throw new Interruption();
    },
  };
}

/**
 * A study as its folder tells it, whether or not it has ended.
 *
 *     readStudy("studies/condition", findStudy("condition")).reading.paragraph
 *
 * @throws UserError when there is none.
 */
export function readStudy(folder: string, study: Study): StudyRecord {
  const { created, settings, environment } = studyRecord.read(folder);
  const lines = readPoints(folder, study);
  const points = lines.map(({ point }) => point);
  const left = study.tasks(settings.extent).filter(({ id }) => !lines.some(({ task }) => task === id)).length;
  return { folder, created, settings, environment, study, points, left, reading: study.read(points) };
}

/** @throws UserError when the folder holds no study. */
export const readStudySettings = (folder: string): StudySettings => studyRecord.read(folder).settings;

const readPoints = (folder: string, study: Study): readonly { task: string; point: Point }[] =>
  readLines(pointsOf(folder), lineSchema).map(({ line: { task, point }, place }) => ({
    task,
    point: study.check(point, place),
  }));
