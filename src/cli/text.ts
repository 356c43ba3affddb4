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

/** Replaces what a terminal without unicode cannot show. */
export const plain = (text: string): string =>
  unicode
    ? text
    : text
        .replaceAll("—", "-")
        .replaceAll("–", "-")
        .replaceAll("…", "...")
        .replaceAll("×", "x")
        .replaceAll("⊗", "(x)")
        .replaceAll("θ", "theta")
        .replaceAll("₀", "0")
        .replaceAll("₁", "1")
        .replaceAll("λ", "lambda")
        .replaceAll("ρ", "rho")
        .replaceAll("‖", "|")
        .replaceAll("−", "-")
        .replaceAll("·", "|");

const blocks = unicode
  ? [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
  : [" ", ".", ".", ":", ":", "|", "|", "#", "#"];

/** A column of a picture, as much of it filled as the level tells: 0 to 1. */
export const block = (level: number): string => blocks[Math.round(8 * Math.min(1, Math.max(0, level)))]!;

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

/** A table in columns, the titles underlined. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map(({ title }, k) => Math.max(title.length, ...rows.map((row) => row[k]!.length)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, k) => (columns[k]!.align === "right" ? cell.padStart(widths[k]!) : cell.padEnd(widths[k]!)))
      .join("  ")
      .trimEnd();
  const rule = symbol.rule.repeat(widths.reduce((a, b) => a + b + 2, -2));
  return plain(
    [pc.bold(line(columns.map(({ title }) => title))), pc.dim(rule), ...rows.map(line)].join("\n"),
  );
}

/** Pieces in lines of at most so many characters, which begin with the margin. */
export function wrap(pieces: readonly string[], margin = "", width = 110): string {
  const lines = [""];
  for (const piece of pieces) {
    if (margin.length + lines.at(-1)!.length + piece.length >= width) lines.push("");
    lines[lines.length - 1] += (lines.at(-1) === "" ? "" : " ") + piece;
  }
  return lines.map((line) => margin + line).join("\n");
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
export const printJson = (value: unknown): void => print(JSON.stringify(value, undefined, 2));
