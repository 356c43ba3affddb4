/**
 * Elementary functions on SIMD vectors, written as instruction emitters so that they end up inside loop kernels.
 * Each takes f32x4 or f64x2 operands from the stack and leaves the result; all are free of branches.
 *
 * Argument reductions are the classical ones (Cody & Waite 1980; Muller, "Elementary Functions", 3rd ed.): a
 * polynomial or rational on a short interval, and exact steps around it. Polynomials without a stated source are
 * Taylor series cut below the rounding error, or fits (Chebyshev; iteratively reweighted least squares for tanh).
 *
 * Errors are below 2.6 units of the last place (tanh in f32: 5; sine, cosine and powers: see there), and signs of
 * zero, infinities and NaN are those of JavaScript's functions. Results below the normal range may be zero.
 */
import type { Code, Local } from "./assembler.js";
import type { Opcode } from "./opcodes.js";

/** Whether polynomials use fused multiply-add (relaxed SIMD); set once, before the first kernel is emitted. */
let fused = false;
export function useFusedMultiplyAdd(available: boolean): void {
  fused = available;
}

export type FloatType = "f32" | "f64";

type Suffix<P extends string> = Opcode extends infer O ? (O extends `${P}.${infer S}` ? S : never) : never;
type FloatSuffix = Suffix<"f32x4"> & Suffix<"f64x2">;

/** Values in locals and the operations on them, for one float type. */
class Vectors {
  private readonly taken: Local[] = [];
  constructor(
    readonly code: Code,
    readonly type: FloatType,
  ) {}
  /** A new local that holds what is on the stack. */
  hold(): Local {
    const local = this.code.local("v128");
    this.taken.push(local);
    this.code.set(local);
    return local;
  }
  number(value: number): void {
    if (this.type === "f32") this.code.f32x4(value);
    else this.code.f64x2(value);
  }
  emit(...names: FloatSuffix[]): void {
    for (const name of names) this.code.emit(`${this.type === "f32" ? "f32x4" : "f64x2"}.${name}`);
  }
  /** Σ coefficients[k] xᵏ by Horner's rule, left on the stack. */
  polynomial(x: Local, coefficients: readonly number[]): void {
    this.number(coefficients.at(-1)!);
    for (let k = coefficients.length - 2; k >= 0; k--) {
      this.code.get(x);
      if (fused) {
        this.number(coefficients[k]!);
        this.code.emit(this.type === "f32" ? "f32x4.relaxed_madd" : "f64x2.relaxed_madd");
        continue;
      }
      this.emit("mul");
      this.number(coefficients[k]!);
      this.emit("add");
    }
  }
  release(): void {
    for (const local of this.taken) this.code.release("v128", local);
  }
}
type Emitter = (v: Vectors) => void;
const emitter =
  (body: Emitter) =>
  (code: Code, type: FloatType): void => {
    const v = new Vectors(code, type);
    body(v);
    v.release();
  };

const factorial = (n: number): number => (n <= 1 ? 1 : n * factorial(n - 1));
const series = (count: number, term: (k: number) => number) =>
  Array.from({ length: count }, (_, k) => term(k));

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
/** min(max(x, low), high), NaN kept. */
function clamp(v: Vectors, x: Local, low: number, high: number): Local {
  v.code.get(x);
  v.number(high);
  v.emit("pmin");
  v.number(low);
  v.emit("pmax");
  return v.hold();
}

/**
 * eˣ = 2ⁿ⁻¹·2e^r: with the doubling the largest numbers are reached, and 2ⁿ⁻¹ = 0 in its bit pattern is where results
 * vanish (below 1.7e-38 in f32, 4.5e-308 in f64: there are no subnormal results).
 */
