/** `thalweg tune`: settings of one optimizer for one problem, by search; and how much depends on each. */
import { join } from "node:path";
import pc from "picocolors";
import { quote, replaceJson } from "../lab/files.js";
import { formatCount, formatMetric, formatSeconds, formatSignificant } from "../lab/format.js";
import type { Problem } from "../lab/problem.js";
import { loadProblem } from "../lab/problems/registry.js";
import { outcomeOf, type Quality, qualityOf } from "../lab/score.js";
import { rangesOf } from "../lab/search.js";
import { sensitivity as measureSensitivity, type Sensitivity } from "../lab/sensitivity.js";
import { batchFor, optimizerFor, suggestedFor } from "../lab/session.js";
import {
  describePoint,
  readTune,
  tune as search,
  type TuneRecord,
  type TuneSettings,
  tuneRecord,
} from "../lab/tune.js";
import { describeTarget } from "../lab/verdict.js";
import { findMethod } from "../optimizers/registry.js";
import type { TuneFlags } from "./flags.js";
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
import { named, openRuntime } from "./setup.js";
import { formatTable, plain, print, printJson, symbol } from "./text.js";

export async function tune(
  problemText: string | undefined,
  optimizerText: string | undefined,
  flags: TuneFlags,
): Promise<void> {
  const { folder, problem, settings } = await prepare(problemText, optimizerText, flags);
  // Settings that cannot be used are known before a file is written.
  const given = {
    ...suggestedFor(problem, findMethod(settings.optimizer.name), settings.optimizer.settings),
    ...settings.optimizer.settings,
  };
  optimizerFor(problem, settings.optimizer);
  const runtime = await openRuntime(settings.engine);
  const interruption = listenForInterruption();
  const quality = qualityOf(settings.limits);
  let progress: Progress | undefined;
  const watch = {
    signal: interruption.signal,
    onStart(label: string, index: number, total: number) {
      progress = showProgress(`${index + 1}/${total} ${label}`, settings.limits);
    },
    onProgress: (status: Parameters<Progress["update"]>[0]) => progress?.update(status),
    onEnd(label: string, run: TuneRecord["trials"][number]["runs"][number]) {
      progress?.note(`${label}: ${describeEnd(run, quality)}`);
    },
  };
  let rows: Sensitivity[] | undefined;
  let record: TuneRecord;
  try {
    process.stderr.write(plain(`${problem.settings.name}: ${problem.summary}\n`));
    process.stderr.write(plain(`${describeRanges(settings)}\n`));
    record = await search(runtime, problem, folder, settings, watch);
    const [best] = record.trials;
    if (flags.sensitivity && best && !interruption.signal.aborted)
      rows = await measureSensitivity(runtime, problem, record, best.optimizer, watch);
    progress?.end();
  } finally {
    interruption.dispose();
    await runtime.close();
  }
  const result = { trials: record.trials.map(brief), ...(rows && { sensitivity: rows }) };
  replaceJson(join(folder, "result.json"), result);
  if (flags.json) printJson({ folder, settings, ...result });
  else show(record, rows, quality, given);
  if (interruption.exitCode !== undefined) {
    process.stderr.write(
      `interrupted; go on with: thalweg tune --resume ${quote(folder)}${flags.sensitivity ? " --sensitivity" : ""}\n`,
    );
    process.exitCode = interruption.exitCode;
  }
}

async function prepare(
  problemText: string | undefined,
  optimizerText: string | undefined,
  flags: TuneFlags,
): Promise<{ folder: string; problem: Problem; settings: TuneSettings }> {
  if (flags.resume !== undefined) {
    refuseWithResume(flags, problemText, ["sensitivity", "earlyStop"]);
    const { settings } = readTune(flags.resume);
    return { folder: flags.resume, problem: await loadProblem(settings.problem), settings };
  }
  const optimizer = readOptimizer(optimizerText ?? "adam");
  const ranges = rangesOf(
    optimizer.name,
    findMethod(optimizer.name).optionsFor(optimizer.settings),
    flags.over,
  );
  // What was given is meant: it is not searched, unless --over names it.
  if (flags.over === undefined) for (const name of Object.keys(optimizer.settings)) delete ranges[name];
  const engine = readEngine(flags);
  const first = readCount("seed", flags.seed, 0) ?? 0;
  const seeds = Array.from({ length: readCount("seeds", flags.seeds) ?? 1 }, (_, k) => first + k);
  const problem = await loadProblem(readProblem(problemText ?? "digits-mlp"));
  const { defaults, metrics } = problem;
  const folder = flags.out ?? newFolder(`tune-${problem.settings.name}-${optimizer.name}`);
  tuneRecord.requireNone(folder);
  return {
    folder,
    problem,
    settings: {
      problem: problem.settings,
      optimizer,
      ranges,
      trials: readCount("trials", flags.trials, 0) ?? 20,
      searchSeed: readCount("search-seed", flags.searchSeed, 0) ?? 0,
      seeds,
      batch: readCount("batch", flags.batch) ?? batchFor(problem, optimizer),
      limits: readLimits(flags, metrics, defaults),
      evaluateEvery: readCount("evaluate-every", flags.evaluateEvery) ?? defaults.evaluateEvery,
      stopsEarly: flags.earlyStop,
      engine,
    },
  };
}

