/**
 * Elementwise primitives. With y = f(x): ẏ = f′(x) ẋ, written with y where that is cheaper.
 * Ties of max and min share the derivative equally; sign, floor and comparisons have derivative zero.
 */
import type { NDArray } from "../array.js";
import type { BinaryKind, BinaryOp, CompareKind, CompareOp, Op, UnaryKind, UnaryOp } from "../op.js";
import { full, Tensor } from "../tensor.js";
import { generate, type Maybe, type Rules, sumOf } from "./rules.js";
import { erf } from "./special.js";

const pick = (array: NDArray, index: number) => array.data[index]!;

/** Inputs that lack the new axis get it by stretching. */
export function align(inputs: readonly Tensor[], batched: readonly boolean[], size: number): Tensor[] {
  return inputs.map((tensor, k) => (batched[k] ? tensor : tensor.expand([size, ...tensor.shape])));
}

interface Unary {
  readonly value: (x: number) => number;
  /** f′(x)·ẋ; undefined: zero everywhere. */
  readonly derivative?: (x: Tensor, y: Tensor, tangent: Tensor) => Tensor;
}

const unaryTable: { readonly [K in UnaryKind]: Unary } = {
  neg: { value: (x) => -x, derivative: (_x, _y, t) => t.neg() },
  abs: { value: Math.abs, derivative: (x, _y, t) => t.mul(x.sign()) },
  sign: { value: Math.sign },
  floor: { value: Math.floor },
  exp: { value: Math.exp, derivative: (_x, y, t) => t.mul(y) },
  expm1: { value: Math.expm1, derivative: (_x, y, t) => t.mul(y.add(1)) },
  log: { value: Math.log, derivative: (x, _y, t) => t.div(x) },
  log1p: { value: Math.log1p, derivative: (x, _y, t) => t.div(x.add(1)) },
  sqrt: { value: Math.sqrt, derivative: (_x, y, t) => t.mul(full(y, 0.5).div(y)) },
  tanh: { value: Math.tanh, derivative: (_x, y, t) => t.mul(full(y, 1).sub(y.square())) },
  sigmoid: {
    value: (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x))),
    derivative: (_x, y, t) => t.mul(y.sub(y.square())),
  },
  erf: {
    value: erf,
    derivative: (x, _y, t) =>
      t.mul(
        x
          .square()
          .neg()
          .exp()
          .mul(2 / Math.sqrt(Math.PI)),
      ),
  },
  sin: { value: Math.sin, derivative: (x, _y, t) => t.mul(x.cos()) },
  cos: { value: Math.cos, derivative: (x, _y, t) => t.mul(x.sin().neg()) },
  not: { value: (x) => (x === 0 ? 1 : 0) },
};

export const unary: Rules<UnaryOp> = {
  evaluate: (op, [x], output) => generate(output, (i) => unaryTable[op.kind].value(pick(x!, i))),
  jvp: (op, [x], [t], y) => (t ? unaryTable[op.kind].derivative?.(x!, y, t) : undefined),
  // Only negation is linear.
  transpose: (op, cotangent) => {
    if (op.kind !== "neg") throw new Error(`autodiff: ${op.kind} is not linear`);
    return [cotangent.neg()];
  },
  batch: (op, [x]) => apply(op, x!),
};

const apply = (op: Op, ...inputs: Tensor[]): Tensor => Tensor.apply(op, ...inputs);

const binaryValue: { readonly [K in BinaryKind]: (a: number, b: number, integer: boolean) => number } = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b, integer) => (integer ? Math.imul(a, b) : a * b),
  div: (a, b) => a / b,
  pow: (a, b) => a ** b,
  max: (a, b) => Math.max(a, b),
  min: (a, b) => Math.min(a, b),
  and: (a, b) => a & b,
  or: (a, b) => a | b,
};

