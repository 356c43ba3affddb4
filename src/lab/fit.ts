/** Laws fitted to a few measured points, and where a measured curve crosses a level. */

export type XY = readonly [x: number, y: number];

/** y = c xᵖ. */
export interface PowerLaw {
  /** p; NaN where fewer than two x differ. */
  readonly exponent: number;
  /** Standard error of p; NaN below three points. */
  readonly error: number;
  readonly coefficient: number;
  readonly points: number;
}

/**
 * A straight line by least squares in log x and log y; points that are not positive and finite are left out.
 *
 *     powerLaw([[10, 30], [100, 300]])   // { exponent: 1, coefficient: 3, … }
 */
export function powerLaw(given: readonly XY[]): PowerLaw {
  const points = given
    .filter(([x, y]) => x > 0 && y > 0 && Number.isFinite(x) && Number.isFinite(y))
    .map(([x, y]) => [Math.log(x), Math.log(y)] as const);
  const n = points.length;
  const mean = (k: 0 | 1) => points.reduce((sum, point) => sum + point[k], 0) / n;
  const [x, y] = [mean(0), mean(1)];
  const spread = points.reduce((sum, [a]) => sum + (a - x) ** 2, 0);
  if (!(spread > 0)) return { exponent: Number.NaN, error: Number.NaN, coefficient: Number.NaN, points: n };
  const exponent = points.reduce((sum, [a, b]) => sum + (a - x) * (b - y), 0) / spread;
  const left = points.reduce((sum, [a, b]) => sum + (b - y - exponent * (a - x)) ** 2, 0);
  return {
    exponent,
    error: n > 2 ? Math.sqrt(left / (n - 2) / spread) : Number.NaN,
    coefficient: Math.exp(y - exponent * x),
    points: n,
  };
}

/** c xᵖ at x, and the x at which it is y. */
export const valueAt = ({ coefficient, exponent }: PowerLaw, x: number): number =>
  coefficient * x ** exponent;
export const solveFor = ({ coefficient, exponent }: PowerLaw, y: number): number =>
  (y / coefficient) ** (1 / exponent);

/** S(B) = S₀ (1 + B₀/B): steps to a target by size of batch. */
export interface BatchLaw {
  /** S₀: steps that no batch, however large, saves; 0 or less when the points show no floor. */
  readonly leastSteps: number;
  /** E₀ = S₀B₀: examples that no batch, however small, saves. */
  readonly leastExamples: number;
  /** B₀ = E₀/S₀: half of what larger batches can save in steps is saved there. Infinite without a floor. */
  readonly criticalBatch: number;
}

/**
 * McCandlish, Kaplan, Amodei 2018, "An empirical model of large-batch training", equation 2.7, (S/S₀ − 1)(E/E₀ − 1) = 1
 * with E = BS; by least squares of relative errors, linear in S₀ and E₀.
 *
 *     batchLaw([[10, 110], [100, 20]]).criticalBatch   // 100, from S₀ = 10 and E₀ = 1000
 */
export function batchLaw(points: readonly XY[]): BatchLaw {
  let [a11, a12, a22, b1, b2] = [0, 0, 0, 0, 0];
  for (const [batch, steps] of points) {
    const [u, w] = [1 / steps, 1 / (batch * steps)];
    a11 += u * u;
    a12 += u * w;
    a22 += w * w;
    b1 += u;
    b2 += w;
  }
  const determinant = a11 * a22 - a12 * a12;
  const leastSteps = (b1 * a22 - b2 * a12) / determinant;
  const leastExamples = (b2 * a11 - b1 * a12) / determinant;
  return {
    leastSteps,
    leastExamples,
    criticalBatch: leastSteps > 0 ? Math.max(0, leastExamples) / leastSteps : Number.POSITIVE_INFINITY,
  };
}

/** A stretch of x around the least y. */
export interface Range {
  readonly best: XY;
  readonly low: number;
  readonly high: number;
  /** Whether y is still within the bound where the measured x end. */
  readonly openLow: boolean;
  readonly openHigh: boolean;
}

/**
 * Where y ≤ bound around the least y: neighbours of the best point as far as they go, and from there to the bound on a
 * straight line in log x. Points of x ascending and positive; a y that is not finite lies above every bound.
 *
 * @returns undefined when no y is within the bound.
 */
export function rangeWithin(points: readonly XY[], bound: number): Range | undefined {
  const best = points.reduce<number>(
    (least, [, y], k) => (y <= bound && (least < 0 || y < points[least]![1]) ? k : least),
    -1,
  );
  if (best < 0) return undefined;
  const edge = (direction: -1 | 1): { x: number; open: boolean } => {
    let k = best;
    while (points[k + direction] && points[k + direction]![1] <= bound) k += direction;
    const [x, y] = points[k]!;
    const beyond = points[k + direction];
    if (!beyond) return { x, open: true };
    const share = Number.isFinite(beyond[1]) ? (bound - y) / (beyond[1] - y) : 0;
    return { x: x * (beyond[0] / x) ** share, open: false };
  };
  const [low, high] = [edge(-1), edge(1)];
  return { best: points[best]!, low: low.x, high: high.x, openLow: low.open, openHigh: high.open };
}

/** Decades between the ends of a range: log₁₀ high/low. */
export const decadesOf = ({ low, high }: Range): number => Math.log10(high / low);
