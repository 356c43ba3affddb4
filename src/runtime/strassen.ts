/**
 * Large matrix products with seven multiplications of half the size instead of eight: one level of Winograd's form of
 * Strassen's algorithm, over any product. 128-bit vectors bind the portable product at a third of what 512-bit ones
 * do, so that the additions, which memory binds, are cheap beside an eighth of the multiplications.
 *
 * With A, B and C in quarters,
 *
 *     S₁ = A₂₁ + A₂₂   S₂ = S₁ − A₁₁   S₃ = A₁₁ − A₂₁   S₄ = A₁₂ − S₂
 *     T₁ = B₁₂ − B₁₁   T₂ = B₂₂ − T₁   T₃ = B₂₂ − B₁₂   T₄ = T₂ − B₂₁
 *     U₂ = A₁₁B₁₁ + S₂T₂                U₃ = U₂ + S₃T₃
 *     C₁₁ = A₁₁B₁₁ + A₁₂B₂₁             C₁₂ = U₂ + S₁T₁ + S₄B₂₂
 *     C₂₁ = U₃ − A₂₂T₄                  C₂₂ = U₃ + S₁T₁
 *
 * The error is bounded in norm, not element by element: small elements of C carry the rounding of the large ones.
 * Strassen, "Gaussian elimination is not optimal", Numer. Math. 13, 1969; Higham, "Accuracy and Stability of Numerical
 * Algorithms", 2nd ed. 2002, chapter 23.
 */
import type { FunctionRef, ModuleBuilder } from "./assembler.js";
import type { Gemm } from "./blas.js";
import { advance, advanceBy, define, type Kind, multipleOf } from "./gemm-code.js";

/** out = x ± y over rows×columns, strides in bytes. */
export type Combine = (
  rows: number,
  columns: number,
  x: number,
  xStride: number,
  sign: 1 | -1,
  y: number,
  yStride: number,
  out: number,
  outStride: number,
) => void;

/** A matrix in memory: its address and the elements from one row to the next. */
interface Block {
  readonly address: number;
  readonly ld: number;
}

/** A quarter's sides, at most (its workspace) and at least (below, the plain product is faster). */
const largest = 512;
const smallest = 384;
/** Elements between the rows of a temporary matrix: rows a power of two apart would share the same lines of a cache. */
const pad = 16;

/** `<prefix>combine`, a `Combine`. */
export function defineCombine(builder: ModuleBuilder, kind: Kind): FunctionRef {
  return builder.define(
    ["i32", "i32", "i32", "i32", kind.scalar, "i32", "i32", "i32", "i32"],
    [],
    (code, rows, columns, x, xStride, sign, y, yStride, out, outStride) => {
      const factor = define(code, "v128", () => {
        code.get(sign!);
        code.emit(`${kind.shape}.splat`);
      });
      const whole = multipleOf(code, columns!, 2 * kind.lanes);
      const row = code.local("i32");
      const column = code.local("i32");
      const [fromX, fromY, to] = [code.local("i32"), code.local("i32"), code.local("i32")];
      code.for(row, { constant: 0 }, rows!, 1, () => {
        for (const [pointer, base] of [
          [fromX, x!],
          [fromY, y!],
          [to, out!],
        ] as const) {
          code.get(base);
          code.set(pointer);
        }
        code.for(column, { constant: 0 }, whole, 2 * kind.lanes, () => {
          for (const offset of [0, 16]) {
            code.get(to);
            code.get(fromX);
            code.memory("v128.load", offset);
            code.get(fromY);
            code.memory("v128.load", offset);
            code.get(factor);
            code.emit(`${kind.shape}.mul`, `${kind.shape}.add`);
            code.memory("v128.store", offset);
          }
          for (const pointer of [fromX, fromY, to]) advance(code, pointer, 32);
        });
        code.for(column, "current", columns!, 1, () => {
          code.get(to);
          code.get(fromX);
          code.memory(`${kind.scalar}.load`);
          code.get(fromY);
          code.memory(`${kind.scalar}.load`);
          code.get(sign!);
          code.emit(`${kind.scalar}.mul`, `${kind.scalar}.add`);
          code.memory(`${kind.scalar}.store`);
          for (const pointer of [fromX, fromY, to]) advance(code, pointer, kind.size);
        });
        advanceBy(code, x!, xStride!);
        advanceBy(code, y!, yStride!);
        advanceBy(code, out!, outStride!);
      });
    },
    `${kind.prefix}combine`,
  );
}

/** How a side is cut: `count` tiles of twice `half`, and a rest of less than two a tile. */
function cut(side: number): { readonly half: number; readonly count: number } {
  const count = Math.ceil(side / (2 * largest + 1));
  return { half: Math.floor(side / count / 2), count };
}

