/** Where a reduction is computed: in a loop with what it reduces, or, over axes in the middle, in a step of its own. */
import { sizeOf } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Draft } from "./draft.js";
import { type LoopStep, type Reduction, readsOf, type Value } from "./step.js";

export function placeReduction(draft: Draft, tensor: Tensor, axes: readonly number[], reduction: Reduction) {
  const source = tensor.inputs[0]!;
  const value = draft.lowered(source);
  const significant = source.shape.flatMap((extent, axis) => (extent === 1 ? [] : [axis]));
  const reduced = significant.filter((axis) => axes.includes(axis));
  const all = reduced.length === significant.length;
  const trailing = reduced.every(
    (axis, index) => axis === significant[significant.length - reduced.length + index],
  );
  const leading = reduced.every((axis, index) => axis === significant[index]);
  if (!all && trailing) placeTrailing(draft, tensor, value, reduced[0] ?? source.rank, reduction);
  else if (leading) placeLeading(draft, tensor, value, all, reduction);
  else
    draft.addStep(tensor, {
      kind: "window",
      domain: source.shape,
      axes,
      reduction,
      value,
      reads: new Set(readsOf(value)),
    });
}

/** Along the inner axes: one value for each row. */
function placeTrailing(
  { newRoot, join, addLoop, rootOf }: Draft,
  tensor: Tensor,
  value: Value,
  firstReduced: number,
  reduction: Reduction,
): void {
  const source = tensor.inputs[0]!;
  const root = newRoot(tensor);
  const perRow = source.size / Math.max(1, tensor.size);
  const joined = join(
    tensor,
    source,
    root,
    (loop, rows) => {
      if (rows) return undefined;
      const inner = innerOf(loop, perRow);
      if (inner === undefined || (loop.innerAxes !== 0 && loop.innerAxes !== inner)) return undefined;

      loop.innerAxes = inner;
      return (own) => ({ kind: "rowReduce", root, reduction, value: own });
    },
    readsOf(value),
  );
  if (joined) return;
  // Reduced axes with all trailing extents of 1 included.
  addLoop(source.shape, source.rank - firstReduced, { kind: "rowReduce", root, reduction, value });
  rootOf.set(tensor, root);
}

/** How many of a loop's last axes have so many points; undefined where none do. */
function innerOf({ domain }: LoopStep, points: number): number | undefined {
  for (let count = 1; count <= domain.length; count++) {
    const product = sizeOf(domain.slice(domain.length - count));
    if (product === points) return count;
    if (product > points) return undefined;
  }
  return undefined;
}

/** Over leading axes, or over all. */
function placeLeading(
  { newRoot, join, addLoop, rootOf }: Draft,
  tensor: Tensor,
  value: Value,
  all: boolean,
  reduction: Reduction,
): void {
  const source = tensor.inputs[0]!;
  const root = newRoot(tensor);
  const kept = all ? 1 : tensor.size;
  const joined = join(
    tensor,
    source,
    root,
    (_, rows) => {
      if (rows && !all) return undefined;
      return (own) => ({ kind: "accumulate", root, reduction, value: own, kept, rows });
    },
    readsOf(value),
  );
  if (joined) return;
  addLoop(source.shape, 0, { kind: "accumulate", root, reduction, value, kept, rows: false });
  rootOf.set(tensor, root);
}
