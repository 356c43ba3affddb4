/** What a probe measured, for people: facts and tables that the terminal and the page share, and the page. */
import type { CurvatureKind } from "../curvature/products.js";
import type { Section } from "./account.js";
import { type Chart, drawChart, escapeText } from "./chart.js";
import { formatCount, formatSignificant } from "./format.js";
import { backendText, type Environment, machineText } from "./machine.js";
import { document, downloads, sectionTable } from "./page.js";
import type { Probe } from "./probe.js";

const number = (value: number) => formatSignificant(value, 4);
const short = (value: number) => formatSignificant(value, 3);

export const curvatureNames: Readonly<Record<CurvatureKind, string>> = {
  hessian: "Hessian",
  gaussNewton: "Gauss–Newton matrix",
  fisher: "Fisher information",
  sampledFisher: "Fisher information by sampling",
  empiricalFisher: "empirical Fisher matrix",
};

/** Names and values. */
export function factsOf({
  loss,
  examples,
  gradientNorm,
  noise,
  trace,
  condition,
}: Probe): [string, string][] {
  return [
    ["loss", `${number(loss)} on ${formatCount(examples)} examples`],
    ["gradient norm", number(gradientNorm)],
    [
      "noise scale",
      noise.scale < 2
        ? "below 2 examples: a single one already shows the gradient"
        : Number.isFinite(noise.scale)
          ? `${formatCount(noise.scale)} examples: smaller batches are mostly noise, much larger ones gain little`
          : "not measurable: the noise of these batches hides the gradient; use larger or more",
    ],
    ["trace", `${number(trace.value)} ± ${number(trace.standardError)}`],
    [
      "eigenvalues",
      `${number(condition.smallest)} to ${number(condition.largest)}${condition.converged ? "" : " (not converged)"}`,
    ],
    [
      "condition",
      Number.isFinite(condition.number)
        ? number(condition.number)
        : "none: there are eigenvalues that are not above 0",
    ],
    ...condition.effective.map(({ quantile, number: ratio }): [string, string] => [
      `  without ${Math.round(quantile * 100)} %`,
      `${number(ratio)}: the largest |λ| against that of this quantile`,
    ]),
  ];
}

/** Every array of θ: its trace, and the largest eigenvalues of its own diagonal block. */
export const layersSection = ({ layers }: Probe): Section => ({
  title: "By layer",
  columns: [
    { title: "layer" },
    { title: "parameters", align: "right" },
    { title: "trace", align: "right" },
    { title: "mean eigenvalue", align: "right" },
    { title: "largest eigenvalues" },
  ],
  rows: layers.map(({ name, size, trace, eigenvalues }) => [
    name,
    formatCount(size),
    number(trace.value),
    number(trace.value / size),
    eigenvalues.map(short).join(", "),
  ]),
});

const eigenvaluesSection = ({ eigenvalues }: Probe): Section => ({
  title: "Largest eigenvalues",
  columns: [
    { title: "λ", align: "right" },
    { title: "value", align: "right" },
    { title: "within", align: "right" },
  ],
  rows: eigenvalues.map(({ value, residual }, k) => [String(k + 1), number(value), short(residual)]),
});

/** Of the densities below the highest, so many decades are drawn: further down is the tail of the broadening. */
const decades = 6;

function densityChart({ density: { grid, density }, size }: Probe): Chart {
  const floor = Math.max(...density) * 10 ** -decades;
  const points = Array.from(grid, (x, k) => {
    const y = Math.max(density[k]!, floor);
    return { x, y, low: y, high: y };
  });
  return {
    id: "density",
    title: "Share of eigenvalues by their value",
    description: `The density of ${formatCount(size)} eigenvalues from ${number(grid[0]!)} to ${number(grid.at(-1)!)}, logarithmic over ${decades} decades.`,
    xLabel: "eigenvalue",
    yLabel: "density",
    yScale: "log",
    xFormat: short,
    yFormat: (value) => formatSignificant(value, 2),
    xFrom: grid[0]!,
    series: [{ label: "density", colour: 0, points }],
  };
}

/** Where a probe was made, and how to repeat it. */
export interface ProbeContext {
  /** "digits-mlp: 784-128-10 relu, 101,770 parameters; …" */
  readonly problem: string;
  /** "at its initial parameters", "at the last checkpoint of runs/cnn". */
  readonly place: string;
  readonly command: string;
  readonly environment: Environment;
}

/** A probe as a page: one file, no network, readable on a phone, on paper and in the dark. */
export function probeReport(probe: Probe, { problem, place, command, environment }: ProbeContext): string {
  const chart = densityChart(probe);
  const pairs = (list: readonly (readonly [string, string])[]) =>
    `<dl>${list.map(([name, value]) => `<dt>${escapeText(name.trim())}</dt><dd>${escapeText(value)}</dd>`).join("\n")}</dl>`;
  const name = curvatureNames[probe.kind];
  const [largest] = probe.eigenvalues;
  return document({
    title: `${name} of ${formatCount(probe.size)} parameters`,
    summary: `The ${name} of ${problem}, ${place}: the largest eigenvalue is ${number(largest!.value)}, the trace ${number(probe.trace.value)}.`,
    version: environment.thalweg,
    body: `${pairs(factsOf(probe))}
<h2>Spectrum</h2>
<div class="figures"><figure><figcaption>${escapeText(chart.title)}</figcaption>${drawChart(chart)}</figure></div>
<p>By stochastic Lanczos quadrature; each node stands as a normal distribution of deviation ${escapeText(short(probe.density.bandwidth))}.</p>
${sectionTable(eigenvaluesSection(probe))}
<h2>Layers</h2>
<p>Eigenvalues are those of a layer's own diagonal block; none is above the largest of the whole.</p>
${sectionTable(layersSection(probe))}
<h2>Where and how</h2>
${pairs([
  ["Machine", machineText(environment)],
  ["Backend", backendText(environment)],
  ["Software", `thalweg ${environment.thalweg}, Node ${environment.node}`],
])}
<pre><code>${escapeText(command)}</code></pre>
${downloads([
  { name: "eigenvalues", rows: probe.eigenvalues.map((one) => ({ ...one })) },
  {
    name: "density",
    rows: Array.from(probe.density.grid, (eigenvalue, k) => ({
      eigenvalue,
      density: probe.density.density[k],
    })),
  },
  {
    name: "layers",
    rows: probe.layers.map(({ name: layer, size, trace, eigenvalues }) => ({
      layer,
      parameters: size,
      trace: trace.value,
      standardError: trace.standardError,
      eigenvalues: eigenvalues.join(" "),
    })),
  },
])}`,
  });
}
