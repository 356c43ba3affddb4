/**
 * Inverses of damped symmetric factors, (F + εI)⁻¹, in three ways. All are O(n³):
 *
 *     cholesky       potrf and potri, the cheapest; refuses what is not positive definite
 *     eigen          E diag(1/(max(w, 0) + ε)) Eᵀ, about ten times the cost; no symmetric matrix is refused
 *     newtonSchulz   X ← X(2I − BX) from X = 2/(‖B‖∞ + ε)·I, B = F + εI: products only, two an iteration and about
 *                    2 log₂ κ(B) iterations (Schulz 1933; Ben-Israel 1965)
 */
import type { Buffer } from "../../runtime/memory.js";
import type { Runtime } from "../../runtime/runtime.js";

export type InverseMethod = "cholesky" | "eigen" | "newtonSchulz";

export interface Inverter {
  /**
   * target [n, n] ← (source + shift·I)⁻¹; false when that cannot be had, and the target is then spoiled.
   * Nothing is allocated.
   */
  invert(source: Buffer, shift: number, target: Buffer): boolean;
  /** Rows of `target` [n, n] ← eigenvectors of the source, `values` [n] their eigenvalues, ascending, none below 0. */
  decompose(source: Buffer, target: Buffer, values: Buffer): boolean;
  release(): void;
}

const mostIterations = 100;

/** Working memory for matrices up to [largest, largest]. */
export function createInverter(
  runtime: Runtime,
  dtype: "f32" | "f64",
  method: InverseMethod,
  largest: number,
): Inverter {
  const { functions } = runtime.blas;
  const double = dtype === "f64";
  const potrf = double ? functions.dpotrf : functions.spotrf;
  const potri = double ? functions.dpotri : functions.spotri;
  const syevd = double ? functions.dsyevd : functions.ssyevd;
  const gemm = double ? functions.dgemm : functions.sgemm;
  const workspaces = method === "cholesky" ? 0 : method === "eigen" ? 2 : 3;
  const work = Array.from({ length: workspaces }, () => runtime.buffer(dtype, [largest, largest]));
  const values = runtime.buffer(dtype, [largest]);
  const orderOf = ({ shape }: Buffer) => shape[0]!;

  /** Into the beginning of a workspace: rows are then n apart there too. */
  const put = (source: Buffer, to: Buffer) => to.data.set(source.data);

  const cholesky = (source: Buffer, shift: number, target: Buffer): boolean => {
    const n = orderOf(source);
    put(source, target);
    addToDiagonal(target, n, shift);
    if (potrf(n, target.address, n) !== 0) return false;
    potri(n, target.address, n);
    return allFinite(target.data, n * n);
  };

  const decompose = (source: Buffer, target: Buffer, eigenvalues: Buffer): boolean => {
    const n = orderOf(source);
    put(source, target);
    if (!allFinite(target.data, n * n) || syevd(n, target.address, n, eigenvalues.address) !== 0)
      return false;
    for (let k = 0; k < n; k++) eigenvalues.data[k] = Math.max(0, eigenvalues.data[k]!);
    return allFinite(target.data, n * n);
  };

  const eigen = (source: Buffer, shift: number, target: Buffer): boolean => {
    const [vectors, scaled] = work as [Buffer, Buffer];
    const n = orderOf(source);
    if (!decompose(source, vectors, values)) return false;
    const [from, to] = [vectors.data, scaled.data];
    for (let i = 0; i < n; i++) {
      const factor = 1 / (values.data[i]! + shift);
      if (!Number.isFinite(factor)) return false;
      for (let k = i * n; k < (i + 1) * n; k++) to[k] = from[k]! * factor;
    }
    gemm(1, 0, n, n, n, 1, vectors.address, n, scaled.address, n, 0, target.address, n);
    return true;
  };

  const newtonSchulz = (source: Buffer, shift: number, target: Buffer): boolean => {
    const [B, product, copy] = work as [Buffer, Buffer, Buffer];
    const n = orderOf(source);
    put(source, B);
    addToDiagonal(B, n, shift);
    const start = 2 / (infinityNorm(B.data, n) + shift);
    if (!(start > 0 && Number.isFinite(start))) return false;
    target.data.fill(0, 0, n * n);
    addToDiagonal(target, n, start);
    let before = Number.POSITIVE_INFINITY;
    for (let iteration = 0; iteration < mostIterations; iteration++) {
      gemm(0, 0, n, n, n, 1, B.address, n, target.address, n, 0, product.address, n);
      const residual = distanceFromIdentity(product.data, n);
      // Where rounding sets in, the residual stops falling.
      if (residual < 1e-14 || (residual < 0.1 && residual > 0.5 * before)) return true;
      if (!Number.isFinite(residual)) return false;
      before = residual;
      put(target, copy);
      gemm(0, 0, n, n, n, -1, copy.address, n, product.address, n, 2, target.address, n);
    }
    return false;
  };

  const ways = { cholesky, eigen, newtonSchulz };
  return {
    invert: ways[method],
    decompose,
    release() {
      for (const buffer of [...work, values]) buffer.release();
    },
  };
}

function addToDiagonal({ data }: Buffer, n: number, shift: number): void {
  for (let k = 0; k < n; k++) data[k * (n + 1)]! += shift;
}

function allFinite(data: ArrayLike<number>, count: number): boolean {
  for (let k = 0; k < count; k++) if (!Number.isFinite(data[k]!)) return false;
  return true;
}

function infinityNorm(data: ArrayLike<number>, n: number): number {
  let largest = 0;
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let j = 0; j < n; j++) sum += Math.abs(data[i * n + j]!);
    // A comparison with NaN is false: a sum that is none must not be lost.
    if (!(sum <= largest)) largest = sum;
  }
  return largest;
}

/** ‖M − I‖ of Frobenius, over √n. */
function distanceFromIdentity(data: ArrayLike<number>, n: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) sum += (data[i * n + j]! - (i === j ? 1 : 0)) ** 2;
  return Math.sqrt(sum / n);
}
