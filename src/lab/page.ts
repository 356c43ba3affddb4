/** What the pages of races, runs and suites are made of: one file each, no network, on a phone, on paper, in the dark. */
import type { Section } from "./account.js";
import { escapeText } from "./chart.js";

export const cell = (text: string) => `<td>${escapeText(text)}</td>`;
export const numeric = (text: string) => `<td class="n">${escapeText(text)}</td>`;
/** A column of a table: its title, or more of it. */
type Column = string | Section["columns"][number];

export const table = (caption: string, head: readonly Column[], rows: readonly string[]) => {
  const title = (column: Column) =>
    typeof column === "string"
      ? `<th scope="col">${escapeText(column)}</th>`
      : `<th scope="col"${column.align === "right" ? ' class="n"' : ""}>${escapeText(column.title)}</th>`;
  // What scrolls can be scrolled by keys, and says what it is.
  return (
    `<div class="scroll" tabindex="0" role="region" aria-label="${escapeText(caption)}"><table><caption><span>${escapeText(caption)}</span></caption>` +
    `<thead><tr>${head.map(title).join("")}</tr></thead>` +
    `<tbody>${rows.map((row) => `<tr>${row}</tr>`).join("\n")}</tbody></table></div>`
  );
};

export const swatch = (colour: number) =>
  `<svg class="swatch s${colour % 8} d${Math.floor(colour / 8) % 2}" viewBox="0 0 24 10" aria-hidden="true"><line class="line" x1="1" x2="23" y1="5" y2="5"/></svg> `;

/** A section of an account as a table, each row headed by its first cell; nothing where there is no row. */
export const sectionTable = ({ title, columns, rows }: Section): string => {
  const isNumber = (k: number) => columns[k]!.align === "right";
  const row = ([first = "", ...others]: readonly string[]) =>
    `<th scope="row"${isNumber(0) ? ' class="n"' : ""}>${escapeText(first)}</th>` +
    others.map((text, k) => (isNumber(k + 1) ? numeric : cell)(text)).join("");
  return rows.length === 0 ? "" : table(title, columns, rows.map(row));
};

export interface Document {
  readonly title: string;
  readonly summary: string;
  /** Version of this package. */
  readonly version: string;
  /** HTML. */
  readonly body: string;
}

