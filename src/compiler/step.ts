/**
 * What a schedule consists of. A root is a tensor that has memory; a value, an expression at each point of a loop; a step,
 * what one call of a kernel or of the BLAS computes.
 */
import type { DType } from "../tensor/dtype.js";
import type { Op, Window } from "../tensor/op.js";
import { type Shape, sizeOf } from "../tensor/shape.js";
import { isContiguous, type Layout } from "./layout.js";

/** A tensor that lives in memory. */
export interface Root {
  readonly id: number;
  readonly dtype: DType;
  readonly shape: Shape;
  readonly size: number;
  /**
   * Whose memory holds its elements, from which one on: its own, set when memory is planned, or part of another root's,
   * set when that one is scheduled.
   */
  storage?: { readonly root: Root; readonly offset: number };
}

/** An expression evaluated at each point of a loop; `layout` maps the loop's domain to elements of the root. */
export type Value =
  | { readonly kind: "load"; readonly root: Root; readonly layout: Layout }
  /** The value of another root of the same loop at the same point (wide) or row. */
  | { readonly kind: "local"; readonly root: Root; readonly dtype: DType }
  | { readonly kind: "number"; readonly dtype: DType; readonly value: number }
  /** The element number itself: iota. */
  | { readonly kind: "index"; readonly dtype: DType; readonly layout: Layout }
  | {
      readonly kind: "random";
      readonly dtype: DType;
      readonly stream: number;
      readonly key: readonly [Value, Value];
      readonly layout: Layout;
    }
  | {
      readonly kind: "apply";
      readonly dtype: DType;
      readonly op: ElementwiseOp;
      readonly inputs: readonly Value[];
    };

export type ElementwiseOp = Extract<
  Op,
  | { kind: "select" | "cast" }
  | { kind: import("../tensor/op.js").UnaryKind }
  | { kind: import("../tensor/op.js").BinaryKind }
  | { kind: import("../tensor/op.js").CompareKind }
>;

/** What a loop computes for one root. */
export type LoopOutput =
  /** One value for each point of the domain. */
  | { readonly kind: "wide"; readonly root: Root; readonly value: Value; readonly layout: Layout }
  /** One value for each row (point of the outer axes). */
  | { readonly kind: "row"; readonly root: Root; readonly value: Value }
  /** A reduction along the inner axes: one value for each row. */
  | { readonly kind: "rowReduce"; readonly root: Root; readonly reduction: Reduction; readonly value: Value }
  /** A reduction over leading axes; the last `kept` elements of the domain remain. `rows`: of a value for each row. */
  | {
      readonly kind: "accumulate";
      readonly root: Root;
      readonly reduction: Reduction;
      readonly value: Value;
      readonly kept: number;
      readonly rows: boolean;
    };

export type Reduction = "sum" | "max";

export interface LoopStep {
  readonly kind: "loop";
  readonly order: number;
  readonly domain: Shape;
  /** Number of trailing axes that row reductions consume; 0 while there are none. */
  innerAxes: number;
  readonly outputs: LoopOutput[];
  readonly reads: Set<Root>;
}
/** A reduction over axes that are neither leading nor trailing: max pooling, for one. */
export interface WindowStep {
  readonly kind: "window";
  readonly order: number;
  readonly domain: Shape;
  readonly axes: readonly number[];
  readonly reduction: Reduction;
  readonly value: Value;
  readonly root: Root;
  readonly reads: Set<Root>;
}
export interface Operand {
  readonly root: Root;
  readonly layout: Layout;
}
export interface DotStep {
  readonly kind: "dot";
  readonly order: number;
  readonly root: Root;
  readonly a: Operand;
  readonly b: Operand;
  /** Adds to what the storage holds instead of overwriting it. */
  readonly accumulate: boolean;
  readonly reads: Set<Root>;
}
/**
 * A convolution as products with image patches that are made a few images at a time, never all at once.
 * P: patches of `image` as [positions, kernel·channels].
 *   forward: P·other       weights: Pᵀ·other       gram: Pᵀ·P       input: the fold of other·weights
 */
