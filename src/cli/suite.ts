/** `thalweg suite`: every optimizer on every problem, tuned alike: scores, profiles, a page. */
import { join } from "node:path";
import { UsageError, UserError } from "../lab/errors.js";
import { quote, replaceFile, replaceJson } from "../lab/files.js";
import { formatSeconds } from "../lab/format.js";
import { loadProblem, problems } from "../lab/problems/registry.js";
import { optimizerFor } from "../lab/session.js";
import type { OptimizerSettings } from "../lab/settings.js";
import { ownRow, planSuite, suiteProblem } from "../lab/suite/plan.js";
import { readSuiteSettings, type SuiteRecord, suiteRecord, type Trial } from "../lab/suite/record.js";
import { suiteReport } from "../lab/suite/report.js";
import { plannedRun, plannedSeconds, type SuiteSettings, withinBudget } from "../lab/suite/settings.js";
import { runSuite } from "../lab/suite/suite.js";
import { fullOptimizers, quickOptimizers, type Row, rows } from "../lab/suite/table.js";
import { describeTarget } from "../lab/verdict.js";
import { didYouMean } from "../optimizers/names.js";
import { optimizers } from "../optimizers/registry.js";
import type { SuiteFlags } from "./flags.js";
import { listenForInterruption } from "./interrupt.js";
import { isProblem } from "./model.js";
import {
  newFolder,
  readClock,
  readCount,
  readEngine,
  readOptimizer,
  readPositive,
  readProblem,
  refuseWithResume,
} from "./options.js";
import { showLine } from "./progress.js";
import { openRuntime, tellOtherMachine } from "./setup.js";
import { commandOf, describePlan, describeTrial, patience, showSuite } from "./suite-text.js";
import { plain, printJson, symbol } from "./text.js";

/** Minutes of the quick table. */
const quickMinutes = 14;

export async function suite(flags: SuiteFlags): Promise<void> {
  const { folder, settings } = await prepare(flags);
  const interruption = listenForInterruption();
  const line = showLine();
  const watch = watching(settings);
  let record: SuiteRecord;
  try {
    line.note(describePlan(settings));
    record = await runSuite(() => openRuntime(settings.engine), folder, settings, {
      signal: interruption.signal,
      onProblem: ({ id, target }, summary) => line.note(`${id}: ${summary}; to ${describeTarget(target)}`),
      onProgress: (slot, { step, seconds }) =>
        line.update(() =>
          [
            `${watch.done() + 1}/${watch.total} ${slot.problem.id}`,
            slot.label,
            `study ${slot.study + 1}, ${slot.trial === "fresh" ? "fresh seed" : `trial ${slot.trial}`}`,
            `step ${step}, ${formatSeconds(seconds)}`,
            `about ${formatSeconds(watch.left())} left`,
          ].join(` ${symbol.dot} `),
        ),
      onStart: (_, done) => watch.at(done),
      onEnd(trial) {
        line.note(describeTrial(trial));
        watch.end(trial);
      },
    });
  } finally {
    line.end();
    interruption.dispose();
  }
  const report = join(folder, "report.html");
  replaceJson(join(folder, "scores.json"), record.standings ?? null);
  replaceFile(report, suiteReport(record, commandOf(settings)));
  if (flags.json) printJson({ ...record, report });
  else showSuite(record, report);
  const left = watch.total - record.trials.length;
  if (left > 0 && interruption.exitCode === undefined)
    process.stderr.write(
      `${left} runs did not fit into the time; go on with: thalweg suite --resume ${quote(folder)}\n`,
    );
  if (interruption.exitCode !== undefined) {
    process.stderr.write(`interrupted; go on with: thalweg suite --resume ${quote(folder)}\n`);
    process.exitCode = interruption.exitCode;
  }
}

