/** What `thalweg suite` says: its plan, its runs, its tables, and the command that repeats it. */
import pc from "picocolors";
import { quote } from "../lab/files.js";
import { formatSeconds, formatSignificant, plural } from "../lab/format.js";
import type { SuiteRecord, Trial } from "../lab/suite/record.js";
import { clockName, goalOf, verdict } from "../lab/suite/report.js";
import { resultsOf } from "../lab/suite/results.js";
import { plannedSeconds, type SuiteProblem, type SuiteSettings } from "../lab/suite/settings.js";
import { fullOptimizers, rows } from "../lab/suite/table.js";
import { formatTable, plain, print, symbol, wrap } from "./text.js";

/** No run is begun after so many budgets. */
export const patience = 1.25;

/** The command that repeats a suite. */
export function commandOf({
  problems,
  optimizers,
  trials,
  studies,
  seed,
  deadline,
  engine,
}: SuiteSettings): string {
  const names = optimizers.map(({ name, settings }) => {
    const list = Object.entries(settings).map(([key, value]) => `${key}=${value}`);
    return list.length === 0 ? name : `${name}:${list.join(",")}`;
  });
  const ids = problems.map(({ id }) => id);
  const whole =
    names.join() === fullOptimizers.join() && ids.join() === rows.map(({ problem }) => problem).join();
  return [
    "thalweg suite --full",
    ...(whole ? [] : [`--only ${[...ids, ...names].map(quote).join(" ")}`]),
    `--trials ${trials} --studies ${studies} --seed ${seed}`,
    ...(deadline === undefined ? [] : [`--budget ${formatSignificant(deadline / 60 / patience, 4)}`]),
    ...(engine.backend ? [`--backend ${engine.backend}`] : []),
    ...(engine.threads ? [`--threads ${engine.threads}`] : []),
    ...(engine.clock ? [`--clock ${engine.clock}`] : []),
  ].join(" ");
}

export const describePlan = (settings: SuiteSettings) =>
  `${plural(settings.optimizers.length, "optimizer")} on ${plural(settings.problems.length, "problem")}: ${settings.studies} × ${settings.trials} trials ` +
  `and as many fresh seeds as studies, about ${formatSeconds(plannedSeconds(settings))}`;

export function describeTrial({
  problem,
  optimizer,
  study,
  trial,
  seconds,
  end,
  trained,
  steps,
  message,
}: Trial): string {
  const what = `${problem}, ${optimizer}, study ${study + 1}, ${trial === "fresh" ? "fresh seed" : `trial ${trial}`}`;
  if (end === "unusable") return `${what}: ${message}`;
  if (seconds !== null) return `${what}: reached the target in ${formatSeconds(seconds)}`;
  return `${what}: did not reach it (${end}, ${steps} steps, ${formatSeconds(trained)})`;
}

/** The tables of a suite, finished or not. @param report path of its page. */
export function showSuite(record: SuiteRecord, report: string): void {
  const { settings, finished, standings } = record;
  print("");
  if (standings) {
    const right = "right" as const;
    print(pc.bold(`${plural(finished.length, "problem")}, ${settings.studies} × ${settings.trials} trials`));
    print("");
    print(
      formatTable(
        [
          { title: "place" },
          { title: "optimizer" },
          { title: "B", align: right },
          { title: "95 %", align: right },
          { title: "solved", align: right },
          { title: `time / ${standings.baseline}`, align: right },
        ],
        standings.optimizers.map(
          ({ optimizer, places: [best, worst], score, interval, solved, baseline }) => [
            best === worst ? String(best) : `${best}${symbol.dash}${worst}`,
            optimizer,
            score.toFixed(3),
            interval.map((end) => end.toFixed(2)).join(" to "),
            `${solved} of ${finished.length}`,
            Number.isFinite(baseline.ratio)
              ? `${formatSignificant(baseline.ratio, 3)} (on ${baseline.both})`
              : symbol.dash,
          ],
        ),
      ),
    );
    print("");
    print(plain(verdict(standings)));
    print("");
    print(
      pc.bold(
        `${clockName(settings)} of steps to the target: median over studies of the best trial (on a fresh seed)`,
      ),
    );
    for (const problem of finished) print(plain(describeResults(record, problem)));
  } else print("No problem is finished yet.");
  print("");
  print(`report: ${report}`);
}

/** A problem, and below it who arrived, fastest first, and who did not. */
function describeResults(record: SuiteRecord, problem: SuiteProblem): string {
  const { arrived, missed, unusable } = resultsOf(record, problem.id);
  const times = arrived.map(
    ({ optimizer, seconds, again }) => `${optimizer} ${formatSeconds(seconds)} (${formatSeconds(again)})`,
  );
  const lines = [
    ...(times.length > 0 ? [times] : []),
    ...(missed.length > 0 ? [[`did not arrive: ${missed[0]}`, ...missed.slice(1)]] : []),
    ...(unusable.length > 0 ? [[`cannot run: ${unusable[0]}`, ...unusable.slice(1)]] : []),
  ];
  return [
    `\n${pc.bold(problem.id)}, ${goalOf(problem)}`,
    ...lines.map((pieces) =>
      wrap(
        pieces.map((piece, k) => (k < pieces.length - 1 ? `${piece},` : piece)),
        "  ",
      ),
    ),
  ].join("\n");
}