export const binary: Rules<BinaryOp> = {
  evaluate: (op, [a, b], output) =>
    generate(output, (i) => binaryValue[op.kind](pick(a!, i), pick(b!, i), output.dtype === "i32")),
  jvp(op, inputs, [s, t], y) {
    const [a, b] = inputs as [Tensor, Tensor];
    switch (op.kind) {
      case "add":
        return sumOf([s, t]);
      case "sub":
        return s && t ? s.sub(t) : (s ?? t?.neg());
      case "mul":
        return sumOf([s?.mul(b), t?.mul(a)]);
      case "div":
        // (ȧ − y ḃ)/b
        if (!t) return s?.div(b);
        return s ? s.sub(y.mul(t)).div(b) : y.mul(t).div(b).neg();
      case "pow": {
        // b a^(b−1) ȧ + y log(a) ḃ; a constant exponent does not touch log(a), and log 0 meets y = 0
        const base = s?.mul(b.mul(a.pow(b.sub(1))));
        const exponent = t?.mul(y.mul(a.eq(0).select(full(a, 0), a.log())));
        return sumOf([base, exponent]);
      }
      case "max":
      case "min": {
        const first = op.kind === "max" ? b.lt(a) : a.lt(b);
        const share = (t: Tensor, wins: Tensor) => wins.select(t, a.eq(b).select(t.mul(0.5), 0));
        return sumOf([s && share(s, first), t && share(t, op.kind === "max" ? a.lt(b) : b.lt(a))]);
      }
      case "and":
      case "or":
        return undefined;
    }
  },
  transpose(op, c, [a, b], [first, second]) {
    switch (op.kind) {
      case "add":
        return [first ? c : undefined, second ? c : undefined];
      case "sub":
        return [first ? c : undefined, second ? c.neg() : undefined];
      case "mul":
        return [first ? c.mul(b!) : undefined, second ? c.mul(a!) : undefined];
      case "div":
        return [c.div(b!), undefined];
      default:
        throw new Error(`autodiff: ${op.kind} is not linear`);
    }
  },
  batch: (op, inputs, batched, size) => apply(op, ...align(inputs, batched, size)),
};

const compareValue: { readonly [K in CompareKind]: (a: number, b: number) => boolean } = {
  lt: (a, b) => a < b,
  le: (a, b) => a <= b,
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
};

export const compare: Rules<CompareOp> = {
  evaluate: (op, [a, b], output) =>
    generate(output, (i) => Number(compareValue[op.kind](pick(a!, i), pick(b!, i)))),
  jvp: () => undefined,
  batch: (op, inputs, batched, size) => apply(op, ...align(inputs, batched, size)),
};

export const select: Rules<Extract<Op, { kind: "select" }>> = {
  evaluate: (_op, [condition, a, b], output) =>
    generate(output, (i) => (pick(condition!, i) ? pick(a!, i) : pick(b!, i))),
  jvp: (_op, [condition], [, s, t]) => (s || t ? choose(condition!, s, t) : undefined),
  transpose: (_op, c, [condition], [, first, second]) => [
    undefined,
    first ? choose(condition!, c, undefined) : undefined,
    second ? choose(condition!, undefined, c) : undefined,
  ],
  batch: (op, inputs, batched, size) => apply(op, ...align(inputs, batched, size)),
};
const choose = (condition: Tensor, yes: Maybe, no: Maybe): Tensor => condition.select(yes ?? 0, no ?? 0);

export const cast: Rules<Extract<Op, { kind: "cast" }>> = {
  evaluate: (op, [x], output) =>
    generate(output, (i) =>
      op.dtype === "bool"
        ? Number(pick(x!, i) !== 0)
        : op.dtype === "i32"
          ? Math.trunc(pick(x!, i))
          : pick(x!, i),
    ),
  // Integers have no derivative.
  jvp: (op, [x], [t]) =>
    t && x!.dtype !== "i32" && op.dtype !== "i32" && op.dtype !== "bool" ? t.cast(op.dtype) : undefined,
  transpose: (_op, c, [x]) => [c.cast(x!.dtype)],
  batch: (op, [x]) => x!.cast(op.dtype),
};
