/** What the ends of equal times say: the best share, and whether a mixture beats both ends. */
import * as v from "valibot";
import { formatCount, formatSeconds, formatSignificant } from "../format.js";
import { describeSeries, pivot, seriesOf, short } from "./series.js";
import { type Reading, verdictOf } from "./study.js";

export const pairNames = ["pinn-poisson, adam then lbfgs", "digits-mlp, adam then kfac"] as const;

const number = v.nullable(v.number());
export const switchSchema = v.variant("what", [
  v.strictObject({
    what: v.literal("cost"),
    pair: v.picklist(pairNames),
    /** t₁, t₂ */
    first: v.number(),
    second: v.number(),
  }),
  v.strictObject({
    what: v.literal("run"),
    pair: v.picklist(pairNames),
    share: v.number(),
    firstSteps: v.number(),
    secondSteps: v.number(),
    value: number,
    low: number,
    high: number,
    seeds: v.number(),
  }),
]);
export type SwitchPoint = v.InferOutput<typeof switchSchema>;
export type SwitchRun = Extract<SwitchPoint, { what: "run" }>;

export interface BestShare {
  readonly pair: SwitchRun["pair"];
  readonly best: SwitchRun;
  /** All the time to the second method, and all to the first. */
  readonly second: SwitchRun;
  readonly first: SwitchRun;
  /** The better end over the best mixture: above 1 where a mixture wins. */
  readonly gain: number;
  /** Whether the ranges over seeds of the best mixture and of the better end are apart. */
  readonly apart: boolean;
}

/** Of every pair whose both ends and some mixture were measured. */
export const bestShares = (points: readonly SwitchPoint[]): BestShare[] =>
  pairNames.flatMap((pair) => {
    const own = points.filter(
      (point): point is SwitchRun => point.what === "run" && point.pair === pair && point.value !== null,
    );
    const [second, first] = [0, 100].map((share) => own.find((run) => run.share === share));
    const mixtures = own.filter(({ share }) => share > 0 && share < 100);
    if (!second || !first || mixtures.length === 0) return [];
    const best = mixtures.reduce((a, b) => (b.value! < a.value! ? b : a));
    const end = first.value! < second.value! ? first : second;
    const apart = (best.high ?? best.value!) < end.low! || best.low! > (end.high ?? end.value!);
    return [{ pair, best, second, first, gain: end.value! / best.value!, apart }];
  });

/** A mixture is better where it wins by more than this. */
const least = 1.05;

export function readSwitch(points: readonly SwitchPoint[]): Reading {
  const runs = points.filter((point): point is SwitchRun => point.what === "run");
  const shares = bestShares(points);
  const costs = points.filter((point) => point.what === "cost");
  const figures = pairNames.flatMap((pair, k) => {
    const series = seriesOf(
      runs.filter((run) => run.pair === pair),
      (run) => run.pair,
      ({ share, value, low, high }) =>
        value === null ? undefined : { x: share, y: value, low: low ?? value, high: high ?? value },
    ).map((one) => ({ ...one, colour: k }));
    if (series.length === 0) return [];
    return [
      {
        id: `switch-${k}`,
        title: `${pair}: the end by the share of time before the switch`,
        description: describeSeries(series, (x) => `${x} %`, short),
        xLabel: "time for the first method, %",
        yLabel: k === 0 ? "error of the solution" : "test loss",
        yScale: "log" as const,
        xFormat: short,
        yFormat: short,
        marked: true,
        series,
      },
    ];
  });
  return {
    verdict: verdictOf(
      pairNames.map((name) => {
        const found = shares.find(({ pair }) => pair === name);
        return found && found.gain > least;
      }),
    ),
    paragraph: paragraph(shares),
    sections: [
      pivot(runs, {
        title: "At the end of equal time (median over seeds), by per cent of it for the first method",
        row: ["pair", ({ pair }) => pair],
        column: ({ share }) => share,
        columnTitle: (share) => `${share} %`,
        cell: ({ value }) => (value === null ? "diverged" : formatSignificant(value, 3)),
      }),
      {
        title: "Steps that share the time",
        columns: [
          { title: "pair" },
          ...["t₁", "t₂", "first alone", "second alone"].map((title) => ({
            title,
            align: "right" as const,
          })),
        ],
        rows: costs.map(({ pair, first, second }) => {
          const steps = (share: number) => runs.find((run) => run.pair === pair && run.share === share);
          return [
            pair,
            formatSeconds(first),
            formatSeconds(second),
            formatCount(steps(100)?.firstSteps ?? Number.NaN),
            formatCount(steps(0)?.secondSteps ?? Number.NaN),
          ];
        }),
      },
    ],
    figures,
  };
}

function paragraph(shares: readonly BestShare[]): string {
  if (shares.length === 0) return "Too few runs have ended to tell.";
  return shares
    .map(({ pair, best, first, second, gain, apart }) => {
      const ends = `the first method alone ends at ${formatSignificant(first.value!, 3)}, the second alone at ${formatSignificant(second.value!, 3)}`;
      const mixture = `the best mixture, ${best.share} % of the time before the switch, at ${formatSignificant(best.value!, 3)}`;
      const told =
        gain > least
          ? `better than the better of both by a factor of ${formatSignificant(gain, 3)}: the expectation holds`
          : gain >= 1 / least
            ? "no better than the better of both: the expectation does not hold"
            : `worse than the better of both by a factor of ${formatSignificant(1 / gain, 3)}: the expectation does not hold`;
      const ranges =
        best.seeds > 1
          ? ` (ranges over ${best.seeds} seeds ${apart ? "are apart" : "overlap"})`
          : " (one seed)";
      return `On ${pair}, ${ends}, ${mixture}, ${told}${ranges}.`;
    })
    .join(" ");
}
