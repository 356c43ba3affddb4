/**
 * Which optimizer is fastest over many problems: the scoring of AlgoPerf (Dahl et al. 2023, "Benchmarking neural network
 * training algorithms", section 4.3), after the performance profiles of Dolan & Moré 2002. A study is some trials, each
 * with settings of its own; with t the seconds of training until the target, ∞ where it was missed,
 *
 *     t(o, p)  = median over studies of  min over trials of  t          an optimizer on a problem
 *     r(o, p)  = t(o, p) / min over optimizers of t(·, p)               1 for the fastest; ∞ for a miss
 *     ρ(o, τ)  = share of problems with r(o, p) ≤ τ                     the profile
 *     B(o)     = 1/(4 − 1) ∫₁⁴ ρ(o, τ) dτ = mean over problems of max(0, 4 − r)/3
 *
 * B depends on who else takes part. So beside it stands the geometric mean of t(o, p)/t(baseline, p), which does not.
 */
import { random } from "../../nn/random.js";
import { median } from "../score.js";

/** What one optimizer needed on one problem: seconds to the target of every trial of every study, ∞ for a miss. */
export interface Cell {
  readonly optimizer: string;
  readonly problem: string;
  readonly studies: readonly (readonly number[])[];
}

/** The ratio from which on being slower no longer differs from not arriving. */
export const slowest = 4;

const least = (values: readonly number[]) =>
  values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** t(o, p): median over studies of the best trial's seconds; ∞ where half of the studies missed, or there are none. */
export const timeOf = (studies: Cell["studies"]): number =>
  studies.length === 0 ? Number.POSITIVE_INFINITY : median(studies.map(least));

/** a/b of two times; of two that are nothing, where the target is met before the first step, 1. */
const quotient = (a: number, b: number): number => (a === b ? 1 : a / b);

/**
 * r(o, p) of the times of all optimizers on all problems, `times[o][p]`: to the fastest, ∞ for a miss.
 *
 *     performanceRatios([[1, 2], [3, Infinity]])   // [[1, 1], [3, Infinity]]
 */
export function performanceRatios(times: readonly (readonly number[])[]): number[][] {
  const best = (times[0] ?? []).map((_, p) => least(times.map((own) => own[p]!)));
  return times.map((own) =>
    own.map((t, p) => (Number.isFinite(t) ? quotient(t, best[p]!) : Number.POSITIVE_INFINITY)),
  );
}

/**
 * ρ(τ) of one optimizer's ratios.
 *
 *     profileAt([1, 1.5, Infinity], 2)   // 2/3: within twice the fastest time on two of three problems
 */
export const profileAt = (ratios: readonly number[], tau: number): number =>
  mean(ratios.map((r) => Number(r <= tau)));

/**
 * B of one optimizer's ratios, between 0 and 1.
 *
 *     benchmarkScore([1, 4])   // ½: the fastest on one problem, too slow to count on the other
 */
export const benchmarkScore = (ratios: readonly number[]): number =>
  mean(ratios.map((r) => Math.max(0, slowest - r) / (slowest - 1)));

/** Beside a fixed optimizer. */
export interface RatioTo {
  /** Geometric mean of t/t(baseline) over the problems that both solved; NaN where there are none. Below 1: faster. */
  readonly ratio: number;
  readonly both: number;
  /** Problems that only this one solved, and those that only the baseline did. */
  readonly alone: number;
  readonly baselineAlone: number;
}

export function ratioTo(baseline: readonly number[], times: readonly number[]): RatioTo {
  const solved = (t: number) => Number.isFinite(t);
  const logs = times.flatMap((t, p) =>
    solved(t) && solved(baseline[p]!) ? [Math.log(quotient(t, baseline[p]!))] : [],
  );
  return {
    ratio: Math.exp(mean(logs)),
    both: logs.length,
    alone: times.filter((t, p) => solved(t) && !solved(baseline[p]!)).length,
    baselineAlone: times.filter((t, p) => !solved(t) && solved(baseline[p]!)).length,
  };
}

