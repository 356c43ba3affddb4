import type { NDArray, Nested, Spec } from "./array.js";
import { array } from "./array.js";
import type { DType } from "./dtype.js";
import { infer } from "./infer.js";
import type { BinaryKind, CompareKind, Mark, Op, UnaryKind, Window } from "./op.js";
import {
  broadcastShapes,
  formatShape,
  normalizeAxes,
  type Shape,
  ShapeError,
  sameShape,
  sizeOf,
} from "./shape.js";

let nextId = 0;

/** What operators accept beside a tensor: a number takes the dtype and shape of the other operand. */
export type Operand = Tensor | number;

/**
 * A symbolic value: a primitive applied to other tensors. Immutable; created by operators while a function is
 * traced, never holding numbers itself. Ids grow, so that inputs always have smaller ids than what uses them.
 *
 *     const loss = x.matmul(w).add(b).tanh().square().mean();
 */
export class Tensor implements Spec {
  readonly id: number = nextId++;
  private constructor(
    readonly op: Op,
    readonly inputs: readonly Tensor[],
    readonly dtype: DType,
    readonly shape: Shape,
  ) {}

  /** Applies a primitive. @throws ShapeError when the inputs do not fit it. */
  static apply(op: Op, ...inputs: Tensor[]): Tensor {
    const { dtype, shape } = infer(op, inputs);
    return new Tensor(op, inputs, dtype, shape);
  }
  /** A tensor without inputs whose spec is given. */
  static source(op: Op, spec: Spec, ...inputs: Tensor[]): Tensor {
    return new Tensor(op, inputs, spec.dtype, spec.shape);
  }

  get rank(): number {
    return this.shape.length;
  }
  get size(): number {
    return sizeOf(this.shape);
  }
  toString(): string {
    return `Tensor(${this.op.kind}, ${this.dtype}${formatShape(this.shape)})`;
  }

  // elementwise; operands broadcast as in NumPy

  private unary(kind: UnaryKind): Tensor {
    return Tensor.apply({ kind }, this);
  }
  private binary(kind: BinaryKind | CompareKind, other: Operand): Tensor {
    const [a, b] = broadcast(kind, this, other);
    return Tensor.apply({ kind } as Op, a!, b!);
  }
  add(other: Operand): Tensor {
    return this.binary("add", other);
  }
  sub(other: Operand): Tensor {
    return this.binary("sub", other);
  }
  mul(other: Operand): Tensor {
    return this.binary("mul", other);
  }
  div(other: Operand): Tensor {
    return this.binary("div", other);
  }
  pow(exponent: Operand): Tensor {
    if (exponent === 1) return this;
    if (exponent === 2) return this.square();
    if (exponent === 0.5) return this.sqrt();
    return this.binary("pow", exponent);
  }
  max(other: Operand): Tensor {
    return this.binary("max", other);
  }
  min(other: Operand): Tensor {
    return this.binary("min", other);
  }
  neg(): Tensor {
    return this.unary("neg");
  }
  abs(): Tensor {
    return this.unary("abs");
  }
  sign(): Tensor {
    return this.unary("sign");
  }
  floor(): Tensor {
    return this.unary("floor");
  }
  exp(): Tensor {
    return this.unary("exp");
  }
  expm1(): Tensor {
    return this.unary("expm1");
  }
  log(): Tensor {
    return this.unary("log");
  }
  log1p(): Tensor {
    return this.unary("log1p");
  }
  sqrt(): Tensor {
    return this.unary("sqrt");
  }
  tanh(): Tensor {
    return this.unary("tanh");
  }
  sigmoid(): Tensor {
    return this.unary("sigmoid");
  }
  erf(): Tensor {
    return this.unary("erf");
  }
  sin(): Tensor {
    return this.unary("sin");
  }
  cos(): Tensor {
    return this.unary("cos");
  }
  square(): Tensor {
    return this.mul(this);
  }
  reciprocal(): Tensor {
    return full(this, 1).div(this);
  }
  /** max(x, 0), with derivative 0 at 0. */
  relu(): Tensor {
    return this.gt(0).select(this, 0);
  }
  /** log(1 + eˣ) without overflow; smooth everywhere. */
  softplus(): Tensor {
    // Beyond, x itself is the nearest number. (max(x, 0) + log(1 + e^−|x|) would have a kink in its derivatives.)
    const limit = this.dtype === "f64" ? 40 : 20;
    return this.ge(limit).select(this, this.min(limit).exp().log1p());
  }
  /** x·sigmoid(x). */
  silu(): Tensor {
    return this.mul(this.sigmoid());
  }
  /** x·Φ(x): exact through erf, or the tanh approximation of Hendrycks & Gimpel 2016. */
  gelu(approximation: "none" | "tanh" = "none"): Tensor {
    if (approximation === "none") return this.mul(0.5).mul(this.mul(Math.SQRT1_2).erf().add(1));
    // 0.5 (1 + tanh u) = sigmoid(2u)
    const inner = this.square()
      .mul(0.044715)
      .add(1)
      .mul(this)
      .mul(2 * Math.sqrt(2 / Math.PI));
    return this.mul(inner.sigmoid());
  }

