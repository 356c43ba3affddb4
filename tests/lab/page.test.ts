import { describe, expect, it } from "vitest";
import { type Chart, drawChart, logTicks } from "../../src/lab/chart.js";
import { placeLabels } from "../../src/lab/chart-labels.js";
import { coloursOf } from "../../src/lab/colours.js";
import { drawPicture } from "../../src/lab/picture.js";
import { darkColours, lightColours } from "../../src/lab/style.js";

type RGB = readonly number[];
const linear = (hex: string): RGB =>
  [1, 3, 5].map((k) => {
    const c = Number.parseInt(hex.slice(k, k + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
const times = (matrix: readonly RGB[], v: RGB) =>
  matrix.map((row) => row.reduce((sum, a, k) => sum + a * v[k]!, 0));

/** Linear RGB as dichromats see it (Machado, Oliveira & Fernandes 2009, severity 1). */
const sight = {
  "all three": [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  "no long": [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  "no middle": [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  "no short": [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
};
/** Oklab (Ottosson 2020). */
const oklab = (rgb: RGB) => {
  const lms = times(
    [
      [0.4122214708, 0.5363325363, 0.0514459929],
      [0.2119034982, 0.6806995451, 0.1073969566],
      [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    rgb.map((c) => Math.min(1, Math.max(0, c))),
  ).map(Math.cbrt);
  return times(
    [
      [0.2104542553, 0.793617785, -0.0040720468],
      [1.9779984951, -2.428592205, 0.4505937099],
      [0.0259040371, 0.7827717662, -0.808675766],
    ],
    lms,
  );
};
const luminance = (rgb: RGB) => 0.2126 * rgb[0]! + 0.7152 * rgb[1]! + 0.0722 * rgb[2]!;

describe("the colours", () => {
  it.each([
    { mode: "light", colours: lightColours, panel: "#f6f7f9" },
    { mode: "dark", colours: darkColours, panel: "#1c2128" },
  ])("are readable as text, and far apart for the colour-blind too: $mode", ({ colours, panel }) => {
    const back = luminance(linear(panel));
    for (const colour of colours) {
      const [bright, dim] = [back, luminance(linear(colour))].sort((a, b) => b - a);
      expect((bright! + 0.05) / (dim! + 0.05), colour).toBeGreaterThan(4.5);
    }
    for (const [cones, matrix] of Object.entries(sight)) {
      const seen = colours.map((colour) => oklab(times(matrix, linear(colour))));
      seen.forEach((a, i) => {
        for (const b of seen.slice(0, i)) {
          const distance = Math.hypot(...a.map((x, k) => x - b[k]!));
          expect(distance, `${cones}: ${colours[i]} and ${colours[seen.indexOf(b)]}`).toBeGreaterThan(0.08);
        }
      });
    }
  });
  it("belong to the method, whoever takes part", () => {
    const [adam, kfac] = coloursOf(["adam", "kfac"]);
    expect(coloursOf(["kfac", "sgd", "adam(beta1=0.5)", "adam"])).toEqual([
      kfac,
      0,
      adam,
      expect.any(Number),
    ]);
    const many = coloursOf(Array.from({ length: 16 }, (_, k) => `kfac#${k}`));
    expect(new Set(many).size).toBe(16);
  });
});

describe("a chart", () => {
  const chart = (low: number, high: number): Chart => ({
    id: "c",
    title: "t",
    description: "d",
    xLabel: "steps",
    yLabel: "loss",
    yScale: "log",
    xFormat: String,
    yFormat: (value) => value.toPrecision(2),
    series: ["adam", "kfac"].map((label, colour) => ({
      label,
      colour,
      points: [low, high].map((y, x) => ({ x, y, low: y, high: y })),
    })),
  });
  it("has logarithmic ticks, however few or many decades there are", () => {
    for (const [low, high] of [
      [0.85, 0.88],
      [0.31, 0.48],
      [2, 9],
      [1e-3, 1],
      [1e-16, 1e4],
    ] as const) {
      const ticks = logTicks(low, high);
      expect(ticks.length, `${low} to ${high}`).toBeGreaterThan(2);
      expect(ticks.length, `${low} to ${high}`).toBeLessThan(11);
      for (const tick of ticks) expect(tick >= low * 0.99 && tick <= high * 1.01, String(tick)).toBe(true);
    }
    // Ticks that would read alike are written out.
    const labels = [...drawChart(chart(0.851, 0.859)).matchAll(/text-anchor="end">([\d.]+)</g)].map(
      ([, t]) => t,
    );
    expect(new Set(labels).size).toBe(labels.length);
  });
  it("cuts off what diverges, and says so", () => {
    const svg = drawChart({ ...chart(1, 1e30), yMost: 10 });
    expect(svg).toContain("cut off at 10");
    expect(svg).not.toContain("e+30");
  });
  it("names lines at their ends, one name beside another", () => {
    expect(drawChart(chart(1, 2)).match(/class="name s\d"/g)).toHaveLength(2);
    const frame = { left: 0, right: 300, top: 0, bottom: 200 };
    const lines = ["adam", "kfac", "sgd"].map((label) => ({
      label,
      line: [
        [0, 10],
        [100, 100],
      ] as const,
    }));
    const places = placeLabels(lines, frame);
    const ys = places.map((place) => place!.y).sort((a, b) => a - b);
    expect(Math.min(ys[1]! - ys[0]!, ys[2]! - ys[1]!)).toBeGreaterThanOrEqual(15);
    // No room, no name.
    expect(placeLabels(lines, { ...frame, bottom: 5 })).toEqual([undefined, undefined, undefined]);
  });
  it("stands alone with its style, its title, and the whole name of every line", () => {
    const long = "factors and inverses every T, β = 0.95";
    const { series, ...rest } = chart(1, 2);
    const picture = drawPicture({
      ...rest,
      series: series.map((one) => ({ ...one, label: `${long} & ${one.label}` })),
    });
    expect(picture).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" /);
    expect(picture.match(/<svg /g)).toHaveLength(picture.match(/<\/svg>/g)!.length);
    for (const { label } of series) expect(picture).toContain(`>${long} &amp; ${label}</text></g>`);
    const used = [...picture.matchAll(/class="([a-z]+)[ "]/g)].map(([, name]) => name!);
    for (const name of new Set(used)) expect(picture, name).toContain(`.${name}{`.slice(0, -1));
  });
});
