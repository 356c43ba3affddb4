/** Maps a function over a new axis: the graph of one example is rebuilt with every primitive batched. */
import { rulesOf } from "../tensor/primitives/index.js";
import { isTensor } from "../tensor/program.js";
import { normalizeAxes, ShapeError } from "../tensor/shape.js";
import { input, type Tensor } from "../tensor/tensor.js";
import { leavesOf, type Tree, unflattenTree } from "../tensor/tree.js";
import { between } from "./derivative.js";

/** The axis that is mapped over; null: the argument is the same for every example. */
export type InAxis = number | null;

/**
 * f over an axis of its arguments (all leaves of an argument alike). `inAxes` is one axis for all arguments or one
 * each, 0 by default; the result carries the new axis at `outAxes`: one for all leaves, or, when f returns a list,
 * one for each of its items.
 *
 *     vmap((x: Tensor, w: Tensor) => x.matmul(w).tanh(), [0, null])(xs, w)   // xs [n, ...] → [n, ...]
 *
 * @throws ShapeError when mapped arguments differ in their extent, or none is mapped.
 */
export function vmap<A extends readonly Tree<Tensor>[], R extends Tree<Tensor>>(
  f: (...args: A) => R,
  inAxes: InAxis | readonly InAxis[] = 0,
  outAxes: number | readonly number[] = 0,
): (...args: A) => R {
  return (...args) => {
    let size: number | undefined;
    const batches = new Map<Tensor, Tensor>();
    const examples = args.map((arg, index) => {
      const axis = typeof inAxes === "object" && inAxes !== null ? inAxes[index] : inAxes;
      if (axis === null) return arg;
      if (axis === undefined) throw new ShapeError(`vmap: argument ${index} has no entry in inAxes`);
      const list = leavesOf<Tensor>(arg, isTensor).map(({ name, value }) => {
        const place = `argument ${index}${name && ` (${name})`}`;
        if (value.rank === 0) throw new ShapeError(`vmap: ${place} is a scalar and has no axis to map over`);
        const batch = moveAxis(value, axis, 0);
        const [extent, ...shape] = batch.shape as [number, ...number[]];
        if (size !== undefined && size !== extent)
          throw new ShapeError(`vmap: ${place} has extent ${extent} where others have ${size}`);
        size = extent;
        const example = input(`example of ${place}`, { dtype: value.dtype, shape });
        batches.set(example, batch);
        return example;
      });
      return unflattenTree<Tensor, Tensor>(arg, isTensor, list);
    });
    if (size === undefined) throw new ShapeError("vmap: no argument is mapped");
    const result = f(...(examples as unknown as A)) as Tree<Tensor>;
    const leaves = leavesOf<Tensor>(result, isTensor);
    const moved = batch(
      leaves.map((leaf) => leaf.value),
      batches,
      size,
    ).map((leaf, k) => {
      const axis = typeof outAxes === "number" ? outAxes : outAxes[Number(leaves[k]!.name.split(".")[0])];
      if (axis === undefined)
        throw new ShapeError(`vmap: result "${leaves[k]!.name}" has no entry in outAxes`);
      return moveAxis(leaf, 0, axis);
    });
    return unflattenTree<Tensor, Tensor>(result, isTensor, moved) as R;
  };
}

/** The tensor with axis `from` at place `to`. */
function moveAxis(tensor: Tensor, from: number, to: number): Tensor {
  const [source, target] = [from, to].map((axis) => normalizeAxes("vmap", axis, tensor.rank)[0]!);
  const axes = tensor.shape.map((_, axis) => axis).filter((axis) => axis !== source);
  axes.splice(target!, 0, source!);
  return tensor.permute(axes);
}

/**
 * The outputs with a new leading axis of `size`, where `batches` gives the batched value of some tensors.
 *
 *     batch([x.mul(w)], new Map([[x, examples]]), 32)   // x [3], examples [32, 3]: [[32, 3]]
 */
export function batch(
  outputs: readonly Tensor[],
  batches: ReadonlyMap<Tensor, Tensor>,
  size: number,
): Tensor[] {
  const value = new Map<Tensor, Tensor>(batches);
  for (const tensor of between(new Set(batches.keys()), outputs)) {
    const inputs = tensor.inputs.map((operand) => value.get(operand) ?? operand);
    const batched = tensor.inputs.map((operand) => value.has(operand));
    value.set(tensor, rulesOf(tensor.op).batch(tensor.op, inputs, batched, size, tensor));
  }
  return outputs.map((output) => value.get(output) ?? output.expand([size, ...output.shape]));
}