  // comparison and choice

  lt(other: Operand): Tensor {
    return this.binary("lt", other);
  }
  le(other: Operand): Tensor {
    return this.binary("le", other);
  }
  gt(other: Operand): Tensor {
    const [a, b] = broadcast("gt", this, other);
    return b!.binary("lt", a!);
  }
  ge(other: Operand): Tensor {
    const [a, b] = broadcast("ge", this, other);
    return b!.binary("le", a!);
  }
  eq(other: Operand): Tensor {
    return this.binary("eq", other);
  }
  ne(other: Operand): Tensor {
    return this.binary("ne", other);
  }
  and(other: Tensor): Tensor {
    return this.binary("and", other);
  }
  or(other: Tensor): Tensor {
    return this.binary("or", other);
  }
  not(): Tensor {
    return this.unary("not");
  }
  /** this (bool) ? yes : no; all three broadcast. At least one branch must be a tensor. */
  select(yes: Operand, no: Operand): Tensor {
    const like = yes instanceof Tensor ? yes : no;
    if (!(like instanceof Tensor)) throw new ShapeError("select: one of the branches must be a tensor");
    const [a, b] = [literal(yes, like), literal(no, like)];
    const shape = broadcastShapes("select", this.shape, a.shape, b.shape);
    return Tensor.apply({ kind: "select" }, this.expand(shape), a.expand(shape), b.expand(shape));
  }
  cast(dtype: DType): Tensor {
    return dtype === this.dtype ? this : Tensor.apply({ kind: "cast", dtype }, this);
  }
  stopGradient(): Tensor {
    return Tensor.apply({ kind: "stopGradient" }, this);
  }

  // layout

