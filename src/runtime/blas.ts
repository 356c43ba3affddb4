/**
 * Dense linear algebra over byte addresses in one WebAssembly.Memory: the interface that both implementations fill.
 *
 * `native` (blas-native.ts) calls OpenBLAS, MKL or Accelerate on the same memory; `portable` (blas-portable.ts) is
 * WebAssembly SIMD and runs everywhere. All matrices are row-major, `ld` is the distance between rows in elements,
 * the prefix is the dtype: s = f32, d = f64. Addresses are multiples of the element size; an address above 2 GiB may
 * arrive as a negative i32, as WebAssembly passes it.
 */

export type Gemm = (
  transA: number,
  transB: number,
  m: number,
  n: number,
  k: number,
  alpha: number,
  a: number,
  lda: number,
  b: number,
  ldb: number,
  beta: number,
  c: number,
  ldc: number,
) => void;
type Potrf = (n: number, a: number, lda: number) => number;
type Potri = (n: number, a: number, lda: number) => void;
type Trsm = (
  left: number,
  transA: number,
  m: number,
  n: number,
  alpha: number,
  a: number,
  lda: number,
  b: number,
  ldb: number,
) => void;
type Syevd = (n: number, a: number, lda: number, w: number) => number;
type Geqrf = (m: number, n: number, a: number, lda: number, r: number, ldr: number) => number;
type Gesv = (n: number, nrhs: number, a: number, lda: number, b: number, ldb: number) => number;

export interface BlasFunctions {
  /**
   * C = α op(A) op(B) + β C: op(A) is m×k, op(B) k×n, and a `trans` flag of 1 transposes. β = 0 does not read C.
   * A WebAssembly module imports it with the signature `gemmSignature`.
   */
  sgemm: Gemm;
  dgemm: Gemm;
  /**
   * The lower triangle of A (n×n) becomes its Cholesky factor L, the strict upper triangle 0.
   * Returns 0, or i > 0 when the leading minor of order i is not positive definite (A is then half-factored).
   */
  spotrf: Potrf;
  dpotrf: Potrf;
  /** From the Cholesky factor L in the lower triangle: the whole symmetric inverse (L Lᵀ)⁻¹ in its place. */
  spotri: Potri;
  dpotri: Potri;
  /** B (m×n) ← the solution X of op(A) X = α B (left = 1) or X op(A) = α B (left = 0); A is lower triangular. */
  strsm: Trsm;
  dtrsm: Trsm;
  /**
   * Eigendecomposition of symmetric A: row i of A becomes the i-th eigenvector, w[i] its eigenvalue, ascending.
   * The lower triangle is what is read. Returns 0, or a code > 0 when the iteration did not converge.
   */
  ssyevd: Syevd;
  dsyevd: Syevd;
  /** Thin QR of A (m×n, m >= n): A becomes Q, r the upper triangular R (n×n, zeros below), signs as LAPACK's. */
  sgeqrf: Geqrf;
  dgeqrf: Geqrf;
  /** B (n×nrhs) ← A⁻¹ B by LU with partial pivoting; A is destroyed. Returns 0, or i > 0 when pivot i is 0. */
  sgesv: Gesv;
  dgesv: Gesv;
}

export interface Blas {
  readonly kind: "native" | "portable";
  /** What runs, for people: library, version and processor kernel. */
  readonly description: string;
  readonly functions: BlasFunctions;
  /**
   * Products of at most so many multiplications (m·n·k) run without packing their operands: narrow products are then
   * faster in such pieces. 0: the library has no such path.
   */
  readonly unpacked: number;
  /** Threads of the library itself; it holds for the whole process. */
  setThreads?(count: number): void;
}

/** Parameters of `sgemm` and `dgemm` as a WebAssembly import: α and β are f64 for both, there is no result. */
export const gemmSignature = [
  "i32",
  "i32",
  "i32",
  "i32",
  "i32",
  "f64",
  "i32",
  "i32",
  "i32",
  "i32",
  "f64",
  "i32",
  "i32",
] as const;

/** Memory that an implementation keeps for itself; it is never given back. Returns a 16-byte aligned address. */
export type Allocate = (bytes: number) => number;
