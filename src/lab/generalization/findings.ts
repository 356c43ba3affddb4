/** What a comparison found, for people: tables and sentences that the terminal and the page share. */
import type { Section } from "../account.js";
import { coloursOf } from "../colours.js";
import { formatCount, formatMetric, formatSignificant } from "../format.js";
import type { Problem } from "../problem.js";
import { median } from "../score.js";
import type { Comparison } from "./comparison.js";
import type { Line, Performance, Solution } from "./measured.js";
import { barrier } from "./path.js";
import type { Pair, Subject } from "./subjects.js";

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
export const number = (value: number) => (Number.isFinite(value) ? formatSignificant(value, 3) : "—");

export function groupsOf({ solutions }: Comparison): Group[] {
  const labels = [...new Set(solutions.map(({ subject }) => subject.label))];
  const colours = coloursOf(labels);
  return labels.map((label, k) => ({
    label,
    colour: colours[k]!,
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
export const barrierOf = (
  line: Pick<Line, "points">,
  data: keyof Performance,
  metric: string,
  metrics: Metrics,
): number =>
  barrier(
    line.points.map((point) => (metrics[metric] === "max" ? -1 : 1) * (point[data][metric] ?? Number.NaN)),
  );

/** Of the training loss, once hidden units stand in the same order; undefined where that is not known. */
export const alignedBarrier = ({ aligned }: Line, metrics: Metrics): number | undefined =>
  aligned && barrierOf(aligned, "train", "loss", metrics);

export const column = (title: string) => ({ title, align: right });
const medianOf = <T>(list: readonly T[], of: (one: T) => number | undefined) =>
  median(list.map((one) => of(one) ?? Number.NaN));

/** Which optimizer's solutions generalize best, and which lie flattest: medians over seeds. */
export function leadersOf(comparison: Comparison): string | undefined {
  const groups = groupsOf(comparison).filter(({ runs }) => runs.length > 0);
  const least = (of: (solution: Solution) => number | undefined) =>
    groups
      .map(({ label, runs }) => ({ label, value: medianOf(runs, ({ solution }) => of(solution)) }))
      .filter(({ value }) => Number.isFinite(value))
      .toSorted((a, b) => a.value - b.value)[0];
  const [best, flattest] = [least(({ test }) => test.loss), least(({ eigenvalues }) => eigenvalues[0])];
  return (
    best &&
    flattest &&
    `The lowest test loss is ${best.label}'s, ${number(best.value)}; the smallest λ₁ ${flattest.label}'s, ${number(flattest.value)} (medians over seeds).`
  );
}

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
  const hasAligned = bundles.some(({ lines }) => lines.some((line) => line.aligned));
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
      ...(hasAligned ? [column("train loss, aligned")] : []),
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
      ...(hasAligned ? [number(medianOf(lines, (line) => alignedBarrier(line, metrics)))] : []),
      number(medianOf(lines, ({ distance }) => distance)),
      ...(sameStart ? [number(medianOf(lines, ({ cosine }) => cosine))] : []),
    ]),
  };
}
