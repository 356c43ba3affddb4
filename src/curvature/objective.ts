/**
 * What an optimizer may ask of a problem. Everything is a function of one vector θ ∈ Rⁿ (the parameters), of the
 * current batch, of the model's own state and of a random key; each question is compiled the first time it is asked,
 * so that a method pays only for what it uses.
 */
import { orZeros, pullback } from "../autodiff/derivative.js";
import { compile, type Executable } from "../compiler/compile.js";
import type { Layout } from "../nn/parameters.js";
import type { Buffer } from "../runtime/memory.js";
import type { Runtime } from "../runtime/runtime.js";
import type { Spec } from "../tensor/array.js";
import type { Program } from "../tensor/program.js";
import { ShapeError } from "../tensor/shape.js";
import { full, input, type Tensor } from "../tensor/tensor.js";
import type { OutputCurvature } from "./output-curvature.js";

/** The training loss and what else one evaluation of the model gives. */
export interface TracedLoss {
  /** Scalar. */
  readonly loss: Tensor;
  /** The model's state afterwards, [s], where it has one. */
  readonly state?: Tensor | undefined;
  readonly outputs?: Tensor;
  /** For Gauss–Newton and Fisher products; made by `curvatureOf` from an nn loss. */
  readonly outputCurvature?: OutputCurvature;
  /**
   * Scalar: the part of `loss` (included there) that is a function of θ and not of the outputs, such as ½λ‖θ‖². Its
   * exact Hessian is a summand of every curvature: each then approximates the Hessian of the whole loss. Semidefinite
   * curvatures stay so if it is convex.
   */
  readonly regulariser?: Tensor;
}

export type TraceLoss = (
  parameters: Tensor,
  batch: readonly Tensor[],
  state: Tensor | undefined,
  key: Tensor,
) => TracedLoss;

export interface Objective {
  readonly runtime: Runtime;
  readonly dtype: "f32" | "f64";
  /** How named arrays lie in θ. */
  readonly layout: Layout;
  /** θ [n], live: an optimizer updates it in place. */
  readonly parameters: Buffer;
  /** Inputs, targets, …: written before each step. */
  readonly batch: readonly Buffer[];
  /** The model's state (running statistics, for example) as one vector [s]; undefined when it has none. */
  readonly state: Buffer | undefined;
  /** i32 [2]: seed and step, from which dropout draws. */
  readonly key: Buffer;
  /**
   * Of a game (a generator against a discriminator): its players' names. Each lowers a loss of its own by its own
   * parameters; `loss` is the sum, with the others' parameters behind `stopGradient` in each. So `gradient` holds the
   * players' gradients side by side (the simultaneous gradient) and is that of no function of θ; second derivatives are
   * of each player's loss by its own parameters, without what couples the players. Undefined where θ lowers one loss.
   */
  readonly players: readonly string[] | undefined;
  /** Traces the training loss on symbolic arguments. */
  readonly trace: TraceLoss;
  /** The loss at θ on the current batch. Changes nothing. */
  loss(): number;
  /** The loss and its gradient [n] at θ on the current batch; the buffer is overwritten by the next call. */
  gradient(): { readonly loss: number; readonly gradient: Buffer };
  /** Gives back what was compiled and every buffer. */
  release(): void;
}

export interface ObjectiveOptions {
  readonly layout: Layout;
  /** Initial θ [n]; zeros when absent. */
  readonly parameters?: ArrayLike<number>;
  /** Shapes and dtypes of what the loss reads each step. */
  readonly batch: readonly Spec[];
  /** Initial state of the model [s]. */
  readonly state?: ArrayLike<number>;
  readonly trace: TraceLoss;
  /** As in `Objective`. */
  readonly players?: readonly string[] | undefined;
  /** Another objective whose batch and key this one reads, in place of its own. */
  readonly beside?: Pick<Objective, "batch" | "key">;
}

/** The arguments of the loss as inputs of a program, and the buffers they are bound to, in the same order. */
export interface Arguments {
  readonly parameters: Tensor;
  readonly batch: readonly Tensor[];
  readonly state: Tensor | undefined;
  readonly key: Tensor;
  readonly inputs: readonly Tensor[];
  readonly buffers: readonly Buffer[];
}

/**
 * Symbolic arguments for a program about this objective: θ [n], the batch, the model's state if it has any, and the key;
 * `inputs` are all of these in order, `buffers` the memory to bind them to.
 *
 *     const { parameters, batch, state, key, inputs, buffers } = argumentsOf(objective);
 *     const { loss } = objective.trace(parameters, batch, state, key);
 *     compile(objective.runtime, { inputs, outputs: [gradientOf(loss, parameters)] }, { inputs: buffers });
 */
