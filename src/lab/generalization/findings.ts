/** What a comparison found, for people: tables and sentences that the terminal and the page share. */
import type { Family } from "../../optimizers/catalogue.js";
import { findMethod } from "../../optimizers/registry.js";
import type { Section } from "../account.js";
import { formatCount, formatMetric, formatSignificant } from "../format.js";
import type { Problem } from "../problem.js";
import { median } from "../score.js";
import type { Comparison, Pair } from "./comparison.js";
import { barrier } from "./path.js";
import type { Subject } from "./subjects.js";
import type { Line, Performance, Solution } from "./surface.js";

/** The solutions of one optimizer that are measured. */
export interface Group {
  readonly label: string;
  readonly colour: number;
  readonly runs: readonly { readonly subject: Subject; readonly solution: Solution }[];
}

/** The lines between solutions of two optimizers, all of one start or none. */
export interface Bundle {
  readonly from: Subject;
  readonly to: Subject;
  readonly sameStart: boolean;
  readonly lines: readonly Line[];
}

export type Metrics = Problem["metrics"];

const right = "right" as const;
const number = (value: number) => (Number.isFinite(value) ? formatSignificant(value, 3) : "—");

export function groupsOf({ solutions }: Comparison): Group[] {
  const labels = [...new Set(solutions.map(({ subject }) => subject.label))];
  return labels.map((label, colour) => ({
    label,
    colour,
    runs: solutions.flatMap(({ subject, solution }) =>
      solution && subject.label === label ? [{ subject, solution }] : [],
    ),
  }));
}

export function bundlesOf({ settings: { subjects }, lines }: Comparison): Bundle[] {
  const keyOf = ({ from, to, sameStart }: Pair) =>
    JSON.stringify([subjects[from]!.label, subjects[to]!.label, sameStart]);
  return [...new Set(lines.map(keyOf))].map((key) => {
    const own = lines.filter((pair) => keyOf(pair) === key);
    const { from, to, sameStart } = own[0]!;
    return {
      from: subjects[from]!,
      to: subjects[to]!,
      sameStart,
      lines: own.flatMap(({ line }) => (line ? [line] : [])),
    };
  });
}

/** What is compared beside the loss: the metric of the test that the problem names first. */
export const metricOf = (metrics: Metrics): string | undefined =>
  Object.keys(metrics).find((name) => name !== "loss" && !/^training[A-Z]/.test(name));

/** The barrier of a metric along a line, whichever direction is better. */
export const barrierOf = (line: Line, data: keyof Performance, metric: string, metrics: Metrics): number =>
  barrier(
    line.points.map((point) => (metrics[metric] === "max" ? -1 : 1) * (point[data][metric] ?? Number.NaN)),
  );

const column = (title: string) => ({ title, align: right });
const medianOf = <T>(list: readonly T[], of: (one: T) => number | undefined) =>
  median(list.map((one) => of(one) ?? Number.NaN));

/** How well the solutions do on what they learned and on what they did not: medians over seeds. */
export function performanceSection(comparison: Comparison, metrics: Metrics): Section {
  const metric = metricOf(metrics);
  const quality = (name: "train" | "test") => (run: Group["runs"][number]) => run.solution[name][metric!];
  const hasTraining = comparison.solutions.some(({ solution }) => solution?.train[metric!] !== undefined);
  return {
    title: "On training and test data, medians over seeds",
    columns: [
      { title: "optimizer" },
      ...["runs", "batch", "steps", "train loss", "test loss", "gap"].map(column),
      ...(metric ? [...(hasTraining ? [`train ${metric}`] : []), `test ${metric}`] : []).map(column),
    ],
    rows: groupsOf(comparison).map(({ label, runs }) => [
      label,
      String(runs.length),
      formatCount(medianOf(runs, ({ subject }) => subject.batch)),
      formatCount(medianOf(runs, ({ subject }) => subject.steps)),
      number(medianOf(runs, ({ solution }) => solution.train.loss)),
      number(medianOf(runs, ({ solution }) => solution.test.loss)),
      number(medianOf(runs, ({ solution }) => solution.test.loss! - solution.train.loss!)),
      ...(metric
        ? [...(hasTraining ? [quality("train")] : []), quality("test")].map((of) => {
            const value = medianOf(runs, of);
            return Number.isFinite(value) ? formatMetric(metric, value) : "—";
          })
        : []),
    ]),
  };
}

/** How sharp the valleys are: medians over seeds. */
export function sharpnessSection(comparison: Comparison): Section {
  const { radius, adaptiveRadius, ascent } = comparison.settings;
  const columns: [string, (solution: Solution) => number][] = [
    ["λ₁", ({ eigenvalues }) => eigenvalues[0]!],
    ["λ min", ({ smallest }) => smallest],
    ["trace", ({ trace }) => trace.value],
    [`SAM ρ=${radius}`, ({ sharpness }) => sharpness.first],
    ...(ascent > 1
      ? [[`${ascent} steps`, ({ sharpness }) => sharpness.most] as [string, (solution: Solution) => number]]
      : []),
    [`adaptive ρ=${adaptiveRadius}`, ({ adaptive }) => adaptive.most],
    ["‖θ‖", ({ norm }) => norm],
    ["‖θ−θ₀‖", ({ moved }) => moved],
  ];
  return {
    title: "Sharpness: curvature of the training loss, and its largest rise within a ball",
    columns: [{ title: "optimizer" }, ...columns.map(([title]) => column(title))],
    rows: groupsOf(comparison).map(({ label, runs }) => [
      label,
      ...columns.map(([, of]) => number(medianOf(runs, ({ solution }) => of(solution)))),
    ]),
  };
}

