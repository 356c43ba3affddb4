/** Tensors that are put together from parts: concatenations, and arrays with padding. */
import type { Op } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Draft } from "./draft.js";
import { contiguous, isContiguous, type Layout } from "./layout.js";
import { livesIn, ownerOf, type Root, type Step } from "./step.js";

/** @param aliased roots whose memory is part of another's; grows. */
export function placeConcat(draft: Draft, tensor: Tensor, axis: number, aliased: Set<Root>): void {
  const { stepOf, rootOf, steps } = draft;
  const parts = tensor.inputs.map((part) => ({ part, source: draft.lowered(part) }));
  const root = draft.newRoot(tensor);
  const whole = contiguous(tensor.shape);
  const inOrder = tensor.shape.slice(0, axis).every((extent) => extent === 1);
  let start = 0;
  for (const { part, source } of parts) {
    const offset = start * (whole.strides[axis] ?? 1);
    start += part.shape[axis]!;
    if (part.size === 0) continue;
    // Where the part is a whole root that nothing else has placed, it is computed here in the first place.
    if (
      inOrder &&
      source.kind === "load" &&
      stepOf.has(source.root) &&
      !aliased.has(ownerOf(source.root)) &&
      source.root.size === part.size &&
      source.layout.offset === 0 &&
      isContiguous(source.layout)
    ) {
      const owner = ownerOf(source.root);
      owner.storage = { root, offset };
      aliased.add(owner);
      const placed = stepOf.get(source.root)!;
      if (placed.order > (stepOf.get(root)?.order ?? -1)) stepOf.set(root, placed);
    } else copyInto(draft, root, { shape: part.shape, offset, strides: whole.strides }, part);
  }
  rootOf.set(tensor, root);
  // The concatenation exists once its last part does.
  const last = steps
    .filter((step) => writesInto(step, root))
    .reduce((max, step) => Math.max(max, step.order), -1);
  if (last >= 0) stepOf.set(root, steps[last]!);
}

export function placePad(draft: Draft, tensor: Tensor, op: Extract<Op, { kind: "pad" }>): void {
  const source = tensor.inputs[0]!;
  const root = draft.addStep(tensor, {
    kind: "plain",
    op: { kind: "zero" },
    operands: [],
    reads: new Set(),
  });
  if (source.size === 0) return;
  const { strides } = contiguous(tensor.shape);
  const layout: Layout = {
    shape: source.shape,
    offset: op.low.reduce((sum, before, axis) => sum + before * strides[axis]!, 0),
    strides: strides.map((s, axis) => s * (op.interior[axis]! + 1)),
  };
  copyInto(draft, root, layout, source);
}

/** Writes a tensor into part of `target`. */
function copyInto({ lowered, addLoop, stepOf }: Draft, target: Root, layout: Layout, tensor: Tensor): void {
  const value = lowered(tensor);
  const step = addLoop(tensor.shape, 0, { kind: "wide", root: target, value, layout });
  stepOf.set(target, step);
}

const writesInto = (step: Step, target: Root): boolean =>
  step.kind === "loop"
    ? step.outputs.some((output) => livesIn(output.root, target))
    : livesIn(step.root, target);
