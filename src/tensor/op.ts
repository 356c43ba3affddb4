import type { NDArray } from "./array.js";
import type { DType } from "./dtype.js";
import type { Shape } from "./shape.js";

/**
 * The primitives: everything else is written in them. A tensor is one of these applied to its inputs.
 * Each has its evaluation, jvp, transpose and batching rules in `primitives/`.
 */
export type Op =
  // sources
  | { readonly kind: "input"; readonly name: string }
  | { readonly kind: "constant"; readonly value: NDArray }
  | { readonly kind: "fill"; readonly value: number }
  | { readonly kind: "iota"; readonly axis: number }
  /** Uniform on [0, 1): a hash of (key, stream, element index). Input: key i32 [2]. */
  | { readonly kind: "random"; readonly stream: number }
  // elementwise, equal shapes and dtypes
  | { readonly kind: UnaryKind }
  | { readonly kind: BinaryKind }
  | { readonly kind: CompareKind }
  /** condition (bool) ? a : b */
  | { readonly kind: "select" }
  | { readonly kind: "cast"; readonly dtype: DType }
  // layout
  | { readonly kind: "reshape"; readonly shape: Shape }
  | { readonly kind: "permute"; readonly axes: readonly number[] }
  /** Stretches axes of extent 1; the rank stays. */
  | { readonly kind: "expand"; readonly shape: Shape }
  | { readonly kind: "slice"; readonly start: Shape; readonly limit: Shape; readonly step: Shape }
  /** Zeros before, after and between the elements of each axis. */
  | { readonly kind: "pad"; readonly low: Shape; readonly high: Shape; readonly interior: Shape }
  | { readonly kind: "concat"; readonly axis: number }
  | { readonly kind: "reverse"; readonly axes: readonly number[] }
  // reductions; the reduced axes disappear
  | { readonly kind: "reduceSum"; readonly axes: readonly number[] }
  | { readonly kind: "reduceMax"; readonly axes: readonly number[] }
  | { readonly kind: "argMax"; readonly axis: number }
  | { readonly kind: "cumsum"; readonly axis: number }
  /** Of the others (`compiler/simplify.ts`), with a derivative of its own. */
  | { readonly kind: "softmax"; readonly axis: number }
  // contraction: [...batch, m, k] · [...batch, k, n]
  | { readonly kind: "dot" }
  /** Image patches: [n, h, w, c] → [n, oh, ow, kh·kw·c], zeros outside; convolution is patches · weights. */
  | { readonly kind: "patches"; readonly window: Window }
  /** The transpose of patches: adds each patch back at its place; output [n, h, w, c]. */
  | { readonly kind: "fold"; readonly window: Window; readonly height: number; readonly width: number }
  // indexing along axis 0
  /** table [v, ...d], indices i32 [...s] → [...s, ...d]; indices are clamped into range. */
  | { readonly kind: "gather" }
  /** indices i32 [...s], updates [...s, ...d] → [size, ...d] */
  | { readonly kind: "scatterAdd"; readonly size: number }
  // meaning for the outside, identity inside
  | { readonly kind: "identity" }
  | { readonly kind: "stopGradient" }
  /** Inputs: what is marked (a pre-activation, a hidden state), then what `mark` lists. The output is the first. */
  | { readonly kind: "mark"; readonly mark: Mark };

export const unaryKinds = [
  "neg",
  "abs",
  "sign",
  "floor",
  "exp",
  "expm1",
  "log",
  "log1p",
  "sqrt",
  "tanh",
  "sigmoid",
  "erf",
  "sin",
  "cos",
  "not",
] as const;
export const binaryKinds = ["add", "sub", "mul", "div", "pow", "max", "min", "and", "or"] as const;
export const compareKinds = ["lt", "le", "eq", "ne"] as const;
export type UnaryOp = Extract<Op, { kind: UnaryKind }>;
export type BinaryOp = Extract<Op, { kind: BinaryKind }>;
export type CompareOp = Extract<Op, { kind: CompareKind }>;
export const isUnary = (op: Op): op is UnaryOp => (unaryKinds as readonly string[]).includes(op.kind);
export const isBinary = (op: Op): op is BinaryOp => (binaryKinds as readonly string[]).includes(op.kind);
export const isCompare = (op: Op): op is CompareOp => (compareKinds as readonly string[]).includes(op.kind);
export type UnaryKind = (typeof unaryKinds)[number];
export type BinaryKind = (typeof binaryKinds)[number];
export type CompareKind = (typeof compareKinds)[number];

/** Geometry of a two-dimensional sliding window, per axis [height, width]. */
export interface Window {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  /** Zeros added before and after each axis: [[top, bottom], [left, right]]. */
  readonly padding: readonly [readonly [number, number], readonly [number, number]];
  readonly dilation: readonly [number, number];
}

/** What a tensor is to the outside. */
export type Mark =
  | LayerMark
  /** A state that a recurrent layer hands on, [batch, units]: what structural damping keeps. No further inputs. */
  | { readonly layer: "hidden"; readonly name: string };

/**
 * How a layer's parameters enter the pre-activation: what Kronecker-factored curvature needs to know.
 * The inputs of the mark follow its pre-activation in this order.
 */
export type LayerMark =
  /** s = x·W (+ b): inputs x [..., in], W [in, out], (b [out]); leading axes are examples, then shared positions. */
  | { readonly layer: "dense"; readonly name: string; readonly bias: boolean }
  /** s = patches(x)·W (+ b): inputs x [n, h, w, c], W [kh, kw, c, out], (b [out]). */
  | { readonly layer: "conv2d"; readonly name: string; readonly bias: boolean; readonly window: Window }
  /** s = table[indices]: inputs indices, table. */
  | { readonly layer: "embedding"; readonly name: string }
  /** s = x ⊙ scale + shift: inputs x, scale, shift. */
  | { readonly layer: "scaleShift"; readonly name: string };