/** How long what is left takes: the plan, at the pace so far. */
function watching(settings: SuiteSettings) {
  const planned = new Map(settings.problems.map(({ id, seconds }) => [id, plannedRun(seconds)]));
  const began = performance.now();
  let [done, spent, here, left] = [0, 0, 0, plannedSeconds(settings)];
  const total =
    settings.problems.length * settings.optimizers.length * settings.studies * (settings.trials + 1);
  return {
    total,
    done: () => done,
    at(count: number) {
      // What an earlier session did is no longer to be done.
      if (here === 0 && spent === 0) left *= 1 - count / total;
      done = count;
    },
    end({ problem }: Trial) {
      spent += planned.get(problem)!;
      here++;
    },
    left() {
      const pace = here < 5 ? 1 : (performance.now() - began) / 1000 / spent;
      return Math.max(0, left - spent) * pace;
    },
  };
}

async function prepare(flags: SuiteFlags): Promise<{ folder: string; settings: SuiteSettings }> {
  if (flags.resume !== undefined) {
    refuseWithResume(flags, undefined, []);
    tellOtherMachine(flags.resume, suiteRecord.read(flags.resume).environment);
    return { folder: flags.resume, settings: readSuiteSettings(flags.resume) };
  }
  if (flags.quick && flags.full) throw new UsageError("--quick and --full are given; use one");
  const quick = !flags.full;
  const chosen = choose(flags.only ?? [], quick);
  const minutes = readPositive("budget", flags.budget) ?? (quick ? quickMinutes : undefined);
  const engine = { ...readEngine(flags), ...readClock(flags) };
  const extent = {
    trials: readCount("trials", flags.trials) ?? (quick ? 3 : 5),
    studies: readCount("studies", flags.studies) ?? (quick ? 1 : 3),
    seed: readCount("seed", flags.seed, 0) ?? 0,
    engine,
    deadline: minutes === undefined ? undefined : minutes * 60 * patience,
  };
  const folder = flags.out ?? newFolder("suite");
  suiteRecord.requireNone(folder);
  const planned = [];
  for (const { row, named } of chosen.problems) {
    try {
      const problem = await loadProblem(readProblem(row.problem));
      for (const optimizer of chosen.optimizers) optimizerFor(problem, optimizer);
      planned.push(suiteProblem(row, problem));
    } catch (error) {
      // Data that this machine does not have; what was asked for by name is missed.
      if (named || (error as Error).name !== "DataError") throw error;
      process.stderr.write(plain(`${row.problem} is left out: ${(error as Error).message.split("\n")[0]}\n`));
    }
  }
  if (planned.length === 0)
    throw new UserError("no problem is left: the data of each one is missing; name others with --only");
  const settings = planSuite(planned, chosen.optimizers, extent);
  return { folder, settings: minutes === undefined ? settings : withinBudget(settings, 60 * minutes) };
}

/** What --only names: rows of the table, other problems, optimizers, each once; of what it does not name, all. */
function choose(
  only: readonly string[],
  quick: boolean,
): { problems: { row: Row; named: boolean }[]; optimizers: OptimizerSettings[] } {
  for (const text of only) requireKnown(text);
  const named = only.filter(isProblem).flatMap((name) => {
    const exact = rows.filter(({ problem }) => problem === name);
    const found = exact.length > 0 ? exact : rows.filter(({ problem }) => problem.split(":")[0] === name);
    return found.length > 0 ? found : [ownRow(name)];
  });
  const different = named.filter(({ problem }, k) => named.findIndex((row) => row.problem === problem) === k);
  const methods = [...new Set(only.filter((name) => !isProblem(name)))].map(readOptimizer);
  const table = rows.filter((row) => !quick || row.quick);
  return {
    problems: (named.length > 0 ? different : table).map((row) => ({ row, named: named.length > 0 })),
    optimizers:
      methods.length > 0
        ? methods
        : (quick ? quickOptimizers : fullOptimizers).map((name) => ({ name, settings: {} })),
  };
}

/** @throws UserError when it begins with the name of neither a problem nor an optimizer. */
function requireKnown(text: string): void {
  const [name] = text.split(":") as [string];
  const known = [...problems.map((problem) => problem.name), ...Object.keys(optimizers)];
  if (isProblem(text) || known.includes(name)) return;
  throw new UserError(
    `there is no problem or optimizer "${name}"${didYouMean(name, known) || "; thalweg list names them"}`,
  );
}
