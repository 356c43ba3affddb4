/** What times over widths say: exponents, where an inversion is as dear as a step, and how rare it must be to be cheap. */
import * as v from "valibot";
import type { InverseMethod } from "../../curvature/kronecker/index.js";
import type { Section } from "../account.js";
import { type PowerLaw, powerLaw, solveFor, valueAt, type XY } from "../fit.js";
import { formatCount, formatSeconds } from "../format.js";
import {
  about,
  describeSeries,
  exponentOf,
  list,
  pivot,
  right,
  seriesOf,
  short,
  twoDigits,
} from "./series.js";
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

/** FLOP/s of an inverse by Cholesky, d³ of them, at the narrowest and the widest layer. */
function speeds(
  points: readonly InversionPoint[],
): readonly [InversionPoint, InversionPoint, number, number] | undefined {
  const own = points
    .filter(({ operation }) => operation === "cholesky")
    .toSorted((a, b) => a.width - b.width);
  const [narrow, wide] = [own[0], own.at(-1)];
  if (!narrow || !wide || narrow === wide) return undefined;
  return [narrow, wide, narrow.width ** 3 / narrow.seconds, wide.width ** 3 / wide.seconds];
}

/** What is bound by memory does not become twice as fast, by arithmetic, with more arithmetic to a byte. */
function boundByMemory(points: readonly InversionPoint[]): boolean | undefined {
  const found = speeds(points);
  return found && found[3] < 2 * found[2];
}

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
    verdict: verdictOf([
      ...fits
        .filter(({ operation }) => operation !== step)
        .map(({ large }) =>
          Number.isNaN(large.error) ? undefined : Math.abs(large.exponent - 3) <= agreement,
        ),
      boundByMemory(points),
    ]),
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
  const fast = speeds(points);
  const lawOf = (name: Operation) => told.find(({ operation }) => operation === name)?.large;
  const [law, stepLaw] = [lawOf("cholesky"), lawOf(step)];
  const crossing = law && stepLaw ? crossingOf(law, stepLaw, 1 / factors) : Number.NaN;
  const interval = intervalOf(points, "cholesky", widest);
  return [
    `Over the largest three widths times grow: ${list(told.map(({ operation, large }) => `${operation} as d^${twoDigits(large.exponent)}`))}.`,
    ...(cholesky && eigen && schulz
      ? [
          `At d = ${formatCount(widest)} an inverse by Cholesky takes ${formatSeconds(cholesky.seconds)}, by eigenvectors ${about(eigen.seconds / cholesky.seconds)} times that, by Newton–Schulz ${about(schulz.seconds / cholesky.seconds)} times.`,
        ]
      : []),
    ...(fast
      ? [
          `Cholesky's speed goes from ${about(1e-9 * fast[2])} GFLOP/s at d = ${formatCount(fast[0].width)} to ${about(1e-9 * fast[3])} at d = ${formatCount(fast[1].width)}: ${boundByMemory(points) ? "it does not double, as where memory is the bound" : "small inverses are bound by latency, large ones by arithmetic, not by memory"}.`,
        ]
      : []),
    ...(interval !== undefined && gradient
      ? [
          `A gradient step on ${batch} examples takes ${formatSeconds(gradient.seconds)} there, so both factors by Cholesky stay below ${100 * share} % when they are inverted every ${formatCount(interval)} steps.`,
        ]
      : []),
    ...(Number.isFinite(crossing)
      ? [
          `By the fits both inverses are as dear as a step at d ≈ ${about(crossing)}${crossing < narrowest || crossing > widest ? ", outside of what is measured" : ""}.`,
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
