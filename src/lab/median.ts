/**
 * The median of numbers that come one by one, in memory of five: P². Jain & Chlamtac 1985, "The P² algorithm for dynamic
 * calculation of quantiles and histograms without storing observations". Five markers hold the least number, the
 * estimates of the quartiles and of the median, and the most; a marker whose position among the numbers lags behind its
 * place is moved along the parabola through its neighbours. Exact up to five numbers.
 */

/** As it is saved: how many numbers there were, the heights of the markers, ascending, and their positions from 1. */
export interface RunningMedian {
  count: number;
  readonly heights: number[];
  readonly positions: number[];
}

const places = [0, 0.25, 0.5, 0.75, 1] as const;

export const runningMedian = (): RunningMedian => ({ count: 0, heights: [], positions: [1, 2, 3, 4, 5] });

/** Takes one more finite number. Allocates nothing once there are five. */
export function observe(median: RunningMedian, x: number): void {
  const { heights: q, positions: n } = median;
  median.count++;
  if (q.length < 5) {
    q.push(x);
    q.sort((a, b) => a - b);
    return;
  }
  q[0] = Math.min(q[0]!, x);
  q[4] = Math.max(q[4]!, x);
  for (let i = 1; i < 5; i++) if (i === 4 || x < q[i]!) n[i]!++;
  for (let i = 1; i <= 3; i++) {
    const behind = 1 + (median.count - 1) * places[i]! - n[i]!;
    const [below, above] = [n[i - 1]! - n[i]!, n[i + 1]! - n[i]!];
    if (!((behind >= 1 && above > 1) || (behind <= -1 && below < -1))) continue;
    const d = Math.sign(behind);
    const [down, up] = [(q[i]! - q[i - 1]!) / -below, (q[i + 1]! - q[i]!) / above];
    const parabola = q[i]! + (d / (above - below)) * ((d - below) * up + (above - d) * down);
    const line = q[i]! + d * (d > 0 ? up : down);
    q[i] = parabola > q[i - 1]! && parabola < q[i + 1]! ? parabola : line;
    n[i]! += d;
  }
}

/** The least number, the median and the most; NaN where there is none. */
export function rangeOf({ heights: q }: RunningMedian): {
  readonly least: number;
  readonly median: number;
  readonly most: number;
} {
  const k = q.length;
  const median = k === 0 ? Number.NaN : (q[(k - 1) >> 1]! + q[k >> 1]!) / 2;
  return { least: q[0] ?? Number.NaN, median, most: q[k - 1] ?? Number.NaN };
}