  /** One number in another shape is that number, filled. */
  private moved(op: Op): Tensor {
    const result = Tensor.apply(op, this);
    return this.op.kind === "fill" ? full(result, this.op.value) : result;
  }
  /** One extent may be −1: it takes what is left. */
  reshape(shape: Shape): Tensor {
    let target = shape;
    if (shape.includes(-1)) {
      const known = shape.reduce((product, n) => (n === -1 ? product : product * n), 1);
      target = shape.map((n) => (n === -1 ? this.size / known : n));
      if (shape.indexOf(-1) !== shape.lastIndexOf(-1) || !Number.isInteger(this.size / known))
        throw new ShapeError(
          `reshape: ${formatShape(shape)} does not say how to divide ${formatShape(this.shape)}`,
        );
    }
    return sameShape(target, this.shape) ? this : this.moved({ kind: "reshape", shape: target });
  }
  /** Axis i of the result is axis `axes[i]` of this. */
  permute(axes: readonly number[]): Tensor {
    return axes.every((axis, index) => axis === index) && axes.length === this.rank
      ? this
      : Tensor.apply({ kind: "permute", axes }, this);
  }
  /** The last two axes exchanged. */
  transpose(): Tensor {
    const axes = this.shape.map((_, axis) => axis);
    if (axes.length < 2)
      throw new ShapeError(`transpose: ${formatShape(this.shape)} has fewer than two axes`);
    [axes[axes.length - 2], axes[axes.length - 1]] = [axes.at(-1)!, axes.at(-2)!];
    return this.permute(axes);
  }
  /** Broadcasts to `shape`: new axes at the left, extents of 1 stretch. */
  expand(shape: Shape): Tensor {
    if (sameShape(shape, this.shape)) return this;
    if (shape.length < this.rank)
      throw new ShapeError(`expand: ${formatShape(this.shape)} does not stretch to ${formatShape(shape)}`);
    const aligned = this.reshape([...new Array<number>(shape.length - this.rank).fill(1), ...this.shape]);
    return sameShape(aligned.shape, shape) ? aligned : aligned.moved({ kind: "expand", shape });
  }
  /** Elements start, start + step, … below limit of one axis; negative bounds count from the end. */
  slice(axis: number, start: number, limit = this.shape.at(axis) ?? 0, step = 1): Tensor {
    const at = normalizeAxes("slice", axis, this.rank)[0]!;
    const extent = this.shape[at]!;
    const bound = (value: number) => (value < 0 ? value + extent : value);
    if (bound(start) === 0 && bound(limit) === extent && step === 1) return this;
    if (this.op.kind === "concat" && this.op.axis === at) {
      const operand = operandWith(this, bound(start), bound(limit));
      if (operand)
        return operand.tensor.slice(at, bound(start) - operand.first, bound(limit) - operand.first, step);
    }
    const replace = (list: Shape, value: number) => list.map((old, index) => (index === at ? value : old));
    return Tensor.apply(
      {
        kind: "slice",
        start: replace(
          this.shape.map(() => 0),
          bound(start),
        ),
        limit: replace(this.shape, bound(limit)),
        step: replace(
          this.shape.map(() => 1),
          step,
        ),
      },
      this,
    );
  }
  /** Element `index` of axis `axis`, which disappears. */
  at(index: number, axis = 0): Tensor {
    const start = index < 0 ? index + (this.shape.at(axis) ?? 0) : index;
    const kept = this.shape.filter((_, other) => other !== (axis < 0 ? axis + this.rank : axis));
    return this.slice(axis, start, start + 1).reshape(kept);
  }
  /** Zeros before and after each axis: `[[before, after], …]`. */
  pad(widths: readonly (readonly [number, number])[]): Tensor {
    if (widths.length !== this.rank)
      throw new ShapeError(`pad: ${widths.length} widths for a tensor of shape ${formatShape(this.shape)}`);
    if (widths.every(([low, high]) => low === 0 && high === 0)) return this;
    const [low, high] = [widths.map((w) => w[0]), widths.map((w) => w[1])];
    return Tensor.apply({ kind: "pad", low, high, interior: low.map(() => 0) }, this);
  }
  reverse(axes: number | readonly number[]): Tensor {
    return Tensor.apply({ kind: "reverse", axes: normalizeAxes("reverse", axes, this.rank) }, this);
  }
  /** All axes from `from` on merged into one. */
  flatten(from = 0): Tensor {
    return this.reshape([...this.shape.slice(0, from), -1]);
  }

  // reductions over all axes, or those given

