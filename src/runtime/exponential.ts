/** Exponentials and logarithms, by powers of two and a short interval; see math.ts. */
import type { Local } from "./assembler.js";
import { clamp, emitter, factorial, series, type Vectors, withSignOf } from "./vectors.js";

/** ln 2 in two parts; the first has enough trailing zeros for n·high to be exact. */
const ln2 = {
  f32: { high: 0.693359375, low: -2.1219444005469057e-4 },
  f64: { high: 0.6931471803691238, low: 1.9082149292705877e-10 },
} as const;

/** (e^r − 1 − r)/r² on |r| ≤ ln2/2. f32: Chebyshev fit of degree 4, error 3e-9; f64: Taylor, 2e-17. */
const expTail = {
  f32: [
    0.5000000013470305, 0.1666657696724756, 0.041666464895351786, 0.008363181544677724, 0.0013933652487986418,
  ],
  f64: series(12, (k) => 1 / factorial(k + 2)),
} as const;

/** x = n·ln2 + r: returns n (as floats) and r. */
function reduceExp(v: Vectors, x: Local): { n: Local; r: Local } {
  const { code } = v;
  code.get(x);
  v.number(Math.LOG2E);
  v.emit("mul", "nearest");
  const n = v.hold();
  code.get(x);
  code.get(n);
  v.number(ln2[v.type].high);
  v.emit("mul", "sub");
  code.get(n);
  v.number(ln2[v.type].low);
  v.emit("mul", "sub");
  return { n, r: v.hold() };
}
/** Pushes e^r − 1. */
function pushExpm1Core(v: Vectors, r: Local): void {
  v.polynomial(r, expTail[v.type]);
  v.code.get(r);
  v.emit("mul");
  v.code.get(r);
  v.emit("mul");
  v.code.get(r);
  v.emit("add");
}
/** Pushes 2ⁿ for n (integers as floats) within the exponent range of normal numbers. */
function pushPower2(v: Vectors, n: Local): void {
  const { code } = v;
  // Adding 1.5·2^mantissa puts the integer into the low bits; shifting moves it to the exponent.
  code.get(n);
  if (v.type === "f32") {
    code.emit("i32x4.trunc_sat_f32x4_s");
    code.i32x4(127);
    code.emit("i32x4.add");
    code.i32(23);
    code.emit("i32x4.shl");
  } else {
    v.number(2 ** 52 + 2 ** 51 + 1023);
    v.emit("add");
    code.i32(52);
    code.emit("i64x2.shl");
  }
}
/**
 * eˣ = 2ⁿ⁻¹·2e^r: with the doubling the largest numbers are reached, and 2ⁿ⁻¹ = 0 in its bit pattern is where results
 * vanish (below 1.7e-38 in f32, 4.5e-308 in f64: there are no subnormal results).
 */
export const exp = emitter((v) => {
  const { code } = v;
  const x = clamp(v, v.hold(), v.type === "f32" ? -87.6 : -708.7, v.type === "f32" ? 89 : 710);
  const { n, r } = reduceExp(v, x);
  pushExpm1Core(v, r);
  v.number(1);
  v.emit("add");
  const power = v.hold();
  code.get(power);
  code.get(power);
  v.emit("add");
  code.get(n);
  v.number(1);
  v.emit("sub");
  const less = v.hold();
  pushPower2(v, less);
  v.emit("mul");
});

/** eˣ − 1 = 2ⁿ(e^r − 1) + (2ⁿ − 1): for small x, n = 0 and nothing cancels. */
export function expm1Of(v: Vectors, argument: Local): void {
  const { code } = v;
  const x = clamp(v, argument, v.type === "f32" ? -20 : -40, v.type === "f32" ? 89 : 710);
  const { n, r } = reduceExp(v, x);
  // 2ⁿ⁻¹ and a doubling at the end reach the largest numbers.
  code.get(n);
  v.number(1);
  v.emit("sub");
  const less = v.hold();
  pushPower2(v, less);
  const scale = v.hold();
  pushExpm1Core(v, r);
  code.get(scale);
  v.emit("mul");
  code.get(scale);
  v.number(0.5);
  v.emit("sub", "add");
  v.number(2);
  v.emit("mul");
  const general = v.hold();
  // At n = 0 the detour over 2⁻¹ would round; there the core is the answer.
  pushExpm1Core(v, r);
  code.get(general);
  code.get(n);
  v.number(0);
  v.emit("eq");
  code.emit("v128.bitselect");
}
export const expm1 = emitter((v) => {
  const x = v.hold();
  expm1Of(v, x);
  withSignOf(v, x);
});
/** 2/(2k+3) for s = f/(2+f): log(1+f) = f − f²/2 + s(f²/2 + z·Σ 2/(2k+3) zᵏ), z = s². */
const logTail = { f32: series(4, (k) => 2 / (2 * k + 3)), f64: series(11, (k) => 2 / (2 * k + 3)) } as const;

