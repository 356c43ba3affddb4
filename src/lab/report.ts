/** A race (or one run) as a page: one file, no network, readable without its pictures, on paper and in the dark. */
import { accountOf, coverageSection, type Section, splitSection, timeSplits } from "./account.js";
import { drawBars } from "./bars.js";
import { type Chart, drawChart, escapeText } from "./chart.js";
import { coloursOf } from "./colours.js";
import { bySeconds, bySteps, type Quantity, thin, valueAt } from "./curves.js";
import { formatBytes, formatCount, formatMetric, formatSeconds, formatSignificant } from "./format.js";
import type { Environment } from "./machine.js";
import { cell, document, downloads, numeric, sectionTable, swatch, table } from "./page.js";
import type { RaceRecord } from "./race.js";
import type { Measurement, RunRecord } from "./run-record.js";
import {
  bestOf,
  describeFinished,
  describeReached,
  median,
  outcomeOf,
  type Quality,
  qualityOf,
  type Score,
  type Statistic,
  scoreOf,
} from "./score.js";
import type { RunSettings, Target } from "./settings.js";
import { stopReasons } from "./stop.js";
import { drawStrip } from "./strip.js";
import { type Phase, phases } from "./tally.js";
import { describeMetric, describeTarget, verdictOf } from "./verdict.js";

/** Runs of one optimizer. */
interface Group {
  readonly label: string;
  readonly colour: number;
  readonly runs: readonly RunRecord[];
  readonly score: Score;
}

interface Page {
  readonly title: string;
  readonly summary: string;
  readonly created: string;
  readonly environment: Environment;
  /** Whether there is somebody to be compared with; the account of a single run has its settings. */
  readonly raced: boolean;
  /** Best first. */
  readonly groups: readonly Group[];
  readonly target: Target | undefined;
  readonly quality: Quality;
  readonly facts: readonly (readonly [string, string])[];
  readonly command: string;
  /** Of one run: its account. */
  readonly account: readonly Section[];
}

