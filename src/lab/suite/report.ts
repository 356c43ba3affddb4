/** A suite as a page: scores with their intervals, performance profiles, times, and the curves of every problem. */
import { join } from "node:path";
import { drawChart, escapeText, type Point, type Series } from "../chart.js";
import { coloursOf } from "../colours.js";
import { bySeconds } from "../curves.js";
import { formatMetric, formatSeconds, formatSignificant, plural } from "../format.js";
import { backendText, machineText } from "../machine.js";
import { cell, document, downloads, numeric, swatch, table } from "../page.js";
import { labelsOf } from "../race.js";
import { type RunRecord, readRun, runExists } from "../run-record.js";
import { drawStrip } from "../strip.js";
import { profileAt, type Standing, type Standings, slowest } from "./performance.js";
import { bestTrial, type SuiteRecord, slotsOf, type Trial } from "./record.js";
import { resultsOf } from "./results.js";
import type { SuiteProblem, SuiteSettings } from "./settings.js";

/** The report of a suite, finished or not. @param command what repeats it. */
export function suiteReport(record: SuiteRecord, command: string): string {
  const { settings, standings, finished, trials, environment, created } = record;
  const names = labelsOf(settings.optimizers);
  const colours = coloursOf(names);
  /** Everywhere in the same order: best first. */
  const labels = standings ? standings.optimizers.map(({ optimizer }) => optimizer) : names;
  const colourOf = (label: string) => colours[names.indexOf(label)]!;
  const unfinished = settings.problems.length - finished.length;
  const legend = labels.map((label) => `<li>${swatch(colourOf(label))}${escapeText(label)}</li>`).join("");
  return document({
    title: `${plural(labels.length, "optimizer")} on ${plural(finished.length, "problem")}`,
    summary: [
      standings ? verdict(standings) : "No problem is finished.",
      ...(unfinished > 0
        ? [`${unfinished} of ${settings.problems.length} problems are not finished and not scored.`]
        : []),
    ].join(" "),
    version: environment.thalweg,
    body: `
${standings ? scores(standings, colourOf) : ""}
<p>B is the area under an optimizer's profile from 1 to ${slowest}: 1 for the fastest on every problem, 0 for one that never
arrives within ${slowest} times the fastest time. The interval holds 95 % of B when problems and studies are drawn anew; where
intervals overlap, no order is claimed, and the place is a range. Where so few problems and studies can be drawn
anew in fewer than 10 ways, the interval is from 0 to 1. B depends on who takes part; the ratio to
${escapeText(settings.baseline)} (geometric mean over the problems that both solved) does not.</p>
<ul class="legend">${legend}</ul>
${standings ? profile(standings, colourOf) : ""}
<h2>Times</h2>
<p>An optimizer's time on a problem is the median over ${settings.studies} ${settings.studies === 1 ? "study" : "studies"} of the best of ${settings.trials} trials:
${clockName(settings).toLowerCase()} of steps until the target on held-out data, without compilation, batches, evaluations and files. In brackets: the median
with the chosen settings on seeds that no trial saw; a dash where it was missed.</p>
${standings ? times(record, colourOf) : ""}
${problems(record, labels, colourOf)}
<h2>Settings</h2>
${chosen(record, labels)}
${failures(trials)}
<dl>
<dt>Machine</dt><dd>${escapeText(machineText(environment))}</dd>
<dt>Backend</dt><dd>${escapeText(backendText(environment))}</dd>
<dt>Software</dt><dd>${escapeText(`thalweg ${environment.thalweg}, Node ${environment.node}`)}</dd>
<dt>Started</dt><dd>${escapeText(created.replace("T", " ").slice(0, 16))} UTC</dd>
</dl>
<h2>Do it again</h2>
<pre><code>${escapeText(command)}</code></pre>
${downloads([
  { name: "scores", rows: (standings?.optimizers ?? []).map(scoreRow) },
  { name: "trials", rows: trials.map(trialRow) },
])}`,
  });
}

/** What a time is. */
export const clockName = ({ engine }: SuiteSettings): string =>
  engine.clock === "cpu" ? "Seconds of the processor" : "Seconds";

