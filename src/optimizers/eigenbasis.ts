/**
 * Eigenvectors of a slowly changing symmetric S, in the columns of Q by descending eigenvalue: once exactly, then by one
 * step of orthogonal iteration at a time (Golub & Van Loan 2013, "Matrix computations", section 8.2.4):
 *
 *     sort the columns of Q by diag(QᵀSQ),   Q R ← S Q
 *
 * For unchanging S the first k columns approach the space of the first k eigenvectors as (λₖ₊₁/λₖ)ᵗ. 2n³ + 8n³/3 FLOPs
 * where a decomposition takes about 9n³.
 */
import type { Buffer } from "../runtime/memory.js";
import type { Runtime } from "../runtime/runtime.js";

export interface EigenbasisRefresher {
  /** basis [n, n] ← the eigenvectors of S; the identity where they cannot be had. Returns whether they could. */
  decompose(statistics: Buffer, basis: Buffer): boolean;
  /**
   * One step of orthogonal iteration. `order[j]`, of length n at least, tells from which column the j-th one came.
   * False, and everything as it was, where S or the result is not finite.
   */
  iterate(statistics: Buffer, basis: Buffer, order: Uint32Array): boolean;
  release(): void;
}

/** The identity. @example setIdentity(runtime.buffer("f32", [4, 4])); */
export function setIdentity({ data, shape }: Buffer): void {
  data.fill(0);
  for (let k = 0; k < data.length; k += shape[0]! + 1) data[k] = 1;
}

/** Whether the first `count` elements are finite numbers: 0·x is 0 of those only. */
export function allFinite({ data }: Buffer, count: number): boolean {
  let sum = 0;
  for (let k = 0; k < count; k++) sum += 0 * data[k]!;
  return sum === 0;
}

/**
 * Working memory for matrices up to [largest, largest].
 *
 *     const refresher = createEigenbasisRefresher(runtime, "f64", 6);
 *     refresher.decompose(S, Q);
 *     refresher.iterate(S, Q, order);
 */
export function createEigenbasisRefresher(
  runtime: Runtime,
  dtype: "f32" | "f64",
  largest: number,
): EigenbasisRefresher {
  const { functions } = runtime.blas;
  const [gemm, geqrf, syevd] =
    dtype === "f64"
      ? [functions.dgemm, functions.dgeqrf, functions.dsyevd]
      : [functions.sgemm, functions.sgeqrf, functions.ssyevd];
  const [product, other] = [0, 1].map(() => runtime.buffer(dtype, [largest, largest])) as [Buffer, Buffer];
  const values = runtime.buffer(dtype, [largest]);

  return {
    decompose(statistics, basis) {
      const n = basis.shape[0]!;
      other.data.set(statistics.data);
      if (
        !allFinite(other, n * n) ||
        syevd(n, other.address, n, values.address) !== 0 ||
        !allFinite(other, n * n)
      ) {
        setIdentity(basis);
        return false;
      }
      const [from, to] = [other.data, basis.data];
      for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) to[j * n + i] = from[(n - 1 - i) * n + j]!;
      return true;
    },
    iterate(statistics, basis, order) {
      const n = basis.shape[0]!;
      gemm(0, 0, n, n, n, 1, statistics.address, n, basis.address, n, 0, product.address, n);
      if (!allFinite(product, n * n)) return false;
      const [Q, SQ, sorted, estimates] = [basis.data, product.data, other.data, values.data];
      estimates.fill(0, 0, n);
      for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) estimates[j]! += Q[i * n + j]! * SQ[i * n + j]!;
      const columns = order.subarray(0, n);
      for (let j = 0; j < n; j++) columns[j] = j;
      columns.sort((j, k) => estimates[k]! - estimates[j]!);
      for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) sorted[i * n + j] = SQ[i * n + columns[j]!]!;
      geqrf(n, n, other.address, n, product.address, n);
      if (!allFinite(other, n * n)) return false;
      Q.set(sorted.subarray(0, n * n));
      return true;
    },
    release() {
      for (const buffer of [product, other, values]) buffer.release();
    },
  };
}
