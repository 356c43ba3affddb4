/** Line charts as SVG: median lines in bands of range. Colours are CSS classes, so that the page decides on them. */
import { placeLabels, shorten, widthOf } from "./chart-labels.js";

export interface Point {
  readonly x: number;
  readonly y: number;
  /** Range over runs. */
  readonly low: number;
  readonly high: number;
}

export interface Series {
  readonly label: string;
  /** Number of the colour class "s0", "s1", … */
  readonly colour: number;
  readonly points: readonly Point[];
}

export interface Chart {
  /** Unique on its page. */
  readonly id: string;
  readonly title: string;
  /** What the picture shows, for those who do not see it. */
  readonly description: string;
  readonly xLabel: string;
  readonly yLabel: string;
  /** Default: linear. */
  readonly xScale?: "linear" | "log";
  readonly yScale: "linear" | "log";
  readonly yFormat: (value: number) => string;
  readonly xFormat: (value: number) => string;
  /** What is larger is drawn here: else one run that diverges leaves no room for the others. */
  readonly yMost?: number;
  /** Where a linear axis begins (default: 0). */
  readonly xFrom?: number;
  /** Whether every point has a mark: where they are few. */
  readonly marked?: boolean;
  readonly series: readonly Series[];
  /** A horizontal line: the target. */
  readonly rule?: { readonly y: number; readonly label: string } | undefined;
}

const width = 440;
const height = 300;
/** Room below for the numbers and the name of the axis, above for the name of the other. */
const margin = { top: 26, right: 14, bottom: 44 };

export const escapeText = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** Round numbers that cover [low, high], about `count` of them. */
export function linearTicks(low: number, high: number, count: number): number[] {
  if (!(high > low)) return [low];
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((m) => m * power >= rough) ?? 10);
  const ticks: number[] = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++)
    ticks.push(Number((k * step).toPrecision(12)));
  return ticks;
}

/**
 * Within [low, high]: 1, 2, 3, 5 and 7 times powers of ten, over some decades powers only, over many decades every n-th
 * power; within a small part of a decade, round numbers at equal distances.
 */
export function logTicks(low: number, high: number): number[] {
  const decades = Math.log10(high / low);
  const multiples = decades > 3 ? [1] : decades > 1.3 ? [1, 3] : [1, 2, 3, 5, 7];
  const every = Math.ceil(decades / 8);
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    for (const m of power % every === 0 ? multiples : []) {
      const value = Number((m * 10 ** power).toPrecision(6));
      if (value >= low * 0.999 && value <= high * 1.001) ticks.push(value);
    }
  return ticks.length > 2 ? ticks : linearTicks(low, high, 5).filter((value) => value > 0);
}

/** Ticks as text: where two would read alike, with all of their digits. */
function labelled(ticks: readonly number[], format: (value: number) => string): [number, string][] {
  const labels = ticks.map(format);
  return ticks.map((tick, k) => [tick, new Set(labels).size < ticks.length ? String(tick) : labels[k]!]);
}

/** Of labels along the x axis, those that have room: all, or every second, third, … */
function spaced<T extends { readonly at: number; readonly label: string }>(ticks: readonly T[]): T[] {
  for (let every = 1; every < ticks.length; every++) {
    const kept = ticks.filter((_, k) => k % every === 0);
    const fits = kept.every(({ at, label }, k) => {
      const next = kept[k + 1];
      return !next || next.at - at > (widthOf(label) + widthOf(next.label)) / 2 + 4;
    });
    if (fits) return kept;
  }
  return ticks.slice(0, 1);
}