const describeRanges = ({ optimizer, ranges, trials }: TuneSettings) =>
  `${optimizer.name}: the given settings and ${trials} trials over ${Object.entries(ranges)
    .map(([name, { from, to, scale }]) => `${name} ${from} to ${to}${scale === "linear" ? "" : " (log)"}`)
    .join(", ")}`;

function describeEnd(
  { result, measurements }: TuneRecord["trials"][number]["runs"][number],
  quality: Quality,
) {
  const outcome = outcomeOf(result);
  if (outcome.kind === "reached")
    return `reached the target in ${formatSeconds(outcome.seconds)}, ${formatCount(outcome.steps)} steps`;
  if (outcome.kind === "diverged") return `diverged at step ${formatCount(outcome.step)}`;
  const last = measurements.at(-1)?.test[quality.metric];
  const value = last === undefined ? "" : `, ${quality.metric} ${formatMetric(quality.metric, last)}`;
  return result?.reason === "hopeless"
    ? `ended early at step ${formatCount(result.steps)}${value}`
    : `ended at step ${formatCount(result?.steps ?? 0)}${value}`;
}

const brief = ({ index, point, optimizer, score, hopeless }: TuneRecord["trials"][number]) => ({
  trial: index,
  settings: point,
  optimizer,
  reached: score.reached,
  seconds: score.seconds.median,
  steps: score.steps.median,
  best: score.best,
  diverged: score.diverged,
  endedEarly: hopeless,
});

function show(
  { trials, settings, folder }: TuneRecord,
  rows: readonly Sensitivity[] | undefined,
  { metric }: Quality,
  given: Readonly<Record<string, unknown>>,
): void {
  const right = "right" as const;
  const { target } = settings.limits;
  const names = Object.keys(settings.ranges);
  const orDash = (value: number, format: (value: number) => string) =>
    Number.isFinite(value) ? format(value) : symbol.dash;
  print("");
  print(
    pc.bold(
      target
        ? `To ${describeTarget(target)}, best first`
        : `Best ${metric} within ${formatCount(settings.limits.steps)} steps`,
    ),
  );
  print("");
  print(
    formatTable(
      [
        { title: "trial", align: right },
        ...names.map((title) => ({ title, align: right })),
        ...(target ? ["time", "steps"].map((title) => ({ title, align: right })) : []),
        { title: `best ${metric}`, align: right },
        { title: "" },
      ],
      trials.map(({ index, point, score, hopeless }) => [
        String(index),
        ...names.map((name) => String(point[name] ?? given[name] ?? "default")),
        ...(target
          ? [orDash(score.seconds.median, formatSeconds), orDash(score.steps.median, formatCount)]
          : []),
        orDash(score.best, (value) => formatMetric(metric, value)),
        score.diverged > 0 ? "diverged" : hopeless ? "ended early" : index === 0 ? "as given" : "",
      ]),
    ),
  );
  const [best] = trials;
  if (best) {
    print("");
    if (best.score.diverged === best.score.runs) print("Every trial diverged; lower the rates with --over.");
    else {
      if (target && best.score.reached === 0) print(`No trial reached ${describeTarget(target)}.`);
      print(`best: -o ${quote(named(best.optimizer.name, best.optimizer.settings))}`);
    }
  }
  if (rows && rows.length > 0) {
    print("");
    print(
      pc.bold(
        `Best ${metric} within ${formatCount(settings.limits.steps)} steps, one setting moved, the others as in trial ${best?.index} (${describePoint(best?.point ?? {})})`,
      ),
    );
    print("");
    print(
      formatTable(
        [
          { title: "setting" },
          ...rows[0]!.points.map((_, k) => ({ title: k === 0 ? "value: result" : "", align: right })),
          { title: "change a decade", align: right },
        ],
        rows.map(({ setting, points, perDecade }) => [
          setting,
          ...points.map(({ value, best: result }) =>
            plain(`${value}: ${Number.isFinite(result) ? formatMetric(metric, result) : "diverged"}`),
          ),
          orDash(perDecade, (x) =>
            metric === "accuracy" ? `${formatSignificant(100 * x, 2)} points` : formatSignificant(x, 2),
          ),
        ]),
      ),
    );
  }
  print("");
  print(`recorded in ${folder}`);
}