/** Barriers between solutions of one start, or of different ones. */
export function barriersSection(comparison: Comparison, metrics: Metrics, sameStart: boolean): Section {
  const metric = metricOf(metrics);
  const error = metric && metrics[metric] === "max" ? `lost ${metric}` : metric;
  const bundles = bundlesOf(comparison).filter((one) => one.sameStart === sameStart);
  const format = (value: number) =>
    !Number.isFinite(value) ? "—" : metric === "accuracy" ? formatMetric(metric, value) : number(value);
  return {
    title: sameStart
      ? "Barriers between solutions of one start: medians over seeds"
      : "Barriers between solutions of different starts: medians over seeds",
    columns: [
      { title: "from" },
      { title: "to" },
      ...["lines", "train loss", "test loss"].map(column),
      ...(error ? [column(`test, ${error}`)] : []),
      column("distance"),
      ...(sameStart ? [column("cosine")] : []),
    ],
    rows: bundles.map(({ from, to, lines }) => [
      from.label,
      to.label,
      String(lines.length),
      number(medianOf(lines, (line) => barrierOf(line, "train", "loss", metrics))),
      number(medianOf(lines, (line) => barrierOf(line, "test", "loss", metrics))),
      ...(metric ? [format(medianOf(lines, (line) => barrierOf(line, "test", metric, metrics)))] : []),
      number(medianOf(lines, ({ distance }) => distance)),
      ...(sameStart ? [number(medianOf(lines, ({ cosine }) => cosine))] : []),
    ]),
  };
}

const kinds: Readonly<Record<Family, string>> = {
  "first order": "first order",
  layerwise: "first order",
  "matrix preconditioner": "matrix preconditioner",
  "diagonal curvature": "second order",
  "quasi-Newton": "second order",
  "second order": "second order",
  hybrid: "hybrid",
};
const kindOf = ({ optimizer }: Subject): string => kinds[findMethod(optimizer.name).family];

/** "We call a network stable where instability is below 2 %" of the test error (Frankle et al. 2020, section 3). */
const connected = 0.02;

/** Barriers by what kind of method stands at either end. */
export function kindsSection(comparison: Comparison, metrics: Metrics): Section {
  const classified = metrics.accuracy !== undefined;
  const ends = bundlesOf(comparison).flatMap(({ from, to, sameStart, lines }) => {
    const pair = [kindOf(from), kindOf(to)].sort().join(" to ");
    return lines.map((line) => ({ pair, sameStart, line }));
  });
  const rows = [true, false].flatMap((sameStart) => {
    const own = ends.filter((one) => one.sameStart === sameStart);
    return [...new Set(own.map(({ pair }) => pair))].sort().map((pair) => {
      const lines = own.filter((one) => one.pair === pair).map(({ line }) => line);
      const heights = lines.map((line) => barrierOf(line, "train", "loss", metrics));
      const flat = lines.filter((line) => barrierOf(line, "test", "accuracy", metrics) < connected).length;
      return [
        pair,
        sameStart ? "one" : "different",
        number(median(heights)),
        lines.length === 1 ? "—" : `${number(Math.min(...heights))} to ${number(Math.max(...heights))}`,
        ...(classified ? [`${flat} of ${lines.length}`] : []),
        number(median(lines.map(({ distance }) => distance))),
      ];
    });
  });
  return {
    title: "By kind of method",
    columns: [
      { title: "kinds" },
      { title: "start" },
      column("barrier of train loss"),
      column("range"),
      ...(classified ? [column("connected")] : []),
      column("distance"),
    ],
    rows,
  };
}

/** How to read the tables. */
export function readingOf(comparison: Comparison, metrics: Metrics): string[] {
  const lines = comparison.lines.filter(({ line }) => line);
  const flat = (sameStart: boolean) => {
    const own = lines.filter((one) => one.sameStart === sameStart);
    const low = own.filter(({ line }) => barrierOf(line!, "test", "accuracy", metrics) < connected);
    return own.length === 0
      ? []
      : [
          `${low.length} of ${own.length} lines between solutions of ${sameStart ? "one start" : "different starts"}`,
        ];
  };
  const counted = metrics.accuracy === undefined ? [] : [...flat(true), ...flat(false)];
  return [
    ...(counted.length > 0
      ? [
          `Connected, with at most ${100 * connected} points of test accuracy lost on the way (Frankle et al. 2020): ${counted.join("; ")}.`,
        ]
      : []),
    "A barrier tells that two solutions lie in different valleys of this space, not that they are different functions: " +
      "hidden units in another order are the same network, with a barrier between (Entezari et al. 2022).",
    "λ₁, the trace and SAM's sharpness change when one layer is scaled and the next scaled back, which changes no " +
      "function (Dinh et al. 2017); the adaptive sharpness does not.",
  ];
}
