/** A suite in Markdown: what was expected beside what was measured, and the scores. */
import { commandOf } from "../../src/cli/suite-text.js";
import { formatBytes, formatMetric, formatSignificant } from "../../src/lab/format.js";
import type { Standing } from "../../src/lab/suite/performance.js";
import type { SuiteRecord } from "../../src/lab/suite/record.js";
import { verdict } from "../../src/lab/suite/report.js";
import type { SuiteProblem } from "../../src/lab/suite/settings.js";
import { expectedOf } from "./expected.js";

const begin =
  "<!-- Made by `npm run docs:scenarios` from docs/data/suite: what is changed here is overwritten. -->";
const end = "<!-- End of what is made. -->";

const row = (cells: readonly string[]) =>
  `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
const table = (titles: readonly string[], align: readonly string[], rows: readonly (readonly string[])[]) =>
  [row(titles), row(align), ...rows.map(row)].join("\n");
const seconds = (time: number) => formatSignificant(time, 2);
const code = (name: string) => `\`${name}\``;
const list = (names: readonly string[]) => (names.length === 0 ? "none" : names.map(code).join(", "));

/** The page with the suite in the place that is kept for it. @throws Error when there is no such place. */
export function suiteSection(page: string, record: SuiteRecord): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error("docs/scenarios.md has no place for the suite");
  return `${page.slice(0, from + begin.length)}\n\n${describe(record)}\n\n${page.slice(to)}`;
}

function describe(record: SuiteRecord): string {
  const { settings, environment, created, finished, standings, trials } = record;
  if (!standings) throw new Error("the suite has no finished problem");
  const { processor, processors, memoryBytes, node, blas, thalweg } = environment;
  const clock = settings.engine.clock === "cpu" ? "processor time of the process" : "time by the clock";
  const missing = settings.problems.filter((problem) => !finished.includes(problem));
  return [
    "```sh",
    commandOf(settings),
    "```",
    "",
    `${created.slice(0, 10)}, thalweg ${thalweg}, ${processors} × ${processor}, ${formatBytes(memoryBytes)}, Node ${node}, ${blas.split(",")[0]}, ` +
      `${environment.threads} thread; times are ${clock}. Every trial (settings, seed, seconds, how it ended) is in [data/suite](data/suite), ${trials.length} runs. ` +
      `${settings.trials} trials a study and ${settings.studies} ${settings.studies === 1 ? "study" : "studies"} are fewer than AlgoPerf's 5 and 3: differences of some ten per cent between two methods mean nothing here.` +
      (missing.length === 0
        ? ""
        : ` Not finished, and so not in the tables: ${list(missing.map(({ id }) => id))}.`),
    "",
    "Seconds of steps until the target by the best trial, fastest first; who comes after the limit did not arrive. The second column is the answer of the text's decision procedure (`thalweg recommend`), or its statement on such problems where the procedure has no branch; the last compares the best method that it names with the fastest.",
    "",
    table(
      ["problem, target, limit", "expected", "measured, seconds", "the expected beside the fastest"],
      ["---", "---", "---", "---"],
      finished.map((problem, p) => problemRow(record, problem, standings.optimizers, p)),
    ),
    "",
    `Scores over these problems. ${verdict(standings)} Time is the geometric mean beside \`${standings.baseline}\` over the problems that both solved.`,
    "",
    table(
      ["place", "optimizer", "B", "95 %", "solved", `time / ${standings.baseline}`],
      ["---:", "---", "---:", "---:", "---:", "---:"],
      standings.optimizers.map(({ optimizer, places: [best, worst], score, interval, solved, baseline }) => [
        best === worst ? String(best) : `${best}–${worst}`,
        code(optimizer),
        score.toFixed(3),
        interval.map((bound) => bound.toFixed(2)).join(" – "),
        `${solved} of ${finished.length}`,
        Number.isFinite(baseline.ratio)
          ? `${formatSignificant(baseline.ratio, 2)} (on ${baseline.both})`
          : "—",
      ]),
    ),
  ].join("\n");
}

function problemRow(
  { trials }: SuiteRecord,
  problem: SuiteProblem,
  optimizers: readonly Standing[],
  p: number,
): string[] {
  const { id, target, seconds: limit } = problem;
  const goal = target.metric === "accuracy" ? formatMetric("accuracy", target.value) : String(target.value);
  const arrived = optimizers
    .map(({ optimizer, times }) => ({ optimizer, time: times[p]! }))
    .filter(({ time }) => Number.isFinite(time))
    .toSorted((a, b) => a.time - b.time);
  const unusable = new Set(
    trials
      .filter(({ problem: of, trial, end }) => of === id && trial === 0 && end === "unusable")
      .map(({ optimizer }) => optimizer),
  );
  const missed = optimizers
    .map(({ optimizer }) => optimizer)
    .filter((name) => !unusable.has(name) && !arrived.some(({ optimizer }) => optimizer === name));
  const expected = expectedOf(problem);
  return [
    `${code(id)}, ${target.metric} ${goal} within ${limit} s`,
    expected.said,
    [
      arrived.map(({ optimizer, time }) => `${code(optimizer)} ${seconds(time)}`).join(", ") ||
        "nothing arrived",
      ...(missed.length > 0 ? [`did not arrive: ${list(missed)}`] : []),
      ...(unusable.size > 0 ? [`cannot run: ${list([...unusable])}`] : []),
    ].join("; "),
    comparison(expected.methods, arrived),
  ];
}

/** How the best of the expected methods did. */
function comparison(
  expected: readonly string[],
  arrived: readonly { readonly optimizer: string; readonly time: number }[],
): string {
  const [fastest] = arrived;
  if (!fastest) return "—";
  const best = arrived.find(({ optimizer }) => expected.includes(optimizer));
  if (!best) return `none of ${list(expected)} arrived`;
  if (best === fastest) return `holds: ${code(best.optimizer)} is the fastest`;
  return `${code(best.optimizer)} takes ${formatSignificant(best.time / fastest.time, 2)} times as long as ${code(fastest.optimizer)}`;
}