  sum(axes?: number | readonly number[], keep = false): Tensor {
    return this.reduce("reduceSum", axes, keep);
  }
  mean(axes?: number | readonly number[], keep = false): Tensor {
    const list = normalizeAxes("mean", axes, this.rank);
    const count = list.reduce((product, axis) => product * this.shape[axis]!, 1);
    return this.sum(list, keep).mul(1 / count);
  }
  maximum(axes?: number | readonly number[], keep = false): Tensor {
    return this.reduce("reduceMax", axes, keep);
  }
  minimum(axes?: number | readonly number[], keep = false): Tensor {
    return this.neg().maximum(axes, keep).neg();
  }
  /** Index (i32) of the first largest element along the axis. */
  argMax(axis = -1): Tensor {
    return Tensor.apply({ kind: "argMax", axis: normalizeAxes("argMax", axis, this.rank)[0]! }, this);
  }
  /** Running sum along the axis, including each element. */
  cumsum(axis = -1): Tensor {
    return Tensor.apply({ kind: "cumsum", axis: normalizeAxes("cumsum", axis, this.rank)[0]! }, this);
  }
  private reduce(
    kind: "reduceSum" | "reduceMax",
    axes: number | readonly number[] | undefined,
    keep: boolean,
  ): Tensor {
    const list = normalizeAxes(kind, axes, this.rank);
    if (list.length === 0) return this;
    const result = Tensor.apply({ kind, axes: list }, this);
    return keep ? result.reshape(this.shape.map((n, axis) => (list.includes(axis) ? 1 : n))) : result;
  }
  /** log Σ eˣ, stable for large |x|. */
  logSumExp(axis = -1, keep = false): Tensor {
    const peak = this.maximum(axis, true).stopGradient();
    const result = this.sub(peak).exp().sum(axis, true).log().add(peak);
    return keep ? result : result.reshape(this.sum(axis).shape);
  }
  softmax(axis = -1): Tensor {
    return Tensor.apply({ kind: "softmax", axis: normalizeAxes("softmax", axis, this.rank)[0]! }, this);
  }
  logSoftmax(axis = -1): Tensor {
    const shifted = this.sub(this.maximum(axis, true).stopGradient());
    return shifted.sub(shifted.exp().sum(axis, true).log());
  }

  // contraction and indexing

  /**
   * Matrix product of the last two axes; leading axes broadcast. A vector is a row on the left, a column on the right.
   * [..., m, k] · [..., k, n] → [..., m, n].
   */
  matmul(other: Tensor): Tensor {
    if (this.rank === 0 || other.rank === 0)
      throw new ShapeError("matmul: needs vectors or matrices, not scalars");
    if (this.rank === 1) {
      const product = this.reshape([1, this.size]).matmul(other);
      return product.reshape([...product.shape.slice(0, -2), product.shape.at(-1)!]);
    }
    if (other.rank === 1) {
      const product = this.matmul(other.reshape([other.size, 1]));
      return product.reshape(product.shape.slice(0, -1));
    }
    if (other.rank === 2 && this.rank > 2) {
      const rows = Tensor.apply({ kind: "dot" }, this.reshape([-1, this.shape.at(-1)!]), other);
      return rows.reshape([...this.shape.slice(0, -1), other.shape[1]!]);
    }
    const batch = broadcastShapes("matmul", this.shape.slice(0, -2), other.shape.slice(0, -2));
    return Tensor.apply(
      { kind: "dot" },
      this.expand([...batch, ...this.shape.slice(-2)]),
      other.expand([...batch, ...other.shape.slice(-2)]),
    );
  }
  /** Sum of the products of all elements. */
  inner(other: Tensor): Tensor {
    return this.mul(other).sum();
  }
  /** Rows of this table [v, ...d] at i32 indices [...s] → [...s, ...d]. */
  gather(indices: Tensor): Tensor {
    return Tensor.apply({ kind: "gather" }, this, indices);
  }
  /** Image patches [n, h, w, c] → [n, oh, ow, kh·kw·c]. */
  patches(window: Window): Tensor {
    return Tensor.apply({ kind: "patches", window }, this);
  }
  /** Marks this pre-activation as the result of a layer; the value is unchanged. */
  marked(mark: Mark, ...inputs: Tensor[]): Tensor {
    return Tensor.apply({ kind: "mark", mark }, this, ...inputs);
  }
}

/** The operand as a tensor: a number becomes a scalar of `like`'s dtype. */
function literal(value: Operand, like: Tensor): Tensor {
  return value instanceof Tensor
    ? value
    : Tensor.source({ kind: "fill", value }, { dtype: like.dtype, shape: [] });
}

function broadcast(operation: string, first: Operand, second: Operand): Tensor[] {
  const like = first instanceof Tensor ? first : (second as Tensor);
  const [a, b] = [literal(first, like), literal(second, like)];
  if (a.dtype !== b.dtype)
    throw new ShapeError(`${operation}: dtypes ${a.dtype} and ${b.dtype} differ; use cast`);
  const shape = broadcastShapes(operation, a.shape, b.shape);
  return [a.expand(shape), b.expand(shape)];
}