export interface ConvStep {
  readonly kind: "conv";
  readonly order: number;
  readonly direction: "forward" | "weights" | "gram" | "input";
  readonly window: Window;
  /** Shapes of the image [n, h, w, c] and of the patches [n, oh, ow, k]. */
  readonly image: Shape;
  readonly patches: Shape;
  readonly root: Root;
  /** forward: image, weights; weights: image, gradient; gram: image; input: gradient, transposed weights. */
  readonly operands: readonly Operand[];
  readonly reads: Set<Root>;
}
/** Steps whose operands are contiguous. */
export interface PlainStep {
  readonly kind: "plain";
  readonly order: number;
  readonly op: PlainOp;
  readonly root: Root;
  readonly operands: readonly Operand[];
  readonly reads: Set<Root>;
}
export type PlainOp =
  | Extract<Op, { kind: "patches" | "fold" | "gather" | "scatterAdd" | "cumsum" | "argMax" }>
  | { readonly kind: "zero" };
export type Step = LoopStep | WindowStep | DotStep | ConvStep | PlainStep;

/** How many trailing axes form the inner part, or undefined when outputs disagree. */
export function innerAxesOf(loop: {
  domain: Shape;
  innerAxes: number;
  outputs: readonly LoopOutput[];
}): number | undefined {
  let inner = loop.innerAxes;
  for (const output of loop.outputs) {
    if (output.kind !== "accumulate" || output.rows || output.kept <= 1) continue;
    let count = 0;
    let product = 1;
    while (product < output.kept && count < loop.domain.length)
      product *= loop.domain[loop.domain.length - ++count]!;
    if (product !== output.kept) return undefined;
    if (inner !== 0 && sizeOf(loop.domain.slice(loop.domain.length - inner)) !== output.kept)
      return undefined;
    inner = Math.max(inner, count);
  }
  return inner;
}

/** The root of the same size whose memory this one uses: that of a running sum of products. */
export function ownerOf(root: Root): Root {
  let owner = root;
  while (owner.storage && owner.storage.root.size === root.size) owner = owner.storage.root;
  return owner;
}
export function livesIn(root: Root, target: Root): boolean {
  for (let at: Root | undefined = root; at; at = at.storage?.root) if (at === target) return true;
  return false;
}

/** Contiguous over the outer axes, constant over the inner ones. */
export function isRowLayout(layout: Layout, loop: LoopStep): boolean {
  const split = loop.domain.length - loop.innerAxes;
  const outer = { shape: layout.shape.slice(0, split), offset: 0, strides: layout.strides.slice(0, split) };
  return (
    layout.offset === 0 &&
    isContiguous(outer) &&
    layout.strides.every((s, axis) => axis < split || s === 0 || layout.shape[axis] === 1)
  );
}

export function readsOf(value: Value, found = new Set<Root>()): Root[] {
  switch (value.kind) {
    case "load":
      found.add(value.root);
      break;
    case "apply":
      for (const operand of value.inputs) readsOf(operand, found);
      break;
    case "random":
      for (const word of value.key) readsOf(word, found);
      break;
    case "local":
    case "number":
    case "index":
      break;
  }
  return [...found];
}

export function loadsOf(value: Value): number {
  if (value.kind === "load") return 1;
  const operands = value.kind === "apply" ? value.inputs : value.kind === "random" ? value.key : [];
  return operands.reduce((sum, operand) => sum + loadsOf(operand), 0);
}

/** Elementwise kinds that take many instructions. */
export const transcendental: ReadonlySet<string> = new Set([
  "exp",
  "expm1",
  "log",
  "log1p",
  "tanh",
  "sigmoid",
  "erf",
  "sin",
  "cos",
  "pow",
]);
