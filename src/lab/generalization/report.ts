/** A comparison as a page: one file, no network, readable on a phone, on paper and in the dark. */

import { type Chart, drawChart, escapeText } from "../chart.js";
import { formatCount, formatMetric, formatSignificant } from "../format.js";
import { backendText, machineText } from "../machine.js";
import { document, downloads, sectionTable, swatch } from "../page.js";
import type { Comparison } from "./comparison.js";
import { alongLine, countsAbove, decades, spectraOf } from "./curves.js";
import {
  type Bundle,
  barrierOf,
  barriersSection,
  bundlesOf,
  type Group,
  groupsOf,
  leadersOf,
  type Metrics,
  metricOf,
  performanceSection,
  sharpnessSection,
} from "./findings.js";
import type { Performance } from "./measured.js";
import { kindsSection, readingOf } from "./reading.js";
import { lineRows, pointRows, solutionRows, spectrumRows } from "./rows.js";

export interface ComparisonContext {
  /** "784-128-10 relu, 101,770 parameters; …" */
  readonly problem: string;
  readonly metrics: Metrics;
  readonly command: string;
}

const short = (value: number) => formatSignificant(value, 3);
const figure = (chart: Chart) =>
  `<figure><figcaption>${escapeText(chart.title)}</figcaption>${drawChart(chart)}</figure>`;
const listOf = (items: readonly string[]) =>
  `<ul class="legend">${items.map((item) => `<li>${item}</li>`).join("")}</ul>`;

function spectrumCharts(groups: readonly Group[]): Chart[] {
  const spectra = spectraOf(groups, 400);
  if (!spectra) return [];
  const { grid, densities } = spectra;
  const measured = groups.filter(({ runs }) => runs.length > 0);
  const floor = Math.max(...densities.map((density) => Math.max(...density))) * 10 ** -decades;
  const largest = Math.max(
    ...measured.flatMap(({ runs }) => runs.map(({ solution }) => solution.eigenvalues[0]!)),
  );
  const values = Array.from({ length: 81 }, (_, k) => largest * 10 ** (k / 16 - 5));
  const series = ({ label, colour }: Group) => ({ label, colour });
  const top = measured.map(
    ({ label, runs }) =>
      `${label}: largest ${short(Math.max(...runs.map(({ solution }) => solution.eigenvalues[0]!)))}`,
  );
  return [
    {
      id: "density",
      title: "Share of the Hessian's eigenvalues by their value",
      description: `Density of eigenvalues, logarithmic over ${decades} decades. ${top.join("; ")}.`,
      xLabel: "eigenvalue",
      yLabel: "density (log)",
      yScale: "log",
      xFormat: short,
      yFormat: (value) => formatSignificant(value, 2),
      xFrom: grid[0]!,
      series: groups.map((group, g) => ({
        ...series(group),
        points:
          group.runs.length === 0
            ? []
            : Array.from(grid, (x, k) => {
                const y = Math.max(densities[g]![k]!, floor);
                return { x, y, low: y, high: y };
              }),
      })),
    },
    ...(largest > 0
      ? [
          {
            id: "above",
            title: "Number of eigenvalues above a value",
            description: `How many eigenvalues are larger than a value, both logarithmic. ${top.join("; ")}.`,
            xLabel: "eigenvalue (log)",
            yLabel: "eigenvalues above it (log)",
            yScale: "log" as const,
            xScale: "log" as const,
            xFormat: (value: number) => formatSignificant(value, 2),
            yFormat: formatCount,
            series: groups.map((group) => ({
              ...series(group),
              // Below one eigenvalue the quadrature tells of the chance of its directions, not of eigenvalues.
              points: countsAbove(group, values).flatMap((point) => (point && point.y >= 0.5 ? [point] : [])),
            })),
          },
        ]
      : []),
  ];
}

function spectraPart(groups: readonly Group[]): string {
  const charts = spectrumCharts(groups);
  if (charts.length === 0) return "";
  return `<h2>Spectra</h2>
${listOf(groups.map(({ label, colour }) => `${swatch(colour)}${escapeText(label)}`))}
<div class="figures">${charts.map(figure).join("\n")}</div>
<p>By stochastic Lanczos quadrature, the mean over an optimizer's solutions.</p>`;
}

