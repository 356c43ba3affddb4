/**
 * Householder reflections H = I − τ v vᵀ, as LAPACK defines them: the leaves of QR and of the reduction to tridiagonal
 * form. Arithmetic is f64 for both dtypes.
 */

export type Elements = Float32Array<ArrayBufferLike> | Float64Array<ArrayBufferLike>;
/** Row-major elements: the index of the first one, and the distance of rows. */
export interface Block {
  readonly at: number;
  readonly ld: number;
}

/**
 * Householder QR of `width` columns from row and column `from` on, as LAPACK's geqr2 does it: writes the reflectors to
 * Y, their triangular factor to the diagonal block of T, and these columns of R.
 */
export function reflectPanel(
  x: Elements,
  m: number,
  from: number,
  width: number,
  a: Block,
  y: Block,
  t: Block,
  r: Block,
  columns: Float64Array,
) {
  const rows = m - from;
  for (let i = 0; i < rows; i++) {
    const at = a.at + (from + i) * a.ld + from;
    for (let c = 0; c < width; c++) columns[c * rows + i] = x[at + c]!;
  }
  // R above the panel's rows is final in A by now.
  for (let i = 0; i < from; i++)
    for (let c = from; c < from + width; c++) x[r.at + i * r.ld + c] = x[a.at + i * a.ld + c]!;
  const tau = new Float64Array(width);
  for (let c = 0; c < width; c++) {
    const column = columns.subarray(c * rows, (c + 1) * rows);
    tau[c] = reflector(column, c);
    const head = column[c]!;
    column[c] = 1;
    for (let next = c + 1; next < width; next++) {
      const target = columns.subarray(next * rows, (next + 1) * rows);
      let dot = 0;
      for (let i = c; i < rows; i++) dot += column[i]! * target[i]!;
      dot *= tau[c]!;
      for (let i = c; i < rows; i++) target[i] = target[i]! - dot * column[i]!;
    }
    for (let i = 0; i < c; i++) x[r.at + (from + i) * r.ld + from + c] = column[i]!;
    x[r.at + (from + c) * r.ld + from + c] = head;
    for (let i = 0; i < from + c; i++) x[r.at + (from + c) * r.ld + i] = 0;
    for (let i = 0; i < c; i++) column[i] = 0;
  }
  for (let i = 0; i < rows; i++) {
    const at = y.at + (from + i) * y.ld + from;
    for (let c = 0; c < width; c++) x[at + c] = columns[c * rows + i]!;
  }
  // T[0..c, c] = −τ T (Yᵀ v), T[c, c] = τ
  const factor = new Float64Array(width * width);
  for (let c = 0; c < width; c++) {
    const dots = new Float64Array(c);
    for (let p = 0; p < c; p++) {
      let dot = 0;
      for (let i = c; i < rows; i++) dot += columns[p * rows + i]! * columns[c * rows + i]!;
      dots[p] = dot;
    }
    for (let p = 0; p < c; p++) {
      let sum = 0;
      for (let q = p; q < c; q++) sum += factor[p * width + q]! * dots[q]!;
      factor[p * width + c] = -tau[c]! * sum;
    }
    factor[c * width + c] = tau[c]!;
    for (let p = 0; p <= c; p++) x[t.at + (from + p) * t.ld + from + c] = factor[p * width + c]!;
  }
}

/**
 * LAPACK's larfg: H = I − τ v vᵀ with v[start] = 1 maps `vector` from `start` on to (β, 0, …); β replaces
 * vector[start], v what follows. τ = 0 when there is nothing to annihilate.
 */
export function reflector(vector: Float64Array, start: number): number {
  const end = vector.length;
  const first = vector[start]!;
  let largest = 0;
  let squares = 0;
  for (let i = start + 1; i < end; i++) {
    const value = vector[i]!;
    squares += value * value;
    largest = Math.max(largest, Math.abs(value));
  }
  if (largest === 0) return 0;
  let norm = Math.sqrt(squares + first * first);
  if (!(norm > 1e-140 && norm < 1e140)) {
    const scale = Math.max(largest, Math.abs(first));
    let sum = 0;
    for (let i = start; i < end; i++) sum += (vector[i]! / scale) ** 2;
    norm = scale * Math.sqrt(sum);
  }
  const beta = first > 0 ? -norm : norm;
  const divisor = first - beta;
  for (let i = start + 1; i < end; i++) vector[i] = vector[i]! / divisor;
  vector[start] = beta;
  return (beta - first) / beta;
}
