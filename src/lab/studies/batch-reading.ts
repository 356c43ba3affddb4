/** What steps over batches say: how they fall, where they stop falling, and how K-FAC's lead over Adam moves. */
import * as v from "valibot";
import type { Section } from "../account.js";
import { type BatchLaw, batchLaw, type PowerLaw, powerLaw, type XY } from "../fit.js";
import { formatCount, formatSignificant } from "../format.js";
import { about, describeSeries, exponentOf, list, right, seriesOf, short, twoDigits } from "./series.js";
import { type Reading, verdictOf } from "./study.js";

export const methodNames = ["adam", "kfac"] as const;
export type MethodName = (typeof methodNames)[number];

const count = v.nullable(v.number());
export const batchSchema = v.strictObject({
  method: v.picklist(methodNames),
  batch: v.number(),
  rate: v.nullable(v.number()),
  atEdge: v.nullable(v.boolean()),
  steps: count,
  low: count,
  high: count,
  examples: count,
  seeds: v.number(),
});
export type BatchPoint = v.InferOutput<typeof batchSchema>;

export interface BatchFit {
  readonly method: MethodName;
  /** Of steps against B; −1 is perfect scaling. */
  readonly slope: PowerLaw;
  readonly law: BatchLaw;
}

export const fitBatches = (points: readonly BatchPoint[]): BatchFit[] =>
  methodNames.flatMap((method) => {
    const own = points
      .filter((point) => point.method === method && point.steps !== null)
      .map(({ batch, steps }): XY => [batch, steps!]);
    return own.length < 2 ? [] : [{ method, slope: powerLaw(own), law: batchLaw(own) }];
  });

/** Adam's steps over K-FAC's at each size that both have. */
export const benefits = (points: readonly BatchPoint[]): XY[] =>
  [...new Set(points.map(({ batch }) => batch))]
    .sort((a, b) => a - b)
    .flatMap((batch): XY[] => {
      const [adam, kfac] = methodNames.map((method) =>
        points.find((point) => point.method === method && point.batch === batch),
      );
      return adam?.steps && kfac?.steps ? [[batch, adam.steps / kfac.steps]] : [];
    });

/** A slope of the benefit in log B that counts as growth: a factor of 1.26 a decade. */
const growth = 0.1;

export function readBatch(points: readonly BatchPoint[]): Reading {
  const fits = fitBatches(points);
  const benefit = benefits(points);
  const trend = powerLaw(benefit);
  const steps = seriesOf(
    points,
    ({ method }) => method,
    ({ batch, steps, low, high }) =>
      steps === null ? undefined : { x: batch, y: steps, low: low ?? steps, high: high ?? steps },
  );
  const examples = seriesOf(
    points,
    ({ method }) => method,
    ({ batch, examples }) => (examples === null ? undefined : { x: batch, y: examples }),
  );
  const axes = {
    xLabel: "batch B",
    xScale: "log",
    yScale: "log",
    xFormat: short,
    yFormat: short,
    marked: true,
  } as const;
  const at = (x: number) => `B = ${short(x)}`;
  return {
    verdict: verdictOf([Number.isNaN(trend.exponent) ? undefined : trend.exponent >= growth]),
    paragraph: paragraph(points, fits, benefit, trend),
    sections: [table(points, benefit), laws(fits)],
    figures: [
      {
        id: "steps",
        title: "Steps to the target by size of batch",
        description: describeSeries(steps, at, short),
        yLabel: "steps",
        series: steps,
        ...axes,
      },
      {
        id: "examples",
        title: "Examples to the target by size of batch",
        description: describeSeries(examples, at, short),
        yLabel: "examples",
        series: examples,
        ...axes,
      },
    ],
  };
}