/** Who is first, if anybody is. */
export function verdict({ optimizers }: Standings): string {
  const [first] = optimizers;
  if (!first || first.solved === 0) return "No optimizer reached a target.";
  if (optimizers.length === 1) return `Only ${first.optimizer} takes part.`;
  const [best, worst] = first.places;
  if (best === worst) return `${first.optimizer} is first: its interval lies above all others.`;
  const tied = optimizers.filter(({ interval }) => interval[1] >= first.interval[0]);
  const among =
    tied.length === optimizers.length
      ? "No order is claimed: the intervals of all"
      : `No order is claimed among ${tied.map(({ optimizer }) => optimizer).join(", ")}: their intervals`;
  return `${among} overlap that of ${first.optimizer}, which has the highest B, ${first.score.toFixed(2)}.`;
}

const scoreRow = ({ optimizer, score, interval, places, solved, baseline }: Standing) => ({
  optimizer,
  score,
  low: interval[0],
  high: interval[1],
  bestPlace: places[0],
  worstPlace: places[1],
  solved,
  ratioToBaseline: Number.isFinite(baseline.ratio) ? baseline.ratio : null,
  solvedByBoth: baseline.both,
});
const trialRow = ({ settings, ...rest }: Trial) => ({ ...rest, settings: JSON.stringify(settings.settings) });

type ColourOf = (label: string) => number;
const right = (title: string) => ({ title, align: "right" as const });

function scores({ optimizers, problems, baseline }: Standings, colourOf: ColourOf): string {
  return table(
    "Best first",
    [
      right("Place"),
      "Optimizer",
      right("B"),
      right("95 %"),
      "B with its interval, 0 to 1",
      right("Solved"),
      right(`Times that of ${baseline}`),
      right("Both solved"),
      right("It alone"),
      right(`${baseline} alone`),
    ],
    optimizers.map(({ optimizer, places: [best, worst], score, interval, solved, baseline: beside }) =>
      [
        numeric(best === worst ? String(best) : `${best} – ${worst}`),
        `<th scope="row">${swatch(colourOf(optimizer))}${escapeText(optimizer)}</th>`,
        numeric(score.toFixed(3)),
        numeric(interval.map((end) => end.toFixed(2)).join(" – ")),
        drawStrip({ colour: colourOf(optimizer), dots: [score], interval }, 0, 1),
        numeric(`${solved} of ${problems.length}`),
        numeric(Number.isFinite(beside.ratio) ? formatSignificant(beside.ratio, 3) : "—"),
        ...[beside.both, beside.alone, beside.baselineAlone].map((count) => numeric(String(count))),
      ].join(""),
    ),
  );
}

/** ρ(τ), a line of steps for every optimizer. */
function profile({ optimizers }: Standings, colourOf: ColourOf): string {
  const series = optimizers.map(({ optimizer, ratios }): Series => {
    const jumps = [1, ...ratios.filter((r) => r > 1 && r < slowest).sort((a, b) => a - b), slowest];
    const points = jumps.flatMap((tau, k): Point[] => {
      const before = k === 0 ? [] : [profileAt(ratios, jumps[k - 1]!)];
      return [...before, profileAt(ratios, tau)].map((y) => ({ x: tau, y, low: y, high: y }));
    });
    return { label: optimizer, colour: colourOf(optimizer), points };
  });
  const chart = drawChart({
    id: "profile",
    title: "Performance profiles",
    description: optimizers
      .map(
        ({ optimizer, ratios }) =>
          `${optimizer} is the fastest on ${percent(profileAt(ratios, 1))} and within ${slowest} times the fastest on ${percent(profileAt(ratios, slowest))}`,
      )
      .join("; "),
    xLabel: "τ: time beside the fastest",
    yLabel: "share of problems solved",
    xFrom: 1,
    yScale: "linear",
    xFormat: (value) => formatSignificant(value, 2),
    yFormat: percent,
    series,
  });
  return `<figure><figcaption>Performance profiles: share of problems solved within τ times the fastest</figcaption>${chart}</figure>`;
}

const percent = (share: number) => `${Math.round(100 * share)} %`;

/** The target and the seconds that a run has for it. */
export const goalOf = ({ target: { metric, value }, seconds }: SuiteProblem): string =>
  `${metric} ${formatMetric(metric, value)} within ${formatSeconds(seconds)}`;

