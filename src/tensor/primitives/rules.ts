import type { NDArray, Spec } from "../array.js";
import { allocate } from "../dtype.js";
import type { Op } from "../op.js";
import { type Shape, sizeOf } from "../shape.js";
import { full, Tensor } from "../tensor.js";

/** A derivative or cotangent that may be zero: undefined stands for zero and costs nothing. */
export type Maybe = Tensor | undefined;

/** The operation of one kind. */
export type OpOf<K extends Op["kind"]> = Narrow<Op, K>;
type Narrow<O, K> = O extends { readonly kind: infer J } ? (K extends J ? O & { kind: K } : never) : never;

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
  batch(
    op: O,
    inputs: readonly Tensor[],
    batched: readonly boolean[],
    size: number,
    /** What one example gives. */
    output: Spec,
  ): Tensor;
}

/** The rules of related primitives. */
export type Family<K extends Op["kind"]> = { readonly [Kind in K]: Rules<OpOf<Kind>> };

export const apply = (op: Op, ...inputs: Tensor[]): Tensor => Tensor.apply(op, ...inputs);

// Evaluation

/** An array with the output's spec, filled from an index function; f32 and i32 round on storage. */
export function generate(output: Spec, value: (index: number) => number): NDArray {
  const data = allocate(output.dtype, sizeOf(output.shape));
  for (let index = 0; index < data.length; index++) data[index] = value(index);
  return { dtype: output.dtype, shape: output.shape, data };
}

/** Visits each position of `shape` in row-major order: its index, and its address offset + Σ position·stride. */
export function walk(
  shape: Shape,
  strides: readonly number[],
  offset: number,
  visit: (index: number, address: number) => void,
): void {
  const size = sizeOf(shape);
  const position = shape.map(() => 0);
  let address = offset;
  for (let index = 0; index < size; index++) {
    visit(index, address);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      address += strides[axis]!;
      position[axis]! += 1;
      if (position[axis]! < shape[axis]!) break;
      address -= position[axis]! * strides[axis]!;
      position[axis] = 0;
    }
  }
}

// Lean derivatives

/** The number that fills the tensor, where that is known while tracing. */
export const numberOf = (tensor: Tensor): number | undefined =>
  tensor.op.kind === "fill" ? tensor.op.value : undefined;

/** a·b without a multiplication by 1. */
export function times(a: Tensor, b: Tensor): Tensor {
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== undefined && y !== undefined) return full(a, x * y);
  if (x === 1) return b;
  return y === 1 ? a : a.mul(b);
}

/** The sum of what is not zero, in the given order. */
export const sumOf = (terms: readonly Maybe[]): Maybe =>
  terms.reduce<Maybe>((sum, term) => (sum && term ? sum.add(term) : (sum ?? term)), undefined);

/** Σ over the axes, which stay with extent 1; what was stretched along them is multiplied instead. */
export function sumOver(x: Tensor, axes: readonly number[]): Tensor {
  const shape = x.shape.map((n, axis) => (axes.includes(axis) ? 1 : n));
  const value = numberOf(x);
  if (value !== undefined) return full({ dtype: x.dtype, shape }, (value * x.size) / sizeOf(shape));
  if (x.op.kind !== "expand") return x.sum(axes, true);
  const [narrow] = x.inputs as [Tensor];
  const present = axes.filter((axis) => narrow.shape[axis] !== 1);
  const repeats = axes.reduce((n, axis) => (present.includes(axis) ? n : n * x.shape[axis]!), 1);
  const sum = narrow.sum(present, true);
  return (repeats === 1 ? sum : sum.mul(repeats)).expand(shape);
}

// Batching

/** Inputs that lack the new axis get it by stretching. */
export const align = (inputs: readonly Tensor[], batched: readonly boolean[], size: number): Tensor[] =>
  inputs.map((tensor, k) => (batched[k] ? tensor : tensor.expand([size, ...tensor.shape])));

/** Axes of an example as axes of a batch. */
export const shift = (axes: readonly number[]): number[] => axes.map((axis) => axis + 1);
