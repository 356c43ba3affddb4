/**
 * Suites in Markdown: what was expected beside what was measured, and the scores. Suites of the same optimizers, trials
 * and studies are scored together; one of fewer optimizers has its rows in the table, and no score.
 */
import { commandOf } from "../../src/cli/suite-text.js";
import { formatBytes, formatMetric, formatSignificant } from "../../src/lab/format.js";
import { labelsOf } from "../../src/lab/race.js";
import { type Standings, standingsOf } from "../../src/lab/suite/performance.js";
import { cellsOf, type SuiteRecord } from "../../src/lab/suite/record.js";
import { verdict } from "../../src/lab/suite/report.js";
import { resultsOf } from "../../src/lab/suite/results.js";
import type { SuiteProblem, SuiteSettings } from "../../src/lab/suite/settings.js";
import { markdownTable, marks, replaceMade } from "../markdown.js";
import { expectedOf } from "./expected.js";
import { type Outcome, outcomeOf, repeated, tally } from "./outcome.js";

const seconds = (time: number) => formatSignificant(time, 2);
const code = (name: string) => `\`${name}\``;
const list = (names: readonly string[]) => (names.length === 0 ? "none" : names.map(code).join(", "));

/** The page with the suites in the place that is kept for them. @throws Error when there is no such place. */
export const suiteSection = (page: string, suites: readonly SuiteRecord[]): string =>
  replaceMade(page, marks("docs:scenarios", "docs/data/suite"), describe(suites));

/** What suites must share to be scored together. */
const protocol = ({ optimizers, trials, studies }: SuiteSettings) =>
  JSON.stringify([labelsOf(optimizers), trials, studies]);

/** AlgoPerf's. */
const asked = { trials: 5, studies: 3 };
const isShort = ({ settings: { trials, studies } }: SuiteRecord) =>
  trials < asked.trials || studies < asked.studies;

/** On how many trials the rows rest. */
function protocols(suites: readonly SuiteRecord[]): string {
  const usual = `Rows have AlgoPerf's ${asked.trials} trials a study and ${asked.studies} studies`;
  return suites.some(isShort)
    ? `${usual}; those with other numbers (trials × studies) have fewer, and differences of some ten per cent between two methods mean nothing there.`
    : `${usual}.`;
}

/** @throws Error when there is no suite, or the first has no finished problem. */
function describe(suites: readonly SuiteRecord[]): string {
  const [first] = suites;
  if (!first) throw new Error("there is no suite");
  const { settings } = first;
  const entrants = labelsOf(settings.optimizers);
  const scored = suites.filter((suite) => protocol(suite.settings) === protocol(settings));
  const standings = standingsOf(
    scored.flatMap((suite) => suite.finished.flatMap(({ id }) => cellsOf(suite.settings, suite.trials, id))),
    settings,
  );
  const done = new Set(suites.flatMap(({ finished }) => finished.map(({ id }) => id)));
  const again = suites.some(({ settings: { problems }, finished }) =>
    problems.some((problem) => done.has(problem.id) && !finished.includes(problem)),
  );
  const missing = suites.flatMap((suite) => suite.settings.problems.filter(({ id }) => !done.has(id)));
  const rows = suites.flatMap((suite) =>
    suite.finished.map((problem) => problemRow(suite, problem, entrants)),
  );
  return [
    "```sh",
    ...suites.map((suite) => commandOf(suite.settings)),
    "```",
    "",
    `${[...new Set(suites.map(circumstances))].join("; ")}. Every trial (settings, seed, seconds, how it ended) is in [data/suite](data/suite), ${suites.flatMap(({ trials }) => trials).length} runs. ` +
      `${protocols(suites)}` +
      (again ? " A problem that two commands name was finished by the later one." : "") +
      (missing.length === 0
        ? ""
        : ` Not finished, and so not in the tables: ${list(missing.map(({ id }) => id))}.`),
    "",
    "Seconds of steps until the target by the best trial, the median over studies, fastest first; who comes after the limit did not arrive; once: not again on a seed that no trial saw. The second column is the answer of the text's decision procedure (`thalweg recommend`), or its statement on such problems where the procedure has no branch; the last compares the best method that it names with the fastest.",
    "",
    markdownTable(
      ["problem, target, limit", "expected", "measured, seconds", "the expected beside the fastest"],
      ["---", "---", "---", "---"],
      rows.map(({ cells }) => cells),
    ),
    "",
    `${tally(rows.map(({ outcome }) => outcome))} ${repeated(suites)}`,
    "",
    `Scores over ${standings.problems.length} problems${scored.length < suites.length ? `, those that all ${entrants.length} ran on` : ""}. ${verdict(standings)} Time is the geometric mean beside \`${standings.baseline}\` over the problems that both solved.`,
    "",
    scores(standings),
  ].join("\n");
}

/** When, with what, by which clock. */
function circumstances({ created, environment, settings }: SuiteRecord): string {
  const { processor, processors, memoryBytes, node, blas, thalweg, threads } = environment;
  const clock = settings.engine.clock === "cpu" ? "processor time of the process" : "time by the clock";
  return `${created.slice(0, 10)}, thalweg ${thalweg}, ${processors} × ${processor}, ${formatBytes(memoryBytes)}, Node ${node}, ${blas.split(", /")[0]}, ${threads} thread; times are ${clock}`;
}

const scores = ({ optimizers, problems, baseline }: Standings): string =>
  markdownTable(
    ["place", "optimizer", "B", "95 %", "solved", `time / ${baseline}`],
    ["---:", "---", "---:", "---:", "---:", "---:"],
    optimizers.map(({ optimizer, places: [best, worst], score, interval, solved, baseline: beside }) => [
      best === worst ? String(best) : `${best}–${worst}`,
      code(optimizer),
      score.toFixed(3),
      interval.map((bound) => bound.toFixed(2)).join(" – "),
      `${solved} of ${problems.length}`,
      Number.isFinite(beside.ratio) ? `${formatSignificant(beside.ratio, 2)} (on ${beside.both})` : "—",
    ]),
  );

/** @param entrants those of whom a row says that they were not run. */
function problemRow(
  record: SuiteRecord,
  problem: SuiteProblem,
  entrants: readonly string[],
): { readonly cells: string[]; readonly outcome: Outcome } {
  const { id, target } = problem;
  const goal = target.metric === "accuracy" ? formatMetric("accuracy", target.value) : String(target.value);
  const { arrived, missed, unusable } = resultsOf(record, id);
  const ran = labelsOf(record.settings.optimizers);
  const others: [string, readonly string[]][] = [
    ["did not arrive", missed],
    ["cannot run", unusable],
    ["not run", entrants.filter((name) => !ran.includes(name))],
  ];
  const { said, methods } = expectedOf(problem);
  const outcome = outcomeOf(methods, arrived, ran);
  return {
    cells: [
      `${code(id)}${isShort(record) ? ` (${record.settings.trials} × ${record.settings.studies})` : ""}, ${target.metric} ${goal} within ${problem.seconds} s`,
      said,
      [
        arrived
          .map(
            ({ optimizer, seconds: time, again }) =>
              `${code(optimizer)} ${seconds(time)}${Number.isFinite(again) ? "" : " (once)"}`,
          )
          .join(", ") || "nothing arrived",
        ...others.flatMap(([what, names]) => (names.length > 0 ? [`${what}: ${list(names)}`] : [])),
      ].join("; "),
      outcome.text,
    ],
    outcome,
  };
}