/**
 * A product that is `gemm`, and Strassen's for what is large enough in all three directions. `workspace` gives the
 * address of a number of bytes, the same ones each time.
 */
export function strassen(
  kind: Kind,
  gemm: Gemm,
  combine: Combine,
  workspace: (bytes: number) => number,
): Gemm {
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
    function plain(
      m: number,
      n: number,
      k: number,
      alpha: number,
      a: Block,
      b: Block,
      beta: number,
      c: Block,
    ) {
      gemm(transA, transB, m, n, k, alpha, a.address, a.ld, b.address, b.ld, beta, c.address, c.ld);
    }
    /** One tile, its quarters m×n×k, in the order of the equations above; it is added to C when `adds`. */
    function tile(m: number, n: number, k: number, a: Block, b: Block, adds: 0 | 1, c: Block) {
      const [a11, a12, a21, a22] = quarters(a, transA, m, k);
      const [b11, b12, b21, b22] = quarters(b, transB, k, n);
      const [c11, c12, c21, c22] = quarters(c, 0, m, n);
      const [rowsA, columnsA] = transA ? [k, m] : [m, k];
      const [rowsB, columnsB] = transB ? [n, k] : [k, n];
      const bytes = largest * (largest + pad) * kind.size;
      const start = workspace(4 * bytes);
      const s = { address: start, ld: columnsA + pad };
      const t = { address: start + bytes, ld: columnsB + pad };
      const u = { address: start + 2 * bytes, ld: n + pad };
      const p = { address: start + 3 * bytes, ld: n + pad };
      const sum = (rows: number, columns: number, out: Block, x: Block, sign: 1 | -1, y: Block) =>
        combine(
          rows,
          columns,
          x.address,
          x.ld * kind.size,
          sign,
          y.address,
          y.ld * kind.size,
          out.address,
          out.ld * kind.size,
        );
      const sumA = (out: Block, x: Block, sign: 1 | -1, y: Block) => sum(rowsA, columnsA, out, x, sign, y);
      const sumB = (out: Block, x: Block, sign: 1 | -1, y: Block) => sum(rowsB, columnsB, out, x, sign, y);
      const addToC = (out: Block, x: Block) => sum(m, n, out, out, 1, x);
      const setOrAdd = (out: Block) => {
        if (adds) {
          addToC(out, u);
          addToC(out, p);
        } else sum(m, n, out, u, 1, p);
      };

      plain(m, n, k, alpha, a11, b11, 0, u);
      plain(m, n, k, alpha, a12, b21, adds, c11);
      addToC(c11, u);
      sumA(s, a21, 1, a22); // S₁
      sumB(t, b12, -1, b11); // T₁
      plain(m, n, k, alpha, s, t, 0, p);
      sumA(s, s, -1, a11); // S₂
      sumB(t, b22, -1, t); // T₂
      plain(m, n, k, alpha, s, t, 1, u); // U₂
      setOrAdd(c12);
      sumA(s, a12, -1, s); // S₄
      plain(m, n, k, alpha, s, b22, 1, c12);
      sumB(t, t, -1, b21); // T₄
      plain(m, n, k, -alpha, a22, t, adds, c21);
      sumA(s, a11, -1, a21); // S₃
      sumB(t, b22, -1, b12); // T₃
      plain(m, n, k, alpha, s, t, 1, u); // U₃
      addToC(c21, u);
      setOrAdd(c22);
    }

    const [inM, inN, inK] = [cut(m), cut(n), cut(k)];
    const [tileM, tileN, tileK] = [2 * inM.half, 2 * inN.half, 2 * inK.half];
    const [wholeM, wholeN, wholeK] = [tileM * inM.count, tileN * inN.count, tileK * inK.count];
    // β C and the last few k; the tiles on top; the last few columns and rows.
    const restOfK = k - wholeK;
    const begun = beta !== 0 || restOfK > 0;
    if (begun)
      plain(wholeM, wholeN, restOfK, alpha, at(a, transA, 0, wholeK), at(b, transB, wholeK, 0), beta, c);
    for (let row = 0; row < wholeM; row += tileM)
      for (let column = 0; column < wholeN; column += tileN)
        for (let depth = 0; depth < wholeK; depth += tileK) {
          const [fromA, fromB] = [at(a, transA, row, depth), at(b, transB, depth, column)];
          tile(inM.half, inN.half, inK.half, fromA, fromB, begun || depth > 0 ? 1 : 0, at(c, 0, row, column));
        }
    if (wholeN < n)
      plain(wholeM, n - wholeN, k, alpha, a, at(b, transB, 0, wholeN), beta, at(c, 0, 0, wholeN));
    if (wholeM < m) plain(m - wholeM, n, k, alpha, at(a, transA, wholeM, 0), b, beta, at(c, 0, wholeM, 0));
  };
}
