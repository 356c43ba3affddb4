/**
 * Factored Tikhonov damping (Martens & Grosse 2015, section 6.3): A ⊗ G + γ²I is approximated by
 *
 *     (A + πγI) ⊗ (G + γ/π I),   π² = (tr A / dim A) / (tr G / dim G),
 *
 * π balancing the two so that the approximation's excess is least.
 */

/** What is added to A and to G, from the means of their diagonals. Where one of them has none, π is 1. */
export function factoredDamping(meanA: number, meanG: number, gamma: number): { a: number; g: number } {
  const ratio = Math.sqrt(meanA / meanG);
  const pi = ratio > 0 && Number.isFinite(ratio) ? ratio : 1;
  return { a: gamma * pi, g: gamma / pi };
}

/** tr F / n of a matrix [n, n], or the mean of a diagonal [n]. */
export function meanDiagonal({ shape, data }: { shape: readonly number[]; data: ArrayLike<number> }): number {
  const n = shape[0]!;
  const step = shape.length === 2 ? n + 1 : 1;
  let sum = 0;
  for (let k = 0; k < n; k++) sum += data[k * step]!;
  return sum / n;
}
