/** What every optimizer is to the rest of the system: settings, a start, and then steps. */
import type { Objective } from "../curvature/objective.js";
import type { Buffer } from "../runtime/memory.js";
import type { PhaseSeconds } from "./stopwatch.js";

export interface Optimizer {
  readonly name: string;
  /** What it was created with, complete with defaults: numbers, strings and booleans, so that a run can record it. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Compiles what a step needs for this objective and sets the state to its beginning. */
  start(objective: Objective): Training;
}

export interface Training {
  /** One update of `objective.parameters` (and of the model's state), from what `objective.batch` holds. */
  step(): StepReport;
  /**
   * All that must be saved beside θ and the model's state to go on bit-identically, the step count included.
   * Writing saved values into these buffers resumes.
   */
  readonly state: Readonly<Record<string, Buffer>>;
  /** Which parameters it treats how, block by block, where that differs between them. */
  readonly coverage?: readonly Coverage[];
  /** Gives back the executables and the state; the objective stays. */
  release(): void;
}

/** What a method does with some of the parameters: a row of the table that is shown before training. */
export interface Coverage {
  /** A layer, or a parameter. */
  readonly name: string;
  /** Elements of θ. */
  readonly size: number;
  /** What stands for their curvature: "A ⊗ G", "diagonal". */
  readonly treatment: string;
  /** Orders of its matrices: [785, 128]. */
  readonly orders: readonly number[];
  /** Of the state that is kept for them, vectors as long as θ left out. */
  readonly bytes: number;
  /** Why it is this treatment: "dense with bias", "no layer marks it". */
  readonly reason: string;
}

/** What one step did. */
export interface StepReport {
  /** The training loss before the update. */
  readonly loss: number;
  readonly learningRate?: number;
  /** ‖∇L(θ)‖₂ before clipping and weight decay. */
  readonly gradientNorm?: number;
  /** Whether the loss and the gradient are finite numbers. When false the parameters are no longer usable. */
  readonly finite: boolean;
  readonly evaluations: Evaluations;
  /**
   * Why another step on this batch would gain nothing; a loop over a full batch may end here.
   * "converged": ‖∇L(θ)‖ is at most the method's tolerance, and θ was left as it is. "stalled": what can still be won
   * is below what the loss's dtype can tell, or no step that lowers the loss was found.
   */
  readonly stop?: "converged" | "stalled";
  readonly diagnostics?: Diagnostics;
  /** Where the time went; absent, or what is missing in the sum: one program for loss, gradient and update. */
  readonly seconds?: PhaseSeconds;
}

/**
 * How a step came about: what the method knows. A name means the same in all methods. A run keeps the range and the median
 * of numbers, and counts the values of words and flags.
 */
export interface Diagnostics {
  /** λ with which the step was computed. */
  readonly damping?: number;
  /** ρ: the reduction of the loss over the one that the quadratic model predicted. */
  readonly trustRatio?: number;
  /** Of the trust region in which the step was computed. */
  readonly radius?: number;
  /** Iterations of conjugate gradients, and why they ended. */
  readonly iterations?: number;
  readonly iterationsEnded?: string;
  /** Points that a line search tried, and how it ended. */
  readonly searchEvaluations?: number;
  readonly searchEnded?: string;
  /** θ ← θ + stepLength · direction; ‖Δθ‖. */
  readonly stepLength?: number;
  readonly updateNorm?: number;
  /** Of what was inverted in this step: the largest condition number, or a bound of it, after damping. */
  readonly condition?: number;
  /** Whether inverses, roots, eigenvectors or a diagonal were renewed. */
  readonly refreshed?: boolean;
  /** What the step could not do as it should, and what it did instead. */
  readonly fallback?: string;
  /** Whether θ moved. */
  readonly accepted?: boolean;
  readonly [name: string]: number | string | boolean | undefined;
}

/** What a step asked of the objective, counted. */
export interface Evaluations {
  readonly losses?: number;
  readonly gradients?: number;
  readonly hessianVectorProducts?: number;
  readonly gaussNewtonVectorProducts?: number;
  readonly [question: string]: number | undefined;
}
