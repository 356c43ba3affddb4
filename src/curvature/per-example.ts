/**
 * The gradient of each example's loss: G [batch, n], row i = ∇ℓᵢ(θ) where loss = (1/batch) Σᵢ ℓᵢ + regulariser. Their
 * spread is the gradient noise; GᵀG/batch is the empirical Fisher.
 */
import { linearPart, orZeros, transpose } from "../autodiff/derivative.js";
import { batch as batchOver } from "../autodiff/vmap.js";
import { compile } from "../compiler/compile.js";
import type { Buffer } from "../runtime/memory.js";
import { reachable } from "../tensor/program.js";
import { input, iota, type Tensor } from "../tensor/tensor.js";
import { type Arguments, argumentsOf, gradientOf, type Objective, type TracedLoss } from "./objective.js";

export interface PerExampleGradients {
  /** [batch, n] after `compute`. */
  readonly gradients: Buffer;
  /** Fills the gradients at θ, batch, model state and key as they are now. */
  compute(): void;
  release(): void;
}

export interface PerExampleOptions {
  /**
   * "independent": every example is a batch of one. Right where an example's loss depends on that example alone; each
   * `compute` checks that the mean of the rows is the gradient of the batch. About the FLOPs of two gradients.
   * "coupled": rows of the Jacobian of `perExample`, for statistics over the batch, dropout, losses that weigh
   * examples by what others ignore. About the FLOPs of batch gradients.
   * Default: "coupled" where the model has state or the loss reads the key, "independent" otherwise.
   */
  readonly examples?: "independent" | "coupled";
}

/**
 * The gradients of the examples' losses, without the regulariser. Every array of the batch has the examples along its
 * first axis. Memory: batch · n.
 *
 *     const perExample = perExampleGradients(objective);
 *     perExample.compute();
 *     perExample.gradients.data;          // [batch, n]
 *
 * @throws Error when arrays of the batch differ in their first extent, or examples given as independent are not.
 */
export function perExampleGradients(
  objective: Objective,
  options: PerExampleOptions = {},
): PerExampleGradients {
  const given = argumentsOf(objective);
  const traced = objective.trace(given.parameters, given.batch, given.state, given.key);
  const {
    examples = given.state || reachable([traced.loss]).includes(given.key) ? "coupled" : "independent",
  } = options;
  const rows = examples === "coupled" ? coupledRows(given, traced) : independentRows(objective, given);
  const mean = gradientOf(withoutRegulariser(traced), given.parameters);
  const executable = compile(
    objective.runtime,
    {
      inputs: given.inputs,
      outputs: [
        rows,
        // How far the mean of the rows is from the gradient of the batch, beside their largest element.
        ...(examples === "coupled" ? [] : [rows.mean(0).sub(mean).abs().maximum(), rows.abs().maximum()]),
      ],
    },
    { inputs: given.buffers },
  );
  const [gradients, deviation, largest] = executable.outputs as [Buffer, Buffer?, Buffer?];
  const tolerance = objective.dtype === "f64" ? 1e-9 : 1e-4;
  return {
    gradients,
    compute() {
      executable.run();
      if (deviation && largest && deviation.data[0]! > tolerance * largest.data[0]!)
        throw new Error(
          `perExampleGradients: the mean of the examples' gradients differs from the gradient of the batch by ${deviation.data[0]!.toExponential(1)} ` +
            `(largest element ${largest.data[0]!.toExponential(1)}): an example's loss depends on the others; use examples: "coupled"`,
        );
    },
    release: executable.release,
  };
}

const withoutRegulariser = ({ loss, regulariser }: TracedLoss) =>
  regulariser ? loss.sub(regulariser) : loss;

/** Jᵀ·eᵢ for every example i, J the Jacobian of ℓ [batch]. */
function coupledRows({ parameters }: Arguments, { outputCurvature }: TracedLoss): Tensor {
  const losses = outputCurvature?.perExample?.();
  if (!losses)
    throw new Error(
      'perExampleGradients: "coupled" examples need outputCurvature.perExample; return it from the objective\'s trace (curvatureOf makes it from an nn loss)',
    );
  const cotangent = input("cotangent", losses);
  const gradient = orZeros(transpose(linearPart([losses], [parameters]), [cotangent])[0], parameters);
  const square = [losses.size, losses.size];
  const units = iota(square, 0).eq(iota(square, 1)).cast(losses.dtype);
  return batchOver([gradient], new Map([[cotangent, units]]), losses.size)[0]!;
}

/** The gradient of a batch of one, mapped over the examples. */
function independentRows(objective: Objective, { parameters, batch, state, key }: Arguments): Tensor {
  const size = batch[0]?.shape[0];
  if (size === undefined || batch.some((array) => array.shape[0] !== size))
    throw new Error(
      `perExampleGradients: the arrays of the batch are ${batch.map(({ shape }) => `[${shape.join(", ")}]`).join(", ") || "none"}; all need the examples along their first axis`,
    );
  const example = batch.map((array) =>
    input("example", { dtype: array.dtype, shape: [1, ...array.shape.slice(1)] }),
  );
  const one = withoutRegulariser(objective.trace(parameters, example, state, key));
  const gradient = gradientOf(one, parameters);
  const examples = batch.map((array) => array.reshape([size, 1, ...array.shape.slice(1)]));
  return batchOver([gradient], new Map(example.map((symbol, k) => [symbol, examples[k]!])), size)[0]!;
}
