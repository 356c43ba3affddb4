/**
 * Inverse roots (sS + εI)^(−1/p) of symmetric positive semidefinite S, in two ways:
 *
 *     eigen    FFᵀ, F = E diag((w − min(w₁, 0) + ε)^(−1/2p)): whatever rounding made negative is moved to 0 first
 *     newton   X ← XT, M ← TᵖM with T = (1 + 1/p) I − M/p, from M = zB, X = z^(1/p) I, B = sS + εI and z = (1 + p)/(2‖B‖):
 *              M → I, X → B^(−1/p). Products only, (2 + log₂ p) an iteration and about p log κ(B) of them. (Guo & Higham
 *              2006, "A Schur–Newton method for the matrix pth root and its inverse"; Anil et al. 2020)
 */
import type { Buffer } from "../runtime/memory.js";
import type { Runtime } from "../runtime/runtime.js";
import { allFinite } from "./eigenbasis.js";

export type RootMethod = "eigen" | "newton";

export interface Rooter {
  /** target [n, n] ← (scale·source + shift·I)^(−1/p), p ≥ 1 whole; false, and the target as it was, when it cannot be had. */
  root(source: Buffer, scale: number, shift: number, p: number, target: Buffer): boolean;
  release(): void;
}

const mostIterations = 200;

/**
 * Working memory for matrices up to [largest, largest]. Where newton does not converge, eigen takes its place.
 *
 *     createRooter(runtime, "f64", "eigen", 6).root(L, 1, 1e-6, 4, root);
 */
export function createRooter(
  runtime: Runtime,
  dtype: "f32" | "f64",
  method: RootMethod,
  largest: number,
): Rooter {
  const { functions } = runtime.blas;
  const [gemm, syevd] =
    dtype === "f64" ? [functions.dgemm, functions.dsyevd] : [functions.sgemm, functions.ssyevd];
  const work = Array.from({ length: method === "eigen" ? 2 : 5 }, () =>
    runtime.buffer(dtype, [largest, largest]),
  );
  const values = runtime.buffer(dtype, [largest]);
  const enough = dtype === "f64" ? 1e-13 : 1e-6;
  const multiply = (n: number, a: Buffer, b: Buffer, to: Buffer) =>
    gemm(0, 0, n, n, n, 1, a.address, n, b.address, n, 0, to.address, n);

  const eigen = (source: Buffer, scale: number, shift: number, p: number, target: Buffer): boolean => {
    const [vectors, result] = work as [Buffer, Buffer];
    const n = target.shape[0]!;
    vectors.data.set(source.data);
    if (!allFinite(vectors, n * n) || syevd(n, vectors.address, n, values.address) !== 0) return false;
    const [F, w] = [vectors.data, values.data];
    const least = Math.min(w[0]!, 0);
    for (let i = 0; i < n; i++) {
      const factor = (scale * (w[i]! - least) + shift) ** (-0.5 / p);
      for (let k = i * n; k < (i + 1) * n; k++) F[k]! *= factor;
    }
    gemm(1, 0, n, n, n, 1, vectors.address, n, vectors.address, n, 0, result.address, n);
    return keep(result, n, target);
  };

  const newton = (source: Buffer, scale: number, shift: number, p: number, target: Buffer): boolean => {
    const n = target.shape[0]!;
    let [M, X, T, power, spare] = work as [Buffer, Buffer, Buffer, Buffer, Buffer];
    let norm = 0;
    for (let k = 0; k < n * n; k++) {
      const value = scale * source.data[k]! + (k % (n + 1) === 0 ? shift : 0);
      M.data[k] = value;
      norm += value * value;
    }
    const z = (1 + p) / (2 * Math.sqrt(norm));
    if (!(z > 0 && Number.isFinite(z))) return false;
    for (let k = 0; k < n * n; k++) {
      M.data[k]! *= z;
      X.data[k] = k % (n + 1) === 0 ? z ** (1 / p) : 0;
    }
    let before = Number.POSITIVE_INFINITY;
    for (let iteration = 0; iteration < mostIterations; iteration++) {
      let distance = 0;
      for (let k = 0; k < n * n; k++) {
        const one = k % (n + 1) === 0 ? 1 : 0;
        const off = Math.abs(M.data[k]! - one);
        if (!(off <= distance)) distance = off;
        T.data[k] = one + (one - M.data[k]!) / p;
      }
      // Where rounding sets in, the distance stops falling.
      if (distance < enough || (distance < 1e3 * enough && distance > 0.5 * before))
        return keep(X, n, target);
      if (!Number.isFinite(distance)) return false;
      before = distance;
      multiply(n, X, T, spare);
      [X, spare] = [spare, X];
      // M ← TᵖM by squares: what is left of p, bit by bit.
      for (let left = p; left > 0; left = Math.floor(left / 2)) {
        if (left % 2 === 1) {
          multiply(n, T, M, spare);
          [M, spare] = [spare, M];
        }
        if (left > 1) {
          multiply(n, T, T, power);
          [T, power] = [power, T];
        }
      }
    }
    return false;
  };

  return {
    root: (...given) => (method === "newton" && newton(...given)) || eigen(...given),
    release() {
      for (const buffer of [...work, values]) buffer.release();
    },
  };
}

/** Takes over what is finite. */
function keep(result: Buffer, n: number, target: Buffer): boolean {
  if (!allFinite(result, n * n)) return false;
  target.data.set(result.data.subarray(0, n * n));
  return true;
}
