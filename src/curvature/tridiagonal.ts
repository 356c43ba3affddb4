/** Eigenvalues of symmetric tridiagonal matrices: what Lanczos' iteration leaves to be solved. */

export interface TridiagonalEigen {
  /** Ascending, [m]. */
  readonly values: Float64Array;
  /** vectors[k] [m] belongs to values[k]; its elements are its components in the basis of the matrix. */
  readonly vectors: readonly Float64Array[];
}

/**
 * By QL steps with implicit shifts (Bowdler, Martin, Reinsch, Wilkinson 1968; EISPACK's tql2). `diagonal` [m],
 * `offDiagonal` [m − 1] or longer. About 3m³ multiplications.
 *
 *     tridiagonalEigen([2, 2], [1]).values;      // [1, 3]
 *
 * @throws Error when an element is not finite.
 */
export function tridiagonalEigen(
  diagonal: ArrayLike<number>,
  offDiagonal: ArrayLike<number>,
): TridiagonalEigen {
  const m = diagonal.length;
  const d = Float64Array.from(diagonal);
  const e = Float64Array.from({ length: m }, (_, k) => (k < m - 1 ? offDiagonal[k]! : 0));
  if (![...d, ...e].every(Number.isFinite)) throw new Error("tridiagonalEigen: elements are not finite");
  // Column k of the product of all rotations, kept as a row.
  const z = Array.from({ length: m }, (_, k) => {
    const unit = new Float64Array(m);
    unit[k] = 1;
    return unit;
  });
  for (let l = 0; l < m; l++) {
    for (let iteration = 0; ; iteration++) {
      let end = l;
      while (end < m - 1 && Math.abs(e[end]!) > Number.EPSILON * (Math.abs(d[end]!) + Math.abs(d[end + 1]!)))
        end++;
      if (end === l) break;
      if (iteration === 100) throw new Error(`tridiagonalEigen: no convergence at eigenvalue ${l} of ${m}`);
      qlStep(d, e, z, l, end);
    }
  }
  const order = Array.from(d.keys()).sort((a, b) => d[a]! - d[b]!);
  return { values: Float64Array.from(order, (k) => d[k]!), vectors: order.map((k) => z[k]!) };
}

/** One QL step on rows l … end. */
function qlStep(d: Float64Array, e: Float64Array, z: readonly Float64Array[], l: number, end: number): void {
  // Wilkinson's shift: the eigenvalue of the leading 2×2 that is closer to d[l].
  const half = (d[l + 1]! - d[l]!) / (2 * e[l]!);
  const root = Math.hypot(half, 1);
  let g = d[end]! - d[l]! + e[l]! / (half + (half < 0 ? -root : root));
  let [s, c, p] = [1, 1, 0];
  for (let i = end - 1; i >= l; i--) {
    const f = s * e[i]!;
    const b = c * e[i]!;
    const r = Math.hypot(f, g);
    e[i + 1] = r;
    if (r === 0) {
      // The matrix falls apart here; what remains is another problem.
      d[i + 1]! -= p;
      e[end] = 0;
      return;
    }
    s = f / r;
    c = g / r;
    const shifted = d[i + 1]! - p;
    const t = (d[i]! - shifted) * s + 2 * c * b;
    p = s * t;
    d[i + 1] = shifted + p;
    g = c * t - b;
    const [upper, lower] = [z[i]!, z[i + 1]!];
    for (let k = 0; k < upper.length; k++) {
      const [u, v] = [upper[k]!, lower[k]!];
      lower[k] = s * u + c * v;
      upper[k] = c * u - s * v;
    }
  }
  d[l]! -= p;
  e[l] = g;
  e[end] = 0;
}
