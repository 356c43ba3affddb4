/** Stacked bars as SVG: what a whole consists of, one bar a row, all to one scale. Colours are CSS classes. */
import { escapeText } from "./chart.js";

export interface Bar {
  readonly label: string;
  readonly parts: readonly { readonly name: string; readonly colour: number; readonly value: number }[];
}

export interface Bars {
  /** Unique on its page. */
  readonly id: string;
  readonly title: string;
  /** What the picture shows, for those who do not see it. */
  readonly description: string;
  readonly bars: readonly Bar[];
  readonly format: (value: number) => string;
}

const width = 1000;
const [left, right, height, gap] = [200, 90, 26, 10];

export function drawBars({ id, title, description, bars, format }: Bars): string {
  const totals = bars.map(({ parts }) => parts.reduce((sum, { value }) => sum + value, 0));
  const most = Math.max(...totals, Number.MIN_VALUE);
  const scale = (width - left - right) / most;
  const rows = bars.map(({ label, parts }, row) => {
    const y = row * (height + gap);
    let x = left;
    const pieces = parts.map(({ name, colour, value }) => {
      const length = value * scale;
      const piece =
        `<g class="bar s${colour % 8} d${Math.floor(colour / 8) % 2}">` +
        `<title>${escapeText(`${label}, ${name}: ${format(value)}`)}</title>` +
        `<rect x="${x.toFixed(1)}" y="${y}" width="${length.toFixed(1)}" height="${height}"/></g>`;
      x += length;
      return piece;
    });
    const middle = y + height / 2 + 5;
    return (
      `<text class="axis" x="${left - 10}" y="${middle}" text-anchor="end">${escapeText(label)}</text>` +
      `${pieces.join("")}<text class="axis" x="${(x + 8).toFixed(1)}" y="${middle}">${escapeText(format(totals[row]!))}</text>`
    );
  });
  return (
    `<svg viewBox="0 0 ${width} ${Math.max(1, bars.length) * (height + gap)}" role="img" aria-labelledby="${id}-t ${id}-d">` +
    `<title id="${id}-t">${escapeText(title)}</title><desc id="${id}-d">${escapeText(description)}</desc>` +
    `${rows.join("\n")}</svg>`
  );
}