function lineCharts(comparison: Comparison, metrics: Metrics, sameStart: boolean): Chart[] {
  const bundles = bundlesOf(comparison).filter((one) => one.sameStart === sameStart && one.lines.length > 0);
  if (bundles.length === 0) return [];
  const metric = metricOf(metrics);
  /** A pair has one colour, whether its lines are of one start or not. */
  const pairOf = ({ from, to }: Pick<Bundle, "from" | "to">) => `${from.label} to ${to.label}`;
  const pairs = [...new Set(bundlesOf(comparison).map(pairOf))];
  const id = sameStart ? "one" : "different";
  /** The second solution's units in the order that is closest to the first's. */
  const turned = bundles.map(({ lines, ...ends }) => ({
    ...ends,
    lines: lines.flatMap(({ aligned, ...line }) => (aligned ? [{ ...line, points: aligned.points }] : [])),
  }));
  const wanted: [typeof bundles, keyof Performance, string, string][] = [
    [bundles, "train", "loss", "Training loss along the lines"],
    [turned, "train", "loss", "Training loss along the lines, hidden units aligned"],
    [bundles, "test", "loss", "Test loss along the lines"],
    ...(metric
      ? [[bundles, "test", metric, `Test ${metric} along the lines`] as (typeof wanted)[number]]
      : []),
  ];
  return wanted.flatMap(([drawn, data, name, title], k) => {
    const series = drawn.map((bundle) => ({
      label: pairOf(bundle),
      colour: pairs.indexOf(pairOf(bundle)),
      points: alongLine(bundle, data, name).filter(({ y }) => Number.isFinite(y)),
    }));
    if (series.every(({ points }) => points.length === 0)) return [];
    return [
      {
        id: `${id}-${k}`,
        title,
        description: `${title}, median and range over seeds. ${drawn
          .map(
            ({ from, to, lines }) =>
              `${from.label} to ${to.label}: highest barrier ${short(Math.max(0, ...lines.map((line) => barrierOf(line, data, name, metrics))))}`,
          )
          .join("; ")}.`,
        xLabel: "share of the way",
        yLabel: name,
        yScale: "linear" as const,
        xFormat: short,
        yFormat: (value: number) => formatMetric(name, value),
        series,
      },
    ];
  });
}

function linesPart(comparison: Comparison, metrics: Metrics, sameStart: boolean): string {
  const charts = lineCharts(comparison, metrics, sameStart);
  if (charts.length === 0) return "";
  const legend = charts[0]!.series.map(({ label, colour }) => `${swatch(colour)}${escapeText(label)}`);
  return `<h2>${sameStart ? "Lines between solutions of one start" : "Lines between solutions of different starts"}</h2>
${listOf(legend)}
<div class="figures">${charts.map(figure).join("\n")}</div>
${sectionTable(barriersSection(comparison, metrics, sameStart))}`;
}

/** The page of a comparison, finished or not. */
export function comparisonReport(comparison: Comparison, context: ComparisonContext): string {
  const { settings, environment, solutions, lines } = comparison;
  const { problem, metrics, command } = context;
  const groups = groupsOf(comparison);
  const labels = groups.map(({ label }) => label);
  const done = solutions.filter(({ solution }) => solution).length + lines.filter(({ line }) => line).length;
  const total = solutions.length + lines.length;
  const examples = solutions.find(({ solution }) => solution)?.solution?.examples;
  const facts: [string, string][] = [
    ["Problem", `${settings.problem.name}: ${problem}`],
    [
      "Curvature and sharpness",
      `of the mean training loss on ${examples === undefined ? "" : `${formatCount(examples)} examples in `}batches of ${formatCount(settings.batch)}, as training sees them; seed ${settings.seed}`,
    ],
    [
      "Balls",
      `ρ = ${settings.radius}, adaptive ρ = ${settings.adaptiveRadius}; ${settings.ascent} steps of ascent`,
    ],
    ["Lines", `${settings.points} points each`],
    ["Machine", machineText(environment)],
    ["Backend", backendText(environment)],
    ["Software", `thalweg ${environment.thalweg}, Node ${environment.node}`],
  ];
  return document({
    title: `${settings.problem.name}: the solutions of ${labels.join(", ")}`,
    summary: [
      `${solutions.length} solutions of ${labels.length} optimizers, and the lines between them.`,
      ...[leadersOf(comparison) ?? []].flat(),
      ...(done < total ? [`The comparison is not finished: ${done} of ${total} parts are here.`] : []),
    ].join(" "),
    version: environment.thalweg,
    body: `${sectionTable(performanceSection(comparison, metrics))}
${sectionTable(sharpnessSection(comparison))}
${sectionTable(kindsSection(comparison, metrics))}
<h2>How to read it</h2>
<ul>${readingOf(comparison, metrics)
      .map((sentence) => `<li>${escapeText(sentence)}</li>`)
      .join("\n")}</ul>
${spectraPart(groups)}
${linesPart(comparison, metrics, true)}
${linesPart(comparison, metrics, false)}
<h2>Where and how</h2>
<dl>${facts.map(([name, value]) => `<dt>${escapeText(name)}</dt><dd>${escapeText(value)}</dd>`).join("\n")}</dl>
<pre><code>${escapeText(command)}</code></pre>
${downloads([
  { name: "solutions", rows: solutionRows(comparison) },
  { name: "lines", rows: lineRows(comparison, metrics) },
  { name: "points", rows: pointRows(comparison) },
  { name: "spectra", rows: spectrumRows(comparison) },
])}`,
  });
}
