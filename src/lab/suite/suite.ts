/**
 * The table: every optimizer on every problem, tuned alike. On each problem an optimizer has some studies. A study is a
 * number of trials, the first with the settings that suit the problem, the others at quasi-random points of the
 * catalogue's ranges; then its best trial's settings run once more on a seed that no trial saw.
 *
 *     suite.json                                      what is measured, written first
 *     trials.jsonl                                    a line a run, as they end
 *     <problem>/<optimizer>/study-<s>/trial-<k>/      one run each (store.ts); the last one is "fresh"
 *
 * What counts is the seconds of steps until the target on held-out data: batches, evaluations, files and compilation are in
 * nobody's time, nor are the first steps of a method on a problem (`warmUp`); where a policy learns by playing, that is. Since only the best trial of a study counts, a trial may take no longer than the best before it.
 * Runs go one after another and alternate between optimizers. A suite that was killed goes on where it was.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { findMethod } from "../../optimizers/registry.js";
import { clocks } from "../../runtime/clock.js";
import type { Runtime } from "../../runtime/runtime.js";
import { makeFolder } from "../files.js";
import { appendLine } from "../lines.js";
import { whileLocked } from "../lock.js";
import { describeEnvironment } from "../machine.js";
import type { Problem } from "../problem.js";
import { loadProblem } from "../problems/registry.js";
import { recordedRun } from "../recorded-run.js";
import type { RunStatus } from "../run.js";
import type { Measurement } from "../run-record.js";
import { bestOf } from "../score.js";
import { rangesOf, searchPoints } from "../search.js";
import { openSession, suggestedFor } from "../session.js";
import type { OptimizerSettings, RunSettings } from "../settings.js";
import {
  bestTrial,
  isSlot,
  readSuite,
  readTrials,
  type Slot,
  type SuiteRecord,
  slotsOf,
  suiteRecord,
  type Trial,
  trialsOf,
} from "./record.js";
import { evaluateShare, runsOfCell, type SuiteProblem, type SuiteSettings } from "./settings.js";

export interface SuiteOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProblem?: ((problem: SuiteProblem, summary: string) => void) | undefined;
  readonly onStart?: ((slot: Slot, done: number, total: number) => void) | undefined;
  readonly onProgress?: ((slot: Slot, status: RunStatus) => void) | undefined;
  readonly onEnd?: ((trial: Trial) => void) | undefined;
}

/**
 * Runs a suite, or what is left of one, in its folder. A runtime is opened for each problem.
 *
 *     const { standings } = await runSuite(() => createRuntime({ threads: 1 }), "suites/one", settings);
 *
 * @throws UserError when the folder holds something else or cannot be written.
 */
export async function runSuite(
  openRuntime: () => Promise<Runtime>,
  folder: string,
  settings: SuiteSettings,
  options: SuiteOptions = {},
): Promise<SuiteRecord> {
  makeFolder(folder);
  return whileLocked(folder, async () => {
    if (!suiteRecord.exists(folder)) await begin(openRuntime, folder, settings);
    const trials = readTrials(folder);
    const keep = (trial: Trial) => {
      trials.push(trial);
      appendLine(trialsOf(folder), trial);
      options.onEnd?.(trial);
    };
    const clock = clocks[settings.engine.clock ?? "wall"];
    const end = clock() + (settings.deadline ?? Number.POSITIVE_INFINITY);
    const isOver = () => options.signal?.aborted === true || clock() >= end;
    const total = settings.problems.length * settings.optimizers.length * runsOfCell(settings);
    for (const problem of settings.problems) {
      const left = slotsOf(settings, problem).filter((slot) => !trials.some(isSlot(slot)));
      if (left.length === 0 || isOver()) continue;
      // A runtime for each problem: what one leaves in memory is not the next one's.
      const runtime = await openRuntime();
      try {
        const opened = await loadProblem(problem.problem);
        options.onProblem?.(problem, opened.summary);
        const place = { runtime, problem: opened, folder, settings, warm: new Set<string>() };
        for (const slot of left) {
          if (isOver()) break;
          options.onStart?.(slot, trials.length, total);
          const trial = await runSlot(place, slot, trials, options);
          if (trial) keep(trial);
        }
      } finally {
        await runtime.close();
      }
    }
    return readSuite(folder);
  });
}

async function begin(
  openRuntime: () => Promise<Runtime>,
  folder: string,
  settings: SuiteSettings,
): Promise<void> {
  const runtime = await openRuntime();
  try {
    suiteRecord.begin(folder, { settings, environment: describeEnvironment(runtime) });
  } finally {
    await runtime.close();
  }
}

/** Seeds of fresh runs are as far as this from those of trials. */
const fresh = 1000;

/** Where the runs of a problem take place. */
interface Place {
  readonly runtime: Runtime;
  readonly problem: Problem;
  readonly folder: string;
  readonly settings: SuiteSettings;
  /** Optimizers that have run on the problem in this process. */
  readonly warm: Set<string>;
}

/**
 * Some steps that nobody counts, before the first run of a method on a problem: code that has not run yet is slow until
 * JavaScript's engine has compiled it, and that would be in the time of whoever comes first.
 */
