/** Studies in Markdown: the question, what was expected, how it was measured, the numbers, the figures, the reading. */
import { commandOf } from "../../src/cli/study.js";
import type { Section } from "../../src/lab/account.js";
import { machineText } from "../../src/lab/machine.js";
import { verdictText } from "../../src/lab/studies/report.js";
import type { StudyRecord } from "../../src/lab/studies/run-study.js";
import { markdownTable, marks, replaceMade } from "../markdown.js";

/** Of a figure of a study, in docs. */
export const pictureOf = (study: string, figure: number): string =>
  `pictures/study-${study}-${figure + 1}.svg`;

/** The page with the studies in the place that is kept for them. @throws Error when there is no such place. */
export const studiesSection = (page: string, records: readonly StudyRecord[]): string =>
  replaceMade(page, marks("docs:studies", "docs/data/studies"), records.map(describe).join("\n\n"));

function describe(record: StudyRecord): string {
  const { study, settings, environment, created, reading } = record;
  const { text, source } = study.expectation;
  const verdict = verdictText(record);
  return [
    `## ${study.title}`,
    `\`\`\`sh\n${commandOf(settings)}\n\`\`\``,
    `_${study.question}_ Expected: ${text} (${source}.)`,
    study.method,
    ...reading.sections.filter(({ rows }) => rows.length > 0).map(sectionOf),
    reading.figures.map(({ title }, k) => `![${title}](${pictureOf(study.name, k)})`).join("\n"),
    `**${verdict.slice(0, 1).toUpperCase()}${verdict.slice(1)}.** ${reading.paragraph}`,
    `_${created.slice(0, 10)}, thalweg ${environment.thalweg}, ${machineText(environment)}, Node ${environment.node}, ${environment.blas.split(", /")[0]}${settings.extent === "quick" ? "; the small grid" : ""}._`,
  ].join("\n\n");
}

const sectionOf = ({ title, columns, rows }: Section): string =>
  `${title}:\n\n${markdownTable(
    columns.map((column) => column.title),
    columns.map(({ align }) => (align === "right" ? "---:" : "---")),
    rows,
  )}`;
