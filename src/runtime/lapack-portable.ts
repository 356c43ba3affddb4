/**
 * Factorizations over the portable matrix product.
 *
 * Each is a recursion on halves, so that nearly all operations are products; what is left at the leaves are blocks of
 * at most 32 rows, or panels of 8 columns, in JavaScript with f64 arithmetic. Matrices are row-major; a `Block` is a
 * place in the memory, counted in elements.
 *
 * Gustavson, "Recursion leads to automatic variable blocking for dense linear algebra", IBM J. R&D 41(6), 1997.
 * Elmroth, Gustavson, "Applying recursion to serial and parallel QR factorization", IBM J. R&D 44(4), 2000.
 */
import type { Allocate } from "./blas.js";
import { diagonalize } from "./lapack-eigen.js";
import type { Kernels } from "./lapack-kernels.js";
import { type Block, type Elements, reflectPanel } from "./lapack-reflect.js";

const sub = ({ at, ld }: Block, row: number, column: number): Block => ({ at: at + row * ld + column, ld });

/** Leaves of the recursions: rows of a triangular block, columns of a panel. */
const leaf = 32;
const panelWidth = 8;
/** Columns that a leaf handles at a time when it needs a copy of them. */
const chunk = 256;
/** Where to cut: about the middle, on a multiple of the leaf. */
const half = (n: number, unit: number) => unit * Math.ceil(n / (2 * unit));

/** Memory that stays allocated and grows, one piece a purpose. */
export function createWorkspace(allocate: Allocate): (purpose: string, bytes: number) => number {
  const pieces = new Map<string, { address: number; bytes: number }>();
  return (purpose, bytes) => {
    const known = pieces.get(purpose);
    if (known && known.bytes >= bytes) return known.address;
    // What is outgrown is not given back: at least double, so that all of it stays below the last piece's size.
    const size = Math.max(bytes, 2 * (known?.bytes ?? 0));
    const address = allocate(size);
    pieces.set(purpose, { address, bytes: size });
    return address;
  };
}

