/** Sine and cosine; see math.ts. */
import { clamp, emitter, factorial, series } from "./vectors.js";

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
export const trigonometric = (quarter: 0 | 1) =>
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
