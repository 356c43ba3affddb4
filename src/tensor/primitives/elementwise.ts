/**
 * Elementwise primitives. With y = f(x): ẏ = f′(x)·ẋ, f′ written with y where that is cheaper, and always a factor
 * that does not contain ẋ, so that a linearized program keeps it and multiplies.
 *
 * At kinks: |x|′ = 0 at 0; max and min give half of the derivative to each side of a tie; sign, floor and comparisons
 * have derivative 0 everywhere. √x has an infinite derivative at 0 (and 0·∞ = NaN where the tangent is 0 too); xᵇ
 * with a known b, or with b = 0, has none: b·xᵇ⁻¹ is 0 for b = 0 at any x, and 0 counts as log 0 where y·log x is
 * needed.
 */
import type { NDArray } from "../array.js";
import { isFloat } from "../dtype.js";
import type { BinaryKind, CompareKind, Op, UnaryKind } from "../op.js";
import { full, type Tensor } from "../tensor.js";
import {
  align,
  apply,
  type Family,
  generate,
  type Maybe,
  numberOf,
  type Rules,
  sumOf,
  times,
} from "./rules.js";
import { erf } from "./special.js";

const at = (array: NDArray | undefined, index: number) => array!.data[index]!;

/** y = value(x), ẏ = factor(x, y)·ẋ; without a factor the derivative is 0. */
const unary = (
  value: (x: number) => number,
  factor?: (x: Tensor, y: Tensor) => Tensor,
): Rules<Op & { kind: UnaryKind }> => ({
  evaluate: (_op, [x], output) => generate(output, (i) => value(at(x, i))),
  jvp: (_op, [x], [t], y) => t && factor && times(t, factor(x!, y)),
  batch: (op, [x]) => apply(op, x!),
});

/** y = value(a, b) and ẏ from ȧ and ḃ. */
const binary = (
  value: (a: number, b: number) => number,
  jvp: (a: Tensor, b: Tensor, s: Maybe, t: Maybe, y: Tensor) => Maybe,
  transpose?: (c: Tensor, a: Tensor, b: Tensor) => readonly [() => Maybe, () => Maybe],
): Rules<Op & { kind: BinaryKind }> => ({
  evaluate: (_op, [a, b], output) => generate(output, (i) => value(at(a, i), at(b, i))),
  jvp: (_op, [a, b], [s, t], y) => jvp(a!, b!, s, t, y),
  ...(transpose && {
    transpose: (_op: Op, c: Tensor, [a, b]: readonly Tensor[], linear: readonly boolean[]) =>
      transpose(c, a!, b!).map((part, k) => (linear[k] ? part() : undefined)),
  }),
  batch: (op, inputs, batched, size) => apply(op, ...align(inputs, batched, size)),
});

const compare = (value: (a: number, b: number) => boolean): Rules<Op & { kind: CompareKind }> => ({
  evaluate: (_op, [a, b], output) => generate(output, (i) => Number(value(at(a, i), at(b, i)))),
  jvp: () => undefined,
  batch: (op, inputs, batched, size) => apply(op, ...align(inputs, batched, size)),
});

/** b·a^(b−1), the derivative of aᵇ by a; undefined: zero. */
function powerRule(a: Tensor, b: Tensor): Maybe {
  const known = numberOf(b);
  if (known === 0) return undefined;
  if (known !== undefined) return times(known === 1 ? full(a, 1) : a.pow(known - 1), full(a, known));
  // a^(b−1) is taken at b = 1 where b = 0: finite, and multiplied by b = 0.
  return b.mul(a.pow(b.eq(0).select(full(b, 1), b).sub(1)));
}

/** log a, and 0 for a = 0. */
function logOrZero(a: Tensor): Tensor {
  const known = numberOf(a);
  if (known !== undefined) return full(a, known === 0 ? 0 : Math.log(known));
  return a.eq(0).select(1, a).log();
}

/** ȧ where `wins`, half of it at a tie, else 0. */
const share = (tangent: Tensor, wins: Tensor, tie: Tensor): Tensor =>
  wins.select(tangent, tie.select(tangent.mul(0.5), 0));

const choose = (condition: Tensor, yes: Maybe, no: Maybe): Tensor => condition.select(yes ?? 0, no ?? 0);

/** To i32 towards zero; what i32 does not reach becomes its nearest, NaN 0, as in WebAssembly. */
const truncate = (x: number) =>
  Number.isNaN(x) ? 0 : Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, Math.trunc(x)));