export function argumentsOf(objective: Objective): Arguments {
  const parameters = input("parameters", objective.parameters);
  const batch = objective.batch.map((buffer, index) => input(`batch ${index}`, buffer));
  const state = objective.state && input("model state", objective.state);
  const key = input("key", objective.key);
  return {
    parameters,
    batch,
    state,
    key,
    inputs: [parameters, ...batch, ...(state ? [state] : []), key],
    buffers: [
      objective.parameters,
      ...objective.batch,
      ...(objective.state ? [objective.state] : []),
      objective.key,
    ],
  };
}

/**
 * An objective with its buffers.
 *
 *     const objective = createObjective(runtime, {
 *       layout: layoutOf({ x: { dtype: "f64", shape: [2] } }), parameters: [3, 4], batch: [],
 *       trace: (x) => ({ loss: x.square().sum().mul(0.5) }),
 *     });
 *     objective.gradient();   // { loss: 12.5, gradient: [3, 4] }
 *
 * @throws ShapeError when the loss is not a scalar of the objective's dtype, or the model's state changes its shape.
 */
export function createObjective(runtime: Runtime, options: ObjectiveOptions): Objective {
  const { layout } = options;
  const { dtype } = layout;
  if (dtype !== "f32" && dtype !== "f64")
    throw new ShapeError(`objective: parameters must be f32 or f64, not ${dtype}`);
  const parameters = runtime.buffer(dtype, [layout.size]);
  if (options.parameters) parameters.set(options.parameters);
  const { beside } = options;
  const batch = beside?.batch ?? options.batch.map((spec) => runtime.buffer(spec.dtype, spec.shape));
  const state = options.state && runtime.buffer(dtype, [options.state.length]);
  if (options.state) state?.set(options.state);
  const key = beside?.key ?? runtime.buffer("i32", [2]);

  const trace: TraceLoss = (...given) => {
    const result = options.trace(...given);
    if (result.loss.size !== 1 || result.loss.dtype !== dtype)
      throw new ShapeError(
        `objective: the loss must be one ${dtype} number, not ${result.loss.dtype}[${result.loss.shape.join(", ")}]`,
      );
    if (result.regulariser && (result.regulariser.size !== 1 || result.regulariser.dtype !== dtype))
      throw new ShapeError(
        `objective: the regulariser must be one ${dtype} number, not ${result.regulariser.dtype}[${result.regulariser.shape.join(", ")}]`,
      );
    const before = given[2]?.shape;
    const after = result.state?.shape;
    if (before?.[0] !== after?.[0] || (after?.length ?? 1) !== 1)
      throw new ShapeError(
        `objective: the model's state was ${before ? `[${before}]` : "absent"} and became ${after ? `[${after}]` : "absent"}`,
      );
    return {
      ...result,
      loss: result.loss.reshape([]),
      ...(result.regulariser && { regulariser: result.regulariser.reshape([]) }),
    };
  };

  const compiled = new Map<string, Executable>();
  const ask = (question: string, outputs: (given: Arguments) => Tensor[]): Executable => {
    let executable = compiled.get(question);
    if (!executable) {
      const given = argumentsOf(objective);
      const program: Program = { inputs: given.inputs, outputs: outputs(given) };
      executable = compile(runtime, program, { inputs: given.buffers });
      compiled.set(question, executable);
    }
    executable.run();
    return executable;
  };
  const lossOf = (given: Arguments) => trace(given.parameters, given.batch, given.state, given.key).loss;

  const objective: Objective = {
    runtime,
    dtype,
    layout,
    parameters,
    batch,
    state,
    key,
    players: options.players,
    trace,
    loss: () => ask("loss", (given) => [lossOf(given)]).outputs[0]!.data[0]!,
    gradient() {
      const { outputs } = ask("gradient", (given) => {
        const loss = lossOf(given);
        return [loss, gradientOf(loss, given.parameters)];
      });
      return { loss: outputs[0]!.data[0]!, gradient: outputs[1]! };
    },
    release() {
      for (const executable of compiled.values()) executable.release();
      const own = [parameters, ...(state ? [state] : []), ...(beside ? [] : [...batch, key])];
      for (const buffer of own) buffer.release();
    },
  };
  return objective;
}

/**
 * ∇L(θ) [n] of a traced scalar: the gradients of the slices of θ, joined. Zeros where it does not depend on θ.
 *
 *     gradientOf(objective.trace(parameters, batch, state, key).loss, parameters)
 */
export const gradientOf = (loss: Tensor, parameters: Tensor): Tensor =>
  orZeros(pullback([loss], [parameters], [full(loss, 1)])[0], parameters);
