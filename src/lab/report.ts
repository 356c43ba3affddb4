/** A race (or one run) as a page: one file, no network, readable without its pictures, on paper and in the dark. */
import { accountOf, coverageSection, type Section } from "./account.js";
import { escapeText } from "./chart.js";
import { coloursOf } from "./colours.js";
import { thin } from "./curves.js";
import { formatCount, formatMetric, formatSeconds, plural } from "./format.js";
import { backendText, type Environment, machineText } from "./machine.js";
import { cell, document, downloads, sectionTable, swatch, table } from "./page.js";
import type { RaceRecord } from "./race.js";
import { type Compared, curveFigures } from "./report-curves.js";
import { rankingTable, runsTable, timePart } from "./report-tables.js";
import type { RunRecord } from "./run-record.js";
import { bestOf, outcomeOf, qualityOf, scoreOf } from "./score.js";
import type { RunSettings } from "./settings.js";
import { describeMetric, describeTarget, verdictOf } from "./verdict.js";

interface Page extends Compared {
  readonly title: string;
  readonly summary: string;
  readonly created: string;
  readonly environment: Environment;
  /** Whether there is somebody to be compared with; the account of a single run has its settings. */
  readonly raced: boolean;
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
    ["Machine", machineText(environment)],
    ["Backend", backendText(environment)],
    ["Software", `thalweg ${environment.thalweg}, Node ${environment.node}`],
  ];
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

function page(pageData: Page, context: ReportContext): string {
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
${curveFigures(pageData)}
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
