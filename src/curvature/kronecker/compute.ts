/** The factors of an objective by themselves: to look at, to compare, and for methods of one's own. */
import { compile } from "../../compiler/compile.js";
import type { Buffer } from "../../runtime/memory.js";
import { input } from "../../tensor/tensor.js";
import { argumentsOf, type Objective } from "../objective.js";
import type { KroneckerBlock } from "./blocks.js";
import { type FactorOptions, traceFactors } from "./statistics.js";

export interface KroneckerFactors {
  readonly blocks: readonly KroneckerBlock[];
  /**
   * Of each block: A [inputs, inputs] and G [outputs, outputs], of each term one after the other; of an embedding the diagonal of A [inputs] and G; of a
   * full block the matrix [inputs, inputs], of a diagonal one the vector [inputs].
   */
  readonly factors: readonly (readonly Buffer[])[];
  /** Fills the factors at θ, batch, model state and key as they are now. `draw` numbers the sampled targets. */
  compute(draw?: number): void;
  release(): void;
}

/**
 * Kronecker factors of the Gauss–Newton matrix (the Fisher) of an objective: the block of a weight W [in, out] and its
 * bias is A ⊗ G, a mean over the batch as the loss is; see factors.ts for the equations. Without the regulariser.
 *
 *     const { blocks, factors, compute } = kroneckerFactors(objective, { estimator: "exact" });
 *     compute();
 *     factors[0][0].data;      // A of the first block, [in + 1, in + 1]
 *
 * One forward pass, a backward pass a draw, and for each block inputs² + outputs² multiply-adds a row.
 *
 * @throws Error when the objective's trace gives no outputCurvature, or not what the estimator needs.
 */
export function kroneckerFactors(objective: Objective, options: FactorOptions = {}): KroneckerFactors {
  const given = argumentsOf(objective);
  const { parameters, batch, state, key } = given;
  const draws = input("draw", key);
  const traced = objective.trace(parameters, batch, state, key);
  const { blocks, factors } = traceFactors(traced, parameters, objective.layout, draws, options);
  const executable = compile(
    objective.runtime,
    { inputs: [...given.inputs, draws], outputs: factors.flat() },
    { inputs: given.buffers },
  );
  const draw = executable.inputs.at(-1)!;
  let next = 0;
  return {
    blocks: blocks.map(({ marked: _, transposed: __, bias: ___, ...block }) => block),
    factors: factors.map((list) => list.map(() => executable.outputs[next++]!)),
    compute(number = 0) {
      draw.data[0] = objective.key.data[0]!;
      draw.data[1] = number;
      executable.run();
    },
    release: executable.release,
  };
}
