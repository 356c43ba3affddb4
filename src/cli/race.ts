/** `thalweg race`: several optimizers, one problem, a ranked table and a report. */
import { join, relative } from "node:path";
import pc from "picocolors";
import { coverageSection, splitSection, timeSplits } from "../lab/account.js";
import { quote, replaceFile } from "../lab/files.js";
import { formatCount, formatMetric, formatSeconds } from "../lab/format.js";
import type { Problem } from "../lab/problem.js";
import { loadProblem } from "../lab/problems/registry.js";
import {
  labelsOf,
  type RaceRecord,
  type RaceSettings,
  raceRecord,
  readRaceSettings,
  runRace,
} from "../lab/race.js";
import { raceReport } from "../lab/report.js";
import { describeFinished, describeReached, type Outcome, qualityOf, type Score } from "../lab/score.js";
import { optimizerFor } from "../lab/session.js";
import { writeEvents } from "../lab/tensorboard.js";
import { describeTarget, verdictOf } from "../lab/verdict.js";
import type { RaceFlags } from "./flags.js";
import { listenForInterruption } from "./interrupt.js";
import {
  newFolder,
  readCount,
  readEngine,
  readLimits,
  readOptimizer,
  readProblem,
  refuseWithResume,
} from "./options.js";
import { type Progress, showProgress } from "./progress.js";
import { named, namedProblem, openRuntime, tellOtherMachine } from "./setup.js";
import { formatSection, formatTable, plain, print, printJson, symbol, wrapText } from "./text.js";

const defaultOptimizers = ["sgd", "momentum", "adam", "adamw"];

export async function race(problemText: string | undefined, flags: RaceFlags): Promise<void> {
  const { folder, problem, settings } = await prepare(problemText, flags);
  // Everything that can be wrong with the settings is known before a file is written.
  const complete = settings.optimizers.map((optimizer) => optimizerFor(problem, optimizer).settings);
  const runtime = await openRuntime(settings.engine);
  const interruption = listenForInterruption();
  let progress: Progress | undefined;
  try {
    process.stderr.write(plain(`${problem.settings.name}: ${problem.summary}\n`));
    const result = await runRace(runtime, problem, folder, settings, {
      signal: interruption.signal,
      onStart({ label, seed, settings: own }, index, total) {
        progress = showProgress(`${index + 1}/${total} ${label}, seed ${seed}`, own.limits);
      },
      onCoverage: ({ label }, coverage) =>
        progress?.note(formatSection(coverageSection(label, coverage)!, 30)),
      onProgress: (_, status) => progress?.update(status),
      onEnd({ label, seed }, outcome) {
        progress?.note(`${label}, seed ${seed}: ${describeOutcome(outcome)}`);
      },
    });
    progress?.end();
    const labels = labelsOf(settings.optimizers);
    const report = join(folder, "report.html");
    replaceFile(
      report,
      raceReport(result, {
        problem: problem.summary,
        command: commandOf(settings),
        settings: Object.fromEntries(labels.map((label, index) => [label, complete[index]!])),
      }),
    );
    if (flags.tensorboard)
      for (const { entry, run } of result.entries)
        if (run) writeEvents(join(folder, "tensorboard", relative(folder, entry.folder)), run);
    show(result, report, flags.json ?? false);
  } finally {
    interruption.dispose();
    await runtime.close();
  }
  if (interruption.exitCode !== undefined) {
    process.stderr.write(`interrupted; go on with: thalweg race --resume ${quote(folder)}\n`);
    process.exitCode = interruption.exitCode;
  }
}

