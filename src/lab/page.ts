/** What the pages of races, runs and suites are made of: one file each, no network, on a phone, on paper, in the dark. */
import type { Section } from "./account.js";
import { escapeText } from "./chart.js";
import { pageStyle } from "./style.js";

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
<style>${pageStyle}</style>
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
