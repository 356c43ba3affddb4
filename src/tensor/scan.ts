import { isTensor } from "./program.js";
import { ShapeError } from "./shape.js";
import { stack, type Tensor } from "./tensor.js";
import { leavesOf, type Tree, unflattenTree } from "./tree.js";

/**
 * A recurrence over the leading axis of `xs`: [carry, y_t] = body(carry, x_t), for t = 0, 1, …; returns the last carry
 * and the y_t stacked. Unrolled while tracing: every step is visible to differentiation and to curvature (a weight
 * used at each step shows as so many uses), and the compiler emits the kernels of equal steps once.
 *
 *     const [h, hs] = scan((h, x) => { const next = x.add(h.matmul(w)).tanh(); return [next, next]; }, h0, xs);
 *
 * @throws ShapeError when leaves of `xs` differ in their leading extent, or it is 0.
 */
export function scan<Carry extends Tree<Tensor>, X extends Tree<Tensor>, Y extends Tree<Tensor>>(
  body: (carry: Carry, x: X) => [Carry, Y],
  initial: Carry,
  xs: X,
): [Carry, Y] {
  const sources = leavesOf<Tensor>(xs as Tree<Tensor>, isTensor).map((leaf) => leaf.value);
  const length = sources[0]?.shape[0];
  if (!length || sources.some((source) => source.shape[0] !== length))
    throw new ShapeError(
      `scan: leading extents of xs must be equal and positive, not ${sources.map((s) => s.shape[0]).join(", ")}`,
    );
  let carry = initial;
  const results: Tensor[][] = [];
  let structure: Y | undefined;
  for (let t = 0; t < length; t++) {
    const x = unflattenTree<Tensor, Tensor>(
      xs as Tree<Tensor>,
      isTensor,
      sources.map((source) => source.at(t)),
    ) as X;
    const [next, y] = body(carry, x);
    carry = next;
    structure = y;
    results.push(leavesOf<Tensor>(y as Tree<Tensor>, isTensor).map((leaf) => leaf.value));
  }
  const stacked = results[0]!.map((_, k) => stack(results.map((step) => step[k]!)));
  return [carry, unflattenTree<Tensor, Tensor>(structure as Tree<Tensor>, isTensor, stacked) as Y];
}
