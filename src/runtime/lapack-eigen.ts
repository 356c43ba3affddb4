/**
 * Eigenvectors of symmetric matrices, in f64 for both dtypes.
 *
 * Householder reflections, blocked so that half of the work is matrix products, make A tridiagonal: T = Qᵀ A Q. Implicit
 * QL with Wilkinson's shift diagonalizes T; its plane rotations depend on T alone, so they are only noted down at first
 * and then applied to Qᵀ thousands at a time, one strip of columns after the other.
 *
 * Dongarra, Hammarling, Sorensen, "Block reduction of matrices to condensed forms", J. Comput. Appl. Math. 27, 1989.
 * Dubrulle, Martin, Wilkinson, "The implicit QL algorithm", Numer. Math. 12, 1968.
 */
import { rotationStrip } from "./eigen-kernels.js";
import type { Kernels } from "./lapack-kernels.js";
import { type Block, type Elements, reflector } from "./lapack-reflect.js";

/** Reflections a panel of the reduction, and a block of the back-transformation. */
const panel = 32;
const blockWidth = 64;
/** Rows of A that one product updates. */
const rowBlock = 128;

interface Place {
  /** The current view of the memory in the matrix's dtype. */
  elements(): Elements;
  readonly matrix: Block;
  /** Index of the first eigenvalue. */
  readonly values: number;
}

/** See `ssyevd` in blas.ts. Codes: i <= n, eigenvalue i did not converge; n + 1, A is not finite. */
export function diagonalize(
  memory: WebAssembly.Memory,
  kernels: Kernels,
  workspace: (purpose: string, bytes: number) => number,
  n: number,
  place: Place,
): number {
  // An odd number of cache lines a row keeps a strip of columns from falling into few cache sets.
  const ld = 8 * (Math.ceil(n / 8) | 1);
  const capacity = Math.max(2 * n, 65536);
  const doubles = (purpose: string, count: number) => workspace(purpose, 8 * count) / 8;
  const a = doubles("eigen matrix", n * ld);
  const v = doubles("eigen reflectors", n * ld);
  const p = doubles("eigen panel", 2 * panel * ld);
  const q = doubles("eigen panel twin", 2 * panel * ld);
  const products = doubles("eigen products", 2 * n * blockWidth + 2 * blockWidth * blockWidth);
  const rotations = doubles("eigen rotations", 2 * capacity);
  const sweeps = workspace("eigen sweeps", 8 * capacity);
  const x = new Float64Array(memory.buffer);
  const source = place.elements();
  const { at, ld: lda } = place.matrix;

  let largest = 0;
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      const value = source[at + i * lda + j]!;
      x[a + i * ld + j] = value;
      if (!(Math.abs(value) <= largest)) largest = Math.abs(value);
    }
  if (!Number.isFinite(largest)) return n + 1;
  // A power of 2 brings the matrix to about 1, without rounding; f32 never needs it, but f64 may.
  const scale = largest === 0 ? 1 : 2 ** -Math.max(-1000, Math.min(1000, Math.floor(Math.log2(largest))));
  if (scale !== 1)
    for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) x[a + i * ld + j] = x[a + i * ld + j]! * scale;

  const diagonal = new Float64Array(n);
  const side = new Float64Array(n);
  const tau = new Float64Array(n);
  tridiagonalize(x, kernels, n, { a, v, p, q, ld, products }, diagonal, side, tau);
  accumulateReflectors(x, kernels, n, { a, v, ld, products }, tau);
  // The columns of Qᵀ in strips, which is how rotations are applied fastest; the reflectors' room is free by now.
  const strips = Math.ceil(n / rotationStrip);
  for (let strip = 0; strip < strips; strip++)
    for (let i = 0; i < n; i++) {
      const from = a + i * ld + strip * rotationStrip;
      const to = v + (strip * n + i) * rotationStrip;
      for (let j = 0; j < rotationStrip; j++) x[to + j] = x[from + j]!;
    }
  const failed = implicitQl(n, diagonal, side, {
    cosines: x,
    at: rotations,
    sweeps: new Int32Array(memory.buffer, sweeps, 2 * capacity),
    capacity,
    apply: (count) => kernels.rotate(strips, v * 8, n, sweeps, count, rotations * 8),
  });
  if (failed) return failed;

  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => diagonal[i]! - diagonal[j]!);
  order.forEach((from, to) => {
    source[place.values + to] = diagonal[from]! / scale;
    const target = at + to * lda;
    for (let strip = 0; strip < n; strip += rotationStrip) {
      const row = v + strip * n + from * rotationStrip;
      const width = Math.min(rotationStrip, n - strip);
      for (let j = 0; j < width; j++) source[target + strip + j] = x[row + j]!;
    }
  });
  return 0;
}

