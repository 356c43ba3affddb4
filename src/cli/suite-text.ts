/** What `thalweg suite` says: its plan, its runs, its tables, and the command that repeats it. */
import pc from "picocolors";
import { formatSeconds, formatSignificant } from "../lab/format.js";
import { labelsOf } from "../lab/race.js";
import { median } from "../lab/score.js";
import type { SuiteRecord, Trial } from "../lab/suite/record.js";
import { clockName, freshSeconds } from "../lab/suite/report.js";
import { plannedSeconds, type SuiteSettings } from "../lab/suite/settings.js";
import { fullOptimizers, rows } from "../lab/suite/table.js";
import { quote } from "./setup.js";
import { formatTable, plain, print, symbol } from "./text.js";

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
  `${settings.optimizers.length} optimizers on ${settings.problems.length} problems: ${settings.studies} × ${settings.trials} trials ` +
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
export function showSuite({ settings, finished, standings, trials }: SuiteRecord, report: string): void {
  print("");
  if (standings) {
    const right = "right" as const;
    const name = (value: number) => (Number.isFinite(value) ? formatSignificant(value, 3) : symbol.dash);
    print(pc.bold(`${finished.length} problems, ${settings.studies} × ${settings.trials} trials`));
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
            name(baseline.ratio),
          ],
        ),
      ),
    );
    print("");
    print(
      pc.bold(
        `${clockName(settings)} of steps to the target: median over studies of the best trial (on a fresh seed)`,
      ),
    );
    print("");
    const labels = labelsOf(settings.optimizers);
    print(
      formatTable(
        [{ title: "problem" }, ...labels.map((title) => ({ title, align: right }))],
        finished.map(({ id }, p) => [
          id,
          ...labels.map((label) => {
            const { times } = standings.optimizers.find(({ optimizer }) => optimizer === label)!;
            return cell(times[p]!, median(freshSeconds(trials, id, label)));
          }),
        ]),
      ),
    );
    print("");
    print(plain("Places are open where intervals overlap. — : did not reach the target on most studies."));
  } else print("No problem is finished yet.");
  print("");
  print(`report: ${report}`);
}

function cell(time: number, again: number): string {
  const short = (value: number) => (Number.isFinite(value) ? formatSignificant(value, 3) : symbol.dash);
  return Number.isFinite(time) ? `${short(time)} (${short(again)})` : symbol.dash;
}
