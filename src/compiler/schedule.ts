/**
 * Program → ordered steps. A tensor that gets memory is a *root*; every other tensor is computed where it is used.
 * Elementwise roots and reductions over one iteration space share a loop; contractions and indexing are steps of
 * their own.
 *
 * Order: a step is numbered when it is created and only depends on smaller numbers. A root may join an existing
 * loop whose number is at least that of everything it reads, so the numbering stays a valid order.
 */
import type { DType } from "../tensor/dtype.js";
import type { Op, Window } from "../tensor/op.js";
import { type Program, reachable } from "../tensor/program.js";
import { type Shape, sizeOf } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { createLoops } from "./join.js";
import { contiguous, isContiguous, type Layout, matrixForm } from "./layout.js";
import { lower, NeedsCopy } from "./lower.js";
import {
  chooseAccumulations,
  chooseConvolutions,
  chooseRoots,
  isElementwise,
  patchMatrix,
  throughReshape,
} from "./roots.js";
import {
  type ConvStep,
  type DotStep,
  type LoopStep,
  livesIn,
  type Operand,
  ownerOf,
  type PlainOp,
  type PlainStep,
  type Reduction,
  type Root,
  readsOf,
  type Step,
  type Value,
  type WindowStep,
} from "./step.js";

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
  const rootOf = new Map<Tensor, Root>();
  const stepOf = new Map<Root, Step>();
  const steps: Step[] = [];
  const roots: Root[] = [];
  const constants = new Map<Root, Tensor>();
  const isOutput = new Set(program.outputs);

  const newRoot = (tensor: { dtype: DType; shape: Shape }): Root => {
    const root = { id: roots.length, dtype: tensor.dtype, shape: tensor.shape, size: sizeOf(tensor.shape) };
    roots.push(root);
    return root;
  };
  const inputs = program.inputs.map((tensor) => {
    const root = newRoot(tensor);
    rootOf.set(tensor, root);
    return root;
  });

  const accumulates = chooseAccumulations(order, isOutput);
  const needsMemory = chooseRoots(order, isOutput, accumulates);
  const { patchesOnly, foldedOnly } = chooseConvolutions(order, isOutput);

  const placed = { steps, rootOf, stepOf };
  const { addLoop, join } = createLoops(placed);

  /** The value of a tensor; tensors whose views cannot be followed are given memory. */
  const lowered = (tensor: Tensor): Value => {
    for (;;) {
      try {
        return lower(placed, tensor, []);
      } catch (error) {
        if (!(error instanceof NeedsCopy)) throw error;
        materialize(error.tensor);
      }
    }
  };
  /** Gives a tensor (a view or an inlined expression) memory of its own. */
  const materialize = (tensor: Tensor): Root => {
    if (rootOf.has(tensor))
      throw new Error(`compiler: ${tensor} has memory, yet its view cannot be followed`);
    const value = lowered(tensor);
    const root = newRoot(tensor);
    addLoop(tensor.shape, 0, { kind: "wide", root, value, layout: contiguous(tensor.shape) });
    rootOf.set(tensor, root);
    return root;
  };

  // ------------------------------------------------------------------ loops

  const placeElementwise = (tensor: Tensor) => {
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
    addLoop(tensor.shape, 0, { kind: "wide", root, value, layout: contiguous(tensor.shape) });
    rootOf.set(tensor, root);
  };

  /** Lets the newer of two products add onto the older one. */
  const placeAccumulation = (tensor: Tensor): boolean => {
    const [sum, next] = tensor.inputs.map((source) => rootOf.get(source));
    const step = next && stepOf.get(next);
    const older = sum && stepOf.get(sum);
    if (!sum || step?.kind !== "dot" || older?.kind !== "dot" || older.order > step.order) return false;
    next!.storage = { root: sum, offset: 0 };
    steps[step.order] = { ...step, accumulate: true };
    stepOf.set(next!, steps[step.order]!);
    rootOf.set(tensor, next!);
    return true;
  };

  const placeReduction = (tensor: Tensor, axes: readonly number[], reduction: Reduction) => {
    const source = tensor.inputs[0]!;
    const value = lowered(source);
    const reads = readsOf(value);
    const root = newRoot(tensor);
    const rank = source.rank;
    const significant = source.shape.flatMap((extent, axis) => (extent === 1 ? [] : [axis]));
    const reduced = significant.filter((axis) => axes.includes(axis));
    const trailing = reduced.every(
      (axis, index) => axis === significant[significant.length - reduced.length + index],
    );
    const leading = reduced.every((axis, index) => axis === significant[index]);
    const all = reduced.length === significant.length;
    const kept = tensor.size;
    const perRow = source.size / Math.max(1, kept);
    if (!all && trailing) {
      const firstReduced = reduced[0] ?? rank;
      const innerOf = (loop: LoopStep): number | undefined => {
        for (let count = 1; count <= loop.domain.length; count++) {
          const product = sizeOf(loop.domain.slice(loop.domain.length - count));
          if (product === perRow) return count;
          if (product > perRow) return undefined;
        }
        return undefined;
      };
      const joined = join(
        tensor,
        source,
        root,
        (loop, rows) => {
          if (rows) return undefined;
          const inner = innerOf(loop);
          if (inner === undefined || (loop.innerAxes !== 0 && loop.innerAxes !== inner)) return undefined;

          loop.innerAxes = inner;
          return (own) => ({ kind: "rowReduce", root, reduction, value: own });
        },
        reads,
      );
      if (joined) return;
      // Reduced axes with all trailing extents of 1 included.
      addLoop(source.shape, rank - firstReduced, { kind: "rowReduce", root, reduction, value });
      rootOf.set(tensor, root);
      return;
    }
    if (leading) {
      const joined = join(
        tensor,
        source,
        root,
        (_, rows) => {
          if (rows && !all) return undefined;
          return (own) => ({ kind: "accumulate", root, reduction, value: own, kept: all ? 1 : kept, rows });
        },
        reads,
      );
      if (joined) return;
      addLoop(source.shape, 0, {
        kind: "accumulate",
        root,
        reduction,
        value,
        kept: all ? 1 : kept,
        rows: false,
      });
      rootOf.set(tensor, root);
      return;
    }
    const step: WindowStep = {
      kind: "window",
      order: steps.length,
      domain: source.shape,
      axes,
      reduction,
      value,
      root,
      reads: new Set(reads),
    };
    steps.push(step);
    stepOf.set(root, step);
    rootOf.set(tensor, root);
  };

  // ------------------------------------------------------------------ other steps

  /** The tensor as a view of memory. */
  const operand = (tensor: Tensor): Operand => {
    const value = lowered(tensor);
    if (value.kind === "load") return { root: value.root, layout: value.layout };
    const root = materialize(tensor);
    return { root, layout: contiguous(tensor.shape) };
  };
  const copied = (tensor: Tensor): Operand => ({
    root: materialize(tensor),
    layout: contiguous(tensor.shape),
  });
  const contiguousOperand = (tensor: Tensor): Operand => {
    const found = operand(tensor);
    return isContiguous(found.layout) ? found : copied(tensor);
  };
  const matrixOperand = (tensor: Tensor): Operand => {
    const found = operand(tensor);
    return matrixForm(found.layout) ? found : copied(tensor);
  };
  /** A matrix whose rows follow each other. */
  const rowsOperand = (tensor: Tensor): Operand => {
    const found = operand(tensor);
    return matrixForm(found.layout)?.transposed === false ? found : copied(tensor);
  };
  const placeConv = (
    tensor: Tensor,
    direction: ConvStep["direction"],
    window: Window,
    image: Shape,
    patches: Shape,
    operands: readonly Operand[],
  ) => {
    const root = newRoot(tensor);
    const reads = new Set(operands.map((o) => o.root));
    const step: ConvStep = {
      kind: "conv",
      order: steps.length,
      direction,
      window,
      image,
      patches,
      root,
      operands,
      reads,
    };
    steps.push(step);
    stepOf.set(root, step);
    rootOf.set(tensor, root);
  };
  /** Places a product with patches that have no memory of their own; false when it is none. */
  const placePatchProduct = (tensor: Tensor): boolean => {
    const left = patchMatrix(tensor.inputs[0]!);
    if (!left || !patchesOnly.has(left.patches)) return false;
    const { patches, transposed } = left;
    const { window } = patches.op as Extract<Op, { kind: "patches" }>;
    const image = contiguousOperand(patches.inputs[0]!);
    const right = patchMatrix(tensor.inputs[1]!);
    const imageShape = patches.inputs[0]!.shape;
    if (right?.patches === patches) placeConv(tensor, "gram", window, imageShape, patches.shape, [image]);
    else if (transposed)
      placeConv(tensor, "weights", window, imageShape, patches.shape, [
        image,
        rowsOperand(tensor.inputs[1]!),
      ]);
    else
      placeConv(tensor, "forward", window, imageShape, patches.shape, [
        image,
        matrixOperand(tensor.inputs[1]!),
      ]);
    return true;
  };
  const placePlain = (tensor: Tensor, op: PlainOp, operands: readonly Operand[]): Root => {
    const root = newRoot(tensor);
    const step: PlainStep = {
      kind: "plain",
      order: steps.length,
      op,
      root,
      operands,
      reads: new Set(operands.map((o) => o.root)),
    };
    steps.push(step);
    stepOf.set(root, step);
    rootOf.set(tensor, root);
    return root;
  };
  /** Writes a tensor into part of `target`. */
  const copyInto = (target: Root, layout: Layout, tensor: Tensor) => {
    const value = lowered(tensor);
    const step = addLoop(tensor.shape, 0, { kind: "wide", root: target, value, layout });
    stepOf.set(target, step);
  };

  const aliased = new Set<Root>();
  const placeConcat = (tensor: Tensor, axis: number) => {
    const parts = tensor.inputs.map((part) => ({ part, source: lowered(part) }));
    const root = newRoot(tensor);
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
      } else copyInto(root, { shape: part.shape, offset, strides: whole.strides }, part);
    }
    rootOf.set(tensor, root);
    // The concatenation exists once its last part does.
    const last = steps
      .filter((step) => writesInto(step, root))
      .reduce((max, step) => Math.max(max, step.order), -1);
    if (last >= 0) stepOf.set(root, steps[last]!);
  };
  const writesInto = (step: Step, target: Root): boolean =>
    step.kind === "loop"
      ? step.outputs.some((output) => livesIn(output.root, target))
      : livesIn(step.root, target);

  const placePad = (tensor: Tensor, op: Extract<Op, { kind: "pad" }>) => {
    const source = tensor.inputs[0]!;
    const root = placePlain(tensor, { kind: "zero" }, []);
    if (source.size === 0) return;
    const { strides } = contiguous(tensor.shape);
    const layout: Layout = {
      shape: source.shape,
      offset: op.low.reduce((sum, before, axis) => sum + before * strides[axis]!, 0),
      strides: strides.map((s, axis) => s * (op.interior[axis]! + 1)),
    };
    copyInto(root, layout, source);
  };

  for (const tensor of order) {
    if (rootOf.has(tensor)) continue;
    const { op } = tensor;
    if (op.kind === "input") continue;
    if (op.kind === "constant") {
      const root = newRoot(tensor);
      constants.set(root, tensor);
      rootOf.set(tensor, root);
    } else if (isElementwise(op)) {
      if (accumulates.has(tensor) && placeAccumulation(tensor)) continue;
      if (needsMemory.has(tensor)) placeElementwise(tensor);
    } else {
      switch (op.kind) {
        case "reduceSum":
          placeReduction(tensor, op.axes, "sum");
          break;
        case "reduceMax":
          placeReduction(tensor, op.axes, "max");
          break;
        case "dot": {
          if (foldedOnly.has(tensor) || placePatchProduct(tensor)) break;
          const [a, b] = [matrixOperand(tensor.inputs[0]!), matrixOperand(tensor.inputs[1]!)];
          const root = newRoot(tensor);
          const step: DotStep = {
            kind: "dot",
            order: steps.length,
            root,
            a,
            b,
            accumulate: false,
            reads: new Set([a.root, b.root]),
          };
          steps.push(step);
          stepOf.set(root, step);
          rootOf.set(tensor, root);
          break;
        }
        case "concat":
          placeConcat(tensor, op.axis);
          break;
        case "pad":
          placePad(tensor, op);
          break;
        case "patches":
          if (!patchesOnly.has(tensor)) placePlain(tensor, op, tensor.inputs.map(contiguousOperand));
          break;
        case "fold": {
          const product = throughReshape(tensor.inputs[0]!);
          if (foldedOnly.has(product)) {
            const gradient = rowsOperand(product.inputs[0]!);
            const weights = matrixOperand(product.inputs[1]!);
            placeConv(tensor, "input", op.window, tensor.shape, tensor.inputs[0]!.shape, [gradient, weights]);
          } else placePlain(tensor, op, tensor.inputs.map(contiguousOperand));
          break;
        }
        case "gather":
        case "scatterAdd":
        case "cumsum":
        case "argMax":
          placePlain(tensor, op, tensor.inputs.map(contiguousOperand));
          break;
      }
    }
  }

  const given = new Set<Root>();
  const outputs = program.outputs.map((tensor) => {
    const seen = operand(tensor);
    const found = { root: ownerOf(seen.root), layout: seen.layout };
    const whole = found.layout.offset === 0 && isContiguous(found.layout) && found.root.size === tensor.size;
    const taken = !stepOf.has(found.root) || found.root.storage !== undefined || given.has(found.root);
    if (whole && !taken) {
      given.add(found.root);
      return found.root;
    }
    // An input, a constant, a part of another root, or an output twice: copy.
    const root = newRoot(tensor);
    const value = lowered(tensor);
    addLoop(tensor.shape, 0, { kind: "wide", root, value, layout: contiguous(tensor.shape) });
    return root;
  });
  return {
    steps,
    roots,
    inputs,
    outputs,
    outputShapes: program.outputs.map((tensor) => tensor.shape),
    constants,
  };
}
