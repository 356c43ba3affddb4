/**
 * Averages of elements whose gradient stays zero (units that no longer respond, pixels that are always dark) decay, μᵗ,
 * until they are below the smallest normal number, and rounding keeps them there. Arithmetic on subnormal numbers is
 * slow on many processors, here by a factor of 40, and WebAssembly cannot set flush-to-zero. So averages are swept once
 * in many steps: what is too small to matter becomes zero, and what is left does not decay to a subnormal number until
 * the next sweep (0.9⁶⁴ ≈ 2⁻¹⁰).
 */

/** Steps from one sweep to the next. */
export const sweepEvery = 64;

/** Below it an element becomes zero: far above the smallest normal numbers, 2⁻¹²⁶ and 2⁻¹⁰²². */
const least = { f32: 2 ** -100, f64: 2 ** -990 } as const;

/**
 * Sets elements that are next to nothing to zero, in place.
 *
 *     sweep(new Float32Array([1, -1e-40, 1e-20]), "f32");   // 1, 0, 1e-20
 */
export function sweep(data: Float32Array | Float64Array, dtype: "f32" | "f64"): void {
  const bound = least[dtype];
  for (let i = 0; i < data.length; i++) if (Math.abs(data[i]!) < bound) data[i] = 0;
}
