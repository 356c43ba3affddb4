/** The inverse of one damped factor, with more damping where what was asked for does not suffice. */
import type { Inverter } from "../../curvature/kronecker/index.js";
import { meanDiagonal } from "../../curvature/kronecker/index.js";
import type { Buffer } from "../../runtime/memory.js";
import { roundingOf } from "../damping.js";
import type { Inversion } from "./preconditioner.js";

/** Each trial has ten times the damping of the last: more than any rounding of a finite factor needs. */
const mostTrials = 30;

/**
 * target ← (factor + shift·I)⁻¹ of a matrix [n, n] or of a diagonal [n]. Where a factorization fails, the shift is
 * raised tenfold until it does not; a factor that is not finite becomes I/shift, which leaves its gradient unturned.
 */
export function dampedInverse(inverter: Inverter, dtype: "f32" | "f64") {
  return (factor: Buffer, wanted: number, target: Buffer): Inversion => {
    // Below the rounding of the factor a shift changes nothing.
    const least = roundingOf(dtype) * meanDiagonal(factor);
    let shift = Math.max(wanted, least);
    if (!(shift > 0 && Number.isFinite(shift))) shift = roundingOf(dtype);
    const asked = shift;
    if (factor.shape.length === 1)
      return { condition: invertDiagonal(factor, shift, target), raised: Number(shift > wanted) };
    for (let trial = 0; trial < mostTrials; trial++) {
      if (inverter.invert(factor, shift, target))
        return { condition: dampedNorm(factor, shift) * frobenius(target), raised: Number(shift > wanted) };
      shift *= 10;
    }
    const n = factor.shape[0]!;
    target.data.fill(0);
    for (let k = 0; k < n; k++) target.data[k * (n + 1)] = 1 / asked;
    return { condition: 1, raised: 1 };
  };
}

function invertDiagonal({ data: from }: Buffer, shift: number, { data: to }: Buffer): number {
  let [least, most] = [Number.POSITIVE_INFINITY, 0];
  for (let k = 0; k < from.length; k++) {
    const damped = from[k]! + shift;
    to[k] = 1 / damped;
    least = Math.min(least, damped);
    most = Math.max(most, damped);
  }
  return most / least;
}

/** ‖F‖ of Frobenius. */
export function frobenius({ data }: Buffer): number {
  let sum = 0;
  for (let k = 0; k < data.length; k++) sum += data[k]! * data[k]!;
  return Math.sqrt(sum);
}

/** ‖F + εI‖ of Frobenius: ‖F‖² + 2ε tr F + nε². */
function dampedNorm(factor: Buffer, shift: number): number {
  const n = factor.shape[0]!;
  return Math.sqrt(frobenius(factor) ** 2 + shift * n * (2 * meanDiagonal(factor) + shift));
}
