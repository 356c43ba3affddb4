/** The tables of a report: the ranking, every run, and where their time went. */
import { splitSection, timeSplits } from "./account.js";
import { drawBars } from "./bars.js";
import { escapeText } from "./chart.js";
import { formatCount, formatMetric, formatSeconds, formatSignificant } from "./format.js";
import { cell, numeric, sectionTable, swatch, table } from "./page.js";
import type { Compared, Group } from "./report-curves.js";
import { describeFinished, describeReached, median, type Statistic } from "./score.js";
import { stopReasons } from "./stop.js";
import { drawStrip } from "./strip.js";
import { type Phase, phases } from "./tally.js";
import { describeMetric, describeTarget } from "./verdict.js";

const right = (title: string) => ({ title, align: "right" as const });

/** A cell: the median, below it the range. */
const withRange = ({ median: middle, low, high }: Statistic, format: (value: number) => string): string => {
  if (!Number.isFinite(middle)) return numeric("—");
  const range = low === high ? "" : `<br><small>${escapeText(`${format(low)} – ${format(high)}`)}</small>`;
  return `<td class="n">${escapeText(format(middle))}${range}</td>`;
};

/** Of runs without a target: as long as they were. */
const spread = (values: readonly number[]): Statistic => ({
  median: median(values),
  low: Math.min(...values),
  high: Math.max(...values),
});

export function rankingTable(compared: Compared): string {
  const { metric } = compared.quality;
  const arrivals = (group: Group) =>
    group.runs.flatMap(({ result }) => (result?.reached ? [result.reached.seconds] : []));
  const slowest = Math.max(...compared.groups.flatMap(arrivals));
  const scaled = Number.isFinite(slowest);
  return table(
    compared.target
      ? `To ${describeTarget(compared.target)}: median over seeds, range of the runs that arrived`
      : "Runs",
    [
      right("Place"),
      "Optimizer",
      right("Training time"),
      ...(scaled ? [`Every run, 0 to ${formatSeconds(slowest).replaceAll(" ", "\u00a0")}`] : []),
      compared.target ? "Reached" : "Finished",
      ...["Steps", "Gradient evaluations", "A step", "Compilation"].map(right),
      right(`Best ${describeMetric(metric)}`),
    ],
    compared.groups.map((group, index) => {
      const { label, colour, runs, score } = group;
      const results = runs.flatMap((run) => (run.result ? [run.result] : []));
      const perStep = median(results.filter((r) => r.steps > 0).map((r) => r.seconds / r.steps));
      return [
        numeric(String(index + 1)),
        `<th scope="row">${swatch(colour)}${escapeText(label)}</th>`,
        withRange(compared.target ? score.seconds : spread(results.map((r) => r.seconds)), formatSeconds),
        ...(scaled ? [drawStrip({ colour, dots: arrivals(group) }, 0, slowest)] : []),
        cell(compared.target ? describeReached(score) : describeFinished(score)),
        withRange(compared.target ? score.steps : spread(results.map((r) => r.steps)), formatCount),
        withRange(score.gradients, formatCount),
        numeric(formatSeconds(perStep)),
        numeric(formatSeconds(median(results.map((r) => r.compileSeconds)))),
        numeric(Number.isFinite(score.best) ? formatMetric(metric, score.best) : "—"),
      ].join("");
    }),
  );
}

export function runsTable(compared: Compared): string {
  const { metric } = compared.quality;
  return table(
    "Every run",
    [
      "Optimizer",
      right("Seed"),
      "End",
      ...["Training time", "Steps", "Training loss", `Test ${metric}`].map(right),
    ],
    compared.groups.flatMap(({ label, runs }) =>
      runs.map((run) => {
        const last = run.measurements.at(-1);
        const { result } = run;
        const end = result
          ? `${stopReasons[result.reason]}${result.diverged ? ` Step ${formatCount(result.diverged.step)}, loss ${result.diverged.loss}.` : ""}`
          : "Not finished.";
        return [
          `<th scope="row">${escapeText(label)}</th>`,
          numeric(String(run.settings.seed)),
          cell(end),
          numeric(formatSeconds(result?.seconds ?? last?.seconds ?? Number.NaN)),
          numeric(formatCount(result?.steps ?? last?.step ?? 0)),
          numeric(last?.loss === undefined ? "—" : formatSignificant(last.loss, 4)),
          numeric(last?.test[metric] !== undefined ? formatMetric(metric, last.test[metric]) : "—"),
        ].join("");
      }),
    ),
  );
}

/** Bars and a table of where the time of every optimizer's runs went; empty where no run told. */
export function timePart({ groups }: Compared): string {
  const splits = timeSplits(groups);
  if (splits.length === 0) return "";
  const section = splitSection(splits);
  const names = section.columns.slice(2).map(({ title }) => title as Phase);
  const bars = drawBars({
    title: section.title,
    description: splits
      .map(({ label, total, phases: spent }) => {
        const [longest] = names.toSorted((a, b) => (spent[b] ?? 0) - (spent[a] ?? 0));
        return `${label} took ${formatSeconds(total)}, most of it for ${longest}.`;
      })
      .join(" "),
    format: formatSeconds,
    bars: splits.map(({ label, phases: spent }) => ({
      label,
      parts: names.map((name, colour) => ({ name, colour, value: spent[name] ?? 0 })),
    })),
  });
  const legend = names
    .map(
      (name, colour) =>
        `<li><span class="patch s${colour % 8} d${Math.floor(colour / 8) % 2}"></span> ${name}: ${escapeText(phases[name])}</li>`,
    )
    .join("");
  return `<h2>Time</h2>
<figure>${bars}<ul class="legend">${legend}</ul></figure>
${sectionTable(section)}
`;
}
