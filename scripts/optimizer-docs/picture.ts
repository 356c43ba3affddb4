/** A walk through the valley as SVG: the path among contours, and the loss at each step. */
import { logTicks } from "../../src/lab/chart.js";
import { angle, eigenvalues, leastLoss, minimum, steps, type Walk } from "./valley.js";

const panel = { top: 30, bottom: 36, size: 240 };
const left = 16;
const right = left + panel.size + 76;
const width = right + panel.size + 16;
const height = panel.top + panel.size + panel.bottom;
const view = { x: [-2.6, 2.8], y: [-1.6, 3.8] } as const;
const mostLoss = 10;
const ink = { text: "#444", line: "#c8c8c8", path: "#0b6fb8", start: "#444", end: "#c4402a" };

const fixed = (value: number) => String(Number(value.toFixed(1)));
const across = (x: number) => left + ((x - view.x[0]) / (view.x[1] - view.x[0])) * panel.size;
const up = (y: number) => panel.top + ((view.y[1] - y) / (view.y[1] - view.y[0])) * panel.size;
const atStep = (k: number) => right + (k / steps) * panel.size;
const atLoss = (loss: number) => {
  const share =
    Math.log(Math.min(mostLoss, Math.max(leastLoss, loss)) / leastLoss) / Math.log(mostLoss / leastLoss);
  return panel.top + (1 - share) * panel.size;
};

/** Where the loss is `level`: an ellipse, as a polygon. */
function contour(level: number): string {
  const [along, wide] = eigenvalues.map((value) => Math.sqrt((2 * level) / value)) as [number, number];
  const points = Array.from({ length: 72 }, (_, k) => {
    const [u, v] = [along * Math.cos((k / 36) * Math.PI), wide * Math.sin((k / 36) * Math.PI)];
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    return `${fixed(across(minimum[0] + c * u - s * v))},${fixed(up(minimum[1] + s * u + c * v))}`;
  });
  return `<polygon points="${points.join(" ")}" fill="none" stroke="${ink.line}"/>`;
}

const text = (x: number, y: number, content: string, anchor: "start" | "middle" | "end" = "start") =>
  `<text x="${fixed(x)}" y="${fixed(y)}" text-anchor="${anchor}">${content}</text>`;
const frame = (x: number) =>
  `<rect x="${x}" y="${panel.top}" width="${panel.size}" height="${panel.size}" fill="none" stroke="${ink.line}"/>`;

/** The picture of a page. */
export function drawWalk(name: string, { settings, path, losses }: Walk): string {
  const set = Object.entries(settings).map(([key, value]) => `${key}=${value}`);
  const places = path
    .filter((point) => point.every(Number.isFinite))
    .map(([x, y]) => [fixed(across(x)), fixed(up(y))] as const);
  const [first, last] = [places[0]!, places.at(-1)!];
  const line = losses.map((loss, k) => `${fixed(atStep(k))},${fixed(atLoss(loss))}`).join(" ");
  const ticks = logTicks(leastLoss, mostLoss).filter((tick) => tick >= leastLoss && tick <= mostLoss);
  const bottom = panel.top + panel.size;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="11" fill="${ink.text}" role="img" aria-label="${name} in a narrow valley">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<clipPath id="view"><rect x="${left}" y="${panel.top}" width="${panel.size}" height="${panel.size}"/></clipPath>`,
    text(left, 18, [`${name}:`.slice(0, set.length > 0 ? undefined : -1), set.join(", ")].join(" ").trim()),
    `<g clip-path="url(#view)">`,
    ...[0.003, 0.03, 0.1, 0.3, 1, 2, 4, 8].map(contour),
    `<polyline points="${places.map((place) => place.join(",")).join(" ")}" fill="none" stroke="${ink.path}"/>`,
    ...places.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="1.8" fill="${ink.path}"/>`),
    `<circle cx="${first[0]}" cy="${first[1]}" r="3.5" fill="${ink.start}"/>`,
    `<circle cx="${last[0]}" cy="${last[1]}" r="3.5" fill="${ink.end}"/>`,
    "</g>",
    frame(left),
    text(left, bottom + 24, "dark: start, red: end"),
    text(right, 18, "loss"),
    ...ticks.flatMap((tick) => [
      `<line x1="${right}" x2="${right + panel.size}" y1="${fixed(atLoss(tick))}" y2="${fixed(atLoss(tick))}" stroke="#eee"/>`,
      text(right - 6, atLoss(tick) + 4, tick < 0.001 ? tick.toExponential() : String(tick), "end"),
    ]),
    ...[0, 10, 20, 30, 40].map((k) => text(atStep(k), bottom + 14, String(k), "middle")),
    text(right + panel.size / 2, bottom + 29, "step", "middle"),
    `<polyline points="${line}" fill="none" stroke="${ink.path}" stroke-width="1.5"/>`,
    `<circle cx="${fixed(atStep(losses.length - 1))}" cy="${fixed(atLoss(losses.at(-1)!))}" r="2.5" fill="${ink.end}"/>`,
    frame(right),
    "</svg>",
    "",
  ].join("\n");
}
