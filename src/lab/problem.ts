/** What is trained: a problem by name, complete with data, loss and metrics. */
import type { Objective } from "../curvature/objective.js";
import type { Options, SettingsOf } from "../optimizers/settings.js";
import type { Buffer } from "../runtime/memory.js";
import type { Runtime } from "../runtime/runtime.js";
import type { ProblemSettings, Target } from "./settings.js";

/** What a problem is an example of; advice on an optimizer asks for it. Of games their objective tells. */
export type ProblemTask =
  | "language-model"
  | "image-classification"
  | "differential-equation"
  | "fine-tuning"
  | "reinforcement-learning"
  | "recurrent"
  | "regression";

export interface Problem {
  /** Its name and its complete options. */
  readonly settings: ProblemSettings;
  /** One line for people: "784-128-10 relu, 101,770 parameters; 8,000 + 2,000 examples". */
  readonly summary: string;
  readonly task?: ProblemTask;
  /** In the training data; 0 where it is a function of its parameters alone, absent where they are drawn without end. */
  readonly examples?: number;
  /** What a run does unless it is told otherwise. */
  readonly defaults: RunDefaults;
  /** Settings that suit this problem, by optimizer; they stand between the optimizer's own and the user's. */
  readonly suggested: Readonly<Record<string, Readonly<Record<string, number | string | boolean>>>>;
  /** Batches that suit this problem, by optimizer; those that are not here have the default. */
  readonly batches?: Readonly<Record<string, number>>;
  /** Metrics on the test data (those named training…: on the training data), best known first; is larger better? */
  readonly metrics: Readonly<Record<string, Target["goal"]>>;
  /** @throws DataError when the batch does not fit the data. */
  start(runtime: Runtime, options: { readonly seed: number; readonly batch: number }): ProblemInstance;
}

export interface RunDefaults {
  readonly batch: number;
  readonly steps: number;
  readonly evaluateEvery: number;
  readonly target: Target | undefined;
}

/** A problem with its buffers, ready for an optimizer. Equal seeds give equal θ and equal batches. */
export interface ProblemInstance {
  readonly objective: Objective;
  /** What `load` depends on beside θ, the seed and the number of the step; saved with θ. */
  readonly state?: Readonly<Record<string, Buffer>>;
  /** Whether every step sees the same batch: training may then end where the optimizer finds nothing left to gain. */
  readonly sameBatch: boolean;
  /** Writes the batch and the random key of update number `step` (from 0). Allocates nothing. */
  load(step: number): void;
  /** The metrics at the present θ: on the test data, or on validation data where there is some. */
  evaluate(): Record<string, number>;
  /** With validation data: the metrics on the test data, which decides nothing. */
  test?(): Record<string, number>;
  /** The metrics over all of the training data, as they are stored; absent where these are drawn without end. */
  evaluateTraining?(): Record<string, number>;
  release(): void;
}

/** A problem that can be opened by name. */
export interface ProblemKind<O extends Options = Options> {
  readonly name: string;
  readonly description: string;
  readonly options: O;
  readonly task?: ProblemTask;
  /** @throws DataError or SettingsError */
  open(options: SettingsOf<O>): Omit<Problem, "settings" | "task">;
}
