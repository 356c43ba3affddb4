/** What every optimizer is to the rest of the system: settings, a start, and then steps. */
import type { Objective } from "../curvature/objective.js";
import type { Buffer } from "../runtime/memory.js";

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
  /** Gives back the executables and the state; the objective stays. */
  release(): void;
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
}

/** How a step came about, for methods that decide on the way. */
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
  /** Points that a line search tried. */
  readonly searchEvaluations?: number;
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