export const elementwise: Family<UnaryKind | BinaryKind | CompareKind | "select" | "cast"> = {
  neg: {
    ...unary((x) => -x),
    jvp: (_op, _inputs, [t]) => t?.neg(),
    transpose: (_op, c) => [c.neg()],
  },
  abs: unary(Math.abs, (x) => x.sign()),
  sign: unary(Math.sign),
  floor: unary(Math.floor),
  exp: unary(Math.exp, (_x, y) => y),
  expm1: unary(Math.expm1, (_x, y) => y.add(1)),
  log: { ...unary(Math.log), jvp: (_op, [x], [t]) => t?.div(x!) },
  log1p: { ...unary(Math.log1p), jvp: (_op, [x], [t]) => t?.div(x!.add(1)) },
  sqrt: unary(Math.sqrt, (_x, y) => full(y, 0.5).div(y)),
  tanh: unary(Math.tanh, (_x, y) => full(y, 1).sub(y.square())),
  sigmoid: unary(
    (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x))),
    (_x, y) => y.sub(y.square()),
  ),
  erf: unary(erf, (x) =>
    x
      .square()
      .neg()
      .exp()
      .mul(2 / Math.sqrt(Math.PI)),
  ),
  sin: unary(Math.sin, (x) => x.cos()),
  cos: unary(Math.cos, (x) => x.sin().neg()),
  not: unary((x) => (x === 0 ? 1 : 0)),

  add: binary(
    (a, b) => a + b,
    (_a, _b, s, t) => sumOf([s, t]),
    (c) => [() => c, () => c],
  ),
  sub: binary(
    (a, b) => a - b,
    (_a, _b, s, t) => (s && t ? s.sub(t) : (s ?? t?.neg())),
    (c) => [() => c, () => c.neg()],
  ),
  mul: {
    ...binary(
      (a, b) => a * b,
      (a, b, s, t) => (a === b ? s?.mul(a.mul(2)) : sumOf([s && times(s, b), t && times(t, a)])),
      (c, a, b) => [() => times(c, b), () => times(c, a)],
    ),
    evaluate: (_op, [a, b], output) =>
      generate(output, (i) => (output.dtype === "i32" ? Math.imul(at(a, i), at(b, i)) : at(a, i) * at(b, i))),
  },
  // (ȧ − y·ḃ)/b
  div: binary(
    (a, b) => a / b,
    (_a, b, s, t, y) => (t ? (s ? s.sub(y.mul(t)).div(b) : t.mul(y.div(b)).neg()) : s?.div(b)),
    (c, _a, b) => [() => c.div(b), () => undefined],
  ),
  // b·a^(b−1)·ȧ + y·log(a)·ḃ
  pow: binary(
    (a, b) => a ** b,
    (a, b, s, t, y) => {
      const factor = s && powerRule(a, b);
      return sumOf([s && factor && times(s, factor), t?.mul(times(y, logOrZero(a)))]);
    },
  ),
  max: binary(Math.max, (a, b, s, t) =>
    sumOf([s && share(s, b.lt(a), a.eq(b)), t && share(t, a.lt(b), a.eq(b))]),
  ),
  min: binary(Math.min, (a, b, s, t) =>
    sumOf([s && share(s, a.lt(b), a.eq(b)), t && share(t, b.lt(a), a.eq(b))]),
  ),
  and: binary(
    (a, b) => a & b,
    () => undefined,
  ),
  or: binary(
    (a, b) => a | b,
    () => undefined,
  ),

  lt: compare((a, b) => a < b),
  le: compare((a, b) => a <= b),
  eq: compare((a, b) => a === b),
  ne: compare((a, b) => a !== b),

  select: {
    evaluate: (_op, [condition, a, b], output) =>
      generate(output, (i) => (at(condition, i) ? at(a, i) : at(b, i))),
    jvp: (_op, [condition], [, s, t]) => (s || t ? choose(condition!, s, t) : undefined),
    transpose: (_op, c, [condition], [, first, second]) => [
      undefined,
      first ? choose(condition!, c, undefined) : undefined,
      second ? choose(condition!, undefined, c) : undefined,
    ],
    batch: (op, inputs, batched, size) => apply(op, ...align(inputs, batched, size)),
  },
  cast: {
    evaluate: (op, [x], output) =>
      generate(output, (i) => {
        const value = at(x, i);
        return op.dtype === "bool" ? Number(value !== 0) : op.dtype === "i32" ? truncate(value) : value;
      }),
    // Integers have no derivative.
    jvp: (op, _inputs, [t]) => (isFloat(op.dtype) ? t?.cast(op.dtype) : undefined),
    transpose: (_op, c, [x]) => [c.cast(x!.dtype)],
    batch: (op, [x]) => x!.cast(op.dtype),
  },
};
