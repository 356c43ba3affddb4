/**
 * Two symmetric matrices made diagonal at once: for a positive definite B + εI and any C, a K with
 *
 *     K (B + εI) Kᵀ = I,   K C Kᵀ = diag(s)
 *     B = Eᵀ diag(w) E,   R = diag(w + ε)^(−½) E,   R C Rᵀ = Uᵀ diag(s) U,   K = U R
 *
 * Both of Martens & Grosse 2015, appendix B. FLOPs: two decompositions and three products, about 24n³.
 */
import type { Buffer } from "../../runtime/memory.js";
import type { Runtime } from "../../runtime/runtime.js";
import { createInverter } from "./inverses.js";

export interface Simultaneous {
  /**
   * `K` [n, n] and `s` [n], ascending and none below 0, from `B` and `C` [n, n]. Eigenvalues of B + εI are taken as no
   * smaller than rounding lets them be known. False where there is no such K: it is then (B + εI)^(−½) turned, or,
   * without eigenvectors of B, I/√ε; s is spoiled. Nothing is allocated.
   */
  diagonalize(B: Buffer, epsilon: number, C: Buffer, K: Buffer, s: Buffer): boolean;
  release(): void;
}

/** Working memory for matrices up to [largest, largest]. */
export function createSimultaneous(runtime: Runtime, dtype: "f32" | "f64", largest: number): Simultaneous {
  const { functions } = runtime.blas;
  const gemm = dtype === "f64" ? functions.dgemm : functions.sgemm;
  const rounding = dtype === "f64" ? 2 ** -52 : 2 ** -23;
  const inverter = createInverter(runtime, dtype, "cholesky", largest);
  const [R, work] = [0, 1].map(() => runtime.buffer(dtype, [largest * largest])) as [Buffer, Buffer];
  return {
    diagonalize(B, epsilon, C, K, s) {
      const n = B.shape[0]!;
      const product = (tb: 0 | 1, a: Buffer, b: Buffer, to: Buffer) =>
        gemm(0, tb, n, n, n, 1, a.address, n, b.address, n, 0, to.address, n);
      if (!inverter.decompose(B, R, s)) {
        K.data.fill(0);
        for (let i = 0; i < n; i++) K.data[i * (n + 1)] = 1 / Math.sqrt(epsilon || rounding);
        return false;
      }
      const least = rounding * s.data[n - 1]! || rounding;
      for (let i = 0; i < n; i++) {
        const scale = 1 / Math.sqrt(Math.max(s.data[i]! + epsilon, least));
        for (let k = i * n; k < (i + 1) * n; k++) R.data[k]! *= scale;
      }
      product(0, R, C, work);
      product(1, work, R, K);
      if (!inverter.decompose(K, work, s)) {
        K.data.set(R.data.subarray(0, n * n));
        return false;
      }
      product(0, work, R, K);
      return true;
    },
    release() {
      for (const part of [inverter, R, work]) part.release();
    },
  };
}