async function prepare(
  problemText: string | undefined,
  flags: RaceFlags,
): Promise<{ folder: string; problem: Problem; settings: RaceSettings }> {
  if (flags.resume !== undefined) {
    refuseWithResume(flags, problemText, []);
    tellOtherMachine(flags.resume, raceRecord.read(flags.resume).environment);
    const settings = readRaceSettings(flags.resume);
    return { folder: flags.resume, problem: await loadProblem(settings.problem), settings };
  }
  const optimizers = (flags.optimizer ?? defaultOptimizers).map(readOptimizer);
  const engine = readEngine(flags);
  const first = readCount("seed", flags.seed, 0) ?? 0;
  const seeds = Array.from({ length: readCount("seeds", flags.seeds) ?? 3 }, (_, k) => first + k);
  const problem = await loadProblem(readProblem(problemText ?? "digits-mlp"));
  const { defaults, metrics } = problem;
  const folder = flags.out ?? newFolder(problem.settings.name);
  raceRecord.requireNone(folder);
  return {
    folder,
    problem,
    settings: {
      problem: problem.settings,
      optimizers,
      seeds,
      batch: readCount("batch", flags.batch) ?? defaults.batch,
      limits: readLimits(flags, metrics, defaults),
      evaluateEvery: readCount("evaluate-every", flags.evaluateEvery) ?? defaults.evaluateEvery,
      engine,
    },
  };
}

/** The command that repeats a race. */
function commandOf({
  problem,
  optimizers,
  seeds,
  batch,
  limits,
  evaluateEvery,
  engine,
}: RaceSettings): string {
  return [
    "thalweg race",
    quote(namedProblem(problem)),
    ...optimizers.map(({ name, settings }) => `-o ${quote(named(name, settings))}`),
    `--seed ${seeds[0]} --seeds ${seeds.length} --batch ${batch} --steps ${limits.steps}`,
    `--target ${limits.target ? `${limits.target.metric}=${limits.target.value}` : "none"}`,
    ...(limits.seconds === undefined ? [] : [`--seconds ${limits.seconds}`]),
    `--evaluate-every ${evaluateEvery}`,
    ...(engine.backend ? [`--backend ${engine.backend}`] : []),
    ...(engine.threads ? [`--threads ${engine.threads}`] : []),
  ].join(" ");
}

function describeOutcome(outcome: Outcome): string {
  switch (outcome.kind) {
    case "reached":
      return `reached the target in ${formatSeconds(outcome.seconds)}, ${formatCount(outcome.steps)} steps`;
    case "missed":
      return `ended after ${formatSeconds(outcome.seconds)}, ${formatCount(outcome.steps)} steps, without reaching a target`;
    case "diverged":
      return `diverged at step ${formatCount(outcome.step)}`;
    case "unfinished":
      return "unfinished";
  }
}

function show(race: RaceRecord, report: string, json: boolean): void {
  const { settings, scores, folder } = race;
  const { metric } = qualityOf(settings.limits);
  if (json) {
    printJson({ folder, report, settings, environment: race.environment, scores });
    return;
  }
  const { target } = settings.limits;
  const right = "right" as const;
  const orDash = (value: number, format: (value: number) => string) =>
    Number.isFinite(value) ? format(value) : symbol.dash;
  const columns = [
    { title: "", align: right },
    { title: "optimizer" },
    { title: target ? "reached" : "finished" },
    ...(target ? ["time", "steps", "gradients"].map((title) => ({ title, align: right })) : []),
    { title: `best ${metric}`, align: right },
  ];
  const rows = scores.map((score: Score, index) => [
    String(index + 1),
    score.label,
    target ? describeReached(score) : describeFinished(score),
    ...(target
      ? [
          orDash(score.seconds.median, formatSeconds),
          orDash(score.steps.median, formatCount),
          orDash(score.gradients.median, formatCount),
        ]
      : []),
    orDash(score.best, (value) => formatMetric(metric, value)),
  ]);
  const seeds = `${settings.seeds.length} ${settings.seeds.length === 1 ? "seed" : "seeds"}`;
  print("");
  print(
    pc.bold(
      target
        ? `To ${describeTarget(target)}, medians of ${seeds}`
        : `No target, the best ${metric} of ${seeds} counts`,
    ),
  );
  print("");
  print(formatTable(columns, rows));
  print("");
  print(plain(wrapText(verdictOf(race))));
  const splits = timeSplits(
    scores.map(({ label }) => ({
      label,
      runs: race.entries.flatMap(({ entry, run }) => (run && entry.label === label ? [run] : [])),
    })),
  );
  if (splits.length > 0) print(`\n${formatSection(splitSection(splits))}`);
  print("");
  print(`report: ${report}`);
}