export interface Standing {
  readonly optimizer: string;
  /** t(o, p) by problem, in the order of `Standings.problems`. */
  readonly times: readonly number[];
  readonly ratios: readonly number[];
  readonly solved: number;
  readonly score: number;
  /** The middle 95 % of B over the bootstrap's samples. */
  readonly interval: readonly [low: number, high: number];
  readonly baseline: RatioTo;
  /** Best and worst place that the intervals leave open. */
  readonly places: readonly [best: number, worst: number];
}

export interface Standings {
  readonly problems: readonly string[];
  readonly baseline: string;
  /** Highest B first. */
  readonly optimizers: readonly Standing[];
}

export interface StandingsOptions {
  /** An optimizer that takes part. */
  readonly baseline: string;
  readonly seed: number;
  /** Samples of the bootstrap (default: 2000). */
  readonly samples?: number;
}

/** With fewer ways to draw anew, what 95 % of them have in common says nothing. */
const fewestResamples = 10;
/** In how many ways n of n can be drawn with replacement, in any order: C(2n − 1, n). */
const resamples = (n: number): number => {
  let ways = 1;
  for (let k = 1; k < n; k++) ways *= (n + k) / k;
  return ways;
};

/**
 * Times, profiles and scores of all optimizers on all problems. The intervals are a percentile bootstrap (Efron &
 * Tibshirani 1993): problems are drawn anew, the same ones for all, and studies within each cell. Equal seeds give
 * equal intervals. Where there are fewer than 10 ways to draw, B may be any, 0 to 1, and no place is claimed.
 *
 *     standingsOf(cells, { baseline: "adamw", seed: 0 }).optimizers[0].score
 *
 * @throws RangeError when a cell is missing or there twice.
 */
export function standingsOf(
  cells: readonly Cell[],
  { baseline, seed, samples = 2000 }: StandingsOptions,
): Standings {
  const names = [...new Set(cells.map(({ optimizer }) => optimizer))];
  const problems = [...new Set(cells.map(({ problem }) => problem))];
  const grid = names.map((optimizer) =>
    problems.map((problem) => {
      const own = cells.filter((cell) => cell.optimizer === optimizer && cell.problem === problem);
      if (own.length !== 1)
        throw new RangeError(
          `standings: there are ${own.length} cells of ${optimizer} on ${problem}, not one`,
        );
      return own[0]!.studies;
    }),
  );
  const times = grid.map((row) => row.map(timeOf));
  const ratios = performanceRatios(times);
  const most = Math.max(...grid.flat().map((studies) => studies.length));
  const tells = resamples(problems.length) * resamples(most) ** problems.length >= fewestResamples;
  const drawn = tells ? bootstrap(grid, seed, samples) : [];
  const intervals = names.map((_, o): [number, number] =>
    tells ? middle(drawn.map((scores) => scores[o]!)) : [0, 1],
  );
  const reference = times[names.indexOf(baseline)];
  if (!reference) throw new RangeError(`standings: the baseline ${baseline} does not take part`);
  const standings = names.map((optimizer, o): Standing => {
    const [low, high] = intervals[o]!;
    const above = intervals.filter(([other]) => other > high).length;
    const below = intervals.filter(([, other]) => other < low).length;
    return {
      optimizer,
      times: times[o]!,
      ratios: ratios[o]!,
      solved: times[o]!.filter(Number.isFinite).length,
      score: benchmarkScore(ratios[o]!),
      interval: intervals[o]!,
      baseline: ratioTo(reference, times[o]!),
      places: [1 + above, names.length - below],
    };
  });
  return { problems, baseline, optimizers: standings.toSorted((a, b) => b.score - a.score) };
}

/** B of every optimizer in every sample. */
function bootstrap(grid: readonly (readonly Cell["studies"][])[], seed: number, samples: number): number[][] {
  const rng = random(seed).stream("bootstrap");
  const count = grid[0]?.length ?? 0;
  const draw = <T>(list: readonly T[]): T[] => list.map(() => list[rng.integer(list.length)]!);
  return Array.from({ length: samples }, () => {
    const chosen = Array.from({ length: count }, () => rng.integer(count));
    const times = grid.map((row) => chosen.map((p) => timeOf(draw(row[p]!))));
    return performanceRatios(times).map(benchmarkScore);
  });
}

/** The middle 95 %. */
function middle(values: readonly number[]): [number, number] {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN;
  return [at(0.025), at(0.975)];
}
