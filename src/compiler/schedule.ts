/**
 * Program → ordered steps. A tensor that gets memory is a *root*; every other tensor is computed where it is used.
 * Elementwise roots and reductions over one iteration space share a loop; contractions and indexing are steps of
 * their own.
 *
 * Order: a step is numbered when it is created and only depends on smaller numbers. A root may join an existing
 * loop whose number is at least that of everything it reads, so the numbering stays a valid order.
 */
import { type Program, reachable } from "../tensor/program.js";
import type { Shape } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { createDraft, type Draft } from "./draft.js";
import { contiguous, isContiguous } from "./layout.js";
import { placeConcat, placePad } from "./place-parts.js";
import { placeAccumulation, placeDot, placeFoldedProduct, placePatchProduct } from "./place-product.js";
import { placeReduction } from "./place-reduction.js";
import {
  chooseAccumulations,
  chooseConvolutions,
  chooseRoots,
  isElementwise,
  throughReshape,
} from "./roots.js";
import { ownerOf, type PlainOp, type Root, readsOf, type Step } from "./step.js";

export interface Schedule {
  readonly steps: readonly Step[];
  readonly roots: readonly Root[];
  /** In the order of the program's inputs, those that nothing uses included. */
  readonly inputs: readonly Root[];
  readonly outputs: readonly Root[];
  /** A root may be the output under another shape of the same size. */
  readonly outputShapes: readonly Shape[];
  readonly constants: ReadonlyMap<Root, Tensor>;
}

export function schedule(program: Program): Schedule {
  const order = reachable(program.outputs);
  const draft = createDraft();
  const { rootOf } = draft;
  const inputs = program.inputs.map((tensor) => {
    const root = draft.newRoot(tensor);
    rootOf.set(tensor, root);
    return root;
  });
  const constants = new Map<Root, Tensor>();
  const isOutput = new Set(program.outputs);
  const accumulates = chooseAccumulations(order, isOutput);
  const needsMemory = chooseRoots(order, isOutput, accumulates);
  const convolutions = chooseConvolutions(order, isOutput);
  const aliased = new Set<Root>();

  for (const tensor of order) {
    const { op } = tensor;
    if (rootOf.has(tensor) || op.kind === "input") continue;
    if (op.kind === "constant") {
      const root = draft.newRoot(tensor);
      constants.set(root, tensor);
      rootOf.set(tensor, root);
    } else if (isElementwise(op)) {
      if (accumulates.has(tensor) && placeAccumulation(draft, tensor)) continue;
      if (needsMemory.has(tensor)) placeElementwise(draft, tensor);
    } else placeOther(draft, tensor, convolutions, aliased);
  }
  return {
    steps: draft.steps,
    roots: draft.roots,
    inputs,
    outputs: placeOutputs(draft, program.outputs),
    outputShapes: program.outputs.map((tensor) => tensor.shape),
    constants,
  };
}

/** In a loop that walks the same points, or in one of its own. */
function placeElementwise({ lowered, newRoot, join, addWide, rootOf }: Draft, tensor: Tensor): void {
  const value = lowered(tensor);
  const root = newRoot(tensor);
  const joined = join(
    tensor,
    tensor,
    root,
    (loop, rows) => (own) =>
      rows
        ? { kind: "row", root, value: own }
        : { kind: "wide", root, value: own, layout: contiguous(loop.domain) },
    readsOf(value),
  );
  if (joined) return;
  addWide(root, value);
  rootOf.set(tensor, root);
}

/** What is no loop over its own points: a step of its own, or none where another one does it. */
function placeOther(
  draft: Draft,
  tensor: Tensor,
  { patchesOnly, foldedOnly }: ReturnType<typeof chooseConvolutions>,
  aliased: Set<Root>,
): void {
  const { op } = tensor;
  switch (op.kind) {
    case "reduceSum":
      placeReduction(draft, tensor, op.axes, "sum");
      break;
    case "reduceMax":
      placeReduction(draft, tensor, op.axes, "max");
      break;
    case "dot":
      if (!foldedOnly.has(tensor) && !placePatchProduct(draft, tensor, patchesOnly)) placeDot(draft, tensor);
      break;
    case "concat":
      placeConcat(draft, tensor, op.axis, aliased);
      break;
    case "pad":
      placePad(draft, tensor, op);
      break;
    case "patches":
      if (!patchesOnly.has(tensor)) placePlain(draft, tensor, op);
      break;
    case "fold": {
      const product = throughReshape(tensor.inputs[0]!);
      if (foldedOnly.has(product)) placeFoldedProduct(draft, tensor, op.window, product);
      else placePlain(draft, tensor, op);
      break;
    }
    case "gather":
    case "scatterAdd":
    case "cumsum":
    case "argMax":
      placePlain(draft, tensor, op);
      break;
  }
}

function placePlain({ addStep, contiguousOperand }: Draft, tensor: Tensor, op: PlainOp): void {
  const operands = tensor.inputs.map(contiguousOperand);
  addStep(tensor, {
    kind: "plain",
    op,
    operands,
    reads: new Set(operands.map(({ root }) => root)),
  });
}

/** Roots that hold the outputs, each one's own. */
function placeOutputs(draft: Draft, outputs: readonly Tensor[]): Root[] {
  const given = new Set<Root>();
  return outputs.map((tensor) => {
    const { root: seen, layout } = draft.operand(tensor);
    const found = ownerOf(seen);
    const whole = layout.offset === 0 && isContiguous(layout) && found.size === tensor.size;
    const taken = !draft.stepOf.has(found) || found.storage !== undefined || given.has(found);
    if (whole && !taken) {
      given.add(found);
      return found;
    }
    // An input, a constant, a part of another root, or an output twice: copy.
    const root = draft.newRoot(tensor);
    draft.addWide(root, draft.lowered(tensor));
    return root;
  });
}
