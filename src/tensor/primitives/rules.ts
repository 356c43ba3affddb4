import type { NDArray, Spec } from "../array.js";
import type { Op } from "../op.js";
import type { Tensor } from "../tensor.js";

/** A derivative or cotangent that may be zero: undefined stands for zero and costs nothing. */
export type Maybe = Tensor | undefined;

/** What the system knows of a primitive. */
export interface Rules<O extends Op> {
  /** The value by definition: plain, slow, in f64 inside; the oracle of the compiled kernels. */
  evaluate(op: O, inputs: readonly NDArray[], output: Spec): NDArray;
  /** Directional derivative of the output along the tangents of the inputs. */
  jvp(op: O, inputs: readonly Tensor[], tangents: readonly Maybe[], output: Tensor): Maybe;
  /**
   * Cotangents of the inputs that `linear` marks, from the output's: the transposed linear map.
   * Only for primitives that are linear in those inputs.
   */
  transpose?(
    op: O,
    cotangent: Tensor,
    inputs: readonly Tensor[],
    linear: readonly boolean[],
  ): readonly Maybe[];
  /** The primitive over a new leading axis of extent `size`, which the inputs marked `batched` carry. */
  batch(op: O, inputs: readonly Tensor[], batched: readonly boolean[], size: number): Tensor;
}

/** An array with the output's spec, filled from an index function; f32 and i32 round on storage. */
export function generate(output: Spec, value: (index: number) => number): NDArray {
  const size = output.shape.reduce((a, b) => a * b, 1);
  const data =
    output.dtype === "f32"
      ? new Float32Array(size)
      : output.dtype === "f64"
        ? new Float64Array(size)
        : new Int32Array(size);
  for (let index = 0; index < size; index++) data[index] = value(index);
  return { dtype: output.dtype, shape: output.shape, data };
}

/** The sum of what is not zero. */
export const sumOf = (terms: readonly Maybe[]): Maybe =>
  terms.reduce<Maybe>((sum, term) => (sum && term ? sum.add(term) : (sum ?? term)), undefined);
