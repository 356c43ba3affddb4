/**
 * A model as costs see it: which arrays θ is made of, in which layers they act, and how often. No numbers, no program:
 * the shape of a model that exists nowhere but in a file can be written down as well.
 */

import { kroneckerBlocks } from "./kronecker/blocks.js";
import type { Objective } from "./objective.js";

export interface ModelShape {
  /** In the order of θ; every array is in one layer. */
  readonly layers: readonly LayerShape[];
}

export interface LayerShape {
  readonly name: string;
  /** "other": parameters of no layer that curvature knows; each element stands for itself. */
  readonly kind: "dense" | "conv2d" | "embedding" | "scaleShift" | "other";
  readonly arrays: readonly ArrayShape[];
  /** Order of the input factor, the bias counted as one more input; of an embedding, its rows. */
  readonly inputs: number;
  /** Order of the output factor; 1 of scaleShift and other. */
  readonly outputs: number;
  /** In how many places of one example the parameters act (pixels, times, tokens), over all uses. */
  readonly positions: number;
  /** How often the parameters stand in the model: 2 of a tied embedding, T of a recurrence over T steps. */
  readonly uses: number;
}

export interface ArrayShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/**
 * n: how many numbers θ holds.
 *
 *     parameterCount(readLayerList("784-128-10"))   // 101,770
 */
export const parameterCount = ({ layers }: ModelShape): number =>
  layers
    .flatMap(({ arrays }) => arrays)
    .reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);

/**
 * The shape of an objective's model. Traces the loss; compiles and runs nothing.
 *
 *     parameterCount(modelShapeOf(objective));   // objective.layout.size
 *
 * @throws Error when the objective's trace gives no outputCurvature.
 */
export const modelShapeOf = (objective: Objective): ModelShape => ({
  layers: kroneckerBlocks(objective).map(({ name, layer, parameters, inputs, outputs, positions, uses }) => ({
    name,
    kind: layer,
    arrays: parameters.map((entry) => ({ name: entry.name, shape: entry.shape })),
    inputs,
    outputs,
    positions,
    uses,
  })),
});
