/** What steps and times over intervals say: the cost of staleness, the fastest interval, and how little it matters. */
import * as v from "valibot";
import type { Section } from "../account.js";
import { type PowerLaw, powerLaw, type XY } from "../fit.js";
import { formatCount, formatSeconds, formatSignificant } from "../format.js";
import { describeSeries, list, pivot, right, seriesOf, short, twoDigits } from "./series.js";
import { type Reading, verdictOf } from "./study.js";

export const schemeNames = [
  "inverses every T, β = 0.95",
  "factors and inverses every T, β = 0.95",
  "factors and inverses every T, β = 0",
] as const;
export type Scheme = (typeof schemeNames)[number];

const number = v.nullable(v.number());
export const stalenessSchema = v.variant("what", [
  v.strictObject({
    what: v.literal("cost"),
    /** t, t_e, t_i */
    plain: v.number(),
    estimate: v.number(),
    inversion: v.number(),
  }),
  v.strictObject({
    what: v.literal("run"),
    scheme: v.picklist(schemeNames),
    interval: v.number(),
    steps: number,
    low: number,
    high: number,
    estimates: number,
    inversions: number,
    seconds: number,
    seeds: v.number(),
  }),
]);
export type StalenessPoint = v.InferOutput<typeof stalenessSchema>;
export type RunPoint = Extract<StalenessPoint, { what: "run" }>;
export type CostPoint = Extract<StalenessPoint, { what: "cost" }>;

export interface SchemeReading {
  readonly scheme: Scheme;
  /** Of steps against T. */
  readonly exponent: PowerLaw;
  /** Steps at the largest T that arrived over steps at the smallest. */
  readonly growth: number;
  readonly fastest: RunPoint;
  /** The largest T that arrived. */
  readonly rarest: RunPoint;
  readonly missed: readonly number[];
}

export const readSchemes = (points: readonly StalenessPoint[]): SchemeReading[] =>
  schemeNames.flatMap((scheme) => {
    const own = points
      .filter((point): point is RunPoint => point.what === "run" && point.scheme === scheme)
      .sort((a, b) => a.interval - b.interval);
    const arrived = own.filter(({ steps }) => steps !== null);
    if (arrived.length < 2) return [];
    const [first, last] = [arrived[0]!, arrived.at(-1)!];
    return [
      {
        scheme,
        exponent: powerLaw(arrived.map(({ interval, steps }): XY => [interval, steps!])),
        growth: last.steps! / first.steps!,
        fastest: arrived.reduce((a, b) => (b.seconds! < a.seconds! ? b : a)),
        rarest: last,
        missed: own.filter(({ steps }) => steps === null).map(({ interval }) => interval),
      },
    ];
  });

/** Usual intervals: within them, little may depend on T. */
export const usual = [5, 100] as const;
/** Steps may differ by this factor within the usual intervals and sensitivity is still low. */
const little = 1.25;
/** Staleness costs steps where the rarest refresh takes more than this many times those of the most frequent one. */
const costly = 1.05;

/** Most steps over least within the usual intervals. */
export function spreadWithin(points: readonly StalenessPoint[], scheme: Scheme): number | undefined {
  const steps = points.flatMap((point) =>
    point.what === "run" &&
    point.scheme === scheme &&
    point.interval >= usual[0] &&
    point.interval <= usual[1]
      ? [point.steps ?? Number.POSITIVE_INFINITY]
      : [],
  );
  return steps.length < 2 ? undefined : Math.max(...steps) / Math.min(...steps);
}