interface Storage {
  /** Indices of f64 elements: A (its lower triangle), and the reflectors as rows. */
  readonly a: number;
  readonly v: number;
  readonly ld: number;
  readonly products: number;
}

/**
 * A ← QᵀAQ with Q = H₀H₁…, Hⱼ = I − τⱼ vⱼvⱼᵀ; row j of V is vⱼ, which starts with a 1 at j + 1.
 *
 * Within a panel A stays as it was; A − Σ(vwᵀ + wvᵀ) is what it stands for. The rows 2i and 2i + 1 of P are vᵢ and wᵢ,
 * those of its twin Q wᵢ and vᵢ, so that the sum is PᵀQ.
 */
function tridiagonalize(
  x: Float64Array,
  kernels: Kernels,
  n: number,
  { a, v, p, q, ld, products }: Storage & { readonly p: number; readonly q: number },
  diagonal: Float64Array,
  side: Float64Array,
  tau: Float64Array,
) {
  const gemm = kernels.gemm;
  x.fill(0, v, v + n * ld);
  for (let start = 0; start < n - 1; start += panel) {
    const width = Math.min(panel, n - 1 - start);
    for (let done = 0; done < width; done++) {
      const j = start + done;
      const row = v + j * ld;
      for (let i = j; i < n; i++) x[row + i] = x[a + i * ld + j]!;
      if (done > 0)
        gemm(1, 0, 1, n - j, 2 * done, -1, (q + j) * 8, ld, (p + j) * 8, ld, 1, (row + j) * 8, ld);
      diagonal[j] = x[row + j]!;
      x[row + j] = 0;
      tau[j] = reflector(x.subarray(row, row + n), j + 1);
      side[j] = x[row + j + 1]!;
      x[row + j + 1] = 1;

      // w = τ(p − τ/2 (pᵀv) v), p = A v
      const length = n - j - 1;
      const [rowP, rowQ] = [p + 2 * done * ld, q + 2 * done * ld];
      const w = rowQ + j + 1;
      const vector = row + j + 1;
      kernels.symv(length, (a + (j + 1) * (ld + 1)) * 8, ld * 8, vector * 8, w * 8);
      if (done > 0) {
        gemm(0, 1, 1, 2 * done, length, 1, vector * 8, ld, (q + j + 1) * 8, ld, 0, products * 8, 2 * panel);
        gemm(0, 0, 1, length, 2 * done, -1, products * 8, ld, (p + j + 1) * 8, ld, 1, w * 8, ld);
      }
      let dot = 0;
      for (let i = 0; i < length; i++) dot += x[w + i]! * x[vector + i]!;
      const factor = tau[j]!;
      const correction = -0.5 * factor * factor * dot;
      for (let i = 0; i < length; i++) {
        const value = factor * x[w + i]! + correction * x[vector + i]!;
        x[w + i] = value;
        x[rowP + ld + j + 1 + i] = value;
        x[rowP + j + 1 + i] = x[vector + i]!;
        x[rowQ + ld + j + 1 + i] = x[vector + i]!;
      }
    }
    const rest = start + width;
    for (let top = rest; top < n; top += rowBlock) {
      const rows = Math.min(rowBlock, n - top);
      const target = (a + top * ld + rest) * 8;
      gemm(
        1,
        0,
        rows,
        top + rows - rest,
        2 * width,
        -1,
        (p + top) * 8,
        ld,
        (q + rest) * 8,
        ld,
        1,
        target,
        ld,
      );
    }
  }
  diagonal[n - 1] = x[a + (n - 1) * (ld + 1)]!;
  side[n - 1] = 0;
}

