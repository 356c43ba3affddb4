/** What iterations over κ say: the exponent of every method beside theory's. */
import * as v from "valibot";
import type { Section } from "../account.js";
import { type PowerLaw, powerLaw, solveFor, type XY } from "../fit.js";
import { formatCount } from "../format.js";
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

export const methodNames = [
  "gradient descent",
  "heavy ball",
  "conjugate gradients",
  "L-BFGS",
  "Newton",
] as const;
export type MethodName = (typeof methodNames)[number];

export const conditionSchema = v.strictObject({
  method: v.picklist(methodNames),
  condition: v.number(),
  iterations: v.nullable(v.number()),
  bound: v.nullable(v.number()),
});
export type ConditionPoint = v.InferOutput<typeof conditionSchema>;

/** n */
export const size = 1000;
/** ‖x − x*‖ to reach. */
export const near = 1e-6;
/** Exponents of κ by theory; of L-BFGS none is known. */
const theories: Readonly<Partial<Record<MethodName, number>>> = {
  "gradient descent": 1,
  "heavy ball": 0.5,
  "conjugate gradients": 0.5,
  Newton: 0,
};
/** An exponent this near to theory's agrees with it. */
const agreement = 0.15;

export interface ConditionFit {
  readonly method: MethodName;
  readonly theory: number | undefined;
  readonly law: PowerLaw;
  /** Exponent between the last two conditions. */
  readonly last: number;
  readonly agrees: boolean | undefined;
}

/** The exponent of every method that has points. */
export function fitConditions(points: readonly ConditionPoint[]): ConditionFit[] {
  return methodNames.flatMap((method) => {
    const own = points
      .filter((point) => point.method === method && point.iterations !== null)
      .map(({ condition, iterations }): XY => [condition, iterations!])
      .sort(([a], [b]) => a - b);
    if (own.length === 0) return [];
    const law = powerLaw(own);
    const theory = theories[method];
    const agrees =
      theory === undefined || Number.isNaN(law.exponent)
        ? undefined
        : Math.abs(law.exponent - theory) <= agreement;
    return [{ method, theory, law, last: powerLaw(own.slice(-2)).exponent, agrees }];
  });
}

export function readCondition(points: readonly ConditionPoint[]): Reading {
  const fits = fitConditions(points);
  const series = seriesOf(
    points,
    ({ method }) => method,
    ({ condition, iterations }) => (iterations === null ? undefined : { x: condition, y: iterations }),
  );
  return {
    verdict: verdictOf(fits.filter(({ theory }) => theory !== undefined).map(({ agrees }) => agrees)),
    paragraph: paragraph(points, fits),
    sections: [
      pivot(points, {
        title: `Iterations to ‖x − x*‖ ≤ ${short(near)}, n = ${formatCount(size)} (in brackets: theory)`,
        row: ["method", ({ method }) => method],
        column: ({ condition }) => condition,
        columnTitle: (kappa) => `κ = ${short(kappa)}`,
        cell: ({ method, iterations, bound }) =>
          (iterations === null ? "—" : formatCount(iterations)) +
          (bound === null || method === "Newton" ? "" : ` (${formatCount(bound)})`),
      }),
      exponents(fits),
    ],
    figures: [
      {
        id: "condition",
        title: `Iterations to ‖x − x*‖ ≤ ${short(near)} by condition number`,
        description: describeSeries(series, (x) => `κ = ${short(x)}`, short),
        xLabel: "condition number κ",
        yLabel: "iterations",
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

function paragraph(points: readonly ConditionPoint[], fits: readonly ConditionFit[]): string {
  const told = fits.filter(({ law }) => !Number.isNaN(law.exponent));
  if (told.length === 0) return "Too few points are measured for an exponent.";
  const each = told.map(
    ({ method, theory, law, agrees }) =>
      `${method} as κ^${twoDigits(law.exponent)}` +
      (theory === undefined ? "" : ` (theory ${theory}: ${agrees ? "holds" : "does not hold"})`),
  );
  const bent = told.filter(({ law, last }) => Math.abs(last - law.exponent) > agreement);
  const rounded = points
    .filter(({ method, iterations }) => method === "conjugate gradients" && (iterations ?? 0) > size)
    .toSorted((a, b) => b.condition - a.condition)[0];
  const missed = points.filter(({ iterations }) => iterations === null);
  const lawOf = (name: MethodName) => told.find(({ method }) => method === name)?.law;
  const [gradient, ball] = [lawOf("gradient descent"), lawOf("heavy ball")];
  const slowest = points
    .filter(({ method, iterations }) => method === "gradient descent" && iterations !== null)
    .toSorted((a, b) => b.condition - a.condition)[0];
  const beside = points.find(
    ({ method, condition }) => method === "Newton" && condition === slowest?.condition,
  )?.iterations;
  return [
    `Iterations grow: ${list(each)}.`,
    ...bent.map(
      ({ method, last, law }) =>
        `${method} ${last < law.exponent ? "flattens" : "steepens"}: between the last two conditions the exponent is ${twoDigits(last)}` +
        (method === "conjugate gradients" && last < law.exponent
          ? `, since exact arithmetic ends after n = ${formatCount(size)}.`
          : "."),
    ),
    ...(rounded
      ? [
          `Exact conjugate gradients end after n = ${formatCount(size)}; rounding makes them ${formatCount(rounded.iterations!)} at κ = ${short(rounded.condition)}.`,
        ]
      : []),
    ...(slowest && beside
      ? [
          `At κ = ${short(slowest.condition)} gradient descent takes ${formatCount(slowest.iterations!)} iterations, Newton ${formatCount(beside)}.`,
        ]
      : []),
    ...(gradient && ball && gradient.exponent > 0.5 && ball.exponent > 0.2
      ? [
          `One Newton step here is ${formatCount(size)} products with the Hessian: counted as so many gradients, gradient descent is dearer from κ ≈ ${about(solveFor(gradient, size))} on, the heavy ball from κ ≈ ${about(solveFor(ball, size))}.`,
        ]
      : []),
    ...(missed.length > 0
      ? [
          `Not reached: ${list(missed.map(({ method, condition }) => `${method} at κ = ${short(condition)}`))}.`,
        ]
      : []),
  ].join(" ");
}

const exponents = (fits: readonly ConditionFit[]): Section => ({
  title: "Exponents of κ",
  columns: [{ title: "method" }, right("fitted"), right("last two"), right("theory"), { title: "verdict" }],
  rows: fits.map(({ method, law, last, theory, agrees }) => [
    method,
    exponentOf(law),
    Number.isNaN(last) ? "—" : twoDigits(last),
    theory === undefined ? "—" : String(theory),
    agrees === undefined ? "" : agrees ? "holds" : "does not hold",
  ]),
});