/**
 * A tensor of one value, with the shape and dtype of `like`.
 *
 *     full({ dtype: "f32", shape: [2, 3] }, 0.5)
 */
export function full(like: Spec, value: number): Tensor {
  return Tensor.source({ kind: "fill", value }, like);
}
/**
 *     zeros([128])   // f32 [128]
 */
export const zeros = (shape: Shape, dtype: DType = "f32"): Tensor => full({ shape, dtype }, 0);
/**
 *     ones([], "f64")   // a scalar
 */
export const ones = (shape: Shape, dtype: DType = "f32"): Tensor => full({ shape, dtype }, 1);

/**
 * A literal that becomes part of the program: an array, or numbers in nested lists, f32 unless they are told otherwise.
 *
 *     constant([[1, 2], [3, 4]], "f64")   // f64 [2, 2]
 */
export function constant(value: NDArray | Nested, dtype?: DType): Tensor {
  const literalArray =
    typeof value === "object" && "data" in value ? value : array(value as Nested, undefined, dtype);
  return Tensor.source({ kind: "constant", value: literalArray }, literalArray);
}
/**
 * A named hole that gets its value when the program runs. `trace` makes them; by hand:
 *
 *     const x = input("x", { dtype: "f32", shape: [3] });
 *     const program = { inputs: [x], outputs: [x.square().sum()] };
 */
export function input(name: string, spec: Spec): Tensor {
  return Tensor.source({ kind: "input", name }, spec);
}
/**
 * Indices 0, 1, 2, … along `axis` of the shape.
 *
 *     iota([2, 3])      // [[0, 1, 2], [0, 1, 2]], i32
 *     iota([2, 3], 0)   // [[0, 0, 0], [1, 1, 1]]
 *
 * @throws ShapeError when there is no such axis.
 */
export function iota(shape: Shape, axis = -1, dtype: DType = "i32"): Tensor {
  return Tensor.source(
    { kind: "iota", axis: normalizeAxes("iota", axis, shape.length)[0]! },
    { dtype, shape },
  );
}
/**
 * Tensors joined along an axis; their other extents and dtypes are equal.
 *
 *     concat([images, masks], -1)   // [n, h, w, 3] and [n, h, w, 1] → [n, h, w, 4]
 *
 * @throws ShapeError when there are none, or they do not fit.
 */
export function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  const [first] = tensors;
  if (!first) throw new ShapeError("concat: needs at least one tensor");
  if (tensors.length === 1) return first;
  return Tensor.apply({ kind: "concat", axis: normalizeAxes("concat", axis, first.rank)[0]! }, ...tensors);
}
/** Of a concatenation, the operand that holds indices start … limit of the joined axis by itself, and its first index. */
export function operandWith(
  whole: Tensor,
  start: number,
  limit: number,
): { readonly tensor: Tensor; readonly first: number } | undefined {
  if (whole.op.kind !== "concat") return undefined;
  let first = 0;
  for (const tensor of whole.inputs) {
    const last = first + tensor.shape[whole.op.axis]!;
    if (start >= first && limit <= last) return { tensor, first };
    first = last;
  }
  return undefined;
}
/**
 * Tensors of one shape joined along a new axis.
 *
 *     stack([x, y])       // [3] and [3] → [2, 3]
 *     stack([x, y], -1)   // → [3, 2]
 */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  return concat(
    tensors.map((t) => {
      const at = axis < 0 ? axis + t.rank + 1 : axis;
      return t.reshape([...t.shape.slice(0, at), 1, ...t.shape.slice(at)]);
    }),
    axis,
  );
}
/**
 * Adds rows of `updates` [...s, ...d] into zeros [size, ...d] at i32 indices [...s]: the transpose of `gather`.
 *
 *     scatterAdd(constant([0, 2, 0], "i32"), constant([1, 10, 100]), 3)   // [101, 0, 10]
 */
export function scatterAdd(indices: Tensor, updates: Tensor, size: number): Tensor {
  return Tensor.apply({ kind: "scatterAdd", size }, indices, updates);
}