/** The factorizations of one dtype. `double` are the f64 kernels, which eigenvectors need for both. */
export function createLapack(
  prefix: "s" | "d",
  memory: WebAssembly.Memory,
  kernels: Kernels,
  double: Kernels,
  workspace: (purpose: string, bytes: number) => number,
) {
  const size = prefix === "s" ? 4 : 8;
  let x: Elements = new Float32Array(0);
  /** Called after whatever may have grown the memory. */
  const refresh = () => {
    if (x.buffer === memory.buffer) return;
    x = prefix === "s" ? new Float32Array(memory.buffer) : new Float64Array(memory.buffer);
  };
  /** Elements of workspace; the view is current afterwards. */
  const scratch = (purpose: string, rows: number, columns: number): Block => {
    const at = workspace(purpose, rows * columns * size) / size;
    refresh();
    return { at, ld: columns };
  };
  const block = (address: number, ld: number): Block => {
    refresh();
    return { at: (address >>> 0) / size, ld };
  };
  const tile = new Float64Array(leaf * leaf);
  const other = new Float64Array(leaf * leaf);

  /** C += α op(A) op(B) */
  const product = (
    transA: number,
    transB: number,
    m: number,
    n: number,
    k: number,
    alpha: number,
    a: Block,
    b: Block,
    c: Block,
    beta = 1,
  ) =>
    kernels.gemm(
      transA,
      transB,
      m,
      n,
      k,
      alpha,
      a.at * size,
      a.ld,
      b.at * size,
      b.ld,
      beta,
      c.at * size,
      c.ld,
    );

  interface Triangle {
    readonly block: Block;
    readonly lower: boolean;
    readonly transposed: boolean;
    readonly unit: boolean;
  }
  const lowerOf = (block: Block, transposed = false): Triangle => ({
    block,
    lower: true,
    transposed,
    unit: false,
  });
  const part = (t: Triangle, offset: number): Triangle => ({ ...t, block: sub(t.block, offset, offset) });
  /** B (n×width, strides of its own) ← op(T)⁻¹ B for n up to the leaf. */
  const solveLeaf = (t: Triangle, n: number, width: number, b: number, bStride: number) => {
    const [row, column] = t.transposed ? [size, t.block.ld * size] : [t.block.ld * size, size];
    const address = t.block.at * size;
    const unit = t.unit ? 1 : 0;
    if (t.lower !== t.transposed) kernels.solve(n, address, row, column, b, bStride, width, unit);
    else {
      const last = address + (n - 1) * (row + column);
      kernels.solve(n, last, -row, -column, b + (n - 1) * bStride, -bStride, width, unit);
    }
  };
  /** B (n×width) ← op(T)⁻¹ B */
  const solveLeft = (t: Triangle, n: number, width: number, b: Block) => {
    if (n <= leaf) {
      solveLeaf(t, n, width, b.at * size, b.ld * size);
      return;
    }
    const first = half(n, leaf);
    const second = part(t, first);
    const low = sub(b, first, 0);
    const corner = t.lower ? sub(t.block, first, 0) : sub(t.block, 0, first);
    const flag = t.transposed ? 1 : 0;
    if (t.lower !== t.transposed) {
      solveLeft(t, first, width, b);
      product(flag, 0, n - first, width, first, -1, corner, b, low);
      solveLeft(second, n - first, width, low);
    } else {
      solveLeft(second, n - first, width, low);
      product(flag, 0, first, width, n - first, -1, corner, low, b);
      solveLeft(t, first, width, b);
    }
  };
  /** B (m×n) ← B op(T)⁻¹ */
  const solveRight = (t: Triangle, m: number, n: number, b: Block) => {
    if (n <= leaf) {
      // The transposed problem, on a transposed copy.
      const flipped = { ...t, transposed: !t.transposed };
      const copy = scratch("solve", leaf, chunk).at * size;
      for (let row = 0; row < m; row += chunk) {
        const rows = Math.min(chunk, m - row);
        const from = (b.at + row * b.ld) * size;
        kernels.transpose(rows, n, from, b.ld * size, copy, rows * size);
        solveLeaf(flipped, n, rows, copy, rows * size);
        kernels.transpose(n, rows, copy, rows * size, from, b.ld * size);
      }
      return;
    }
    const first = half(n, leaf);
    const second = part(t, first);
    const right = sub(b, 0, first);
    const corner = t.lower ? sub(t.block, first, 0) : sub(t.block, 0, first);
    const flag = t.transposed ? 1 : 0;
    if (t.lower !== t.transposed) {
      solveRight(second, m, n - first, right);
      product(0, flag, m, first, n - first, -1, right, corner, b);
      solveRight(t, m, first, b);
    } else {
      solveRight(t, m, first, b);
      product(0, flag, m, n - first, first, -1, b, corner, right);
      solveRight(second, m, n - first, right);
    }
  };
  /** The lower triangle of C (n×n) += α op(A) op(A)ᵀ, op(A) n×k; parts of the upper one are overwritten. */
  const symmetricProduct = (trans: number, n: number, k: number, alpha: number, a: Block, c: Block) => {
    if (n <= 2 * leaf) {
      product(trans, 1 - trans, n, n, k, alpha, a, a, c);
      return;
    }
    const first = half(n, leaf);
    const second = trans ? sub(a, 0, first) : sub(a, first, 0);
    symmetricProduct(trans, first, k, alpha, a, c);
    product(trans, 1 - trans, n - first, first, k, alpha, second, a, sub(c, first, 0));
    symmetricProduct(trans, n - first, k, alpha, second, sub(c, first, first));
  };

  const readLower = (n: number, a: Block) => {
    for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) tile[i * leaf + j] = x[a.at + i * a.ld + j]!;
  };
  const writeLower = (n: number, a: Block, values: Float64Array) => {
    for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) x[a.at + i * a.ld + j] = values[i * leaf + j]!;
  };

  const factor = (n: number, a: Block): number => {
    if (n > leaf) {
      const first = half(n, leaf);
      const failed = factor(first, a);
      if (failed) return failed;
      const left = sub(a, first, 0);
      const rest = sub(a, first, first);
      solveRight(lowerOf(a, true), n - first, first, left);
      symmetricProduct(0, n - first, first, -1, left, rest);
      const later = factor(n - first, rest);
      return later && later + first;
    }
    readLower(n, a);
    for (let i = 0; i < n; i++)
      for (let j = 0; j <= i; j++) {
        let sum = tile[i * leaf + j]!;
        for (let k = 0; k < j; k++) sum -= tile[i * leaf + k]! * tile[j * leaf + k]!;
        if (j < i) tile[i * leaf + j] = sum / tile[j * leaf + j]!;
        else if (sum > 0) tile[i * leaf + i] = Math.sqrt(sum);
        else return i + 1;
      }
    writeLower(n, a, tile);
    return 0;
  };
  const potrf = (n: number, a: number, lda: number): number => {
    if (n <= 0) return 0;
    const failed = factor(n, block(a, lda));
    kernels.zeroupper(n, a, lda);
    return failed;
  };

  /** L ← L⁻¹, lower triangle only. */
  const invert = (n: number, a: Block) => {
    if (n > leaf) {
      const first = half(n, leaf);
      const left = sub(a, first, 0);
      const rest = sub(a, first, first);
      // −L22⁻¹ L21 L11⁻¹
      solveRight(lowerOf(a), n - first, first, left);
      product(0, 0, n - first, first, 0, 0, left, left, left, -1);
      solveLeft(lowerOf(rest), n - first, first, left);
      invert(first, a);
      invert(n - first, rest);
      return;
    }
    readLower(n, a);
    for (let j = 0; j < n; j++) {
      other[j * leaf + j] = 1 / tile[j * leaf + j]!;
      for (let i = j + 1; i < n; i++) {
        let sum = 0;
        for (let k = j; k < i; k++) sum += tile[i * leaf + k]! * other[k * leaf + j]!;
        other[i * leaf + j] = -sum / tile[i * leaf + i]!;
      }
    }
    writeLower(n, a, other);
  };
  /** B (n×width) ← Wᵀ B, W lower triangular. */
  const multiplyTransposed = (n: number, width: number, w: Block, b: Block) => {
    if (n > leaf) {
      const first = half(n, leaf);
      const low = sub(b, first, 0);
      multiplyTransposed(first, width, w, b);
      product(1, 0, first, width, n - first, 1, sub(w, first, 0), low, b);
      multiplyTransposed(n - first, width, sub(w, first, first), low);
      return;
    }
    const dense = scratch("triangle", leaf, leaf);
    const copy = scratch("columns", leaf, chunk);
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) x[dense.at + i * leaf + j] = j <= i ? x[w.at + i * w.ld + j]! : 0;
    for (let column = 0; column < width; column += chunk) {
      const columns = Math.min(chunk, width - column);
      const from = b.at + column;
      for (let i = 0; i < n; i++)
        x.copyWithin(copy.at + i * chunk, from + i * b.ld, from + i * b.ld + columns);
      product(1, 0, n, columns, n, 1, dense, copy, { at: from, ld: b.ld }, 0);
    }
  };
  /** The lower triangle of W ← that of Wᵀ W. */
  const square = (n: number, a: Block) => {
    if (n > leaf) {
      const first = half(n, leaf);
      const left = sub(a, first, 0);
      const rest = sub(a, first, first);
      square(first, a);
      symmetricProduct(1, first, n - first, 1, left, a);
      multiplyTransposed(n - first, first, rest, left);
      square(n - first, rest);
      return;
    }
    readLower(n, a);
    for (let i = 0; i < n; i++)
      for (let j = 0; j <= i; j++) {
        let sum = 0;
        for (let k = i; k < n; k++) sum += tile[k * leaf + i]! * tile[k * leaf + j]!;
        other[i * leaf + j] = sum;
      }
    writeLower(n, a, other);
  };
  const potri = (n: number, a: number, lda: number) => {
    if (n <= 0) return;
    const matrix = block(a, lda);
    invert(n, matrix);
    square(n, matrix);
    kernels.mirror(n, a, lda);
  };

  const trsm = (
    left: number,
    transA: number,
    m: number,
    n: number,
    alpha: number,
    a: number,
    lda: number,
    b: number,
    ldb: number,
  ) => {
    if (m <= 0 || n <= 0) return;
    const right = block(b, ldb);
    if (alpha !== 1) product(0, 0, m, n, 0, 0, right, right, right, alpha);
    if (alpha === 0) return;
    const triangle = lowerOf(block(a, lda), transA !== 0);
    if (left) solveLeft(triangle, m, n, right);
    else solveRight(triangle, m, n, right);
  };

  let pivots = new Int32Array(64);
  /** Exchanges rows as the pivots from..to say, within `columns` columns of `a`; backwards undoes it. */
  const exchange = (from: number, to: number, columns: number, a: Block, backwards = false) => {
    for (let step = from; step < to; step++) {
      const row = backwards ? from + to - 1 - step : step;
      const pivot = pivots[row]!;
      if (pivot !== row) kernels.swap(columns, (a.at + row * a.ld) * size, (a.at + pivot * a.ld) * size);
    }
  };
  /** LU of columns from..to, from row `from` on. Returns 0, or 1 + the first column whose pivot is 0. */
  const eliminate = (n: number, from: number, to: number, a: Block): number => {
    const width = to - from;
    if (width > panelWidth) {
      const middle = from + half(width, panelWidth);
      let failed = eliminate(n, from, middle, a);
      exchange(from, middle, to - middle, sub(a, 0, middle));
      const top = sub(a, from, middle);
      const triangle = { block: sub(a, from, from), lower: true, transposed: false, unit: true };
      solveLeft(triangle, middle - from, to - middle, top);
      product(
        0,
        0,
        n - middle,
        to - middle,
        middle - from,
        -1,
        sub(a, middle, from),
        top,
        sub(a, middle, middle),
      );
      failed ||= eliminate(n, middle, to, a);
      exchange(middle, to, middle - from, sub(a, 0, from));
      return failed;
    }
    const values = x;
    const { at, ld } = a;
    for (let column = from; column < to; column++) {
      let pivot = column;
      let largest = 0;
      for (let i = column; i < n; i++) {
        const magnitude = Math.abs(values[at + i * ld + column]!);
        if (magnitude > largest) {
          largest = magnitude;
          pivot = i;
        }
      }
      pivots[column] = pivot;
      if (largest === 0) return column + 1;
      if (pivot !== column)
        kernels.swap(width, (at + column * ld + from) * size, (at + pivot * ld + from) * size);
      const diagonal = values[at + column * ld + column]!;
      for (let i = column + 1; i < n; i++) {
        const ratio = values[at + i * ld + column]! / diagonal;
        values[at + i * ld + column] = ratio;
        for (let j = column + 1; j < to; j++)
          values[at + i * ld + j] = values[at + i * ld + j]! - ratio * values[at + column * ld + j]!;
      }
    }
    return 0;
  };
  const gesv = (n: number, nrhs: number, a: number, lda: number, b: number, ldb: number): number => {
    if (n <= 0) return 0;
    if (pivots.length < n) pivots = new Int32Array(2 * n);
    const matrix = block(a, lda);
    const failed = eliminate(n, 0, n, matrix);
    if (failed || nrhs <= 0) return failed;
    const right = block(b, ldb);
    exchange(0, n, nrhs, right);
    solveLeft({ block: matrix, lower: true, transposed: false, unit: true }, n, nrhs, right);
    solveLeft({ block: matrix, lower: false, transposed: false, unit: false }, n, nrhs, right);
    return 0;
  };

  let columns = new Float64Array(0);
  const geqrf = (m: number, n: number, a: number, lda: number, r: number, ldr: number): number => {
    if (n <= 0) return 0;
    if (columns.length < m * panelWidth) columns = new Float64Array(m * panelWidth);
    // Q = I − Y T Yᵀ: reflectors with their zeros and ones in Y, T upper triangular.
    const y = scratch("reflectors", m, n);
    const t = scratch("triangular factor", n, n);
    const [w1, w2] = [scratch("product", n, n), scratch("second product", n, n)];
    const matrix = block(a, lda);
    const upper = block(r, ldr);
    x.fill(0, y.at, y.at + m * n);
    x.fill(0, t.at, t.at + n * n);

    const reflect = (from: number, to: number) => {
      const width = to - from;
      if (width <= panelWidth) {
        reflectPanel(x, m, from, width, matrix, y, t, upper, columns);
        return;
      }
      const middle = from + half(width, panelWidth);
      const [left, right] = [middle - from, to - middle];
      reflect(from, middle);
      const y1 = sub(y, from, from);
      const t1 = sub(t, from, from);
      const rest = sub(matrix, from, middle);
      product(1, 0, left, right, m - from, 1, y1, rest, w1, 0);
      product(1, 0, left, right, left, 1, t1, w1, w2, 0);
      product(0, 0, m - from, right, left, -1, y1, w2, rest);
      reflect(middle, to);
      // T12 = −T1 (Y1ᵀ Y2) T2
      product(1, 0, left, right, m - middle, 1, sub(y, middle, from), sub(y, middle, middle), w1, 0);
      product(0, 0, left, right, left, -1, t1, w1, w2, 0);
      product(0, 0, left, right, right, 1, w2, sub(t, middle, middle), sub(t, from, middle), 0);
    };
    reflect(0, n);
    // M = T Y1ᵀ, both upper triangular, and A ← −Y M, where the top of Y is lower triangular.
    for (let i = 0; i < n; i += chunk) {
      const rows = Math.min(chunk, n - i);
      product(0, 1, rows, n - i, n - i, 1, sub(t, i, i), sub(y, i, i), sub(w1, i, i), 0);
    }
    for (let j = 0; j < n; j += chunk) {
      const width = Math.min(chunk, n - j);
      for (let i = 0; i < n; i += chunk) {
        const rows = Math.min(chunk, n - i);
        const depth = Math.min(i + rows, j + width);
        product(0, 0, rows, width, depth, -1, sub(y, i, 0), sub(w1, 0, j), sub(matrix, i, j), 0);
      }
      product(0, 0, m - n, width, j + width, -1, sub(y, n, 0), sub(w1, 0, j), sub(matrix, n, j), 0);
    }
    for (let i = 0; i < n; i++) {
      const index = matrix.at + i * matrix.ld + i;
      x[index] = x[index]! + 1;
    }
    return 0;
  };

  const syevd = (n: number, a: number, lda: number, w: number): number => {
    if (n <= 0) return 0;
    return diagonalize(memory, double, workspace, n, {
      elements: () => {
        refresh();
        return x;
      },
      matrix: block(a, lda),
      values: (w >>> 0) / size,
    });
  };

  return { potrf, potri, trsm, gesv, geqrf, syevd };
}