export const document = ({ title, summary, version, body }: Document): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="thalweg ${escapeText(version)}">
<title>${escapeText(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escapeText(title)}</h1>
<p class="summary">${escapeText(summary)}</p>
${body}
</main>
</body>
</html>
`;

/** Rows of equal keys as CSV (RFC 4180); what is undefined or null is empty. */
export function csvOf(rows: readonly Readonly<Record<string, unknown>>[]): string {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const field = (value: unknown) => {
    const text = value === undefined || value === null ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [names, ...rows.map((row) => names.map((name) => row[name]))]
    .map((row) => `${row.map(field).join(",")}\r\n`)
    .join("");
}

/** Links that save what they carry, without a server: the numbers of a page as CSV, and as JSON. */
export function downloads(
  files: readonly { readonly name: string; readonly rows: readonly Readonly<Record<string, unknown>>[] }[],
): string {
  const link = (file: string, type: string, text: string) =>
    `<a download="${escapeText(file)}" href="data:${type};base64,${Buffer.from(text).toString("base64")}">${escapeText(file)}</a>`;
  const items = files.flatMap(({ name, rows }) => [
    link(`${name}.csv`, "text/csv", csvOf(rows)),
    link(`${name}.json`, "application/json", JSON.stringify(rows)),
  ]);
  return `<p class="downloads">Numbers: ${items.join(", ")}</p>`;
}

/**
 * Eight colours that are readable as text on their background (contrast of 4.5 and more) and far apart for people with
 * and without each kind of colour blindness: found by a search, tested in tests/lab/page.test.ts.
 */
const palette = (colours: readonly string[]) => colours.map((colour, k) => `--c${k}:${colour}`).join(";");
export const lightColours = [
  "#2f19f6",
  "#810c04",
  "#13644b",
  "#ac337f",
  "#7b7316",
  "#1275b5",
  "#3b0bb6",
  "#3e3e3e",
];
export const darkColours = [
  "#8da7fd",
  "#f97931",
  "#67e746",
  "#e29eb0",
  "#edf7b5",
  "#4190ce",
  "#e4bff6",
  "#8a8a8a",
];

const style = `
:root{--back:#fff;--text:#1d2127;--soft:#59626f;--line:#d5dae1;--panel:#f6f7f9;
${palette(lightColours)}}
@media (prefers-color-scheme:dark){:root{--back:#14171c;--text:#e6e9ee;--soft:#a3adba;--line:#363d48;--panel:#1c2128;
${palette(darkColours)}}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif}
main{max-width:76rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:1.6rem;line-height:1.2;margin:0 0 .5rem}h2{font-size:1.2rem;margin:2rem 0 .5rem}
.summary{font-size:1.1rem;margin-top:0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;min-width:min(100%,24rem);margin:.5rem 0;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);padding:.25rem 0}
caption span{position:sticky;left:0;display:inline-block;max-width:min(100%,calc(100vw - 2rem))}
th,td{text-align:left;padding:.35rem 1.25rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top}
thead th{color:var(--soft);font-weight:600}tbody th{font-weight:600;white-space:nowrap}
th.n,td.n{text-align:right}td.n{white-space:nowrap}thead th{vertical-align:bottom}
tbody th{position:sticky;left:0;background:var(--back)}
.dense table{font-size:.85rem}.dense th,.dense td{padding-right:.6rem}.dense tbody th{white-space:normal;min-width:9rem}
small{color:var(--soft);font-size:.85em;font-weight:400}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;padding:0;margin:.5rem 0}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr));gap:1.25rem}
figure{max-width:46rem;margin:0;background:var(--panel);border:1px solid var(--line);border-radius:.5rem;padding:.75rem;min-width:0}
figcaption{font-weight:600;margin-bottom:.25rem}
figure svg:not(.swatch){width:100%;max-width:40rem;height:auto;display:block;overflow:visible}
summary{cursor:pointer;color:var(--soft);margin-top:.5rem}
.strip{width:150px;height:16px;vertical-align:middle;display:block;margin-top:.25rem}.strip .end{fill-opacity:.6}
.swatch{width:24px;height:10px;vertical-align:middle}
.axis{fill:var(--soft)}.axis,.name{font-size:11px}
.name{fill:currentColor;font-weight:600;paint-order:stroke;stroke:var(--panel);stroke-width:3px;stroke-linejoin:round}
.grid{stroke:var(--line);stroke-width:1}.tick{stroke:var(--soft);stroke-width:1}
.rule{stroke:var(--text);stroke-width:1;stroke-dasharray:5 4}
.line{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round}
.bars{display:grid;grid-template-columns:max-content 1fr max-content;gap:.25rem .75rem;align-items:center}
.track{display:flex}.bar{height:1.4rem;background:currentColor}.patch{display:inline-block;width:.9em;height:.9em;background:currentColor;vertical-align:-.1em}
.bar.d1,.patch.d1{opacity:.45}
.d1 .line,.d1.swatch .line{stroke-dasharray:6 3}
.leader{stroke:currentColor;stroke-width:.75}
.band{fill:currentColor;fill-opacity:.16;stroke:none}.end{fill:currentColor}
${Array.from({ length: 8 }, (_, k) => `.s${k}{color:var(--c${k})}`).join("")}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem}dt{color:var(--soft)}dd{margin:0}
.places{display:flex;flex-wrap:wrap;gap:.25rem 1rem;padding:0;list-style:none}td .places{margin:0 0 .25rem}a{color:var(--c0)}
@media (max-width:40rem){dl{grid-template-columns:1fr}dd{margin-bottom:.5rem}main{padding:1rem .75rem 2rem}
.figures{grid-template-columns:1fr}.axis,.name{font-size:14px}.name{font-weight:400}tbody th{white-space:normal;overflow-wrap:anywhere;min-width:6rem;max-width:9rem}.bars{grid-template-columns:1fr max-content}.bars span:nth-child(3n+1){grid-column:1/-1}th,td{padding-right:.75rem}}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--panel);border:1px solid var(--line);border-radius:.5rem;padding:.75rem;overflow-x:auto}
@media print{:root{--back:#fff;--text:#000;--soft:#444;--line:#bbb;--panel:#fff;
${palette(lightColours)}}
body{font-size:11pt;print-color-adjust:exact}main{max-width:none;padding:0}details,.downloads{display:none}
.axis,.name{font-size:13px}table{font-size:9pt}.dense table{font-size:6.5pt}.dense th,.dense td{padding-right:.3rem}th,td{padding:.2rem .6rem .2rem 0}tbody th{position:static}
.figures{grid-template-columns:1fr 1fr}figure,tr{break-inside:avoid}main>figure svg:not(.swatch){max-width:28rem}h2{break-after:avoid}.scroll{overflow:visible}}
`;
