/**
 * Fused multiply-add for the portable kernels on Node 20, where V8 still keeps relaxed SIMD behind a flag.
 * Node only; call it before the first module that wants the instructions is compiled.
 */
import v8 from "node:v8";
import { hasRelaxedSimd } from "./blas-portable.js";

/** Whether relaxed SIMD is there, after switching it on if that was needed and possible. */
export function enableRelaxedSimd(): boolean {
  if (hasRelaxedSimd()) return true;
  v8.setFlagsFromString("--experimental-wasm-relaxed-simd");
  return hasRelaxedSimd();
}
