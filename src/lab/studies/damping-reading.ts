/** What the losses over λ say: the best λ and the width of the good range, by way of using it. */
import * as v from "valibot";
import { decadesOf, type Range, rangeWithin, type XY } from "../fit.js";
import { formatSignificant } from "../format.js";
import { about, describeSeries, pivot, seriesOf, short } from "./series.js";
import { type Reading, verdictOf } from "./study.js";

export const wayNames = ["kfac, λ fixed", "kfac, λ adapted", "hessianFree, λ adapted"] as const;

const number = v.nullable(v.number());
export const dampingSchema = v.strictObject({
  way: v.picklist(wayNames),
  damping: v.number(),
  steps: v.number(),
  initial: v.number(),
  loss: number,
  low: number,
  high: number,
  accuracy: number,
  seeds: v.number(),
});
export type DampingPoint = v.InferOutput<typeof dampingSchema>;

/** Of the way from the best loss back to the initial one. */
const share = 0.1;
/** Where the damping is usually looked for. */
const usual = { low: 1e-3, high: 1 };

/** Much depends on λ where a decade off the best one has this many times its loss. */
const much = 1.5;

export interface GoodRange {
  readonly way: DampingPoint["way"];
  readonly range: Range;
  readonly bound: number;
  readonly decades: number;
  readonly diverged: number;
}

/** The range of λ whose loss is at most best + 0.1 (initial − best), of every way that has points. */
export const goodRanges = (points: readonly DampingPoint[]): GoodRange[] =>
  wayNames.flatMap((way) => {
    const own = points.filter((point) => point.way === way).toSorted((a, b) => a.damping - b.damping);
    const losses = own.flatMap(({ loss }) => loss ?? []);
    if (losses.length < 2) return [];
    const best = Math.min(...losses);
    const bound = best + share * (own[0]!.initial - best);
    const curve = own.map(({ damping, loss }): XY => [damping, loss ?? Number.POSITIVE_INFINITY]);
    const range = rangeWithin(curve, bound);
    if (!range) return [];
    return [{ way, range, bound, decades: decadesOf(range), diverged: own.length - losses.length }];
  });

const isUsual = ({ range: { best } }: GoodRange) => best[0] >= usual.low && best[0] <= usual.high;

/** Losses at a tenth and at ten times of the best λ, over the best loss; infinite where the run diverged. */
export const decadesOff = (
  points: readonly DampingPoint[],
  { way, range }: GoodRange,
): { factor: number; ratio: number }[] =>
  [0.1, 10].flatMap((factor) => {
    const off = points.find(
      (point) => point.way === way && Math.abs(Math.log(point.damping / range.best[0] / factor)) < 1e-6,
    );
    return off ? [{ factor, ratio: (off.loss ?? Number.POSITIVE_INFINITY) / range.best[1] }] : [];
  });

export function readDamping(points: readonly DampingPoint[]): Reading {
  const ranges = goodRanges(points);
  const series = seriesOf(
    points,
    ({ way }) => way,
    ({ damping, loss, low, high }) =>
      loss === null ? undefined : { x: damping, y: loss, low: low ?? loss, high: high ?? loss },
  );
  const [fixed, ...adapted] = wayNames.map((name) => ranges.find(({ way }) => way === name));
  const offs = fixed ? decadesOff(points, fixed) : [];
  return {
    verdict: verdictOf([
      fixed && isUsual(fixed),
      fixed && offs.length > 0 ? offs.some(({ ratio }) => ratio >= much) : undefined,
      ...adapted.map((one) => one && fixed && one.decades > fixed.decades),
    ]),
    paragraph: paragraph(points, ranges),
    sections: [
      pivot(points, {
        title: "Test loss after equal steps (median over seeds)",
        row: ["optimizer", ({ way }) => way],
        column: ({ damping }) => damping,
        columnTitle: (lambda) => `λ = ${short(lambda)}`,
        cell: ({ loss }) => (loss === null ? "diverged" : formatSignificant(loss, 3)),
      }),
      {
        title: `Good range: losses up to best + ${share}·(initial − best)`,
        columns: [
          { title: "optimizer" },
          ...["best λ", "its loss", "from", "to", "decades"].map((title) => ({
            title,
            align: "right" as const,
          })),
        ],
        rows: ranges.map(({ way, range, decades }) => [
          way,
          short(range.best[0]),
          formatSignificant(range.best[1], 3),
          ends(range).low,
          ends(range).high,
          isOpen(range) ? `≥ ${decades.toFixed(1)}` : decades.toFixed(1),
        ]),
      },
    ],
    figures: [
      {
        id: "damping",
        title: "Test loss after equal steps by damping",
        description: describeSeries(series, (x) => `λ = ${short(x)}`, short),
        xLabel: "damping λ",
        yLabel: "test loss",
        xScale: "log",
        yScale: "log",
        xFormat: short,
        yFormat: short,
        marked: true,
        series,
      },
    ],
  };
}

const isOpen = ({ openLow, openHigh }: Range) => openLow || openHigh;
/** Where a range is still good at the end of what was measured, it goes on. */
const ends = ({ low, high, openLow, openHigh }: Range) => ({
  low: `${openLow ? "≤ " : ""}${short(low)}`,
  high: `${openHigh ? "≥ " : ""}${short(high)}`,
});

function paragraph(points: readonly DampingPoint[], ranges: readonly GoodRange[]): string {
  if (ranges.length === 0) return "Too few runs have ended to tell.";
  const each = ranges.map(({ way, range, decades, diverged }) => {
    const { low, high } = ends(range);
    return (
      `${way}: best at ${short(range.best[0])} (loss ${formatSignificant(range.best[1], 3)}), good from ${low} to ${high}, ` +
      `${isOpen(range) ? "at least " : ""}${decades.toFixed(1)} decades${diverged > 0 ? `, diverged at ${diverged} of the values` : ""}`
    );
  });
  const fixed = ranges.find(({ way }) => way === wayNames[0]);
  const adapted = ranges.filter(({ way }) => way !== wayNames[0]);
  const offs = fixed ? decadesOff(points, fixed) : [];
  return [
    `${each.join(". ")}.`,
    ...(fixed
      ? [
          `The best fixed λ lies ${isUsual(fixed) ? "within" : "outside"} the usual ${usual.low} to ${usual.high}.`,
          ...offs.map(
            ({ factor, ratio }) =>
              `${factor < 1 ? "A tenth" : "Ten times"} of it ends at ${Number.isFinite(ratio) ? `${about(ratio)} times its loss` : "no loss: it diverges"}.`,
          ),
        ]
      : []),
    ...(fixed
      ? adapted.map(({ way, decades }) =>
          decades > fixed.decades
            ? `${way} has a range wider by ${(decades - fixed.decades).toFixed(1)} decades.`
            : `${way} has no wider range.`,
        )
      : []),
  ].join(" ");
}
