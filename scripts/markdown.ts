/** What the scripts that write documentation share. */

const row = (cells: readonly string[]) =>
  `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;

/** @param align of each column, as Markdown writes it: "---", "---:". */
export const markdownTable = (
  titles: readonly string[],
  align: readonly string[],
  rows: readonly (readonly string[])[],
): string => [row(titles), row(align), ...rows.map(row)].join("\n");

/** Around what a script makes; what else is on the page is written by hand. */
export const marks = (script: string, source: string) => ({
  begin: `<!-- Made by \`npm run ${script}\` from ${source}: what is changed here is overwritten. -->`,
  end: "<!-- End of what is made. -->",
});

/** The page with what a script makes in the place that is kept for it. @throws Error when there is no such place. */
export function replaceMade(page: string, { begin, end }: ReturnType<typeof marks>, made: string): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`the page has no place for what is made: ${begin}`);
  return `${page.slice(0, from + begin.length)}\n\n${made}\n\n${page.slice(to)}`;
}
