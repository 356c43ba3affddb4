/**
 * One training: steps until a reason to stop, measured and saved on the way.
 *
 * Everything a step depends on (θ, the states, its batch, its random key) is a function of the last checkpoint and the
 * step's number, so that a run resumed after any interruption ends with the very same bits.
 */
import type { Coverage, StepReport } from "../optimizers/optimizer.js";
import type { Clock } from "../runtime/clock.js";
import { UserError } from "./errors.js";
import type { Measurement, Progress, RunResult } from "./run-record.js";
import type { Target } from "./settings.js";
import { type StopReason, stopReasons } from "./stop.js";
import type { RunStore } from "./store.js";
import { createTally } from "./tally.js";
import type { NamedArray } from "./tensors.js";

/** What the loop drives: a model with its optimizer, data and metrics, ready to run. */
export interface Session {
  /** What all seconds of the run are told by. */
  readonly clock: Clock;
  /** Seconds it took to trace and compile it. */
  readonly compileSeconds: number;
  /** The optimizer's settings, complete. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Which parameters it treats how, where that differs. */
  readonly coverage: readonly Coverage[] | undefined;
  /** Whether every step sees the same batch. */
  readonly sameBatch: boolean;
  /** The batch of update number `step` (from 0). */
  load(step: number): void;
  /** One update on the batch that was loaded. */
  step(): StepReport;
  /** Metrics on the test data, or on validation data where there is some; then those of the test, once, at the end. */
  evaluate(): Record<string, number>;
  test?(): Record<string, number>;
  /** Every array that the next step depends on; the data is live. */
  readonly arrays: readonly NamedArray[];
  release(): void;
}

export interface RunOptions {
  /** Stops the run after the current step. */
  readonly signal?: AbortSignal | undefined;
  /** Called once what is to be driven is compiled. */
  readonly onSession?: ((session: Session) => void) | undefined;
  readonly onProgress?: ((status: RunStatus) => void) | undefined;
  /** Asked after every measurement, with all so far: whether to give up. */
  readonly isHopeless?: ((measurements: readonly Measurement[]) => boolean) | undefined;
}

/** How it goes, for whoever watches. */
export interface RunStatus {
  readonly step: number;
  readonly seconds: number;
  readonly loss: number | undefined;
  readonly last: Measurement | undefined;
}

/** The loop gives way to signals and timers after so many seconds. */
const patience = 0.03;

/**
 * Whether a measurement meets the target; one without the target's metric does not.
 *
 *     meets({ metric: "accuracy", value: 0.97, goal: "max" }, { accuracy: 0.971 })   // true
 */
export const meets = (target: Target, test: Readonly<Record<string, number>>): boolean => {
  const value = test[target.metric];
  if (value === undefined) return false;
  return target.goal === "max" ? value >= target.value : value <= target.value;
};

/**
 * Runs a session to its end, recording into its store.
 *
 *     const result = await train(await createRun(folder, settings, environment), session);
 *
 * @throws UserError when the folder cannot be written (what was recorded stays) or the checkpoint is of another model.
 */
