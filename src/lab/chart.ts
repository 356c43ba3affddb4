/** Line charts as SVG: median lines in bands of range. Colours are CSS classes, so that the page decides on them. */

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
  /** Where a linear axis begins (default: 0). */
  readonly xFrom?: number;
  /** Whether every point has a mark: where they are few. */
  readonly marked?: boolean;
  readonly series: readonly Series[];
  /** A horizontal line: the target. */
  readonly rule?: { readonly y: number; readonly label: string } | undefined;
}

const width = 560;
const height = 340;
const margin = { top: 12, right: 16, bottom: 44, left: 62 };

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

/** 1, 2 and 5 times powers of ten within [low, high]; powers only over many decades. */
export function logTicks(low: number, high: number): number[] {
  const decades = Math.log10(high / low);
  const multiples = decades > 3 ? [1] : decades > 1.3 ? [1, 3] : [1, 2, 3, 5, 7];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    for (const m of multiples) {
      const value = Number((m * 10 ** power).toPrecision(6));
      if (value >= low * 0.999 && value <= high * 1.001) ticks.push(value);
    }
  return ticks;
}

export function drawChart(chart: Chart): string {
  const [logX, log] = [chart.xScale === "log", chart.yScale === "log"];
  const usable = (value: number) => Number.isFinite(value) && (!log || value > 0);
  const series = chart.series.map((one) => ({
    ...one,
    points: one.points
      .filter((p) => usable(p.y) && (!logX || p.x > 0))
      .map((p) => ({ ...p, low: usable(p.low) ? p.low : p.y })),
  }));
  const points = series.flatMap((one) => one.points);
  const xs = points.map((p) => p.x);
  const ys = [
    ...points.flatMap((p) => [p.y, p.low, usable(p.high) ? p.high : p.y]),
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
  const xHigh = along(maximum(xs) || 1);
  const [yMin, yMax] = [minimum(ys), maximum(ys)];
  const position = log ? Math.log10 : (value: number) => value;
  const pad = (position(yMax) - position(yMin)) * 0.04 || Math.abs(position(yMax)) * 0.1 || 0.5;
  const [yLow, yHigh] = [position(yMin) - pad, position(yMax) + pad];
  const right = width - margin.right;
  const bottom = height - margin.bottom;
  const x = (value: number) =>
    margin.left + ((along(value) - xLow) / (xHigh - xLow || 1)) * (right - margin.left);
  const y = (value: number) => bottom - ((position(value) - yLow) / (yHigh - yLow)) * (bottom - margin.top);
  const at = (a: number, b: number) => `${round(a)},${round(b)}`;

  const xTicks = logX ? logTicks(10 ** xLow, 10 ** xHigh) : linearTicks(xLow, xHigh, 6);
  const yTicks = log ? logTicks(10 ** yLow, 10 ** yHigh) : linearTicks(yLow, yHigh, 6);
  const parts = [head];
  for (const tick of yTicks) {
    parts.push(
      `<line class="grid" x1="${margin.left}" x2="${right}" y1="${round(y(tick))}" y2="${round(y(tick))}"/>`,
      `<text class="axis" x="${margin.left - 8}" y="${round(y(tick) + 4)}" text-anchor="end">${escapeText(chart.yFormat(tick))}</text>`,
    );
  }
  for (const tick of xTicks)
    parts.push(
      `<line class="tick" x1="${round(x(tick))}" x2="${round(x(tick))}" y1="${bottom}" y2="${bottom + 5}"/>`,
      `<text class="axis" x="${round(x(tick))}" y="${bottom + 19}" text-anchor="middle">${escapeText(chart.xFormat(tick))}</text>`,
    );
  parts.push(
    `<line class="tick" x1="${margin.left}" x2="${right}" y1="${bottom}" y2="${bottom}"/>`,
    `<text class="axis" x="${(margin.left + right) / 2}" y="${height - 8}" text-anchor="middle">${escapeText(chart.xLabel)}</text>`,
    `<text class="axis" transform="translate(14 ${(margin.top + bottom) / 2}) rotate(-90)" text-anchor="middle">${escapeText(chart.yLabel)}</text>`,
  );
  for (const { points: own, colour } of series) {
    if (own.length < 2 || own.every((p) => p.low === p.high)) continue;
    const upper = own.map((p) => at(x(p.x), y(usable(p.high) ? p.high : p.y)));
    const lower = own.map((p) => at(x(p.x), y(p.low))).reverse();
    parts.push(`<polygon class="band s${colour % 8}" points="${[...upper, ...lower].join(" ")}"/>`);
  }
  if (chart.rule && usable(chart.rule.y)) {
    const level = round(y(chart.rule.y));
    parts.push(
      `<line class="rule" x1="${margin.left}" x2="${right}" y1="${level}" y2="${level}"/>`,
      `<text class="axis" x="${right}" y="${level - 5}" text-anchor="end">${escapeText(chart.rule.label)}</text>`,
    );
  }
  for (const { points: own, colour, label } of series) {
    if (own.length === 0) continue;
    const ends = chart.marked ? own : own.slice(-1);
    parts.push(
      `<g class="s${colour % 8} d${Math.floor(colour / 8) % 2}"><title>${escapeText(label)}</title>` +
        `<polyline class="line" points="${own.map((p) => at(x(p.x), y(p.y))).join(" ")}"/>` +
        `${ends.map((p) => `<circle class="end" cx="${round(x(p.x))}" cy="${round(y(p.y))}" r="3.5"/>`).join("")}</g>`,
    );
  }
  return `${parts.join("\n")}</svg>`;
}

const round = (value: number) => Number(value.toFixed(1));
// Spreading a long list into Math.min overflows the stack.
const minimum = (values: readonly number[]) =>
  values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
const maximum = (values: readonly number[]) =>
  values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
