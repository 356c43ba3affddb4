/**
 * Large matrix products with seven multiplications of half the size instead of eight: one level of Strassen's
 * algorithm. 128-bit vectors bind the portable product at a third of what 512-bit ones do, so that an eighth of the
 * multiplications is worth the additions. With A, B and C in quarters,
 *
 *     M₁ = (A₁₁ + A₂₂)(B₁₁ + B₂₂)   to C₁₁ and C₂₂
 *     M₂ = (A₂₁ + A₂₂) B₁₁           to C₂₁, from C₂₂
 *     M₃ = A₁₁ (B₁₂ − B₂₂)           to C₁₂ and C₂₂
 *     M₄ = A₂₂ (B₂₁ − B₁₁)           to C₂₁ and C₁₁
 *     M₅ = (A₁₁ + A₁₂) B₂₂           to C₁₂, from C₁₁
 *     M₆ = (A₂₁ − A₁₁)(B₁₁ + B₁₂)   to C₂₂
 *     M₇ = (A₁₂ − A₂₂)(B₂₁ + B₂₂)   to C₁₁
 *
 * Sums are made where operands are copied into panels anyway, and products are added to both quarters from registers:
 * no matrix is written for them, and there is no workspace (Huang, Smith, Henry, van de Geijn, "Strassen's algorithm
 * reloaded", SC 2016).
 *
 * The error is bounded in norm, not element by element: small elements of C carry the rounding of the large ones.
 * Strassen, "Gaussian elimination is not optimal", Numer. Math. 13, 1969; Higham, "Accuracy and Stability of Numerical
 * Algorithms", 2nd ed. 2002, chapter 23.
 */
import type { Gemm } from "./blas.js";
import type { Kind } from "./gemm-code.js";
import { type Pair, pairs } from "./gemm-workspace.js";

/** A matrix in memory: its address and the elements from one row to the next. */
interface Block {
  readonly address: number;
  readonly ld: number;
}
/** A quarter, and what it is added to or subtracted from. */
type Sum = readonly [Block, (1 | -1)?, Block?];

/** A quarter's sides are at least so long: below, the plain product is faster. */
const smallest = 384;

/** How a side is cut: `count` tiles of twice `half`, which is whole panels, and a rest. */
function cut(side: number): { readonly half: number; readonly count: number } {
  const count = Math.ceil(side / (2 * (pairs.atMost + pairs.columns)));
  const half = Math.min(pairs.atMost, Math.floor(side / count / 2));
  return { half: half - (half % pairs.columns), count };
}

/** A product that is `gemm`, and Strassen's for what is large enough in all three directions. */
export function strassen(kind: Kind, gemm: Gemm, pair: Pair): Gemm {
  /** The block `down` rows and `right` columns further, of op(X): they change places when X is stored transposed. */
  const at = ({ address, ld }: Block, trans: number, down: number, right: number): Block => ({
    address: address + (trans ? right * ld + down : down * ld + right) * kind.size,
    ld,
  });
  const quarters = (x: Block, trans: number, rows: number, columns: number) =>
    [x, at(x, trans, 0, columns), at(x, trans, rows, 0), at(x, trans, rows, columns)] as const;

  return (transA, transB, m, n, k, alpha, addressA, lda, addressB, ldb, beta, addressC, ldc) => {
    if (alpha === 0 || Math.min(m, n, k) < 2 * smallest) {
      gemm(transA, transB, m, n, k, alpha, addressA, lda, addressB, ldb, beta, addressC, ldc);
      return;
    }
    const a = { address: addressA, ld: lda };
    const b = { address: addressB, ld: ldb };
    const c = { address: addressC, ld: ldc };

    /** C = α op(A) op(B) + β C for some rows, columns and depth. */
    function plain(m: number, n: number, k: number, a: Block, b: Block, beta: number, c: Block) {
      gemm(transA, transB, m, n, k, alpha, a.address, a.ld, b.address, b.ld, beta, c.address, c.ld);
    }
    /** One tile, its quarters m×n×k, in the order of the equations above; it is added to C when `adds`. */
    function tile(m: number, n: number, k: number, a: Block, b: Block, adds: 0 | 1, c: Block) {
      const [a11, a12, a21, a22] = quarters(a, transA, m, k);
      const [b11, b12, b21, b22] = quarters(b, transB, k, n);
      const [c11, c12, c21, c22] = quarters(c, 0, m, n);
      const distance = (from: Block, to: Block | undefined) => (to ? to.address - from.address : 0);
      /** C = the product + β C, and C′ = ± the product + β′ C′. */
      const product = (
        [x, signX = 1, otherX]: Sum,
        [y, signY = 1, otherY]: Sum,
        betaC: 0 | 1,
        [first, signC = 1, other]: Sum,
        betaOther: 0 | 1 = 1,
      ) => {
        const to = distance(first, other);
        pair(distance(x, otherX), signX, distance(y, otherY), signY, to, signC * alpha, betaOther);
        plain(m, n, k, x, y, betaC, first);
      };
      product([a11, 1, a22], [b11, 1, b22], adds, [c11, 1, c22], adds);
      product([a21, 1, a22], [b11], adds, [c21, -1, c22]);
      product([a11], [b12, -1, b22], adds, [c12, 1, c22]);
      product([a22], [b21, -1, b11], 1, [c21, 1, c11]);
      product([a11, 1, a12], [b22], 1, [c12, -1, c11]);
      product([a21, -1, a11], [b11, 1, b12], 1, [c22]);
      product([a12, -1, a22], [b21, 1, b22], 1, [c11]);
      pair(0, 0, 0, 0, 0, 0, 0);
    }

    const [inM, inN, inK] = [cut(m), cut(n), cut(k)];
    const [tileM, tileN, tileK] = [2 * inM.half, 2 * inN.half, 2 * inK.half];
    const [wholeM, wholeN, wholeK] = [tileM * inM.count, tileN * inN.count, tileK * inK.count];
    // β C and the last few k; the tiles on top; the last few columns and rows.
    const restOfK = k - wholeK;
    const begun = beta !== 0 || restOfK > 0;
    if (begun) plain(wholeM, wholeN, restOfK, at(a, transA, 0, wholeK), at(b, transB, wholeK, 0), beta, c);
    for (let row = 0; row < wholeM; row += tileM)
      for (let column = 0; column < wholeN; column += tileN)
        for (let depth = 0; depth < wholeK; depth += tileK) {
          const [fromA, fromB] = [at(a, transA, row, depth), at(b, transB, depth, column)];
          tile(inM.half, inN.half, inK.half, fromA, fromB, begun || depth > 0 ? 1 : 0, at(c, 0, row, column));
        }
    if (wholeN < n) plain(wholeM, n - wholeN, k, a, at(b, transB, 0, wholeN), beta, at(c, 0, 0, wholeN));
    if (wholeM < m) plain(m - wholeM, n, k, at(a, transA, wholeM, 0), b, beta, at(c, 0, wholeM, 0));
  };
}
