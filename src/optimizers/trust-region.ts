/**
 * The exact minimum of a quadratic in a ball, from an eigendecomposition. Moré & Sorensen 1983, "Computing a trust
 * region step"; Nocedal & Wright 2006, "Numerical optimization", section 4.3.
 *
 *     min gᵀd + ½ dᵀA d  with ‖d‖ ≤ r:   (A + νI) d = −g,   ν ≥ max(0, −λmin),   ν (r − ‖d‖) = 0
 *
 * In the eigenvectors of A, dᵢ = −gᵢ/(λᵢ + ν), and ‖d(ν)‖ falls with ν. Negative curvature is no other case but one:
 * where g has (nearly) nothing along the lowest eigenvector, ‖d‖ stays below r down to ν = −λmin, and the rest of the
 * way to the boundary is along that eigenvector (the hard case).
 */

export interface TrustRegionStep {
  /** ν. */
  readonly shift: number;
  /** ‖d‖. */
  readonly length: number;
  /** q(0) − q(d). */
  readonly predicted: number;
  /** Whether the ball's boundary held the step back. */
  readonly bounded: boolean;
}

/** What an eigenvalue may be by rounding alone: no curvature to divide by, and none that is negative. */
export const eigenvalueNoise = (eigenvalues: ArrayLike<number>, epsilon: number): number =>
  eigenvalues.length *
  epsilon *
  Math.max(Math.abs(eigenvalues[0]!), Math.abs(eigenvalues[eigenvalues.length - 1]!));

/**
 * Writes d, in the basis of the eigenvectors, into `step`. `eigenvalues` ascending, `gradient` in the same basis.
 *
 *     const d = new Float64Array(2);
 *     trustRegionStep([-1, 2], [0, 1], 1, d);   // the hard case: d₂ = −1/3, d₁ = √(1 − 1/9)
 */
export function trustRegionStep(
  eigenvalues: ArrayLike<number>,
  gradient: ArrayLike<number>,
  radius: number,
  step: Float64Array,
  /** Of the eigenvalues: relative rounding. */
  epsilon = Number.EPSILON,
): TrustRegionStep {
  const lowest = eigenvalues[0]!;
  const noise = eigenvalueNoise(eigenvalues, epsilon);
  const finish = (shift: number, bounded: boolean): TrustRegionStep => {
    let [square, model] = [0, 0];
    for (let i = 0; i < step.length; i++) {
      const d = step[i]!;
      square += d * d;
      model += d * (gradient[i]! + 0.5 * eigenvalues[i]! * d);
    }
    return { shift, length: Math.sqrt(square), predicted: -model, bounded };
  };

  // A semidefinite A has an interior minimum too where g does not see its flat directions.
  if (lowest >= -noise && shifted(eigenvalues, gradient, 0, step).length <= radius) return finish(0, false);
  const shift = boundaryShift(eigenvalues, gradient, radius, step);
  const { length } = shifted(eigenvalues, gradient, shift, step);
  if (length < radius * (1 - 1e-9)) {
    const rest = Math.sqrt(radius ** 2 - length ** 2 + step[0]! ** 2);
    step[0] = gradient[0]! > 0 ? -rest : rest;
  }
  return finish(shift, true);
}

/** step ← −g/(λ + ν); ‖step‖ and Σ g²/(λ + ν)³, its decline: d‖step‖/dν = −cubes/‖step‖. */
function shifted(
  eigenvalues: ArrayLike<number>,
  gradient: ArrayLike<number>,
  shift: number,
  step: Float64Array,
): { readonly length: number; readonly cubes: number } {
  let [squares, cubes] = [0, 0];
  for (let i = 0; i < step.length; i++) {
    const curvature = eigenvalues[i]! + shift;
    const d = gradient[i] === 0 ? 0 : curvature > 0 ? -gradient[i]! / curvature : Number.POSITIVE_INFINITY;
    step[i] = d;
    squares += d * d;
    if (d !== 0) cubes += (d * d) / curvature;
  }
  return { length: Math.sqrt(squares), cubes };
}

/** The smallest ν found with ‖d(ν)‖ ≤ r: Newton's method on 1/‖d(ν)‖ = 1/r, nearly linear in ν, within a bracket. */
function boundaryShift(
  eigenvalues: ArrayLike<number>,
  gradient: ArrayLike<number>,
  radius: number,
  step: Float64Array,
): number {
  const least = Math.max(0, -eigenvalues[0]!);
  if (shifted(eigenvalues, gradient, least, step).length <= radius) return least;
  let norm = 0;
  for (let i = 0; i < gradient.length; i++) norm = Math.hypot(norm, gradient[i]!);
  // ‖d(ν)‖ ≤ ‖g‖/(ν − least).
  let [low, high] = [least, least + norm / radius];
  let shift = high;
  for (let iteration = 0; iteration < 200; iteration++) {
    const { length, cubes } = shifted(eigenvalues, gradient, shift, step);
    if (length > radius) low = shift;
    else high = shift;
    if (Math.abs(length - radius) <= 1e-12 * radius) return shift;
    if (!(high - low > Number.EPSILON * high)) break;
    const next = shift + ((length - radius) / radius) * (length ** 2 / cubes);
    shift = next > low && next < high ? next : 0.5 * (low + high);
  }
  return high;
}

/**
 * The radius after a step with ratio ρ (Nocedal & Wright, algorithm 4.1): a quarter where ρ < ¼, twice as much where
 * ρ > ¾ and the boundary held the step back, at most `most`.
 *
 *     adaptRadius(1, 0.9, { length: 1, bounded: true }, 100)   // 2
 */
export function adaptRadius(
  radius: number,
  ratio: number,
  step: Pick<TrustRegionStep, "length" | "bounded">,
  most: number,
): number {
  if (ratio > 0.75) return step.bounded ? Math.min(most, 2 * radius) : radius;
  // A quarter of the step, not of the radius: within a region that did not hold it back, the model was wrong too.
  return ratio >= 0.25 ? radius : 0.25 * Math.min(radius, step.length);
}
