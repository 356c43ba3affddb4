/**
 * Two symmetric matrices made diagonal at once: for B = F + εI and C = × (F' + ε'I)⁻¹ ×ᵀ, a K with K B Kᵀ = I and
 * K C Kᵀ = diag(s):
 *
 *     F = Eᵀ diag(w) E,   R = diag(w + ε)^(−½) E,   R C Rᵀ = Uᵀ diag(s) U,   K = U R
 */
import { createInverter, meanDiagonal } from "../../curvature/kronecker/index.js";
import type { Buffer } from "../../runtime/memory.js";
import type { Runtime } from "../../runtime/runtime.js";
import { roundingOf } from "../damping.js";

interface Given {
  /** F [n, n]. */
  readonly factor: Buffer;
  /** ε. */
  readonly shift: number;
  /** × [n, m]. */
  readonly between: Buffer;
  /** (F' + ε'I)⁻¹ [m, m]. */
  readonly inverse: Buffer;
}

interface Result {
  /** × (F' + ε'I)⁻¹ [n, m]. */
  readonly psi: Buffer;
  /** [n, n]. */
  readonly K: Buffer;
  /** [n], none below 0. */
  readonly s: Buffer;
}

export interface Simultaneous {
  /**
   * False where it cannot be had: the K is then (F + εI)^(−½) turned, or, without eigenvectors of F, I/√ε; psi and s are
   * spoiled. Nothing is allocated.
   */
  diagonalize(given: Given, result: Result): boolean;
  release(): void;
}

/** Working memory for n up to `largest`. */
export function createSimultaneous(runtime: Runtime, dtype: "f32" | "f64", largest: number): Simultaneous {
  const { functions } = runtime.blas;
  const gemm = dtype === "f64" ? functions.dgemm : functions.sgemm;
  const inverter = createInverter(runtime, dtype, "cholesky", largest);
  const [R, C, work] = [0, 1, 2].map(() => runtime.buffer(dtype, [largest * largest])) as [
    Buffer,
    Buffer,
    Buffer,
  ];
  return {
    diagonalize({ factor, shift, between, inverse }, { psi, K, s }) {
      const [n, m] = between.shape as [number, number];
      const rounding = roundingOf(dtype);
      const least = Math.max(shift, rounding * meanDiagonal(factor)) || rounding;
      if (!inverter.decompose(factor, R, s)) {
        K.data.fill(0);
        for (let i = 0; i < n; i++) K.data[i * (n + 1)] = 1 / Math.sqrt(least);
        return false;
      }
      for (let i = 0; i < n; i++) {
        const scale = 1 / Math.sqrt(s.data[i]! + least);
        for (let k = i * n; k < (i + 1) * n; k++) R.data[k]! *= scale;
      }
      gemm(0, 0, n, m, m, 1, between.address, m, inverse.address, m, 0, psi.address, m);
      gemm(0, 1, n, n, m, 1, psi.address, m, between.address, m, 0, C.address, n);
      gemm(0, 0, n, n, n, 1, R.address, n, C.address, n, 0, work.address, n);
      gemm(0, 1, n, n, n, 1, work.address, n, R.address, n, 0, C.address, n);
      K.data.set(C.data.subarray(0, n * n));
      if (!inverter.decompose(K, work, s)) {
        K.data.set(R.data.subarray(0, n * n));
        return false;
      }
      gemm(0, 0, n, n, n, 1, work.address, n, R.address, n, 0, K.address, n);
      return true;
    },
    release() {
      for (const part of [inverter, R, C, work]) part.release();
    },
  };
}