/** log x of what `argument` holds: x = 2ᵏ·m with m in [√½, √2). */
export function logOf(v: Vectors, argument: Local): void {
  const { code } = v;
  const single = v.type === "f32";
  const [tiny, scale, shift] = single ? [2 ** -126, 2 ** 25, 25] : [2 ** -1022, 2 ** 54, 54];
  // Subnormal arguments are scaled into the normal range first.
  code.get(argument);
  v.number(tiny);
  v.emit("lt");
  const small = v.hold();
  code.get(argument);
  v.number(scale);
  v.emit("mul");
  code.get(argument);
  code.get(small);
  code.emit("v128.bitselect");
  const x = v.hold();
  // k = exponent of x·√2 (in bits: add the distance from √½ to 1 before taking the exponent field)
  code.get(x);
  if (single) {
    code.i32x4(0x3f800000 - 0x3f3504f3);
    code.emit("i32x4.add");
  } else {
    code.i64x2(0x3ff0000000000000n - 0x3fe6a09e667f3bcdn);
    code.emit("i64x2.add");
  }
  const bits = v.hold();
  code.get(bits);
  if (single) {
    code.i32(23);
    code.emit("i32x4.shr_u");
    code.i32x4(127);
    code.emit("i32x4.sub", "f32x4.convert_i32x4_s");
  } else {
    // The exponent field as a double: or it into the mantissa of 2^52.
    code.i32(52);
    code.emit("i64x2.shr_u");
    code.i64x2(0x4330000000000000n);
    code.emit("v128.or");
    v.number(2 ** 52 + 1023);
    v.emit("sub");
  }
  const exponent = v.hold();
  code.get(exponent);
  v.number(shift);
  code.get(small);
  code.emit("v128.and");
  v.emit("sub");
  const k = v.hold();
  // m: the fraction of the shifted bits, moved back
  code.get(bits);
  if (single) {
    code.i32x4(0x007fffff);
    code.emit("v128.and");
    code.i32x4(0x3f3504f3);
    code.emit("i32x4.add");
  } else {
    code.i64x2(0x000fffffffffffffn);
    code.emit("v128.and");
    code.i64x2(0x3fe6a09e667f3bcdn);
    code.emit("i64x2.add");
  }
  v.number(1);
  v.emit("sub");
  const f = v.hold();
  code.get(f);
  code.get(f);
  v.number(2);
  v.emit("add", "div");
  const s = v.hold();
  code.get(s);
  code.get(s);
  v.emit("mul");
  const z = v.hold();
  code.get(f);
  code.get(f);
  v.emit("mul");
  v.number(0.5);
  v.emit("mul");
  const halfSquare = v.hold();
  // k·ln2_high − ((halfSquare − (s·(halfSquare + R) + k·ln2_low)) − f)
  code.get(k);
  v.number(ln2[v.type].high);
  v.emit("mul");
  code.get(halfSquare);
  v.polynomial(z, logTail[v.type]);
  code.get(z);
  v.emit("mul");
  code.get(halfSquare);
  v.emit("add");
  code.get(s);
  v.emit("mul");
  code.get(k);
  v.number(ln2[v.type].low);
  v.emit("mul", "add", "sub");
  code.get(f);
  v.emit("sub", "sub");
  const finite = v.hold();
  // x = 0 → −∞; x < 0 or NaN → NaN; +∞ → +∞
  v.number(-Infinity);
  code.get(finite);
  code.get(argument);
  v.number(0);
  v.emit("eq");
  code.emit("v128.bitselect");
  const withZero = v.hold();
  code.get(argument);
  code.get(withZero);
  code.get(argument);
  v.number(Infinity);
  v.emit("eq");
  code.emit("v128.bitselect");
  v.number(Number.NaN);
  code.get(argument);
  v.number(0);
  v.emit("ge");
  code.emit("v128.bitselect");
}
export const log = emitter((v) => logOf(v, v.hold()));

/** log(1+x) = log u + (x − (u − 1))/u with u = 1 + x rounded: the second term restores what rounding lost. */
export const log1p = emitter((v) => {
  const { code } = v;
  const x = v.hold();
  code.get(x);
  v.number(1);
  v.emit("add");
  const u = v.hold();
  code.get(x);
  code.get(u);
  v.number(1);
  v.emit("sub", "sub");
  code.get(u);
  v.emit("div");
  // u = 0 and u = ∞ need no correction (and have none).
  code.get(u);
  v.number(0);
  v.emit("gt");
  code.emit("v128.and");
  code.get(u);
  v.number(Infinity);
  v.emit("lt");
  code.emit("v128.and");
  const correction = v.hold();
  logOf(v, u);
  code.get(correction);
  v.emit("add");
  withSignOf(v, x);
});