export function readStaleness(points: readonly StalenessPoint[]): Reading {
  const runs = points.filter((point): point is RunPoint => point.what === "run");
  const schemesRead = readSchemes(points);
  const spreads = schemeNames.map((scheme) => spreadWithin(points, scheme));
  const curves = (of: (point: RunPoint) => number | null) =>
    seriesOf(
      runs,
      ({ scheme }) => scheme,
      (point) => {
        const y = of(point);
        return y === null ? undefined : { x: point.interval, y };
      },
    );
  const steps = seriesOf(
    runs,
    ({ scheme }) => scheme,
    ({ interval, steps, low, high }) =>
      steps === null ? undefined : { x: interval, y: steps, low: low ?? steps, high: high ?? steps },
  );
  const seconds = curves((point) => point.seconds);
  const at = (x: number) => `T = ${short(x)}`;
  const axes = {
    xLabel: "interval T, updates",
    xScale: "log",
    yScale: "log",
    xFormat: short,
    marked: true,
  } as const;
  return {
    verdict: verdictOf([
      ...spreads.map((spread) => (spread === undefined ? undefined : spread <= little)),
      ...schemesRead.map(({ growth }) => growth > costly),
    ]),
    paragraph: paragraph(schemesRead, spreads),
    sections: [
      pivot(runs, {
        title: "Steps / time to the target (medians over seeds)",
        row: ["refreshed", ({ scheme }) => scheme],
        column: ({ interval }) => interval,
        columnTitle: (T) => `T = ${T}`,
        cell: ({ steps, seconds }) =>
          steps === null ? "—" : `${formatCount(steps)} / ${formatSeconds(seconds!)}`,
      }),
      ...costs(points),
    ],
    figures: [
      {
        id: "steps",
        title: "Steps to the target by interval",
        description: describeSeries(steps, at, short),
        yLabel: "steps",
        yFormat: short,
        series: steps,
        ...axes,
      },
      {
        id: "time",
        title: "Time to the target by interval, counted from steps, estimates and inversions",
        description: describeSeries(seconds, at, formatSeconds),
        yLabel: "seconds",
        yFormat: formatSeconds,
        series: seconds,
        ...axes,
      },
    ],
  };
}

function paragraph(schemesRead: readonly SchemeReading[], spreads: readonly (number | undefined)[]): string {
  if (schemesRead.length === 0) return "Too few runs reached the target to tell.";
  const each = schemesRead.map(({ scheme, exponent, rarest, growth, missed, fastest }) => {
    const spread = spreads[schemeNames.indexOf(scheme)];
    return [
      `With ${scheme}, steps go as T^${twoDigits(exponent.exponent)}: T = ${rarest.interval} takes ${formatSignificant(growth, 3)} times the steps of the least T`,
      ...(spread === undefined
        ? []
        : [
            Number.isFinite(spread)
              ? `from ${usual[0]} to ${usual[1]} they differ by a factor of ${formatSignificant(spread, 3)}`
              : `not every T from ${usual[0]} to ${usual[1]} arrives`,
          ]),
      ...(missed.length > 0 ? [`the target is missed at T = ${list(missed.map(String))}`] : []),
      `the least time, ${formatSeconds(fastest.seconds!)}, is at T = ${fastest.interval}`,
    ].join("; ");
  });
  const best = schemesRead.map(({ fastest }) => fastest).reduce((a, b) => (b.seconds! < a.seconds! ? b : a));
  const told = spreads.filter((spread) => spread !== undefined);
  const low = told.length > 0 && told.every((spread) => spread <= little);
  return [
    `${each.join(". ")}.`,
    `The fastest of all is ${best.scheme} with T = ${best.interval}.`,
    ...(told.length === 0
      ? []
      : [
          low
            ? `That little depends on T between ${usual[0]} and ${usual[1]} holds: steps stay within a factor of ${little}.`
            : `That little depends on T between ${usual[0]} and ${usual[1]} does not hold for ${list(schemeNames.filter((_, k) => (spreads[k] ?? 0) > little))}.`,
        ]),
  ].join(" ");
}

function costs(points: readonly StalenessPoint[]): Section[] {
  const found = points.find((point) => point.what === "cost");
  if (!found) return [];
  return [
    {
      title: "What a step costs, least over many",
      columns: [{ title: "part" }, right("time")],
      rows: [
        ["a plain step", formatSeconds(found.plain)],
        ["a step with an estimate of the factors", formatSeconds(found.estimate)],
        ["an inversion of all factors", formatSeconds(found.inversion)],
      ],
    },
  ];
}
