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
import type { Code } from "./assembler.js";
import { exp, expm1, expm1Of, log, log1p, logOf } from "./exponential.js";
import { trigonometric } from "./trigonometric.js";
import { clamp, emitter, type FloatType, factorial, series, Vectors, withSignOf } from "./vectors.js";

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
