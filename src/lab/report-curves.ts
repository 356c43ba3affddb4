/** The curves of a report: loss and metric, against steps and seconds, and the numbers behind them. */
import { type Chart, drawChart, escapeText } from "./chart.js";
import { bySeconds, bySteps, type Quantity, thin, valueAt } from "./curves.js";
import { formatCount, formatMetric, formatSignificant } from "./format.js";
import { numeric, table } from "./page.js";
import type { Measurement, RunRecord } from "./run-record.js";
import { median, type Quality, type Score } from "./score.js";
import type { Target } from "./settings.js";

/** Runs of one optimizer. */
export interface Group {
  readonly label: string;
  readonly colour: number;
  readonly runs: readonly RunRecord[];
  readonly score: Score;
}

/** What a report compares. */
export interface Compared {
  /** Best first. */
  readonly groups: readonly Group[];
  readonly target: Target | undefined;
  readonly quality: Quality;
}

/** The figures, as HTML. */
export const curveFigures = (compared: Compared): string =>
  charts(compared)
    .map(
      ({ chart, xName }) =>
        `<figure><figcaption>${escapeText(chart.title)}</figcaption>${drawChart(chart)}` +
        `<details><summary>Numbers</summary>${chartTable(chart, xName)}</details></figure>`,
    )
    .join("\n");

function charts(compared: Compared): { chart: Chart; xName: string }[] {
  const { target } = compared;
  const { metric } = compared.quality;
  // A surrogate for a policy, or a game, may well be below zero.
  const neverNegative = compared.groups.every(({ runs }) =>
    runs.every(({ measurements }) => measurements.every(({ loss }) => !(loss !== undefined && loss < 0))),
  );
  const quantities = [
    {
      id: "loss",
      name: "Training loss",
      scale: neverNegative ? ("log" as const) : ("linear" as const),
      of: (m: Measurement) => m.loss,
      format: (value: number) => formatSignificant(value, 2),
      rule: undefined,
    },
    {
      id: "metric",
      name: metric === "loss" ? "Test loss" : `Test ${metric}`,
      scale: metric === "loss" ? ("log" as const) : ("linear" as const),
      of: (m: Measurement) => m.test[metric],
      format: (value: number) => formatMetric(metric, value),
      rule: target && { y: target.value, label: `target ${formatMetric(metric, target.value)}` },
    },
  ];
  const axes = [
    {
      id: "steps",
      name: "steps",
      label: "steps",
      points: bySteps,
      format: formatCount,
      xScale: "linear" as const,
    },
    {
      id: "seconds",
      name: "seconds",
      label: "seconds of training",
      points: bySeconds,
      format: (value: number) => formatSignificant(value, 3),
      xScale: farApart(compared.groups) ? ("log" as const) : ("linear" as const),
    },
  ];
  return quantities.flatMap((quantity) => {
    const most = quantity.scale === "log" ? ceiling(compared.groups, quantity.of) : undefined;
    return axes.map((axis) => ({
      xName: axis.label,
      chart: {
        id: `${quantity.id}-${axis.id}`,
        title: `${quantity.name} against ${axis.name}`,
        description: describeCurves(compared, quantity.name, quantity.of, quantity.format),
        xLabel: axis.xScale === "log" ? `${axis.label} (log)` : axis.label,
        xScale: axis.xScale,
        ...(most !== undefined && { yMost: most }),
        yLabel: `${quantity.name}${quantity.scale === "log" ? " (log)" : ""}`,
        yScale: quantity.scale,
        yFormat: quantity.format,
        xFormat: axis.format,
        series: compared.groups.map(({ label, colour, runs }) => ({
          label,
          colour,
          points: axis.points(runs, quantity.of),
        })),
        rule: quantity.rule,
      },
    }));
  });
}

/** Whether the fastest would be lost at the left end of a linear axis. */
function farApart(groups: readonly Group[]): boolean {
  const ends = groups.flatMap(({ runs }) => {
    const seconds = runs.flatMap(({ measurements }) => measurements.at(-1)?.seconds ?? []);
    return seconds.length > 0 ? [Math.max(...seconds)] : [];
  });
  return Math.max(...ends) > 15 * Math.min(...ends);
}

/** Ten times what runs begin with: the median, since one that diverges may have done so before it is first measured. */
function ceiling(groups: readonly Group[], of: Quantity): number | undefined {
  const first = groups.flatMap(({ runs }) =>
    runs.flatMap(({ measurements }) => {
      const values = measurements.map(of).filter((value) => value !== undefined);
      return values.slice(0, 1);
    }),
  );
  const middle = median(first.filter(Number.isFinite));
  return middle > 0 ? 10 * middle : undefined;
}

/** The ends of the lines in words. */
function describeCurves(
  compared: Compared,
  name: string,
  of: Quantity,
  format: (value: number) => string,
): string {
  const ends = compared.groups.flatMap(({ label, runs }) => {
    const points = bySteps(runs, of);
    const [first, last] = [points[0], points.at(-1)];
    return first && last
      ? [`${label} goes from ${format(first.y)} to ${format(last.y)} in ${formatCount(last.x)} steps`]
      : [];
  });
  return `${name}, median line and range over seeds. ${ends.join("; ")}.`;
}

/** The numbers behind a chart, at a dozen places. */
function chartTable(chart: Chart, xName: string): string {
  const all = [...new Set(chart.series.flatMap(({ points }) => points.map((p) => p.x)))].sort(
    (a, b) => a - b,
  );
  const chosen = thin(all, 12);
  return table(
    `${chart.title}: medians`,
    [
      { title: xName, align: "right" },
      ...chart.series.map(({ label }) => ({ title: label, align: "right" as const })),
    ],
    chosen.map(
      (x) =>
        `<th scope="row" class="n">${escapeText(chart.xFormat(x))}</th>` +
        chart.series
          .map(({ points }) => {
            const value = valueAt(
              points.map((p) => [p.x, p.y]),
              x,
              false,
            );
            return numeric(value === undefined ? "—" : chart.yFormat(value));
          })
          .join(""),
    ),
  );
}
