/** What a comparison says: barriers by kind of method, and how to read them. */
import type { Family } from "../../optimizers/catalogue.js";
import { findMethod } from "../../optimizers/registry.js";
import type { Section } from "../account.js";
import { median } from "../score.js";
import type { Comparison } from "./comparison.js";
import { alignedBarrier, barrierOf, bundlesOf, column, type Metrics, number } from "./findings.js";
import type { Subject } from "./subjects.js";

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
  const hasAligned = ends.some(({ line }) => line.aligned);
  const rows = [true, false].flatMap((sameStart) => {
    const own = ends.filter((one) => one.sameStart === sameStart);
    return [...new Set(own.map(({ pair }) => pair))].sort().map((pair) => {
      const lines = own.filter((one) => one.pair === pair).map(({ line }) => line);
      const heights = lines.map((line) => barrierOf(line, "train", "loss", metrics));
      const alignedHeights = lines.flatMap((line) => alignedBarrier(line, metrics) ?? []);
      const flat = lines.filter((line) => barrierOf(line, "test", "accuracy", metrics) < connected).length;
      return [
        pair,
        sameStart ? "one" : "different",
        number(median(heights)),
        lines.length === 1 ? "—" : `${number(Math.min(...heights))} to ${number(Math.max(...heights))}`,
        ...(hasAligned ? [number(median(alignedHeights))] : []),
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
      ...(hasAligned ? [column("aligned")] : []),
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
      "hidden units in another order are the same network, with a barrier between (Entezari et al. 2022)." +
      (lines.some(({ line }) => line!.aligned)
        ? " Aligned: the units of the second are first put in the order that is closest to the first's (Ainsworth et al. 2023)."
        : ""),
    "λ₁, the trace and SAM's sharpness change when one layer is scaled and the next scaled back, which changes no " +
      "function (Dinh et al. 2017); the adaptive sharpness does not.",
  ];
}
