/** How far to go along a direction d with gᵀd < 0: φ(t) = L(θ + t·d). */

/** φ and φ′ at t. */
export interface LinePoint {
  readonly t: number;
  readonly value: number;
  readonly slope: number;
}

export interface WolfeOptions {
  /** c₁ of φ(t) ≤ φ(0) + c₁ t φ′(0). */
  readonly decrease: number;
  /** c₂ of |φ′(t)| ≤ −c₂ φ′(0). */
  readonly flatness: number;
  /** Most points tried. */
  readonly evaluations: number;
  /** Brackets shorter than this are not divided further. */
  readonly shortest: number;
}

export interface LineSearchResult extends LinePoint {
  readonly evaluations: number;
  /** "wolfe": both conditions hold. "decrease": φ is lower, but the search ended early. "failed": nothing lower found. */
  readonly outcome: "wolfe" | "decrease" | "failed";
}

/**
 * A point that meets the strong Wolfe conditions: bracketing, then zooming, with cubic interpolation of values and
 * slopes at two points (Nocedal & Wright 2006, "Numerical optimization", algorithms 3.5 and 3.6, equation 3.59).
 * Extrapolation goes at most ten times as far; of two trials in a row within a tenth of the bracket from its ends, the
 * second is moved to that tenth. These safeguards are those of Schmidt's minFunc and of PyTorch's L-BFGS. A value that
 * is not finite counts as too high.
 *
 *     strongWolfe((t) => ({ t, value: (t - 3) ** 2, slope: 2 * (t - 3) }), { value: 9, slope: -6 }, 1,
 *       { decrease: 1e-4, flatness: 0.1, evaluations: 25, shortest: 1e-9 }).t   // 3
 */
export function strongWolfe(
  evaluate: (t: number) => LinePoint,
  start: { readonly value: number; readonly slope: number },
  first: number,
  { decrease, flatness, evaluations: most, shortest }: WolfeOptions,
): LineSearchResult {
  const origin: LinePoint = { t: 0, ...start };
  const tooHigh = ({ t, value }: LinePoint) => !(value <= start.value + decrease * t * start.slope);
  const flat = ({ slope }: LinePoint) => Math.abs(slope) <= -flatness * start.slope;
  let evaluations = 1;
  let now = evaluate(first);
  let before = origin;
  const finish = (point: LinePoint): LineSearchResult => {
    const lower = Number.isFinite(point.value) && point.t > 0 && !(point.value > start.value);
    const outcome = lower ? (!tooHigh(point) && flat(point) ? "wolfe" : "decrease") : "failed";
    return { ...point, evaluations, outcome };
  };

  for (let trial = 0; ; trial++) {
    if (tooHigh(now) || (trial > 1 && now.value >= before.value)) break;
    if (flat(now)) return finish(now);
    if (now.slope >= 0) break;
    if (evaluations >= most) return finish(now);
    const next = cubicMinimum(before, now, now.t + 0.01 * (now.t - before.t), 10 * now.t);
    before = now;
    now = evaluate(next);
    evaluations++;
  }

  // `low` is the lowest point so far with sufficient decrease, and φ falls from there towards `high`.
  let [low, high] = tooHigh(now) || now.value >= before.value ? [before, now] : [now, before];
  let nearEnd = false;
  while (evaluations < most && Math.abs(high.t - low.t) >= shortest) {
    const [left, right] = [Math.min(low.t, high.t), Math.max(low.t, high.t)];
    let t = cubicMinimum(low, high, left, right);
    const tenth = 0.1 * (right - left);
    if (Math.min(right - t, t - left) < tenth) {
      if (nearEnd || t >= right || t <= left) {
        t = Math.abs(t - right) < Math.abs(t - left) ? right - tenth : left + tenth;
        nearEnd = false;
      } else nearEnd = true;
    } else nearEnd = false;
    now = evaluate(t);
    evaluations++;
    if (tooHigh(now) || now.value >= low.value) high = now;
    else {
      if (flat(now)) return finish(now);
      if (now.slope * (high.t - low.t) >= 0) high = low;
      low = now;
    }
  }
  return finish(low);
}

/** The minimum of the cubic through two points and slopes, within bounds; the middle where there is none. */
export function cubicMinimum(a: LinePoint, b: LinePoint, least: number, most: number): number {
  const [x, y] = a.t <= b.t ? [a, b] : [b, a];
  const d1 = x.slope + y.slope - (3 * (x.value - y.value)) / (x.t - y.t);
  const square = d1 * d1 - x.slope * y.slope;
  const d2 = Math.sqrt(square);
  const t = y.t - (y.t - x.t) * ((y.slope + d2 - d1) / (y.slope - x.slope + 2 * d2));
  return Number.isFinite(t) ? Math.min(Math.max(t, least), most) : (least + most) / 2;
}

export interface BacktrackingOptions {
  /** c of φ(t) ≤ φ(0) + c t φ′(0). */
  readonly decrease: number;
  /** t ← factor·t. */
  readonly factor: number;
  readonly evaluations: number;
}

/**
 * The first of 1, factor, factor², … with sufficient decrease (Armijo 1966); t = 0 where none has.
 *
 *     backtrack((t) => (t - 1) ** 2, { value: 1, slope: -2 }, { decrease: 1e-4, factor: 0.5, evaluations: 20 }).t   // 1
 */
export function backtrack(
  evaluate: (t: number) => number,
  { value, slope }: { readonly value: number; readonly slope: number },
  { decrease, factor, evaluations: most }: BacktrackingOptions,
  first = 1,
): { readonly t: number; readonly value: number; readonly evaluations: number } {
  let t = first;
  for (let evaluations = 1; evaluations <= most; evaluations++, t *= factor) {
    const now = evaluate(t);
    if (now <= value + decrease * t * slope) return { t, value: now, evaluations };
  }
  return { t: 0, value, evaluations: most };
}

/** t = 1, ½, …, 2⁻³⁰. */
const gridPoints = 31;
/** So many lengths in a row above the best, and shorter ones are not tried. */
const patience = 3;

/**
 * The best of t = 1, ½, …, 2⁻³⁰; t = 0 where none is below `value`, the loss at 0 (Müller & Zeinhofer 2023). It ends at
 * the first dip: where a length lowered the loss and the next shorter ones do less.
 *
 *     bestOfGrid((t) => (t - 0.3) ** 2, 0.09)   // { t: 0.25, value: 0.0025, evaluations: 6 }
 */
export function bestOfGrid(
  evaluate: (t: number) => number,
  value: number,
): { readonly t: number; readonly value: number; readonly evaluations: number } {
  let best = { t: 0, value };
  let above = 0;
  let evaluations = 0;
  for (let t = 1; evaluations < gridPoints && above < patience; t /= 2) {
    const now = evaluate(t);
    evaluations++;
    if (now < best.value) {
      best = { t, value: now };
      above = 0;
    } else if (best.t > 0) above++;
  }
  return { ...best, evaluations };
}
