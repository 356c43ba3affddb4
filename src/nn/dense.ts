/** The affine map: the one place where y = x·W + b is written and marked for curvature. */
import { type Shape, ShapeError } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { glorotUniform, type Initialiser, zeros } from "./initialisers.js";
import { type Layer, layer, nameOf, type Variable } from "./layer.js";

export type Affine = { readonly weight: Tensor; readonly bias?: Tensor };

export interface DenseOptions {
  /** Default: glorotUniform. */
  readonly weight?: Initialiser;
  /** Default: zeros; false for a linear map. */
  readonly bias?: Initialiser | false;
}

/**
 * x·W + b over the last axis: [batch, ..., in] → [batch, ..., units]. Parameters: weight [in, units], bias [units].
 *
 *     dense(128)
 *     dense(10, { weight: initialisers.heNormal(), bias: false })
 */
export function dense(units: number, options: DenseOptions = {}): Layer<Affine> {
  return layer<Affine>({
    kind: "dense",
    declare: (inputShape) => ({
      parameters: affineVariables(features("dense", inputShape), units, options),
      state: {},
      outputShape: [...inputShape.slice(0, -1), units],
    }),
    apply: (parameters, x, context) => affine(parameters, x, nameOf(context, "dense")),
  });
}

/**
 * Variables of an affine map [in → out]: weight [in, out], and bias [out] unless it is false.
 *
 *     declare: ([width]) => ({ parameters: { query: affineVariables(width!, 64) }, state: {}, outputShape: [64] })
 */
export function affineVariables(
  inputs: number,
  outputs: number,
  { weight = glorotUniform(), bias = zeros() }: DenseOptions = {},
): { [name: string]: Variable } {
  const linear = { weight: { shape: [inputs, outputs], initialise: weight } };
  return bias === false ? linear : { ...linear, bias: { shape: [outputs], initialise: bias } };
}

/**
 * x [..., in] · weight [in, out] + bias [out], marked as a dense layer of that name. For layers that contain affine
 * maps: each use is marked, a weight used twice shows as two uses.
 *
 *     apply: ({ query }, x) => affine(query, x, "query")
 */
export function affine({ weight, bias }: Affine, x: Tensor, name: string): Tensor {
  const product = x.matmul(weight);
  return bias
    ? product.add(bias).marked({ layer: "dense", name, bias: true }, x, weight, bias)
    : product.marked({ layer: "dense", name, bias: false }, x, weight);
}

/** The extent of the last axis. @throws ShapeError when there is none. */
export function features(kind: string, inputShape: Shape): number {
  const extent = inputShape.at(-1);
  if (extent === undefined) throw new ShapeError(`${kind}: examples are scalars; reshape them to [1]`);
  return extent;
}