export function drawChart(chart: Chart): string {
  const [logX, log] = [chart.xScale === "log", chart.yScale === "log"];
  const usable = (value: number) => Number.isFinite(value) && (!log || value > 0);
  const most = chart.yMost ?? Number.POSITIVE_INFINITY;
  const cut = (value: number) => Math.min(value, most);
  const series = chart.series.map((one) => ({
    ...one,
    points: one.points
      .filter((p) => usable(p.y) && (!logX || p.x > 0))
      .map((p) => ({
        x: p.x,
        y: cut(p.y),
        low: cut(usable(p.low) ? p.low : p.y),
        high: cut(usable(p.high) ? p.high : p.y),
      })),
  }));
  const points = series.flatMap((one) => one.points);
  const xs = points.map((p) => p.x);
  const ys = [
    ...points.flatMap((p) => [p.y, p.low, p.high]),
    ...(chart.rule && usable(chart.rule.y) ? [chart.rule.y] : []),
  ];
  const head =
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="${chart.id}-t ${chart.id}-d">` +
    `<title id="${chart.id}-t">${escapeText(chart.title)}</title>` +
    `<desc id="${chart.id}-d">${escapeText(chart.description)}</desc>`;
  if (points.length === 0)
    return `${head}<text class="axis" x="${width / 2}" y="${height / 2}" text-anchor="middle">nothing was measured</text></svg>`;

  const along = logX ? Math.log10 : (value: number) => value;
  const xLow = along(logX ? minimum(xs) : Math.min(chart.xFrom ?? 0, minimum(xs)));
  const xHighest = maximum(xs) || 1;
  const xHigh = along(xHighest);
  const [yMin, yMax] = [minimum(ys), maximum(ys)];
  const position = log ? Math.log10 : (value: number) => value;
  const pad = (position(yMax) - position(yMin)) * 0.04 || Math.abs(position(yMax)) * 0.1 || 0.5;
  const [yLow, yHigh] = [position(yMin) - pad, position(yMax) + pad];
  const xTicks = labelled(
    logX ? logTicks(10 ** xLow, 10 ** xHigh) : linearTicks(xLow, xHigh, 6),
    chart.xFormat,
  );
  const yTicks = labelled(
    log ? logTicks(10 ** yLow, 10 ** yHigh) : linearTicks(yLow, yHigh, 6),
    chart.yFormat,
  );
  const left = 10 + Math.max(0, ...yTicks.map(([, label]) => widthOf(label)));
  const right = width - roomForNames(series, along(xHighest), xHigh - xLow, along);
  const bottom = height - margin.bottom;
  const x = (value: number) => left + ((along(value) - xLow) / (xHigh - xLow || 1)) * (right - left);
  const y = (value: number) => bottom - ((position(value) - yLow) / (yHigh - yLow)) * (bottom - margin.top);
  const at = (a: number, b: number) => `${round(a)},${round(b)}`;

  const parts = [head];
  for (const [tick, label] of yTicks) {
    parts.push(
      `<line class="grid" x1="${round(left)}" x2="${round(right)}" y1="${round(y(tick))}" y2="${round(y(tick))}"/>`,
      `<text class="axis" x="${round(left - 6)}" y="${round(y(tick) + 4)}" text-anchor="end">${escapeText(label)}</text>`,
    );
  }
  const named = new Set(spaced(xTicks.map(([tick, label]) => ({ at: x(tick), label }))).map(({ at }) => at));
  for (const [tick, label] of xTicks) {
    const place = x(tick);
    parts.push(
      `<line class="tick" x1="${round(place)}" x2="${round(place)}" y1="${bottom}" y2="${bottom + 5}"/>`,
    );
    if (!named.has(place)) continue;
    const anchor = place + widthOf(label) / 2 > width ? "end" : "middle";
    parts.push(
      `<text class="axis" x="${round(anchor === "end" ? width : place)}" y="${bottom + 19}" text-anchor="${anchor}">${escapeText(label)}</text>`,
    );
  }
  parts.push(
    `<line class="tick" x1="${round(left)}" x2="${round(right)}" y1="${bottom}" y2="${bottom}"/>`,
    `<text class="axis" x="${round((left + right) / 2)}" y="${height - 7}" text-anchor="middle">${escapeText(chart.xLabel)}</text>`,
    `<text class="axis" x="0" y="13">${escapeText(chart.yLabel)}</text>`,
  );
  if (chart.series.some(({ points: own }) => own.some((p) => p.y > most)))
    parts.push(
      `<text class="axis" x="${width}" y="13" text-anchor="end">${escapeText(`cut off at ${chart.yFormat(most)}`)}</text>`,
    );
  for (const { points: own, colour } of series) {
    if (own.length < 2 || own.every((p) => p.low === p.high)) continue;
    const upper = own.map((p) => at(x(p.x), y(p.high)));
    const lower = own.map((p) => at(x(p.x), y(p.low))).reverse();
    parts.push(`<polygon class="band s${colour % 8}" points="${[...upper, ...lower].join(" ")}"/>`);
  }
  const rule = chart.rule && usable(chart.rule.y) ? chart.rule : undefined;
  const level = rule && round(y(rule.y));
  if (level !== undefined)
    parts.push(`<line class="rule" x1="${round(left)}" x2="${round(right)}" y1="${level}" y2="${level}"/>`);
  for (const { points: own, colour, label } of series) {
    if (own.length === 0) continue;
    const ends = chart.marked ? own : own.slice(-1);
    parts.push(
      `<g class="s${colour % 8} d${Math.floor(colour / 8) % 2}"><title>${escapeText(label)}</title>` +
        `<polyline class="line" points="${own.map((p) => at(x(p.x), y(p.y))).join(" ")}"/>` +
        `${ends.map((p) => `<circle class="end" cx="${round(x(p.x))}" cy="${round(y(p.y))}" r="3.5"/>`).join("")}</g>`,
    );
  }
  if (rule && level !== undefined)
    parts.push(
      `<text class="axis over" x="${round(left + 4)}" y="${round(level < margin.top + 16 ? level + 15 : level - 5)}">${escapeText(rule.label)}</text>`,
    );
  if (series.length > 1) parts.push(...names(series, left, (p) => [x(p.x), y(p.y)]));
  return `${parts.join("\n")}</svg>`;
}

/** To the right of the lines: room for their names where most of them end at the right. */
function roomForNames(
  series: readonly Series[],
  end: number,
  extent: number,
  along: (value: number) => number,
): number {
  const drawn = series.filter(({ points }) => points.length > 0);
  const late = drawn.filter(({ points }) => along(points.at(-1)!.x) > end - 0.1 * extent);
  if (series.length < 2 || late.length < 0.6 * drawn.length) return margin.right;
  return 10 + Math.max(...late.map(({ label }) => widthOf(shorten(label))));
}

/** Names of the lines, at their ends. */
function names(
  series: readonly Series[],
  left: number,
  at: (point: Point) => readonly [number, number],
): string[] {
  const lines = series.map(({ label, points }) => ({ label, line: points.map(at) }));
  const places = placeLabels(lines, {
    left,
    right: width,
    top: margin.top,
    bottom: height - margin.bottom,
  });
  return series.flatMap(({ label, colour }, k) => {
    const place = places[k];
    if (!place) return [];
    const [endX, endY] = lines[k]!.line.at(-1)!;
    const leads = Math.abs(place.y - endY) > 24;
    return [
      ...(leads
        ? [
            `<line class="leader s${colour % 8}" x1="${round(endX)}" y1="${round(endY)}" x2="${round(place.x)}" y2="${round(place.y + (place.y < endY ? 6 : -6))}"/>`,
          ]
        : []),
      `<text class="name s${colour % 8}" x="${round(place.x)}" y="${round(place.y + 4)}" text-anchor="${place.anchor}">${escapeText(shorten(label))}</text>`,
    ];
  });
}

const round = (value: number) => Number(value.toFixed(1));
// Spreading a long list into Math.min overflows the stack.
const minimum = (values: readonly number[]) =>
  values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
const maximum = (values: readonly number[]) =>
  values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
