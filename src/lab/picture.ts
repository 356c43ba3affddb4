/** A chart as a file of its own: SVG that carries its style, light or dark as its reader asks, for documents and slides. */
import { type Chart, drawChart, escapeText } from "./chart.js";
import { pictureStyle } from "./style.js";

const chart = { width: 440, height: 300 };
const margin = { x: 14, top: 38, bottom: 10 };
/** Of a line of the legend. */
const lineHeight = 18;
const width = chart.width + 2 * margin.x;

export function drawPicture(figure: Chart): string {
  const drawn = figure.series.filter(({ points }) => points.length > 0);
  const bottom = margin.top + chart.height + 6;
  const height = bottom + drawn.length * lineHeight + margin.bottom;
  const legend = drawn.map(({ label, colour }, k) => {
    const y = bottom + (k + 0.5) * lineHeight;
    return (
      `<g class="s${colour % 8} d${Math.floor(colour / 8) % 2}"><line class="line" x1="${margin.x}" x2="${margin.x + 22}" y1="${y}" y2="${y}"/>` +
      `<text class="entry" x="${margin.x + 30}" y="${y + 4}">${escapeText(label)}</text></g>`
    );
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="${escapeText(figure.title)}" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">`,
    `<style>${pictureStyle}</style>`,
    `<rect class="back" width="${width}" height="${height}" rx="8"/>`,
    `<text class="title" x="${margin.x}" y="22">${escapeText(figure.title)}</text>`,
    drawChart(figure).replace(
      "<svg ",
      `<svg x="${margin.x}" y="${margin.top}" width="${chart.width}" height="${chart.height}" overflow="visible" `,
    ),
    ...legend,
    "</svg>\n",
  ].join("\n");
}