const warmUp = { steps: 30, seconds: 0.3 };

function warm({ runtime, problem, warm: done }: Place, label: string, settings: RunSettings): void {
  if (done.has(label)) return;
  const session = openSession(runtime, problem, settings);
  done.add(label);
  try {
    const end = performance.now() + 1000 * warmUp.seconds;
    for (let step = 0; step < warmUp.steps && performance.now() < end; step++) {
      session.load(step);
      session.step();
    }
  } finally {
    session.release();
  }
}

/** One run; undefined when it was interrupted. */
async function runSlot(
  place: Place,
  slot: Slot,
  trials: readonly Trial[],
  options: SuiteOptions,
): Promise<Trial | undefined> {
  const { runtime, problem, folder, settings } = place;
  const { target, seconds, batches, evaluateEvery } = slot.problem;
  const own = trials.filter(
    (trial) =>
      trial.problem === slot.problem.id && trial.optimizer === slot.label && trial.study === slot.study,
  );
  const best = bestTrial(own);
  const isFresh = slot.trial === "fresh";
  const method = findMethod(slot.optimizer.name);
  const optimizer = isFresh
    ? (best ?? own[0]!).settings
    : pointOf(problem, settings, slot.optimizer, slot.study, slot.trial as number);
  const limit = isFresh ? seconds : Math.min(seconds, best?.withBatches ?? seconds);
  const seed = settings.seed + slot.study + (isFresh ? fresh : 0);
  const about = {
    problem: slot.problem.id,
    optimizer: slot.label,
    study: slot.study,
    trial: slot.trial,
    seed,
    settings: optimizer,
    limit,
  };
  const nothing = {
    seconds: null,
    withBatches: null,
    trained: 0,
    steps: 0,
    best: null,
    end: "unusable",
  } as const;
  // What cannot run with the problem's own settings is not tried with others; and settings with which nothing arrived are not worth another run.
  const before = own.find(({ trial, end }) => trial === 0 && end === "unusable");
  if (before) return { ...about, ...nothing, message: before.message };
  if (isFresh && !best)
    return { ...about, ...nothing, message: "not run: no trial of the study reached the target" };
  const runSettings: RunSettings = {
    problem: slot.problem.problem,
    optimizer,
    seed,
    batch: batches[method.asks.batch],
    limits: { target, steps: 1e9, seconds: limit },
    evaluateEvery,
    evaluateShare,
    checkpoint: { seconds: 10 },
    engine: settings.engine,
  };
  const path = join(folder, slot.path);
  try {
    warm(place, slot.label, runSettings);
    const run = await recordedRun(runtime, problem, path, runSettings, {
      signal: options.signal,
      onProgress: (status) => options.onProgress?.(slot, status),
    });
    const { result } = run;
    if (!result || result.reason === "interrupted") return undefined;
    // Nothing goes on from here, and checkpoints of hundreds of runs would fill a disk.
    rmSync(join(path, "checkpoint.safetensors"), { force: true });
    const value = bestOf(run.measurements, target);
    const arrived = result.reached && result.reached.seconds <= limit ? result.reached : undefined;
    return {
      ...about,
      seconds: arrived ? arrived.seconds - drawing(problem, arrived) : null,
      withBatches: arrived?.seconds ?? null,
      trained: result.seconds,
      steps: result.steps,
      best: Number.isFinite(value) ? value : null,
      ...(result.test ? { test: result.test[target.metric]! } : {}),
      end: result.reason,
    };
  } catch (error) {
    // A method that does not suit a problem (too many parameters, another kind of loss) is a miss, not an end.
    if (error instanceof Error && /^(Settings|Shape|Runtime|Data)Error$/.test(error.name))
      return { ...about, ...nothing, message: error.message.split("\n")[0]! };
    throw error;
  }
}

/** Seconds of drawing batches, which are in nobody's time; playing is what a policy learns by. */
const drawing = ({ task }: Problem, { phases }: Measurement): number =>
  task === "reinforcement-learning" ? 0 : (phases?.batches ?? 0);

/** The settings of a trial: those that suit the problem, or a point of the catalogue's ranges beside them. */
export function pointOf(
  problem: Problem,
  { trials, seed }: Pick<SuiteSettings, "trials" | "seed">,
  { name, settings }: OptimizerSettings,
  study: number,
  trial: number,
): OptimizerSettings {
  const method = findMethod(name);
  const given = { ...suggestedFor(problem, method, settings), ...settings };
  if (trial === 0) return { name, settings: given };
  const options = method.optionsFor(given);
  const matters = Object.values(options).some(({ sensitivity }) => sensitivity && sensitivity !== "low");
  const ranges = matters ? rangesOf(name, options) : {};
  for (const fixed of Object.keys(settings)) delete ranges[fixed];
  // 0 is "off": what does not belong to the problem is not switched on.
  for (const setting of Object.keys(ranges))
    if (Number(given[setting] ?? options[setting]!.default) === 0) delete ranges[setting];
  const point = searchPoints(ranges, trials - 1, seed + study)[trial - 1]!;
  return { name, settings: { ...given, ...point } };
}
