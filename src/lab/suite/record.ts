/** A suite as its folder holds it: what is measured, every run of it, and the scores that follow. */
import { join } from "node:path";
import * as v from "valibot";
import { UserError } from "../errors.js";
import { folderRecord } from "../folder-record.js";
import { readLines } from "../lines.js";
import { type Environment, environmentSchema } from "../machine.js";
import { finite, notNegative } from "../numbers.js";
import { foldersOf, labelsOf } from "../race.js";
import { type OptimizerSettings, optimizerSettingsSchema } from "../settings.js";
import { type StopReason, stopReasons } from "../stop.js";
import { type Cell, type Standings, standingsOf } from "./performance.js";
import { type SuiteProblem, type SuiteSettings, suiteSettingsSchema } from "./settings.js";

export const suiteRecord = folderRecord("suite", {
  settings: suiteSettingsSchema,
  environment: environmentSchema,
});

const trialSchema = v.strictObject({
  problem: v.string(),
  /** Its label. */
  optimizer: v.string(),
  study: finite,
  trial: v.union([finite, v.literal("fresh")]),
  seed: finite,
  /** With everything that differs from the optimizer's own defaults. */
  settings: optimizerSettingsSchema,
  /** Seconds of steps until the target, the drawing of batches not among them, but playing; null: not reached. */
  seconds: v.nullable(notNegative),
  /** The same with the batches: what limits are counted in. */
  withBatches: v.nullable(notNegative),
  /** Seconds of training that it had. */
  limit: finite,
  trained: finite,
  steps: finite,
  /** Best value of the target's metric; null: none. */
  best: v.nullable(finite),
  /** Of a problem with validation data: the value on the test, at the end. */
  test: v.optional(finite),
  end: v.picklist([...(Object.keys(stopReasons) as StopReason[]), "unusable"]),
  /** Why it could not run. */
  message: v.optional(v.string()),
});
/** One run of a suite. */
export type Trial = v.InferOutput<typeof trialSchema>;

export interface SuiteRecord {
  readonly folder: string;
  readonly created: string;
  readonly settings: SuiteSettings;
  readonly environment: Environment;
  readonly trials: readonly Trial[];
  /** Problems that every optimizer has finished: those that are scored. */
  readonly finished: readonly SuiteProblem[];
  /** Undefined while no problem is finished. */
  readonly standings: Standings | undefined;
}

/** A run that is to be made. */
export interface Slot {
  /** Its folder within that of the suite. */
  readonly path: string;
  readonly problem: SuiteProblem;
  readonly optimizer: OptimizerSettings;
  readonly label: string;
  readonly study: number;
  readonly trial: Trial["trial"];
}

export const trialsOf = (folder: string) => join(folder, "trials.jsonl");

/** Every run of a problem in its order: trials of all optimizers by turns, then the fresh runs of the study. */
export function slotsOf(settings: SuiteSettings, problem: SuiteProblem): Slot[] {
  const labels = labelsOf(settings.optimizers);
  const ids = settings.problems.map(({ id }) => id);
  const [ofProblem, ofOptimizer] = [foldersOf(ids)[ids.indexOf(problem.id)]!, foldersOf(labels)];
  const trials: Trial["trial"][] = [...Array(settings.trials).keys(), "fresh"];
  return [...Array(settings.studies).keys()].flatMap((study) =>
    trials.flatMap((trial) =>
      settings.optimizers.map((optimizer, k) => ({
        path: join(
          ofProblem,
          ofOptimizer[k]!,
          `study-${study}`,
          trial === "fresh" ? trial : `trial-${trial}`,
        ),
        problem,
        optimizer,
        label: labels[k]!,
        study,
        trial,
      })),
    ),
  );
}

export const isSlot = (slot: Slot) => (trial: Trial) =>
  trial.problem === slot.problem.id &&
  trial.optimizer === slot.label &&
  trial.study === slot.study &&
  trial.trial === slot.trial;

/** The trial that reached the target first; of a study where none did, nothing. */
export const bestTrial = (trials: readonly Trial[]): Trial | undefined =>
  trials
    .filter(({ trial, seconds }) => trial !== "fresh" && seconds !== null)
    .toSorted((a, b) => a.seconds! - b.seconds!)[0];

/**
 * A suite as its folder tells it, whether or not it has ended.
 *
 *     readSuite("thalweg-runs/suite").standings   // undefined while no problem is finished
 *
 * @throws UserError when there is none.
 */
export function readSuite(folder: string): SuiteRecord {
  const { created, settings, environment } = suiteRecord.read(folder);
  const labels = labelsOf(settings.optimizers);
  if (!labels.includes(settings.baseline))
    throw new UserError(
      `"${suiteRecord.path(folder)}" is damaged: its baseline is "${settings.baseline}", expected one of ${labels.join(", ")}; restore the file or start a new suite`,
    );
  const trials = readTrials(folder);
  const finished = settings.problems.filter((problem) =>
    slotsOf(settings, problem).every((slot) => trials.some(isSlot(slot))),
  );
  const cells = finished.flatMap(({ id }) => cellsOf(settings, trials, id));
  return {
    folder,
    created,
    settings,
    environment,
    trials,
    finished,
    standings:
      cells.length === 0
        ? undefined
        : standingsOf(cells, { baseline: settings.baseline, seed: settings.seed }),
  };
}

/** What the scores are made of: the seconds of every trial, by study. */
export const cellsOf = (settings: SuiteSettings, trials: readonly Trial[], problem: string): Cell[] =>
  labelsOf(settings.optimizers).map((optimizer) => ({
    optimizer,
    problem,
    studies: [...Array(settings.studies).keys()].map((study) =>
      trials
        .filter(
          (one) =>
            one.problem === problem &&
            one.optimizer === optimizer &&
            one.study === study &&
            one.trial !== "fresh",
        )
        .map(({ seconds }) => seconds ?? Number.POSITIVE_INFINITY),
    ),
  }));

export const readSuiteSettings = (folder: string): SuiteSettings => suiteRecord.read(folder).settings;

export const readTrials = (folder: string): Trial[] =>
  readLines(trialsOf(folder), trialSchema).map(({ line }) => line);