function paragraph(
  points: readonly BatchPoint[],
  fits: readonly BatchFit[],
  benefit: readonly XY[],
  trend: PowerLaw,
): string {
  const [first, last] = [benefit[0], benefit.at(-1)];
  if (!first || !last || first === last)
    return "Too few sizes are measured where both methods reach the target.";
  const critical = fits.map(({ method, slope, law }) =>
    Number.isFinite(law.criticalBatch)
      ? `${method}'s steps fall as B^${twoDigits(slope.exponent)} over all sizes, towards a floor of ${about(law.leastSteps)} with a critical batch of ${about(law.criticalBatch)}`
      : `${method}'s steps fall as B^${twoDigits(slope.exponent)} without a floor within the measured sizes`,
  );
  const most = benefit.reduce((a, b) => (b[1] > a[1] ? b : a));
  const missed = points.filter(({ steps }) => steps === null);
  const edges = points.filter(({ atEdge }) => atEdge);
  const crossing = benefit.find(([, ratio]) => ratio > 1);
  return [
    `Adam needs ${about(first[1])} times K-FAC's steps at B = ${short(first[0])} and ${about(last[1])} times at B = ${short(last[0])}; the most is ${about(most[1])} at B = ${short(most[0])}.`,
    `The benefit goes as B^${twoDigits(trend.exponent)}${Number.isNaN(trend.error) ? "" : ` ± ${trend.error.toFixed(2)}`}: ${trend.exponent >= growth ? "it grows with the batch, as is expected" : trend.exponent <= -growth ? "it shrinks as the batch grows, against what is expected" : "it hardly depends on the batch, against what is expected"}.`,
    ...(crossing === undefined
      ? ["K-FAC needs more steps at every size."]
      : crossing !== first
        ? [`It is ahead from B = ${short(crossing[0])} on.`]
        : []),
    ...(critical.length > 0 ? [`${list(critical)}.`] : []),
    ...(edges.length > 0
      ? [
          `The best rate is the last of those tried for ${list(edges.map(({ method, batch }) => `${method} at B = ${short(batch)}`))}: a better one may lie beyond.`,
        ]
      : []),
    ...(missed.length > 0
      ? [
          `Not reached: ${list(missed.map(({ method, batch }) => `${method} at B = ${short(batch)}`))}, with any of the rates.`,
        ]
      : []),
  ].join(" ");
}

function table(points: readonly BatchPoint[], benefit: readonly XY[]): Section {
  const sizes = [...new Set(points.map(({ batch }) => batch))].sort((a, b) => a - b);
  const steps = (method: MethodName, batch: number) => {
    const point = points.find((one) => one.method === method && one.batch === batch);
    if (!point) return ["", ""];
    if (point.steps === null) return ["—", "—"];
    const range =
      point.seeds > 1
        ? ` (${formatCount(point.low!)} – ${point.high === null ? "—" : formatCount(point.high)})`
        : "";
    return [formatCount(point.steps) + range, about(point.rate!)];
  };
  return {
    title: "Steps to the target at the best rate (median and range over seeds)",
    columns: [
      right("batch"),
      ...methodNames.flatMap((name) => [right(name), right("rate")]),
      right("adam / kfac"),
      right("examples, adam"),
      right("examples, kfac"),
    ],
    rows: sizes.map((batch) => [
      formatCount(batch),
      ...methodNames.flatMap((method) => steps(method, batch)),
      formatSignificant(benefit.find(([size]) => size === batch)?.[1] ?? Number.NaN, 3).replace("NaN", "—"),
      ...methodNames.map((method) => {
        const examples = points.find((one) => one.method === method && one.batch === batch)?.examples;
        return examples ? formatCount(examples) : "—";
      }),
    ]),
  };
}

const laws = (fits: readonly BatchFit[]): Section => ({
  title: "S(B) = S₀ (1 + B₀/B)",
  columns: [
    { title: "method" },
    right("slope of log S"),
    right("S₀ (steps)"),
    right("B₀ (critical batch)"),
    right("E₀ (examples)"),
  ],
  rows: fits.map(({ method, slope, law }) => [
    method,
    exponentOf(slope),
    ...(Number.isFinite(law.criticalBatch)
      ? [law.leastSteps, law.criticalBatch, law.leastExamples].map(short)
      : ["no floor", "—", short(law.leastExamples)]),
  ]),
});
