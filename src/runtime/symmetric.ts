/**
 * Products of a matrix with its own transpose, α Xᵀ X or α X Xᵀ, as every Kronecker factor is: half of the
 * multiplications give the lower triangle, and the upper one mirrors it. They are told by their operands' addresses.
 */
import type { Gemm } from "./blas.js";

/** The lower triangle of C = α op(X) op(X)ᵀ, op(X) n×k and transposed when `trans` is 1; above it anything may be written. */
export type LowerProduct = (
  trans: number,
  n: number,
  k: number,
  alpha: number,
  x: number,
  ldx: number,
  c: number,
  ldc: number,
) => void;

/** Whether half of the multiplications of n×k with its transpose is more than what a triangle costs beside. */
export const triangleSpares = (n: number, k: number): boolean => n >= 64 && n * k >= 128 ** 2;

/** `gemm`, with symmetric products by `lower`; `mirror(n, c, ldc)` copies the lower triangle into the upper one. */
export function symmetric(
  gemm: Gemm,
  lower: LowerProduct,
  mirror: (n: number, c: number, ldc: number) => void,
): Gemm {
  return (transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) => {
    const square = a === b && lda === ldb && m === n && transA !== transB && beta === 0;
    if (square && triangleSpares(n, k)) {
      lower(transA, n, k, alpha, a, lda, c, ldc);
      mirror(n, c, ldc);
    } else gemm(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  };
}

/** Rows of C that are computed at once. */
const panel = 64;

/** The lower triangle by products of whole rows up to the diagonal's block, for a library without a routine for it. */
export const lowerByPanels =
  (gemm: Gemm, size: number): LowerProduct =>
  (trans, n, k, alpha, x, ldx, c, ldc) => {
    for (let row = 0; row < n; row += panel) {
      const rows = Math.min(panel, n - row);
      const from = x + (trans ? row : row * ldx) * size;
      gemm(trans, 1 - trans, rows, row + rows, k, alpha, from, ldx, x, ldx, 0, c + row * ldc * size, ldc);
    }
  };