const exp = emitter((v) => {
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
function expm1Of(v: Vectors, argument: Local): void {
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
const expm1 = emitter((v) => {
  const x = v.hold();
  expm1Of(v, x);
  withSignOf(v, x);
});
/** Gives the result on the stack, positive or already signed, the sign of x; sums in between lose that of −0. */
function withSignOf(v: Vectors, x: Local): void {
  v.code.get(x);
  v.number(-0);
  v.code.emit("v128.and", "v128.or");
}

/** 2/(2k+3) for s = f/(2+f): log(1+f) = f − f²/2 + s(f²/2 + z·Σ 2/(2k+3) zᵏ), z = s². */
const logTail = { f32: series(4, (k) => 2 / (2 * k + 3)), f64: series(11, (k) => 2 / (2 * k + 3)) } as const;

/** log x of what `argument` holds: x = 2ᵏ·m with m in [√½, √2). */
function logOf(v: Vectors, argument: Local): void {
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
const log = emitter((v) => logOf(v, v.hold()));

/** log(1+x) = log u + (x − (u − 1))/u with u = 1 + x rounded: the second term restores what rounding lost. */
const log1p = emitter((v) => {
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

/**
 * f32: x·P(x²)/Q(x²) on |x| ≤ 9.1, where tanh rounds to 1 (relative error 2.3e-8 before rounding).
 * f64: t/(t + 2) with t = e^(2|x|) − 1, and the sign.
 */
const tanh = emitter((v) => {
  const { code } = v;
  if (v.type === "f32") {
    const x = clamp(v, v.hold(), -9.1, 9.1);
    code.get(x);
    code.get(x);
    v.emit("mul");
    const z = v.hold();
    v.polynomial(
      z,
      [
        0.9999999771819094, 0.13374465574814845, 0.003487799684911101, 2.0481001362545936e-5,
        1.3177267849606513e-8,
      ],
    );
    code.get(x);
    v.emit("mul");
    v.polynomial(
      z,
      [1, 0.46707778339226114, 0.025847345214657497, 0.00032729016806004547, 7.703941498343516e-7],
    );
    v.emit("div");
    // Rounding may lead beyond 1, where 1 − tanh² would be negative.
    code.get(clamp(v, v.hold(), -1, 1));
    return;
  }
  const x = v.hold();
  code.get(x);
  v.emit("abs");
  v.number(2);
  v.emit("mul");
  v.number(80);
  v.emit("pmin");
  const doubled = v.hold();
  expm1Of(v, doubled);
  const t = v.hold();
  code.get(t);
  code.get(t);
  v.number(2);
  v.emit("add", "div");
  withSignOf(v, x);
});

/** 1/(1 + e^(−x)); e^(−x) = ∞ gives 0. */
const sigmoid = emitter((v) => {
  v.emit("neg");
  exp(v.code, v.type);
  v.number(1);
  v.emit("add");
  const denominator = v.hold();
  v.number(1);
  v.code.get(denominator);
  v.emit("div");
});

/** e^(x²)·erfc(x) on [0.8, 6.1] in t = (x − 3)/(x + 3): Chebyshev fits, relative errors 9e-10 and 2e-15. */
const erfcScaled = {
  f32: [
    0.17900115122893404, -0.32623356261537395, 0.24560379354196127, -0.1501157576050978, 0.07166613833854067,
    -0.024395795317446935, 0.00426434459801344, 0.000729526719106093, -0.0005651985300678973,
  ],
  f64: [
    0.17900115118139018, -0.32623356004303183, 0.2456038017121786, -0.15011593650113061, 0.07166583721761195,
    -0.024392499320426447, 0.004269135334312901, 0.0007077467088695092, -0.0005970353587664247,
    4.525734836937987e-5, 6.364389501273904e-5, -1.309504620837199e-5, -4.163761518350096e-6,
    6.2720922562990225e-6, -1.8679922342379076e-5, -3.317324935094522e-5, 4.790882446447451e-5,
    0.00012171300194961261, -8.02954967880469e-6, -0.0001630210261091354, -9.705645169993549e-5,
  ],
} as const;

/** Maclaurin series below 0.85, 1 − e^(−x²)·(scaled erfc) above; both are computed, one is chosen. */
const erf = emitter((v) => {
  const { code } = v;
  const x = v.hold();
  code.get(x);
  v.emit("abs");
  v.number(6.05);
  v.emit("pmin");
  const a = v.hold();
  code.get(a);
  code.get(a);
  v.emit("mul");
  const z = v.hold();
  v.polynomial(
    z,
    series(
      v.type === "f32" ? 9 : 18,
      (n) => ((2 / Math.sqrt(Math.PI)) * (-1) ** n) / factorial(n) / (2 * n + 1),
    ),
  );
  code.get(a);
  v.emit("mul");
  const near = v.hold();
  code.get(a);
  v.number(3);
  v.emit("sub");
  code.get(a);
  v.number(3);
  v.emit("add", "div");
  const t = v.hold();
  v.number(1);
  v.polynomial(t, erfcScaled[v.type]);
  code.get(z);
  v.emit("neg");
  exp(code, v.type);
  v.emit("mul", "sub");
  const far = v.hold();
  code.get(near);
  code.get(far);
  code.get(a);
  v.number(0.85);
  v.emit("lt");
  code.emit("v128.bitselect");
  withSignOf(v, x);
  // NaN stays
  code.get(x);
  code.get(x);
  code.get(x);
  v.emit("eq");
  code.emit("v128.bitselect");
});

/** π/2 in parts; the products of the first two with n are exact for n < 2²³ (f32: 2¹⁵). */
const halfPi = {
  f32: [1.5703125, 0.00048351287841796875, 3.1391647326017846e-7],
  f64: [1.570796325802803, 9.920935791635221e-10, 5.170182981794105e-19],
} as const;

/**
 * x = n·π/2 + r; sine and cosine of r by Taylor series, chosen and signed by the quadrant n mod 4.
 *
 * For |n| < 2²³ (f32: 2¹⁵) the absolute error is that of rounding numbers near 1. Beyond, r inherits the error of
 * rounding n·π/2, which is about the spacing of the numbers x themselves; the result still lies between −1 and 1.
 */
const trigonometric = (quarter: 0 | 1) =>
  emitter((v) => {
    const { code } = v;
    const x = v.hold();
    code.get(x);
    v.number(2 / Math.PI);
    v.emit("mul", "nearest");
    // −0 becomes 0, so that x − n·π/2 keeps the sign of x = −0.
    v.number(0);
    v.emit("add");
    const n = v.hold();
    code.get(x);
    for (const part of halfPi[v.type]) {
      code.get(n);
      v.number(part);
      v.emit("mul", "sub");
    }
    const r = clamp(v, v.hold(), -0.8, 0.8);
    code.get(r);
    code.get(r);
    v.emit("mul");
    const z = v.hold();
    const count = v.type === "f32" ? 5 : 9;
    v.polynomial(
      z,
      series(count, (k) => (-1) ** k / factorial(2 * k + 1)),
    );
    code.get(r);
    v.emit("mul");
    const sine = v.hold();
    v.polynomial(
      z,
      series(count + 1, (k) => (-1) ** k / factorial(2 * k)),
    );
    const cosine = v.hold();
    // q = (n + quarter) mod 4, as a float: odd swaps sine and cosine, 2 and 3 change the sign
    code.get(n);
    v.number(quarter);
    v.emit("add");
    const turned = v.hold();
    code.get(turned);
    code.get(turned);
    v.number(0.25);
    v.emit("mul", "floor");
    v.number(4);
    v.emit("mul", "sub");
    const q = v.hold();
    code.get(cosine);
    code.get(sine);
    // odd: |q − 2| = 1
    code.get(q);
    v.number(2);
    v.emit("sub", "abs");
    v.number(1);
    v.emit("eq");
    code.emit("v128.bitselect");
    v.number(-0);
    code.get(q);
    v.number(2);
    v.emit("ge");
    code.emit("v128.and", "v128.xor");
  });

/** Names of the primitives that these emitters compute. */
export const elementary = {
  exp,
  expm1,
  log,
  log1p,
  tanh,
  sigmoid,
  erf,
  sin: trigonometric(0),
  cos: trigonometric(1),
} as const satisfies Record<string, (code: Code, type: FloatType) => void>;

/**
 * xʸ = e^(y·log|x|), with x⁰ = 1 and, for x < 0, the sign of an odd integer y or NaN for a fraction. The error of the
 * logarithm is magnified by |y·log x|: that many units of the last place, and one or two more.
 */
export function pow(code: Code, type: FloatType): void {
  const v = new Vectors(code, type);
  const y = v.hold();
  const x = v.hold();
  code.get(x);
  v.emit("abs");
  const magnitude = v.hold();
  logOf(v, magnitude);
  code.get(y);
  v.emit("mul");
  exp(code, type);
  const power = v.hold();
  code.get(y);
  code.get(y);
  v.emit("floor", "ne");
  const fraction = v.hold();
  // y is odd: half of it has a fraction and y has none
  code.get(y);
  v.number(0.5);
  v.emit("mul");
  const half = v.hold();
  code.get(power);
  code.get(half);
  code.get(half);
  v.emit("floor", "ne");
  code.get(fraction);
  code.emit("v128.andnot");
  code.get(x);
  v.number(-0);
  code.emit("v128.and", "v128.and", "v128.xor");
  const signed = v.hold();
  // negative, finite x and a fraction
  v.number(Number.NaN);
  code.get(signed);
  code.get(fraction);
  code.get(x);
  v.number(0);
  v.emit("lt");
  code.get(x);
  v.number(-Infinity);
  v.emit("gt");
  code.emit("v128.and", "v128.and", "v128.bitselect");
  const checked = v.hold();
  v.number(1);
  code.get(checked);
  code.get(y);
  v.number(0);
  v.emit("eq");
  code.emit("v128.bitselect");
  v.release();
}
