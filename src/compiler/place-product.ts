/** Products of matrices: by the BLAS, or with the patches of an image, which then have no memory of their own. */
import type { Op, Window } from "../tensor/op.js";
import type { Shape } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Draft } from "./draft.js";
import { patchMatrix } from "./roots.js";
import type { ConvStep, Operand } from "./step.js";

export function placeDot({ matrixOperand, addStep }: Draft, tensor: Tensor): void {
  const [a, b] = [matrixOperand(tensor.inputs[0]!), matrixOperand(tensor.inputs[1]!)];
  addStep(tensor, { kind: "dot", a, b, accumulate: false, reads: new Set([a.root, b.root]) });
}

/** Lets the newer of two products add onto the older one; false where that cannot be. */
export function placeAccumulation({ rootOf, stepOf, steps }: Draft, tensor: Tensor): boolean {
  const [sum, next] = tensor.inputs.map((source) => rootOf.get(source));
  const step = next && stepOf.get(next);
  const older = sum && stepOf.get(sum);
  if (!sum || step?.kind !== "dot" || older?.kind !== "dot" || older.order > step.order) return false;
  next!.storage = { root: sum, offset: 0 };
  steps[step.order] = { ...step, accumulate: true };
  stepOf.set(next!, steps[step.order]!);
  rootOf.set(tensor, next!);
  return true;
}

/** Places a product with patches that have no memory of their own; false when it is none. */
export function placePatchProduct(draft: Draft, tensor: Tensor, patchesOnly: ReadonlySet<Tensor>): boolean {
  const left = patchMatrix(tensor.inputs[0]!);
  if (!left || !patchesOnly.has(left.patches)) return false;
  const { patches, transposed } = left;
  const { window } = patches.op as Extract<Op, { kind: "patches" }>;
  const image = draft.contiguousOperand(patches.inputs[0]!);
  const imageShape = patches.inputs[0]!.shape;
  const [, other] = tensor.inputs as [Tensor, Tensor];
  const place = (direction: ConvStep["direction"], operands: readonly Operand[]) =>
    placeConvolution(draft, tensor, direction, window, imageShape, patches.shape, operands);
  if (patchMatrix(other)?.patches === patches) place("gram", [image]);
  else if (transposed) place("weights", [image, draft.rowsOperand(other)]);
  else place("forward", [image, draft.matrixOperand(other)]);
  return true;
}

/** The fold of a product: what a convolution's image is told of the loss. */
export function placeFoldedProduct(draft: Draft, tensor: Tensor, window: Window, product: Tensor): void {
  const gradient = draft.rowsOperand(product.inputs[0]!);
  const weights = draft.matrixOperand(product.inputs[1]!);
  placeConvolution(draft, tensor, "input", window, tensor.shape, tensor.inputs[0]!.shape, [
    gradient,
    weights,
  ]);
}

function placeConvolution(
  { addStep }: Draft,
  tensor: Tensor,
  direction: ConvStep["direction"],
  window: Window,
  image: Shape,
  patches: Shape,
  operands: readonly Operand[],
): void {
  const reads = new Set(operands.map(({ root }) => root));
  addStep(tensor, { kind: "conv", direction, window, image, patches, operands, reads });
}