export async function train(store: RunStore, session: Session, options: RunOptions = {}): Promise<RunResult> {
  const { limits, evaluateEvery, evaluateShare, checkpoint: interval } = store.settings;
  const start = store.checkpoint?.progress;
  if (store.checkpoint) restore(session.arrays, store.checkpoint.arrays, store.folder);

  let step = start?.step ?? 0;
  let seconds = start?.seconds ?? 0;
  let lossSum = start?.lossSum ?? 0;
  let lossCount = start?.lossCount ?? 0;
  const { clock, compileSeconds } = session;
  const tally = createTally(start?.tally);
  tally.spend("compile", compileSeconds);
  /** What an action took belongs to a phase that no step tells of. */
  const timed = <T>(phase: "test" | "files", action: () => T): T => {
    const began = clock();
    const result = action();
    tally.spend(phase, clock() - began);
    return result;
  };
  const evaluations: Record<string, number> = { ...start?.evaluations };
  let report: StepReport | undefined;
  let loss: number | undefined;
  let diverged: RunResult["diverged"];
  let reached = limits.target && store.measurements.find(({ test }) => meets(limits.target!, test));
  let hopeless = false;
  let saved = { step: start?.step ?? -1, time: clock() };
  let yielded = clock();

  const isDue = () =>
    evaluateShare === undefined
      ? step % evaluateEvery === 0
      : (tally.state.phases.test ?? 0) <= evaluateShare * seconds;
  const measure = () => {
    const measurement: Measurement = {
      step,
      seconds,
      ...(lossCount > 0 ? { loss: lossSum / lossCount } : {}),
      ...(report?.learningRate === undefined ? {} : { learningRate: report.learningRate }),
      ...(report?.gradientNorm === undefined ? {} : { gradientNorm: report.gradientNorm }),
      evaluations: { ...evaluations },
      test: timed("test", session.evaluate),
      phases: { ...tally.state.phases },
      diagnostics: { ...report?.diagnostics },
    };
    lossSum = 0;
    lossCount = 0;
    timed("files", () => store.append(measurement));
    if (!reached && limits.target && meets(limits.target, measurement.test)) reached = measurement;
    hopeless = options.isHopeless?.(store.measurements) ?? false;
  };
  const save = () => {
    const { state } = tally;
    const progress: Progress = {
      step,
      seconds,
      compileSeconds,
      evaluations,
      lossSum,
      lossCount,
      tally: state,
    };
    timed("files", () => store.saveCheckpoint({ progress, arrays: session.arrays }));
    saved = { step, time: clock() };
  };
  const whyStop = (): StopReason | undefined => {
    if (diverged) return "diverged";
    if (reached) return "target";
    if (hopeless) return "hopeless";
    if (session.sameBatch && report?.stop) return report.stop;
    if (step >= limits.steps) return "steps";
    if (limits.seconds !== undefined && seconds >= limits.seconds) return "seconds";
    if (options.signal?.aborted) return "interrupted";
    return undefined;
  };

  if (store.measurements.at(-1)?.step !== step && isDue()) measure();
  let reason = whyStop();
  while (reason === undefined) {
    const began = clock();
    session.load(step);
    const loaded = clock();
    report = session.step();
    const now = clock();
    seconds += now - began;
    tally.spend("batches", loaded - began);
    tally.step(report, now - loaded);
    step++;
    ({ loss } = report);
    for (const [question, count] of Object.entries(report.evaluations))
      evaluations[question] = (evaluations[question] ?? 0) + (count ?? 0);
    if (report.finite) {
      lossSum += loss;
      lossCount++;
      if (isDue()) measure();
    } else {
      diverged = { step, loss: String(loss) };
    }
    reason = whyStop();
    if (reason === undefined) {
      const due = interval.steps !== undefined && step % interval.steps === 0;
      if (due || now - saved.time >= interval.seconds) save();
      if (now - yielded >= patience) {
        options.onProgress?.({ step, seconds, loss, last: store.measurements.at(-1) });
        await new Promise((resolve) => setImmediate(resolve));
        yielded = clock();
        reason = whyStop();
      }
    }
  }
  // A limit between two evaluations still ends with one; an interruption goes on later, as if it had not been.
  const ended = reason !== "interrupted" && reason !== "diverged";
  if (ended && store.measurements.at(-1)?.step !== step) {
    measure();
    if (reached) reason = "target";
  }
  if (!diverged && saved.step !== step) save();

  const result: RunResult = {
    reason,
    message: stopReasons[reason],
    steps: step,
    seconds,
    compileSeconds,
    evaluations,
    settings: session.settings,
    ...(session.coverage ? { coverage: session.coverage } : {}),
    summary: tally.summary(),
    ...(reached ? { reached } : {}),
    ...(store.measurements.length > 0 ? { last: store.measurements.at(-1)! } : {}),
    ...(diverged ? { diverged } : {}),
    ...(ended && session.test ? { test: timed("test", session.test) } : {}),
  };
  store.saveResult(result);
  options.onProgress?.({ step, seconds, loss, last: store.measurements.at(-1) });
  return result;
}

/**
 * Writes saved values into arrays of the same names; the data of `arrays` is live.
 *
 *     restore(modelArrays(objective), decodeTensors(readFileSync(path), path).arrays, path);
 *
 * @throws UserError when one is missing or of another size: then nothing is written.
 */
export function restore(arrays: readonly NamedArray[], saved: readonly NamedArray[], folder: string): void {
  const byName = new Map(saved.map((array) => [array.name, array]));
  for (const array of arrays) {
    const found = byName.get(array.name);
    if (!found || found.data.length !== array.data.length || found.dtype !== array.dtype)
      throw new UserError(
        `the checkpoint in "${folder}" does not fit this model: "${array.name}" should be ` +
          `${array.dtype}[${array.shape.join(", ")}] and is ` +
          `${found ? `${found.dtype}[${found.shape.join(", ")}]` : "missing"}; start a new run`,
      );
  }
  for (const array of arrays) array.data.set(byName.get(array.name)!.data);
}
