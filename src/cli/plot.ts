/** A chart in characters: the same that pages draw as SVG, for a terminal. */
import pc from "picocolors";
import { type Chart, linearTicks, logTicks } from "../lab/chart.js";
import { plain, unicode } from "./text.js";

/** Marks of points, by series; lines between them are dots. */
const marks = ["o", "x", "+", "*", "#", "@", "%", "="];
const colours = [pc.cyan, pc.yellow, pc.green, pc.magenta, pc.red, pc.blue, pc.white, pc.gray];
const corner = unicode ? { side: "│", floor: "─", meet: "└" } : { side: "|", floor: "-", meet: "+" };

/**
 * @param columns of the field, without the axis. @param rows of the field.
 *
 *     print(drawPlot(chart));
 */
export function drawPlot(chart: Chart, columns = 64, rows = 15): string {
  const [logX, logY] = [chart.xScale === "log", chart.yScale === "log"];
  const series = chart.series.map((one) => ({
    ...one,
    points: one.points.filter(({ x, y }) => has(logX, x) && has(logY, y)),
  }));
  const all = series.flatMap(({ points }) => points);
  const xAxis = axisOf(
    logX,
    all.map(({ x }) => x),
    columns,
  );
  const yAxis = axisOf(
    logY,
    all.map(({ y }) => y),
    rows,
  );
  if (!xAxis || !yAxis) return `${plain(chart.title)}: nothing was measured`;
  const field: string[][] = Array.from({ length: rows }, () => new Array<string>(columns).fill(" "));
  const put = (column: number, row: number, text: string) => {
    field[rows - 1 - row]![column] = text;
  };
  for (const [k, { points, colour }] of series.entries()) {
    const at = points.map(({ x, y }) => ({ column: xAxis.at(x), row: yAxis.at(y) }));
    const paint = colours[colour % colours.length]!;
    at.forEach((to, k) => {
      const from = at[k - 1];
      for (let column = (from?.column ?? to.column) + 1; from && column < to.column; column++) {
        const share = (column - from.column) / (to.column - from.column);
        const row = Math.round(from.row + share * (to.row - from.row));
        if (field[rows - 1 - row]![column] === " ") put(column, row, paint("."));
      }
    });
    for (const { column, row } of at) put(column, row, paint(marks[k % marks.length]!));
  }
  const labels = new Map(
    yAxis.ticks(4).map((tick) => [rows - 1 - yAxis.at(tick), plain(chart.yFormat(tick))] as const),
  );
  const width = Math.max(...[...labels.values()].map((label) => label.length), 0);
  const lines = field.map(
    (line, row) => `${(labels.get(row) ?? "").padStart(width)} ${corner.side}${line.join("").trimEnd()}`,
  );
  const floor = `${" ".repeat(width)} ${corner.meet}${corner.floor.repeat(columns)}`;
  const names = series.flatMap(({ label, colour, points }, k) =>
    points.length > 0 ? [`${colours[colour % colours.length]!(marks[k % marks.length]!)} ${label}`] : [],
  );
  return [
    pc.bold(plain(chart.title)),
    ...lines,
    floor,
    " ".repeat(width + 2) + tickLine(xAxis, chart, columns),
    `${" ".repeat(width + 2)}${plain(chart.xLabel)}`,
    plain(names.join("   ")),
  ].join("\n");
}

/** Whether an axis has a place for a value. */
const has = (log: boolean, value: number) => Number.isFinite(value) && (!log || value > 0);

interface Axis {
  /** The cell of a value between the least and the largest. */
  at(value: number): number;
  ticks(count: number): number[];
}

/** Undefined without a value. */
function axisOf(log: boolean, values: readonly number[], cells: number): Axis | undefined {
  if (values.length === 0) return undefined;
  const position = log ? Math.log10 : (value: number) => value;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const extent = position(high) - position(low) || 1;
  return {
    at: (value) => Math.round(((position(value) - position(low)) / extent) * (cells - 1)),
    ticks: (count) =>
      (log ? logTicks(low, high) : linearTicks(low, high, count)).filter(
        (tick) => tick >= low && tick <= high,
      ),
  };
}

/** Labels below the floor, as far as they have room. */
function tickLine(axis: Axis, chart: Chart, columns: number): string {
  let line = "";
  for (const tick of axis.ticks(6)) {
    const column = axis.at(tick);
    const label = plain(chart.xFormat(tick));
    const start = Math.max(0, Math.min(columns - label.length, column - (label.length >> 1)));
    if (line !== "" && start < line.length + 1) continue;
    line = line.padEnd(start) + label;
  }
  return line;
}
