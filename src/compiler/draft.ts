/**
 * A schedule in the making: roots and steps as they come, and the ways to read a tensor: as an expression, or as a view of
 * memory of the form that a step wants. What cannot be read so is given memory first.
 */
import type { DType } from "../tensor/dtype.js";
import { type Shape, sizeOf } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { createLoops } from "./join.js";
import { contiguous, isContiguous, matrixForm } from "./layout.js";
import { lower, NeedsCopy, type Placement } from "./lower.js";
import type { LoopStep, Operand, Root, Step, Value } from "./step.js";

type Unnumbered<S> = S extends Step ? Omit<S, "order" | "root"> : never;

export interface Draft extends Placement, ReturnType<typeof createLoops> {
  readonly roots: readonly Root[];
  newRoot(tensor: { readonly dtype: DType; readonly shape: Shape }): Root;
  /** A step of its own for a tensor: it has this root, and the next number. */
  addStep(tensor: Tensor, step: Unnumbered<Exclude<Step, LoopStep>>): Root;
  /** A loop of its own. */
  addWide(root: Root, value: Value): void;
  /** The value of a tensor; tensors whose views cannot be followed are given memory. */
  lowered(tensor: Tensor): Value;
  /** The tensor as a view of memory. */
  operand(tensor: Tensor): Operand;
  contiguousOperand(tensor: Tensor): Operand;
  /** A matrix that the BLAS can read, transposed or not. */
  matrixOperand(tensor: Tensor): Operand;
  /** A matrix whose rows follow each other. */
  rowsOperand(tensor: Tensor): Operand;
}

export function createDraft(): Draft {
  const rootOf = new Map<Tensor, Root>();
  const stepOf = new Map<Root, Step>();
  const steps: Step[] = [];
  const roots: Root[] = [];
  const placed = { steps, rootOf, stepOf };
  const loops = createLoops(placed);

  const newRoot: Draft["newRoot"] = ({ dtype, shape }) => {
    const root = { id: roots.length, dtype, shape, size: sizeOf(shape) };
    roots.push(root);
    return root;
  };
  const addStep: Draft["addStep"] = (tensor, rest) => {
    const root = newRoot(tensor);
    const step: Step = { ...rest, order: steps.length, root };
    steps.push(step);
    stepOf.set(root, step);
    rootOf.set(tensor, root);
    return root;
  };
  const addWide = (root: Root, value: Value) => {
    loops.addLoop(root.shape, 0, { kind: "wide", root, value, layout: contiguous(root.shape) });
  };
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
    addWide(root, value);
    rootOf.set(tensor, root);
    return root;
  };

  const copied = (tensor: Tensor): Operand => ({
    root: materialize(tensor),
    layout: contiguous(tensor.shape),
  });
  const operand = (tensor: Tensor): Operand => {
    const value = lowered(tensor);
    return value.kind === "load" ? { root: value.root, layout: value.layout } : copied(tensor);
  };
  const operandThat =
    (suits: (found: Operand) => boolean) =>
    (tensor: Tensor): Operand => {
      const found = operand(tensor);
      return suits(found) ? found : copied(tensor);
    };
  return {
    ...placed,
    ...loops,
    roots,
    newRoot,
    addStep,
    addWide,
    lowered,
    operand,
    contiguousOperand: operandThat(({ layout }) => isContiguous(layout)),
    matrixOperand: operandThat(({ layout }) => matrixForm(layout) !== undefined),
    rowsOperand: operandThat(({ layout }) => matrixForm(layout)?.transposed === false),
  };
}
