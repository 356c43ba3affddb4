/** Advice as a page: one file, no network, readable on paper, on a phone and in the dark. */
import type { Advice } from "./advise.js";
import { describeBytes } from "./costs.js";
import type { Architecture } from "./model.js";
import type { Candidate } from "./ranking.js";
import type { Situation } from "./situation.js";

const escapeText = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

const style = `
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #d0d7de; --bar: #2f6f9f; --other: #b5793a; --rest: #8a94a0 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #15181c; --line: #3a4048; --bar: #6db3e8; --other: #e0a868; --rest: #7d8794 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums } td, th { padding: .25rem .5rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top }
td.n, th.n { text-align: right } .scroll { overflow-x: auto } small { opacity: .75 }
.chart { display: grid; grid-template-columns: max-content 1fr max-content; gap: .2rem .6rem; align-items: center }
.track { display: flex; height: .9rem } .track i { display: block; height: 100% }
.a { background: var(--bar) } .b { background: var(--other) } .c { background: var(--rest) }
code { font-size: .9em }
.key { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem; font-size: .9rem } .key i { display: inline-block; width: .9em; height: .9em; margin-right: .4em; vertical-align: -.1em }
caption { text-align: left } tbody th { font-weight: 600 }
@media print { body { margin: 0; max-width: none; print-color-adjust: exact; -webkit-print-color-adjust: exact } tr, .chart { break-inside: avoid } h2 { break-after: avoid } }`;

interface Bar {
  readonly label: string;
  readonly parts: readonly { readonly kind: (typeof kinds)[number]; readonly value: number }[];
  readonly text: string;
}

const kinds = ["a", "b", "c"] as const;

/** Horizontal bars on one linear scale, under a key to their parts. */
function chart(title: string, parts: readonly [string, string, string], bars: readonly Bar[]): string {
  const sums = bars.map(({ parts }) => parts.reduce((sum, { value }) => sum + value, 0));
  const largest = Math.max(...sums, Number.MIN_VALUE);
  const rows = bars.map(({ label, parts, text }) => {
    const inner = parts
      .map(
        ({ kind, value }) => `<i class="${kind}" style="width:${((100 * value) / largest).toFixed(2)}%"></i>`,
      )
      .join("");
    return `<span>${escapeText(label)}</span><span class="track">${inner}</span><span>${escapeText(text)}</span>`;
  });
  const key = parts.map((part, k) => `<li><i class="${kinds[k]}"></i>${escapeText(part)}</li>`).join("");
  const told = bars.map(({ label, text }) => `${label} ${text}`).join(", ");
  return `<ul class="key">${key}</ul><div class="chart" role="img" aria-label="${escapeText(`${title}: ${told}`)}">${rows.join("\n")}</div>`;
}

/** 1.04 → "1.04×", 83.3 → "83×": near 1 the second digit is what tells methods apart. */
export const describeRatio = (value: number) =>
  `${value < 9.995 ? value.toFixed(2) : Number(value.toPrecision(2))}×`;

/**
 * The page of an advice.
 *
 *     writeFileSync("advice.html", adviceReport(model, situation, advise(model, situation)));
 */
export function adviceReport(model: Architecture, situation: Situation, advice: Advice): string {
  const [first] = advice.ranked;
  const shown = advice.ranked.slice(0, 12);
  const title = first ? `${model.name}: use ${first.method}` : `${model.name}: no method fits`;
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeText(title)}</title><style>${style}</style>
<main><h1>${escapeText(title)}</h1>
<p>${escapeText(`${situation.task}, ${situation.batch.toLocaleString("en-US")} examples a step on ${situation.hardware.name}${situation.workers > 1 ? `, ${situation.workers} devices${situation.sharded ? " among which the model is divided" : ""}` : ""}, ${situation.precision}.`)}</p>
${first ? `<ul>${first.reasons.map((r) => `<li>${escapeText(`${r.fact}: ${r.rule}`)} <small>${escapeText(r.source)}</small></li>`).join("")}</ul>` : ""}
<h2>Predicted time to a target</h2>
<p><small>Beside tuned Adam's: steps by rules, the time of a step by counted costs. A race decides.</small></p>
<div class="scroll" tabindex="0" role="region" aria-label="Predicted time to a target"><table><thead><tr><th scope="col">optimizer</th><th scope="col" class="n">time</th><th scope="col" class="n">steps</th><th scope="col" class="n">a step</th><th scope="col">because</th></tr></thead>
<tbody>${shown.map(row).join("\n")}</tbody></table></div>
<h2>Seconds of a step</h2>
${chart(
  "Seconds of a step",
  ["gradient", "curvature and inversion", "update and communication"],
  shown.map(({ method, costs: { seconds } }) => ({
    label: method,
    parts: [
      { kind: "a", value: seconds.gradient },
      { kind: "b", value: seconds.questions + seconds.curvature + seconds.inversion },
      { kind: "c", value: seconds.update + seconds.communication },
    ],
    text: `${Number((1000 * seconds.total).toPrecision(3))} ms`,
  })),
)}
<h2>Memory</h2>
${chart(
  "Memory",
  ["parameters and gradients", "the method's state", "activations"],
  shown.map(({ method, costs: { memory } }) => ({
    label: method,
    parts: [
      { kind: "a", value: memory.parameters + memory.gradients },
      { kind: "b", value: memory.total - memory.parameters - memory.gradients - memory.activations },
      { kind: "c", value: memory.activations },
    ],
    text: describeBytes(memory.total),
  })),
)}
${list(
  "What cannot be used",
  advice.excluded.map(({ method, because }) => `${method}: ${because}`),
)}
${list(
  "What would change the answer",
  advice.changes.map(({ when, method, time }) => `${when}: ${method}, ${describeRatio(time)} of Adam's time`),
)}
${list("Assumed", advice.assumptions)}
<h2>Test it</h2><p><code>${escapeText(advice.test)}</code></p>
<p><small>The published decision procedure says: ${escapeText(advice.published.summary)}</small></p>
</main></html>
`;
}

const row = ({ method, time, steps, step, reasons }: Candidate) =>
  `<tr><th scope="row">${escapeText(method)}</th><td class="n">${describeRatio(time)}<td class="n">${describeRatio(steps)}<td class="n">${describeRatio(step)}<td><small>${escapeText(reasons.map(({ rule }) => rule).join("; "))}</small></tr>`;

const list = (title: string, lines: readonly string[]) =>
  lines.length === 0
    ? ""
    : `<h2>${title}</h2><ul>${lines.map((line) => `<li>${escapeText(line)}</li>`).join("")}</ul>`;