/** A ← Qᵀ, from its reflectors, a block of them at a time: Qᵀ = … (I − U₀T₀ᵀU₀ᵀ). */
function accumulateReflectors(
  x: Float64Array,
  kernels: Kernels,
  n: number,
  { a, v, ld, products }: Storage,
  tau: Float64Array,
) {
  for (let i = 0; i < n; i++) {
    x.fill(0, a + i * ld, a + (i + 1) * ld);
    x[a + i * (ld + 1)] = 1;
  }
  const b = blockWidth;
  const second = products + n * b;
  const gram = second + n * b;
  const t = gram + b * b;
  const count = Math.max(0, n - 1);
  for (let start = b * Math.floor(Math.max(0, count - 1) / b); start >= 0; start -= b) {
    const width = Math.min(b, count - start);
    if (width <= 0) continue;
    const from = start + 1;
    const length = n - from;
    const u = (v + start * ld + from) * 8;
    kernels.gemm(0, 1, width, width, length, 1, u, ld, u, ld, 0, gram * 8, b);
    x.fill(0, t, t + b * b);
    for (let c = 0; c < width; c++) {
      for (let i = 0; i < c; i++) {
        let sum = 0;
        for (let k = i; k < c; k++) sum += x[t + i * b + k]! * x[gram + k * b + c]!;
        x[t + i * b + c] = -tau[start + c]! * sum;
      }
      x[t + c * b + c] = tau[start + c]!;
    }
    const target = (a + from * (ld + 1)) * 8;
    kernels.gemm(0, 1, length, width, length, 1, target, ld, u, ld, 0, products * 8, b);
    kernels.gemm(0, 1, length, width, width, 1, products * 8, b, t * 8, b, 0, second * 8, b);
    kernels.gemm(0, 0, length, length, width, -1, second * 8, b, u, ld, 1, target, ld);
  }
}

interface RotationLog {
  /** Pairs (c, s) from index `at` on, and pairs (first, last) of rows: see `defineRotate`. */
  readonly cosines: Float64Array;
  readonly at: number;
  readonly sweeps: Int32Array;
  /** How many rotations, and as many sweeps, there is room for. */
  readonly capacity: number;
  /** Applies the first `count` sweeps. */
  apply(count: number): void;
}

/** Eigenvalues of the tridiagonal matrix, over `d`, in no order; 0 or 1 + the one that did not converge. */
function implicitQl(n: number, d: Float64Array, e: Float64Array, log: RotationLog): number {
  let norm = 0;
  for (let i = 0; i < n; i++) norm = Math.max(norm, Math.abs(d[i]!) + Math.abs(e[i]!));
  const negligible = Number.EPSILON * 0.5 * norm;
  const { cosines, at, sweeps, capacity } = log;
  let noted = 0;
  let swept = 0;
  const flush = () => {
    if (swept > 0) log.apply(swept);
    noted = 0;
    swept = 0;
  };
  for (let l = 0; l < n; l++) {
    for (let iteration = 0; ; iteration++) {
      let m = l;
      while (m < n - 1 && Math.abs(e[m]!) > negligible) m++;
      if (m === l) break;
      if (iteration === 80) return l + 1;
      if (noted + m - l > capacity || swept === capacity) flush();
      let g = (d[l + 1]! - d[l]!) / (2 * e[l]!);
      let r = Math.sqrt(g * g + 1);
      g = d[m]! - d[l]! + e[l]! / (g + (g < 0 ? -r : r));
      let s = 1;
      let c = 1;
      let shift = 0;
      const begin = noted;
      let i = m - 1;
      for (; i >= l; i--) {
        const f = s * e[i]!;
        const b = c * e[i]!;
        r = Math.sqrt(f * f + g * g);
        if (r < 1e-140) r = Math.hypot(f, g);
        e[i + 1] = r;
        if (r === 0) {
          // The matrix splits here.
          d[i + 1] = d[i + 1]! - shift;
          e[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1]! - shift;
        r = (d[i]! - g) * s + 2 * c * b;
        shift = s * r;
        d[i + 1] = g + shift;
        g = c * r - b;
        cosines[at + 2 * noted] = c;
        cosines[at + 2 * noted + 1] = s;
        noted++;
      }
      if (noted > begin) {
        sweeps[2 * swept] = m - 1;
        sweeps[2 * swept + 1] = i + 1;
        swept++;
      }
      if (i >= l) continue;
      d[l] = d[l]! - shift;
      e[l] = g;
      e[m] = 0;
    }
  }
  flush();
  return 0;
}
