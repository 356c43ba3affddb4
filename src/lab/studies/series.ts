/** Points of a study as curves, and numbers as its readings write them. */
import type { Section } from "../account.js";
import type { Point as ChartPoint, Series } from "../chart.js";
import { coloursOf } from "../colours.js";
import type { PowerLaw } from "../fit.js";
import { formatCount, formatSignificant } from "../format.js";

export type Measured = Pick<ChartPoint, "x" | "y"> & Partial<Pick<ChartPoint, "low" | "high">>;

/** One curve a label, in the order in which labels come; `of` leaves out points by undefined. */
export function seriesOf<P>(
  points: readonly P[],
  labelOf: (point: P) => string,
  of: (point: P) => Measured | undefined,
): Series[] {
  const labels = [...new Set(points.map(labelOf))];
  const colours = coloursOf(labels);
  return labels.map((label, k) => ({
    label,
    colour: colours[k]!,
    points: points
      .filter((point) => labelOf(point) === label)
      .flatMap((point) => of(point) ?? [])
      .map(({ x, y, low = y, high = y }) => ({ x, y, low, high }))
      .sort((a, b) => a.x - b.x),
  }));
}

/** Of a chart, for those who do not see it: the ends of every curve. */
export const describeSeries = (
  series: readonly Series[],
  x: (value: number) => string,
  y: (value: number) => string,
): string =>
  series
    .flatMap(({ label, points }) => {
      const [first, last] = [points[0], points.at(-1)];
      return first && last ? [`${label}: ${y(first.y)} at ${x(first.x)}, ${y(last.y)} at ${x(last.x)}`] : [];
    })
    .join("; ");

/** Powers of ten on their own, other numbers with three digits. */
export function short(value: number): string {
  const power = Math.log10(value);
  if (Number.isInteger(power) && (power >= 4 || power <= -3)) return `1e${power}`;
  return value >= 1000 && value < 1e7 ? formatCount(value) : formatSignificant(value, 3);
}

/** Two significant digits: of what is known to no more. */
export const about = (value: number): string => {
  const rounded = Number(value.toPrecision(2));
  return rounded >= 1000 && rounded < 1e7 ? formatCount(rounded) : formatSignificant(rounded, 2);
};

/** "0.98"; never "-0.00". */
export const twoDigits = (value: number): string => value.toFixed(2).replace(/^-0\.00$/, "0.00");

/** "0.98 ± 0.01" */
export const exponentOf = ({ exponent, error }: PowerLaw): string =>
  Number.isNaN(exponent)
    ? "—"
    : `${twoDigits(exponent)}${Number.isNaN(error) ? "" : ` ± ${error.toFixed(2)}`}`;

export const list = (items: readonly string[]): string =>
  items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`;

/** A table with a row and a column for each value of two variables; where no point is, nothing. */
export function pivot<P>(
  points: readonly P[],
  {
    title,
    row: [rowTitle, rowOf],
    column,
    columnTitle,
    cell,
  }: {
    readonly title: string;
    readonly row: readonly [title: string, of: (point: P) => string];
    readonly column: (point: P) => number;
    readonly columnTitle: (value: number) => string;
    readonly cell: (point: P) => string;
  },
): Section {
  const rows = [...new Set(points.map(rowOf))];
  const columns = [...new Set(points.map(column))].sort((a, b) => a - b);
  return {
    title,
    columns: [
      { title: rowTitle },
      ...columns.map((value) => ({ title: columnTitle(value), align: "right" as const })),
    ],
    rows: rows.map((name) => [
      name,
      ...columns.map((value) => {
        const point = points.find((one) => rowOf(one) === name && column(one) === value);
        return point === undefined ? "" : cell(point);
      }),
    ]),
  };
}

/** A column of numbers. */
export const right = (title: string) => ({ title, align: "right" as const });
