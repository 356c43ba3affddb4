/** What times over widths say: exponents, where an inversion is as dear as a step, and how rare it must be to be cheap. */
import * as v from "valibot";
import type { InverseMethod } from "../../curvature/kronecker/index.js";
import type { Section } from "../account.js";
import { type PowerLaw, powerLaw, solveFor, valueAt, type XY } from "../fit.js";
import { formatCount, formatSeconds, formatSignificant } from "../format.js";
import { describeSeries, exponentOf, list, pivot, right, seriesOf, short, twoDigits } from "./series.js";
import { type Reading, verdictOf } from "./study.js";

export const inversions = ["cholesky", "eigen", "newtonSchulz"] as const satisfies readonly InverseMethod[];
export const step = "gradient step";
export const operations = [step, ...inversions] as const;
export type Operation = (typeof operations)[number];

export const inversionSchema = v.strictObject({
  operation: v.picklist(operations),
  width: v.number(),
  seconds: v.number(),
  repeats: v.number(),
});
export type InversionPoint = v.InferOutput<typeof inversionSchema>;

/** Examples of a gradient step. */
export const batch = 256;
/** Factors of a layer. */
const factors = 2;
/** Inversions may take this share of the time of gradient steps. */
const share = 0.1;
/** Order that the literature gives a time for. */
const published = 4096;
/** An exponent this near to 3 is cubic. */
const agreement = 0.5;

export interface InversionFit {
  readonly operation: Operation;
  readonly law: PowerLaw;
  /** Of the largest three widths: below them calls and loops cost as much as arithmetic. */
  readonly large: PowerLaw;
}

export const fitInversions = (points: readonly InversionPoint[]): InversionFit[] =>
  operations.flatMap((operation) => {
    const own = points
      .filter((point) => point.operation === operation)
      .map(({ width, seconds }): XY => [width, seconds])
      .sort(([a], [b]) => a - b);
    return own.length === 0 ? [] : [{ operation, law: powerLaw(own), large: powerLaw(own.slice(-3)) }];
  });

const find = (points: readonly InversionPoint[], operation: Operation, width: number) =>
  points.find((point) => point.operation === operation && point.width === width);

/** Steps between inversions of both factors, so that these take a tenth of the time of the steps. */
export function intervalOf(
  points: readonly InversionPoint[],
  operation: Operation,
  width: number,
): number | undefined {
  const [inverse, gradient] = [operation, step].map(
    (name) => find(points, name as Operation, width)?.seconds,
  );
  return inverse === undefined || gradient === undefined || operation === step
    ? undefined
    : Math.max(1, Math.ceil((factors * inverse) / (share * gradient)));
}

/** The x at which a is `ratio` times b. */
export const crossingOf = (a: PowerLaw, b: PowerLaw, ratio: number): number =>
  solveFor({ ...a, coefficient: a.coefficient / b.coefficient, exponent: a.exponent - b.exponent }, ratio);

export function readInversion(points: readonly InversionPoint[]): Reading {
  const fits = fitInversions(points);
  const times = seriesOf(
    points,
    ({ operation }) => operation,
    ({ width, seconds }) => ({ x: width, y: seconds }),
  );
  const intervals = seriesOf(
    points,
    ({ operation }) => operation,
    ({ operation, width }) => {
      const y = intervalOf(points, operation, width);
      return y === undefined ? undefined : { x: width, y };
    },
  ).filter((one) => one.label !== step);
  const axes = { xLabel: "width d", xScale: "log", yScale: "log", xFormat: short, marked: true } as const;
  const at = (x: number) => `d = ${short(x)}`;
  return {
    verdict: verdictOf(
      fits
        .filter(({ operation }) => operation !== step)
        .map(({ large }) =>
          Number.isNaN(large.error) ? undefined : Math.abs(large.exponent - 3) <= agreement,
        ),
    ),
    paragraph: paragraph(points, fits),
    sections: [
      pivot(points, {
        title: `Least time, f32; in brackets: steps between inversions of both factors that take ${100 * share} %`,
        row: ["operation", ({ operation }) => operation],
        column: ({ width }) => width,
        columnTitle: (width) => `d = ${formatCount(width)}`,
        cell: ({ operation, width, seconds }) => {
          const interval = intervalOf(points, operation, width);
          return formatSeconds(seconds) + (interval === undefined ? "" : ` (every ${formatCount(interval)})`);
        },
      }),
      exponents(fits),
    ],
    figures: [
      {
        id: "inversion",
        title: "Seconds of one inversion and of a gradient step, by width",
        description: describeSeries(times, at, formatSeconds),
        yLabel: "seconds",
        yFormat: formatSeconds,
        series: times,
        ...axes,
      },
      {
        id: "interval",
        title: `Steps between inversions that take ${100 * share} % of the steps' time`,
        description: describeSeries(intervals, at, short),
        yLabel: "steps",
        yFormat: short,
        series: intervals,
        ...axes,
      },
    ],
  };
}