/** Where the problem and the optimizers' complete settings are described: known to whoever ran them. */
export interface ReportContext {
  /** "784-128-10 relu, 101,770 parameters; …" */
  readonly problem: string;
  /** The command that repeats it. */
  readonly command: string;
  /** Complete settings by label. */
  readonly settings: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/**
 * The report of a race, finished or not: one HTML page that needs nothing beside it.
 *
 *     writeFileSync("report.html", raceReport(readRace("races/digits"), { problem: summary, command, settings }));
 */
export function raceReport(race: RaceRecord, context: ReportContext): string {
  const labels = [...new Set(race.entries.map(({ entry }) => entry.label))];
  const colours = coloursOf(labels);
  const groups = race.scores.map((score) => ({
    label: score.label,
    colour: colours[labels.indexOf(score.label)]!,
    runs: race.entries.flatMap(({ entry, run }) => (entry.label === score.label && run ? [run] : [])),
    score,
  }));
  return page(
    {
      title: `${race.settings.problem.name}: ${labels.length > 5 ? plural(labels.length, "optimizer") : labels.join(", ")}`,
      raced: true,
      summary: verdictOf(race),
      created: race.created,
      environment: race.environment,
      groups,
      target: race.settings.limits.target,
      quality: qualityOf(race.settings.limits),
      facts: [...facts(context, race.settings, race.environment), ["Seeds", race.settings.seeds.join(", ")]],
      command: context.command,
      account: groups.flatMap(({ label, runs }) => {
        const covered = runs.find(({ result }) => result?.coverage)?.result?.coverage;
        return coverageSection(label, covered) ?? [];
      }),
    },
    context,
  );
}

/**
 * The report of one run, as that of a race.
 *
 *     writeFileSync("report.html", runReport(readRun("runs/cnn"), { problem: summary, command, settings }));
 */
export function runReport(run: RunRecord, context: ReportContext): string {
  const { name } = run.settings.optimizer;
  const quality = qualityOf(run.settings.limits);
  const best = bestOf(run.measurements, quality);
  const group = {
    label: name,
    colour: coloursOf([name])[0]!,
    runs: [run],
    score: scoreOf(name, [outcomeOf(run.result)], [best]),
  };
  return page(
    {
      title: `${run.settings.problem.name}: ${name}`,
      raced: false,
      summary: summaryOf(run),
      created: run.created,
      environment: run.environment,
      groups: [group],
      target: run.settings.limits.target,
      quality,
      facts: [...facts(context, run.settings, run.environment), ["Seed", String(run.settings.seed)]],
      command: context.command,
      account: [coverageSection(name, run.result?.coverage) ?? [], accountOf(run)].flat(),
    },
    context,
  );
}

/** What a run has come to. */
function summaryOf({ settings, result }: RunRecord): string {
  if (!result) return "The run has not ended.";
  const found = Object.entries(result.test ?? result.last?.test ?? {}).map(
    ([name, value]) => `${describeMetric(name)} ${formatMetric(name, value)}`,
  );
  return [
    `${settings.optimizer.name}${found.length > 0 ? ` came to ${found.join(", ")}` : " ended"} in ${plural(result.steps, "step")}, ${formatSeconds(result.seconds)} of training.`,
    result.message,
  ].join(" ");
}

const plural = (count: number, word: string) => `${formatCount(count)} ${word}${count === 1 ? "" : "s"}`;

function facts(
  context: ReportContext,
  settings: Pick<RunSettings, "problem" | "batch" | "limits" | "evaluateEvery">,
  environment: Environment,
): (readonly [string, string])[] {
  const { limits } = settings;
  return [
    ["Problem", `${settings.problem.name}: ${context.problem}`],
    ["Batch", formatCount(settings.batch)],
    ["Target", limits.target ? describeTarget(limits.target) : "none"],
    [
      "Limits of a run",
      `${formatCount(limits.steps)} steps${limits.seconds ? `, ${formatSeconds(limits.seconds)}` : ""}`,
    ],
    ["Measured every", plural(settings.evaluateEvery, "step")],
    [
      "Machine",
      `${environment.processor}, ${plural(environment.processors, "processor")}, ${formatBytes(environment.memoryBytes)}, ${environment.platform}`,
    ],
    ["Backend", `${environment.blas}; ${plural(environment.threads, "thread")}`],
    ["Software", `thalweg ${environment.thalweg}, Node ${environment.node}`],
  ];
}

function charts(pageData: Page): { chart: Chart; xName: string }[] {
  const { target } = pageData;
  const { metric } = pageData.quality;
  // A surrogate for a policy, or a game, may well be below zero.
  const neverNegative = pageData.groups.every(({ runs }) =>
    runs.every(({ measurements }) => measurements.every(({ loss }) => !(loss !== undefined && loss < 0))),
  );
  const quantities = [
    {
      id: "loss",
      name: "Training loss",
      scale: neverNegative ? ("log" as const) : ("linear" as const),
      of: (m: Measurement) => m.loss,
      format: (value: number) => formatSignificant(value, 2),
      rule: undefined,
    },
    {
      id: "metric",
      name: metric === "loss" ? "Test loss" : `Test ${metric}`,
      scale: metric === "loss" ? ("log" as const) : ("linear" as const),
      of: (m: Measurement) => m.test[metric],
      format: (value: number) => formatMetric(metric, value),
      rule: target && { y: target.value, label: `target ${formatMetric(metric, target.value)}` },
    },
  ];
  const axes = [
    {
      id: "steps",
      name: "steps",
      label: "steps",
      points: bySteps,
      format: formatCount,
      xScale: "linear" as const,
    },
    {
      id: "seconds",
      name: "seconds",
      label: "seconds of training",
      points: bySeconds,
      format: (value: number) => formatSignificant(value, 3),
      xScale: farApart(pageData.groups) ? ("log" as const) : ("linear" as const),
    },
  ];
  return quantities.flatMap((quantity) => {
    const most = quantity.scale === "log" ? ceiling(pageData.groups, quantity.of) : undefined;
    return axes.map((axis) => ({
      xName: axis.label,
      chart: {
        id: `${quantity.id}-${axis.id}`,
        title: `${quantity.name} against ${axis.name}`,
        description: describeCurves(pageData, quantity.name, quantity.of, quantity.format),
        xLabel: axis.xScale === "log" ? `${axis.label} (log)` : axis.label,
        xScale: axis.xScale,
        ...(most !== undefined && { yMost: most }),
        yLabel: `${quantity.name}${quantity.scale === "log" ? " (log)" : ""}`,
        yScale: quantity.scale,
        yFormat: quantity.format,
        xFormat: axis.format,
        series: pageData.groups.map(({ label, colour, runs }) => ({
          label,
          colour,
          points: axis.points(runs, quantity.of),
        })),
        rule: quantity.rule,
      },
    }));
  });
}

/** Whether the fastest would be lost at the left end of a linear axis. */
function farApart(groups: readonly Group[]): boolean {
  const ends = groups.flatMap(({ runs }) => {
    const seconds = runs.flatMap(({ measurements }) => measurements.at(-1)?.seconds ?? []);
    return seconds.length > 0 ? [Math.max(...seconds)] : [];
  });
  return Math.max(...ends) > 15 * Math.min(...ends);
}

/** Ten times what runs begin with: the median, since one that diverges may have done so before it is first measured. */
function ceiling(groups: readonly Group[], of: Quantity): number | undefined {
  const first = groups.flatMap(({ runs }) =>
    runs.flatMap(({ measurements }) => {
      const values = measurements.map(of).filter((value) => value !== undefined);
      return values.slice(0, 1);
    }),
  );
  const middle = median(first.filter(Number.isFinite));
  return middle > 0 ? 10 * middle : undefined;
}

/** The ends of the lines in words. */
function describeCurves(
  pageData: Page,
  name: string,
  of: Quantity,
  format: (value: number) => string,
): string {
  const ends = pageData.groups.flatMap(({ label, runs }) => {
    const points = bySteps(runs, of);
    const [first, last] = [points[0], points.at(-1)];
    return first && last
      ? [`${label} goes from ${format(first.y)} to ${format(last.y)} in ${formatCount(last.x)} steps`]
      : [];
  });
  return `${name}, median line and range over seeds. ${ends.join("; ")}.`;
}

// the page

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

function rankingTable(pageData: Page): string {
  const { metric } = pageData.quality;
  const arrivals = (group: Group) =>
    group.runs.flatMap(({ result }) => (result?.reached ? [result.reached.seconds] : []));
  const slowest = Math.max(...pageData.groups.flatMap(arrivals));
  const scaled = Number.isFinite(slowest);
  return table(
    pageData.target
      ? `To ${describeTarget(pageData.target)}: median over seeds, range of the runs that arrived`
      : "Runs",
    [
      right("Place"),
      "Optimizer",
      right("Training time"),
      ...(scaled ? [`Every run, 0 to ${formatSeconds(slowest).replaceAll(" ", "\u00a0")}`] : []),
      pageData.target ? "Reached" : "Finished",
      ...["Steps", "Gradient evaluations", "A step", "Compilation"].map(right),
      right(`Best ${describeMetric(metric)}`),
    ],
    pageData.groups.map((group, index) => {
      const { label, colour, runs, score } = group;
      const results = runs.flatMap((run) => (run.result ? [run.result] : []));
      const perStep = median(results.filter((r) => r.steps > 0).map((r) => r.seconds / r.steps));
      return [
        numeric(String(index + 1)),
        `<th scope="row">${swatch(colour)}${escapeText(label)}</th>`,
        withRange(pageData.target ? score.seconds : spread(results.map((r) => r.seconds)), formatSeconds),
        ...(scaled ? [drawStrip({ colour, dots: arrivals(group) }, 0, slowest)] : []),
        cell(pageData.target ? describeReached(score) : describeFinished(score)),
        withRange(pageData.target ? score.steps : spread(results.map((r) => r.steps)), formatCount),
        withRange(score.gradients, formatCount),
        numeric(formatSeconds(perStep)),
        numeric(formatSeconds(median(results.map((r) => r.compileSeconds)))),
        numeric(Number.isFinite(score.best) ? formatMetric(metric, score.best) : "—"),
      ].join("");
    }),
  );
}

function runsTable(pageData: Page): string {
  const { metric } = pageData.quality;
  return table(
    "Every run",
    [
      "Optimizer",
      right("Seed"),
      "End",
      ...["Training time", "Steps", "Training loss", `Test ${metric}`].map(right),
    ],
    pageData.groups.flatMap(({ label, runs }) =>
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

function settingsTable(pageData: Page, context: ReportContext): string {
  return table(
    "Settings of the optimizers, complete",
    ["Optimizer", "Settings"],
    pageData.groups.map(
      ({ label }) =>
        `<th scope="row">${escapeText(label)}</th>` +
        cell(
          Object.entries(context.settings[label] ?? {})
            .map(([key, value]) => `${key} ${String(value)}`)
            .join(", ") || "—",
        ),
    ),
  );
}

/** Bars and a table of where the time of every optimizer's runs went; empty where no run told. */
function timePart({ groups }: Page): string {
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

/** The numbers behind a chart, at a dozen places. */
function chartTable(chart: Chart, xName: string): string {
  const all = [...new Set(chart.series.flatMap(({ points }) => points.map((p) => p.x)))].sort(
    (a, b) => a - b,
  );
  const chosen = thin(all, 12);
  return table(
    `${chart.title}: medians`,
    [right(xName), ...chart.series.map(({ label }) => right(label))],
    chosen.map(
      (x) =>
        `<th scope="row" class="n">${escapeText(chart.xFormat(x))}</th>` +
        chart.series
          .map(({ points }) => {
            const value = valueAt(
              points.map((p) => [p.x, p.y]),
              x,
              false,
            );
            return numeric(value === undefined ? "—" : chart.yFormat(value));
          })
          .join(""),
    ),
  );
}

function page(pageData: Page, context: ReportContext): string {
  const figures = charts(pageData).map(
    ({ chart, xName }) =>
      `<figure><figcaption>${escapeText(chart.title)}</figcaption>${drawChart(chart)}` +
      `<details><summary>Numbers</summary>${chartTable(chart, xName)}</details></figure>`,
  );
  const legend = pageData.groups
    .map(({ label, colour }) => `<li>${swatch(colour)}${escapeText(label)}</li>`)
    .join("");
  const factRows = pageData.facts
    .map(([name, value]) => `<dt>${escapeText(name)}</dt><dd>${escapeText(value)}</dd>`)
    .join("\n");
  return document({
    title: pageData.title,
    summary: pageData.summary,
    version: pageData.environment.thalweg,
    body: `${pageData.raced ? `<div class="dense">${rankingTable(pageData)}</div>` : ""}
<h2>Curves</h2>
<p>Lines are medians over seeds, bands their ranges. A run that reached the target counts with its last value until the
slowest run of its optimizer has ended. Seconds are those of training steps alone: compilation, evaluations on the test
data and files are not in them.</p>
<ul class="legend">${legend}</ul>
<div class="figures">
${figures.join("\n")}
</div>
${timePart(pageData)}<h2>Runs</h2>
${runsTable(pageData)}
${pageData.account.map(sectionTable).join("\n")}
<h2>Settings</h2>
${pageData.raced ? settingsTable(pageData, context) : ""}
<dl>
${factRows}
<dt>Started</dt><dd><time datetime="${escapeText(pageData.created)}">${escapeText(pageData.created.replace("T", " ").slice(0, 16))} UTC</time></dd>
</dl>
<h2>Do it again</h2>
<pre><code>${escapeText(pageData.command)}</code></pre>
<p>Equal settings, seeds, versions and threads on one machine give equal steps; times vary with what else runs on it.</p>
${downloads([
  { name: "runs", rows: runRows(pageData) },
  { name: "measurements", rows: measurementRows(pageData) },
])}`,
  });
}

const runRows = ({ groups }: Page) =>
  groups.flatMap(({ label, runs }) =>
    runs.map(({ settings, result }) => ({
      optimizer: label,
      seed: settings.seed,
      end: result?.reason ?? "unfinished",
      secondsToTarget: result?.reached?.seconds,
      stepsToTarget: result?.reached?.step,
      seconds: result?.seconds,
      steps: result?.steps,
      compileSeconds: result?.compileSeconds,
    })),
  );

/** Of a long run, every k-th. */
const measurementRows = ({ groups }: Page) =>
  groups.flatMap(({ label, runs }) =>
    runs.flatMap(({ settings, measurements }) =>
      thin(measurements, 300).map(({ step, seconds, loss, test }) => ({
        optimizer: label,
        seed: settings.seed,
        step,
        seconds,
        trainingLoss: loss,
        ...test,
      })),
    ),
  );
