/** Curves of a comparison: spectra on one axis, and metrics along lines; means and medians over seeds. */
import { broadened } from "../../curvature/spectral-density.js";
import { addMultiple } from "../../curvature/vector.js";
import type { Point } from "../chart.js";
import { median } from "../score.js";
import type { Bundle, Group } from "./findings.js";
import type { Performance, Solution } from "./measured.js";

/** Of the densities below the highest, so many decades are drawn: further down is the tail of the broadening. */
export const decades = 6;

export interface Spectra {
  readonly grid: Float64Array;
  /** By group: the mean density over its solutions, each integrates to 1. */
  readonly densities: readonly Float64Array[];
  readonly bandwidth: number;
}

/** The densities of eigenvalues of all groups on one grid; undefined where nothing is measured. */
export function spectraOf(groups: readonly Group[], points: number): Spectra | undefined {
  const nodes = groups.flatMap(({ runs }) => runs.flatMap(({ solution }) => solution.spectrum.nodes));
  if (nodes.length === 0) return undefined;
  const [low, high] = [Math.min(...nodes), Math.max(...nodes)];
  const bandwidth = 0.01 * (high - low || Math.abs(high) || 1);
  const from = low - 3 * bandwidth;
  const grid = Float64Array.from(
    { length: points },
    (_, k) => from + ((high - low + 6 * bandwidth) * k) / (points - 1),
  );
  const densities = groups.map(({ runs }) => {
    const sum = new Float64Array(points);
    for (const { solution } of runs) {
      const density = broadened(quadratureOf(solution), grid, bandwidth);
      addMultiple(sum, 1 / runs.length, density);
    }
    return sum;
  });
  return { grid, densities, bandwidth };
}

const quadratureOf = ({ spectrum }: Solution) => ({
  nodes: Float64Array.from(spectrum.nodes),
  weights: Float64Array.from(spectrum.weights),
});

/** How many of the n eigenvalues are above each threshold: median and range over the solutions of a group. */
export function countsAbove({ runs }: Group, thresholds: readonly number[]): (Point | undefined)[] {
  return thresholds.map((threshold) => {
    const counts = runs.map(({ solution: { size, spectrum } }) =>
      spectrum.nodes.reduce((sum, node, k) => sum + (node > threshold ? size * spectrum.weights[k]! : 0), 0),
    );
    return counts.length > 0 ? summarize(threshold, counts) : undefined;
  });
}

/** A metric along the lines of a bundle, against the share of the way: median and range over seeds. */
export function alongLine({ lines }: Bundle, data: keyof Performance, metric: string): Point[] {
  const [first] = lines;
  return (first?.points ?? []).map((_, k, { length }) =>
    summarize(
      k / (length - 1),
      lines.map(({ points }) => points[k]![data][metric] ?? Number.NaN),
    ),
  );
}

const summarize = (x: number, values: readonly number[]): Point => ({
  x,
  y: median(values),
  low: Math.min(...values),
  high: Math.max(...values),
});