function paragraph(points: readonly InversionPoint[], fits: readonly InversionFit[]): string {
  const told = fits.filter(({ large }) => !Number.isNaN(large.exponent));
  if (told.length === 0) return "Too few widths are measured for an exponent.";
  const measured = points.map(({ width }) => width);
  const [narrowest, widest] = [Math.min(...measured), Math.max(...measured)];
  const [cholesky, eigen, schulz, gradient] = [...inversions, step].map((operation) =>
    find(points, operation as Operation, widest),
  );
  const narrow = find(points, "cholesky", narrowest);
  const lawOf = (name: Operation) => told.find(({ operation }) => operation === name)?.large;
  const [law, stepLaw] = [lawOf("cholesky"), lawOf(step)];
  const crossing = law && stepLaw ? crossingOf(law, stepLaw, 1 / factors) : Number.NaN;
  const interval = intervalOf(points, "cholesky", widest);
  const speed = ({ width, seconds }: InversionPoint) => formatSignificant((1e-9 * width ** 3) / seconds, 2);
  return [
    `Over the largest three widths times grow: ${list(told.map(({ operation, large }) => `${operation} as d^${twoDigits(large.exponent)}`))}.`,
    ...(cholesky && eigen && schulz
      ? [
          `At d = ${formatCount(widest)} an inverse by Cholesky takes ${formatSeconds(cholesky.seconds)}, by eigenvectors ${formatSignificant(eigen.seconds / cholesky.seconds, 2)} times that, by Newton–Schulz ${formatSignificant(schulz.seconds / cholesky.seconds, 2)} times.`,
        ]
      : []),
    ...(cholesky && narrow && narrow !== cholesky
      ? [
          `Its speed goes from ${speed(narrow)} GFLOP/s at d = ${formatCount(narrowest)} to ${speed(cholesky)}: ${Number(speed(cholesky)) > 2 * Number(speed(narrow)) ? "small inverses are bound by latency and large ones by arithmetic, not by memory" : "it does not rise by a factor of two"}.`,
        ]
      : []),
    ...(interval !== undefined && gradient
      ? [
          `A gradient step on ${batch} examples takes ${formatSeconds(gradient.seconds)} there, so both factors by Cholesky stay below ${100 * share} % when they are inverted every ${formatCount(interval)} steps.`,
        ]
      : []),
    ...(Number.isFinite(crossing)
      ? [
          `By the fits both inverses are as dear as a step at d ≈ ${formatSignificant(crossing, 2)}${crossing < narrowest || crossing > widest ? ", outside of what is measured" : ""}.`,
        ]
      : []),
    ...(law && law.points > 2
      ? [
          `The fit gives ${formatSeconds(valueAt(law, published))} for order ${formatCount(published)} on this processor, where the text says about 10 ms on an accelerator.`,
        ]
      : []),
  ].join(" ");
}

const exponents = (fits: readonly InversionFit[]): Section => ({
  title: "Exponents of d",
  columns: [{ title: "operation" }, right("all widths"), right("largest three"), right("operations")],
  rows: fits.map(({ operation, law, large }) => [
    operation,
    exponentOf(law),
    exponentOf(large),
    operation === step ? "4·B·d²" : operation === "cholesky" ? "d³" : "∝ d³",
  ]),
});