function times(record: SuiteRecord, colourOf: ColourOf): string {
  const rows = record.finished.map((problem) => {
    const { arrived, missed, unusable } = resultsOf(record, problem.id);
    const places = arrived.map(
      ({ optimizer, seconds, again }) =>
        `<li>${swatch(colourOf(optimizer))}${escapeText(`${optimizer} ${formatSeconds(seconds)} (${formatSeconds(again)})`)}</li>`,
    );
    const others = [
      ...(missed.length > 0 ? [`did not arrive: ${missed.join(", ")}`] : []),
      ...(unusable.length > 0 ? [`cannot run: ${unusable.join(", ")}`] : []),
    ].join("; ");
    return (
      `<th scope="row">${escapeText(problem.id)}</th>${cell(goalOf(problem))}` +
      `<td>${places.length > 0 ? `<ul class="places">${places.join("")}</ul>` : ""}${escapeText(others)}</td>`
    );
  });
  return table("Time to the target, fastest first", ["Problem", "Target", "Time"], rows);
}

/** The runs that show an optimizer on a problem: those on fresh seeds; where there are none, the problem's own settings. */
function shownRuns({ folder, settings }: SuiteRecord, problem: SuiteProblem, label: string): RunRecord[] {
  const slots = slotsOf(settings, problem).filter((slot) => slot.label === label);
  const runs = (trial: Trial["trial"]) =>
    slots
      .filter((slot) => slot.trial === trial)
      .map((slot) => join(folder, slot.path))
      .filter(runExists)
      .map(readRun);
  const again = runs("fresh");
  return again.length > 0 ? again : runs(0);
}

/** A figure for each problem; a record that was taken from where its runs are has none. */
function problems(record: SuiteRecord, labels: readonly string[], colourOf: ColourOf): string {
  const drawn = record.finished.filter((problem) =>
    labels.some((label) => shownRuns(record, problem, label).length > 0),
  );
  if (drawn.length === 0) return "";
  return `<h2>Problems</h2>
<div class="figures">
${drawn.map((problem) => problemFigure(record, problem, labels, colourOf)).join("\n")}
</div>`;
}

function problemFigure(
  record: SuiteRecord,
  problem: SuiteProblem,
  labels: readonly string[],
  colourOf: ColourOf,
): string {
  const { metric, value, goal } = problem.target;
  const series = labels.map(
    (label): Series => ({
      label,
      colour: colourOf(label),
      points: bySeconds(shownRuns(record, problem, label), ({ test }) => test[metric]),
    }),
  );
  const chart = drawChart({
    id: problem.id.replaceAll(/\W+/g, "-"),
    title: `${problem.id}: ${metric} against seconds of training`,
    description: series
      .flatMap(({ label, points }) =>
        points.length > 0 ? [`${label} ends at ${formatMetric(metric, points.at(-1)!.y)}`] : [],
      )
      .join("; "),
    xLabel: "seconds of training",
    yLabel: `${metric}${goal === "min" ? " (log)" : ""}`,
    yScale: goal === "min" ? "log" : "linear",
    xFormat: (x) => formatSignificant(x, 3),
    yFormat: (y) => formatMetric(metric, y),
    series,
    rule: { y: value, label: `target ${formatMetric(metric, value)}` },
  });
  return `<figure><figcaption>${escapeText(problem.id)}</figcaption>${chart}<p>Target: ${escapeText(problem.source)}; a run has ${escapeText(formatSeconds(problem.seconds))} of training.</p></figure>`;
}

/** What the best trials had. */
function chosen({ finished, trials, settings }: SuiteRecord, labels: readonly string[]): string {
  const rows = finished.flatMap(({ id }) =>
    labels.flatMap((label) =>
      Array.from({ length: settings.studies }, (_, study) => study).flatMap((study) => {
        const best = bestTrial(
          trials.filter((one) => one.problem === id && one.optimizer === label && one.study === study),
        );
        if (!best) return [];
        const list = Object.entries(best.settings.settings).map(([name, value]) => `${name} ${value}`);
        return [
          `<th scope="row">${escapeText(id)}</th>${cell(label)}${numeric(String(study + 1))}${numeric(String(best.trial))}${cell(list.join(", ") || "its own defaults")}`,
        ];
      }),
    ),
  );
  return `<details><summary>Best settings of every study</summary>${table("Best trials", ["Problem", "Optimizer", right("Study"), right("Trial"), "Settings"], rows)}</details>`;
}

/** What could not run at all, and why. */
function failures(trials: readonly Trial[]): string {
  const failed = trials.filter(({ end, trial }) => end === "unusable" && trial === 0);
  if (failed.length === 0) return "";
  return table(
    "Could not run",
    ["Problem", "Optimizer", "Why"],
    failed.map(
      ({ problem, optimizer, message }) =>
        `<th scope="row">${escapeText(problem)}</th>${cell(optimizer)}${cell(message ?? "")}`,
    ),
  );
}
