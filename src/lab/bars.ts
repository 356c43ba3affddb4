/** Stacked bars in HTML: what a whole consists of, one bar a row, all to one scale. Letters stay as large as the page's. */
import { escapeText } from "./chart.js";

export interface Bar {
  readonly label: string;
  readonly parts: readonly { readonly name: string; readonly colour: number; readonly value: number }[];
}

export interface Bars {
  readonly title: string;
  /** What the picture shows, for those who do not see it. */
  readonly description: string;
  readonly bars: readonly Bar[];
  readonly format: (value: number) => string;
}

export function drawBars({ title, description, bars, format }: Bars): string {
  const totals = bars.map(({ parts }) => parts.reduce((sum, { value }) => sum + value, 0));
  const most = Math.max(...totals, Number.MIN_VALUE);
  const rows = bars.map(({ label, parts }, row) => {
    const pieces = parts.map(
      ({ name, colour, value }) =>
        `<i class="bar s${colour % 8} d${Math.floor(colour / 8) % 2}" style="width:${((100 * value) / most).toFixed(2)}%"` +
        ` title="${escapeText(`${label}, ${name}: ${format(value)}`)}"></i>`,
    );
    return `<span>${escapeText(label)}</span><span class="track">${pieces.join("")}</span><span class="n">${escapeText(format(totals[row]!))}</span>`;
  });
  return `<div class="bars" role="img" aria-label="${escapeText(`${title}. ${description}`)}">${rows.join("\n")}</div>`;
}
