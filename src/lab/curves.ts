/** Curves of runs: median and range of a quantity over the runs of one optimizer, by steps or by seconds of training. */
import type { Point } from "./chart.js";
import type { Measurement, RunRecord } from "./run-record.js";
import { median } from "./score.js";

export type Quantity = (measurement: Measurement) => number | undefined;

/** Whether a run that ended stays where it was: it does when it arrived, not when it was cut off. */
const settled = (run: RunRecord) => run.result?.reason === "target";

function summarize(x: number, values: readonly number[]): Point {
  return { x, y: median(values), low: Math.min(...values), high: Math.max(...values) };
}

/** Median and range over runs at every measured step. */
export function bySteps(runs: readonly RunRecord[], quantity: Quantity): Point[] {
  const curves = runs.map((run) => ({ run, values: curveOf(run, (m) => m.step, quantity) }));
  const steps = [...new Set(curves.flatMap(({ values }) => values.map(([x]) => x)))].sort((a, b) => a - b);
  const kept = thin(steps, 240);
  return kept.flatMap((step) => {
    const values = curves.flatMap(({ run, values: own }) => {
      const value = valueAt(own, step, settled(run));
      return value === undefined ? [] : [value];
    });
    return values.length > 0 ? [summarize(step, values)] : [];
  });
}

/** The same at equal distances in seconds of training. */
export function bySeconds(runs: readonly RunRecord[], quantity: Quantity): Point[] {
  const curves = runs.map((run) => ({ run, values: curveOf(run, (m) => m.seconds, quantity) }));
  const end = Math.max(0, ...curves.map(({ values }) => values.at(-1)?.[0] ?? 0));
  const start = Math.max(0, ...curves.map(({ values }) => values[0]?.[0] ?? 0));
  const count = 160;
  return Array.from({ length: count + 1 }, (_, k) => start + ((end - start) * k) / count).flatMap((x) => {
    const values = curves.flatMap(({ run, values: own }) => {
      const value = valueAt(own, x, settled(run));
      return value === undefined ? [] : [value];
    });
    return values.length > 0 ? [summarize(x, values)] : [];
  });
}

function curveOf(run: RunRecord, xOf: (m: Measurement) => number, quantity: Quantity): [number, number][] {
  return run.measurements.flatMap((measurement) => {
    const value = quantity(measurement);
    return value === undefined || !Number.isFinite(value) ? [] : [[xOf(measurement), value]];
  });
}

/** Between points: on the line; after the last: its value if the run settled. */
export function valueAt(curve: readonly [number, number][], x: number, stays: boolean): number | undefined {
  let low = 0;
  let high = curve.length - 1;
  if (high < 0 || x < curve[0]![0]) return undefined;
  if (x >= curve[high]![0]) return stays || x <= curve[high]![0] * (1 + 1e-9) ? curve[high]![1] : undefined;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (curve[middle]![0] <= x) low = middle;
    else high = middle;
  }
  const [[x0, y0], [x1, y1]] = [curve[low]!, curve[high]!];
  return x1 === x0 ? y1 : y0 + ((y1 - y0) * (x - x0)) / (x1 - x0);
}

/** Every k-th, and the last. */
export function thin<T>(list: readonly T[], most: number): T[] {
  const stride = Math.ceil(list.length / most);
  return list.filter((_, index) => index % stride === 0 || index === list.length - 1);
}
