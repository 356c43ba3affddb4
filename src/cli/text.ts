/** Text for terminals, and for what is none. */
import pc from "picocolors";
import type { Section } from "../lab/account.js";

/** Without colours and symbols beyond ASCII where the terminal may not show them. */
export const unicode =
  process.platform !== "win32"
    ? /utf-?8/i.test(process.env.LC_ALL || process.env.LC_CTYPE || process.env.LANG || "UTF-8") &&
      process.env.TERM !== "linux"
    : process.env.WT_SESSION !== undefined;

export const symbol = unicode
  ? { dash: "—", rule: "─", dot: "·", atMost: "≤", ellipsis: "…" }
  : { dash: "-", rule: "-", dot: "|", atMost: "<=", ellipsis: "..." };

const ascii: Readonly<Record<string, string>> = {
  "—": "-",
  "–": "-",
  "−": "-",
  "…": "...",
  "×": "x",
  "·": "*",
  "⊗": "(x)",
  "‖": "|",
  "≤": "<=",
  "√": "sqrt ",
  Σ: "sum",
  ᵀ: "'",
  α: "alpha",
  β: "beta",
  γ: "gamma",
  ε: "epsilon",
  η: "eta",
  θ: "theta",
  κ: "kappa",
  λ: "lambda",
  μ: "mu",
  ρ: "rho",
  σ: "sigma",
};
const [raised, lowered, digits] = ["⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "₀₁₂₃₄₅₆₇₈₉", "0123456789-"];
const lower = (text: string, from: string) => text.replace(/./g, (c) => digits[from.indexOf(c)]!);

/** Replaces what a terminal without unicode cannot show. */
export const plain = (text: string): string => (unicode ? text : toAscii(text));

/** "2.9·10¹¹" → "2.9*10^11", "λ₁" → "lambda1". */
export const toAscii = (text: string): string =>
  text
    .replace(/[⁰¹²³⁴-⁹⁻]+/g, (power) => `^${lower(power, raised)}`)
    .replace(/[₀-₉]+/g, (index) => lower(index, lowered))
    .replace(/[^ -~]/g, (c) => ascii[c] ?? c);

const blocks = unicode
  ? [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
  : [" ", ".", ".", ":", ":", "|", "|", "#", "#"];

/** A column of a picture, as much of it filled as the level tells: 0 to 1. */
export const block = (level: number): string => blocks[Math.round(8 * Math.min(1, Math.max(0, level)))]!;

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

/** Characters in a line: those of the terminal, or what COLUMNS says; into files and pipes as many as there are. */
export const lineWidth = (): number =>
  Number(process.env.COLUMNS) || (process.stdout.isTTY && process.stdout.columns) || Number.POSITIVE_INFINITY;

/** Pieces in lines of at most so many characters, which begin with the margin. */
export function wrap(pieces: readonly string[], margin = "", width = Math.min(110, lineWidth())): string {
  const lines = [""];
  for (const piece of pieces) {
    const line = lines.at(-1)!;
    if (line !== "" && margin.length + line.length + piece.length >= width) lines.push("");
    lines[lines.length - 1] += (lines.at(-1) === "" ? "" : " ") + piece;
  }
  return lines.map((line) => margin + line).join("\n");
}

/** Words in lines. */
export const wrapText = (text: string, width?: number): string => wrap(text.split(" "), "", width);

/**
 * A table in columns, the titles underlined. Where a line has no room for all, the words of the last column go on below
 * one another; columns of numbers go on in a second table, and a third.
 */
export function formatTable(
  titled: readonly Column[],
  given: readonly (readonly string[])[],
  width: number = lineWidth(),
): string {
  const columns = titled.map(({ title, ...rest }) => ({ title: plain(title), ...rest }));
  const rows = given.map((row) => row.map(plain));
  const widths = columns.map(({ title }, k) => Math.max(title.length, ...rows.map((row) => row[k]!.length)));
  const total = (part: readonly number[]) => part.reduce((sum, k) => sum + widths[k]! + 2, -2);
  const room = (part: readonly number[]) => width - total(part.slice(0, -1)) - 2;
  const wraps = (part: readonly number[]) =>
    total(part) > width && columns[part.at(-1)!]?.align !== "right" && room(part) >= leastWords;
  const all = columns.map((_, k) => k);
  // Each part begins with what its rows are about.
  const keys = all.slice(0, 1 + columns.findIndex(({ align }) => align !== "right"));
  const parts: number[][] = wraps(all) ? [all] : [];
  for (const k of wraps(all) ? [] : all.slice(keys.length)) {
    const part = parts.at(-1);
    if (part && total([...part, k]) <= width) part.push(k);
    else parts.push([...keys, k]);
  }
  return (parts.length > 0 ? parts : [all])
    .map((part) =>
      wraps(part)
        ? drawTable(columns, wrapLast(rows, part, room(part)), widths.with(part.at(-1)!, room(part)), part)
        : drawTable(columns, rows, widths, part),
    )
    .join("\n\n");
}

/** The rows with the words of the part's last column below one another. */
const wrapLast = (rows: readonly (readonly string[])[], part: readonly number[], room: number) =>
  rows.flatMap((row) =>
    wrapText(row[part.at(-1)!]!, room)
      .split("\n")
      .map((words, k) => (k === 0 ? row : row.map(() => "")).with(part.at(-1)!, words)),
  );

/** Fewer characters of words in a line are not worth it. */
const leastWords = 20;

/** Some columns of a table. */
function drawTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  widths: readonly number[],
  part: readonly number[],
): string {
  const line = (cells: readonly string[]) =>
    part
      .map((k) =>
        columns[k]!.align === "right" ? cells[k]!.padStart(widths[k]!) : cells[k]!.padEnd(widths[k]!),
      )
      .join("  ")
      .trimEnd();
  const rule = symbol.rule.repeat(part.reduce((sum, k) => sum + widths[k]! + 2, -2));
  return [pc.bold(line(columns.map(({ title }) => title))), pc.dim(rule), ...rows.map(line)].join("\n");
}

/** A table under its title; of a long one the first rows. */
export function formatSection(
  { title, columns, rows }: Section,
  most: number = Number.POSITIVE_INFINITY,
): string {
  const left = rows.length - most;
  const more = left > 0 ? `\n${symbol.ellipsis} and ${left} more in the report` : "";
  return `${pc.bold(plain(title))}\n${formatTable(columns, rows.slice(0, most))}${more}`;
}

export const print = (text: string): void => {
  process.stdout.write(`${text}\n`);
};
/** A line of words: in a terminal as many lines as it takes. */
export const say = (text: string, margin = ""): void =>
  print(wrap(plain(text).split(" "), margin, lineWidth()));
export const printJson = (value: unknown): void => print(JSON.stringify(value, undefined, 2));
