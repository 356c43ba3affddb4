/**
 * Parameters as ONE vector θ ∈ Rⁿ: the leaves of a tree, row-major, one after the other in tree order. Optimizers,
 * checkpoints and all-reduce see the vector; layers see views of it.
 */
import type { NDArray, Spec } from "../tensor/array.js";
import { allocate, type DType } from "../tensor/dtype.js";
import { isTensor } from "../tensor/program.js";
import { formatShape, type Shape, ShapeError, sameShape, sizeOf } from "../tensor/shape.js";
import { concat, type Tensor, zeros } from "../tensor/tensor.js";
import { leavesOf, type Tree, unflattenTree } from "../tensor/tree.js";

/** Where one parameter lies in the vector. */
export interface Entry {
  readonly name: string;
  readonly shape: Shape;
  readonly offset: number;
  readonly size: number;
}

export interface Layout {
  readonly entries: readonly Entry[];
  /** n, the length of the vector. */
  readonly size: number;
  readonly dtype: DType;
  /** The entry of a parameter. @throws RangeError when there is none of that name. */
  entry(name: string): Entry;
  /** Values of the tree copied into a new vector [n]. */
  flatten(tree: Tree<NDArray>): NDArray;
  /** The tree of a vector [n]; its leaves share the vector's memory. */
  unflatten(theta: NDArray): Tree<NDArray>;
  /**
   * The tree of a symbolic vector [n]: each leaf a slice, reshaped; a view when compiled. For a gradient by θ,
   * differentiate by this tree and join the result with `flattenTensors`: that is one concatenation.
   */
  views(theta: Tensor): Tree<Tensor>;
  /** The symbolic vector [n] of a tree with the parameters' shapes. */
  flattenTensors(tree: Tree<Tensor>): Tensor;
}

/**
 * Whether a value has a dtype and a shape, as tensors, arrays and buffers do.
 *
 *     isSpec({ dtype: "f32", shape: [3] })   // true
 */
export const isSpec = (value: unknown): value is Spec =>
  typeof value === "object" &&
  value !== null &&
  "dtype" in value &&
  typeof value.dtype === "string" &&
  "shape" in value &&
  Array.isArray(value.shape);

/**
 * Whether a value is an array with its numbers.
 *
 *     leavesOf(parameters, isNDArray)   // [{ name: "layers.0.weight", value: … }, …]
 */
export const isNDArray = (value: unknown): value is NDArray =>
  isSpec(value) && "data" in value && ArrayBuffer.isView(value.data);

/**
 * The layout of a tree of arrays or specs.
 *
 *     const layout = layoutOf(parameters);
 *     const theta = layout.flatten(parameters);            // f32 [n]
 *     layout.entry("layers.1.weight").offset;
 *
 * @throws ShapeError when leaves differ in dtype.
 */
export function layoutOf(tree: Tree<Spec>, dtypeOfEmpty: DType = "f32"): Layout {
  const leaves = leavesOf<Spec>(tree, isSpec);
  const dtype = leaves[0]?.value.dtype ?? dtypeOfEmpty;
  let size = 0;
  const entries = leaves.map(({ name, value }): Entry => {
    if (value.dtype !== dtype)
      throw new ShapeError(`layout: "${name}" is ${value.dtype}, "${leaves[0]!.name}" is ${dtype}`);
    const entry = { name, shape: value.shape, offset: size, size: sizeOf(value.shape) };
    size += entry.size;
    return entry;
  });
  const byName = new Map(entries.map((entry) => [entry.name, entry]));

  const check = <L extends Spec>(found: readonly { name: string; value: L }[]): L[] => {
    if (found.length !== entries.length)
      throw new ShapeError(`layout: the tree has ${found.length} leaves, the layout ${entries.length}`);
    return found.map(({ name, value }, index) => {
      const entry = entries[index]!;
      if (name !== entry.name || !sameShape(value.shape, entry.shape) || value.dtype !== dtype)
        throw new ShapeError(
          `layout: expected "${entry.name}" ${dtype}${formatShape(entry.shape)}, ` +
            `found "${name}" ${value.dtype}${formatShape(value.shape)}`,
        );
      return value;
    });
  };
  const checkVector = (theta: Spec) => {
    if (!sameShape(theta.shape, [size]) || theta.dtype !== dtype)
      throw new ShapeError(
        `layout: the vector must be ${dtype}[${size}], not ${theta.dtype}${formatShape(theta.shape)}`,
      );
  };

  return {
    entries,
    size,
    dtype,
    entry(name) {
      const entry = byName.get(name);
      if (!entry)
        throw new RangeError(`layout: no parameter "${name}"; there are ${[...byName.keys()].join(", ")}`);
      return entry;
    },
    flatten(values) {
      const data = allocate(dtype, size);
      check(leavesOf<NDArray>(values, isNDArray)).forEach((value, index) => {
        data.set(value.data, entries[index]!.offset);
      });
      return { dtype, shape: [size], data };
    },
    unflatten(theta) {
      checkVector(theta);
      return unflattenTree<Spec, NDArray>(
        tree,
        isSpec,
        entries.map(({ shape, offset, size: length }) => ({
          dtype,
          shape,
          data: theta.data.subarray(offset, offset + length),
        })),
      );
    },
    views(theta) {
      checkVector(theta);
      return unflattenTree<Spec, Tensor>(
        tree,
        isSpec,
        entries.map(({ shape, offset, size: length }) =>
          theta.slice(0, offset, offset + length).reshape(shape),
        ),
      );
    },
    flattenTensors(tensors) {
      const vectors = check(leavesOf<Tensor>(tensors, isTensor)).map((leaf) => leaf.reshape([leaf.size]));
      return vectors.length === 0 ? zeros([0], dtype) : concat(vectors);
    },
  };
}
