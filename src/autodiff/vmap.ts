/** Maps a function over a new axis: the graph of one example is rebuilt with every primitive batched. */
import { rulesOf } from "../tensor/primitives/index.js";
import { isTensor, reachable } from "../tensor/program.js";
import { ShapeError } from "../tensor/shape.js";
import { input, type Tensor } from "../tensor/tensor.js";
import { leavesOf, type Tree, unflattenTree } from "../tensor/tree.js";

/**
 * f over the leading axis of its arguments. `inAxes[k] = null` leaves argument k unmapped.
 *
 *     vmap((x, w) => x.matmul(w).tanh(), [0, null])(xs, w)   // xs [n, ...] → [n, ...]
 *
 * @throws ShapeError when mapped arguments differ in their leading extent, or none is mapped.
 */
export function vmap<A extends readonly Tree<Tensor>[], R extends Tree<Tensor>>(
  f: (...args: A) => R,
  inAxes?: readonly (0 | null)[],
): (...args: A) => R {
  return (...args) => {
    let size: number | undefined;
    const substitutes = new Map<Tensor, Tensor>();
    const examples = args.map((arg, index) => {
      if (inAxes?.[index] === null) return arg;
      const list = leavesOf<Tensor>(arg, isTensor).map(({ name, value }) => {
        const extent = value.shape[0];
        if (extent === undefined)
          throw new ShapeError(`vmap: argument ${index} is a scalar and has no axis to map over`);
        if (size !== undefined && size !== extent)
          throw new ShapeError(`vmap: leading extents ${size} and ${extent} differ`);
        size = extent;
        const example = input(name, { dtype: value.dtype, shape: value.shape.slice(1) });
        substitutes.set(example, value);
        return example;
      });
      return unflattenTree<Tensor, Tensor>(arg, isTensor, list);
    });
    if (size === undefined) throw new ShapeError("vmap: no argument is mapped");
    const result = f(...(examples as unknown as A));
    const outputs = leavesOf<Tensor>(result, isTensor).map((leaf) => leaf.value);
    const batched = batch(outputs, substitutes, size);
    return unflattenTree<Tensor, Tensor>(result as Tree<Tensor>, isTensor, batched) as R;
  };
}

/** The outputs with a new leading axis, where `substitutes` gives the batched value of some tensors. */
export function batch(
  outputs: readonly Tensor[],
  substitutes: ReadonlyMap<Tensor, Tensor>,
  size: number,
): Tensor[] {
  const value = new Map<Tensor, Tensor>(substitutes);
  const stop = new Set(substitutes.keys());
  for (const tensor of reachable(outputs, stop)) {
    if (value.has(tensor)) continue;
    const flags = tensor.inputs.map((operand) => value.has(operand));
    if (!flags.includes(true)) continue;
    const inputs = tensor.inputs.map((operand) => value.get(operand) ?? operand);
    value.set(tensor, rulesOf(tensor.op).batch(tensor.op, inputs, flags, size));
  }
  return outputs.map((output) => value.get(output) ?? output.expand([size, ...output.shape]));
}
