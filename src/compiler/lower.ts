/** A tensor as an expression of what has memory: views become strides of loads, everything else stays as it is. */
import { sizeOf } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { contiguous, isContiguous, isViewKind, type Layout, type ViewOp, view } from "./layout.js";
import { type ElementwiseOp, isRowLayout, type LoopStep, type Root, type Step, type Value } from "./step.js";

/** What has been placed so far. */
export interface Placement {
  readonly steps: Step[];
  readonly rootOf: Map<Tensor, Root>;
  /** The last step that writes into a root. */
  readonly stepOf: Map<Root, Step>;
}

/** Number of the step that makes a root; −1 of an input or a constant. */
export const sequence = ({ stepOf }: Placement, root: Root): number => stepOf.get(root)?.order ?? -1;

/** Thrown where strides cannot express a view of `tensor`. */
export class NeedsCopy extends Error {
  constructor(readonly tensor: Tensor) {
    super("a view that strides cannot express");
  }
}

/** Thrown where a loop cannot have the value: it would read what it makes, in another order. */
export class CannotJoin extends Error {}

/** A view, and what it is of. */
export interface Through {
  readonly op: ViewOp;
  readonly source: Tensor;
}

/** The value of `tensor`, seen through views (innermost first), as an expression of loads. */
export function lower(placed: Placement, tensor: Tensor, views: readonly Through[], loop?: LoopStep): Value {
  const through = (start: Layout): Layout => {
    let layout = start;
    for (const { op, source } of views) {
      const next = view(layout, op);
      if (!next) throw new NeedsCopy(source);
      layout = next;
    }
    return layout;
  };
  const root = placed.rootOf.get(tensor);
  if (root) {
    const layout = through(contiguous(tensor.shape));
    const own = loop?.outputs.find((output) => output.root === root);
    // Not from memory that this very loop fills: a concatenation whose parts are its outputs.
    if (!own && loop && sequence(placed, root) >= loop.order) throw new CannotJoin();
    if (!own || !loop) return { kind: "load", root, layout };
    if (own.kind === "wide" && sizeOf(own.layout.shape) !== root.size) throw new CannotJoin();
    if (own.kind === "wide" && layout.offset === 0 && isContiguous(layout))
      return { kind: "local", root, dtype: root.dtype };
    if ((own.kind === "row" || own.kind === "rowReduce") && isRowLayout(layout, loop))
      return { kind: "local", root, dtype: root.dtype };
    throw new CannotJoin();
  }
  if (isViewKind(tensor.op)) {
    const source = tensor.inputs[0]!;
    return lower(placed, source, [{ op: tensor.op, source }, ...views], loop);
  }
  const { op, dtype } = tensor;
  switch (op.kind) {
    case "fill":
      return { kind: "number", dtype, value: op.value };
    case "iota": {
      const shape = tensor.shape;
      const start: Layout = {
        shape,
        offset: 0,
        strides: shape.map((_, axis) => (axis === op.axis ? 1 : 0)),
      };
      return { kind: "index", dtype, layout: through(start) };
    }
    case "random": {
      const key = tensor.inputs[0]!;
      const domain = views.at(-1) ? through(contiguous(tensor.shape)).shape : tensor.shape;
      const word = (index: number): Value => {
        const scalar = key.slice(0, index, index + 1).reshape([]);
        const stretch: Through[] =
          domain.length === 0
            ? []
            : [
                { op: { kind: "reshape", shape: domain.map(() => 1) }, source: scalar },
                { op: { kind: "expand", shape: domain }, source: scalar },
              ];
        return lower(placed, scalar, stretch, loop);
      };
      return {
        kind: "random",
        dtype,
        stream: op.stream,
        key: [word(0), word(1)],
        layout: through(contiguous(tensor.shape)),
      };
    }
    default:
      return {
        kind: "apply",
        dtype,
        op: op as ElementwiseOp,
        inputs: tensor.inputs.map((operand) => lower(placed, operand, views, loop)),
      };
  }
}
