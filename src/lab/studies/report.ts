/** A study as files: a page, its figures alone, and its data as JSON and CSV. */

import { join } from "node:path";
import { drawChart, escapeText } from "../chart.js";
import { replaceFile, replaceJson } from "../files.js";
import { backendText, machineText } from "../machine.js";
import { cell, csvOf, document, downloads, sectionTable, swatch, table } from "../page.js";
import { drawPicture } from "../picture.js";
import type { StudyRecord } from "./run-study.js";

/**
 * What the record is as data: the question, what was expected, the points, and what they say.
 * @param command what repeats it.
 */
export const studyData = (
  { study, settings, environment, created, points, left, reading }: StudyRecord,
  command: string,
) => ({
  study: study.name,
  title: study.title,
  question: study.question,
  expectation: study.expectation,
  method: study.method,
  columns: study.columns,
  command,
  created,
  settings,
  environment,
  left,
  points,
  reading: { verdict: reading.verdict, paragraph: reading.paragraph, tables: reading.sections },
});

/** Writes data.json, data.csv, the figures and report.html; the result is the path of the page. */
export function writeStudy(record: StudyRecord, command: string): string {
  const path = (file: string) => join(record.folder, file);
  replaceJson(path("data.json"), studyData(record, command));
  replaceFile(path("data.csv"), csvOf(record.points));
  for (const [k, figure] of record.reading.figures.entries())
    replaceFile(path(`figure-${k + 1}.svg`), drawPicture(figure));
  replaceFile(path("report.html"), studyReport(record, command));
  return path("report.html");
}

/** The page of a study, finished or not. */
export function studyReport(record: StudyRecord, command: string): string {
  const { study, settings, environment, created, points, left, reading } = record;
  const figures = reading.figures.map((chart) => {
    const legend = chart.series
      .filter(({ points: own }) => own.length > 0)
      .map(({ label, colour }) => `<li>${swatch(colour)}${escapeText(label)}</li>`)
      .join("");
    return `<figure><figcaption>${escapeText(chart.title)}</figcaption>${drawChart(chart)}<ul class="legend">${legend}</ul></figure>`;
  });
  return document({
    title: study.title,
    summary: `${study.question} The expectation: ${verdictText(record)}.`,
    version: environment.thalweg,
    body: `
<p>${escapeText(reading.paragraph)}</p>
<div class="figures">
${figures.join("\n")}
</div>
<h2>What is expected</h2>
<p>${escapeText(study.expectation.text)}</p>
<p>Source: ${escapeText(study.expectation.source)}.</p>
<h2>Numbers</h2>
${reading.sections.map(sectionTable).join("\n")}
<h2>How it was measured</h2>
<p>${escapeText(study.method)}</p>
${table(
  "Columns of the data",
  ["Column", "Meaning"],
  Object.entries(study.columns).map(
    ([name, meaning]) => `<th scope="row">${escapeText(name)}</th>${cell(meaning)}`,
  ),
)}
<dl>
<dt>Extent</dt><dd>${settings.extent}, seed ${settings.seed}, ${points.length} points${left > 0 ? `, ${left} left` : ""}</dd>
<dt>Machine</dt><dd>${escapeText(machineText(environment))}</dd>
<dt>Backend</dt><dd>${escapeText(backendText(environment))}</dd>
<dt>Software</dt><dd>${escapeText(`thalweg ${environment.thalweg}, Node ${environment.node}`)}</dd>
<dt>Started</dt><dd>${escapeText(created.replace("T", " ").slice(0, 16))} UTC</dd>
</dl>
<h2>Do it again</h2>
<pre><code>${escapeText(command)}</code></pre>
${downloads([{ name: study.name, rows: points }])}`,
  });
}

/** The verdict, and how much of the study it rests on. */
export const verdictText = ({ reading, points, left }: StudyRecord): string =>
  reading.verdict + (left > 0 ? ` (from ${points.length} of ${points.length + left} points)` : "");
