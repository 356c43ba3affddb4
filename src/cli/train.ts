/** `thalweg train`: one optimizer, recorded and resumable. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { accountOf, coverageSection } from "../lab/account.js";
import { UsageError, UserError } from "../lab/errors.js";
import { quote, replaceFile } from "../lab/files.js";
import { formatCount, formatMetric, formatSeconds, formatSignificant } from "../lab/format.js";
import { describeEnvironment } from "../lab/machine.js";
import type { Problem } from "../lab/problem.js";
import { loadProblem } from "../lab/problems/registry.js";
import { runReport } from "../lab/report.js";
import { train as trainSession } from "../lab/run.js";
import { type RunResult, readRun, runRecord } from "../lab/run-record.js";
import { batchFor, openSession, optimizerFor } from "../lab/session.js";
import type { RunSettings } from "../lab/settings.js";
import { createRun, resumeRun } from "../lab/store.js";
import { writeEvents } from "../lab/tensorboard.js";
import { exitCodes } from "./failure.js";
import type { TrainFlags } from "./flags.js";
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
import { showProgress } from "./progress.js";
import { named, namedProblem, openRuntime } from "./setup.js";
import { formatSection, plain, print, printJson } from "./text.js";

/** Of a table in the terminal. */
const mostRows = 30;

interface Plan {
  readonly folder: string;
  readonly problem: Problem;
  readonly settings: RunSettings;
  readonly resumes: boolean;
}

export async function train(given: string | undefined, flags: TrainFlags): Promise<void> {
  const detail = flags.report ?? "full";
  if (detail !== "full" && detail !== "brief")
    throw new UsageError(`--report is "${detail}"; use full or brief`);
  const plan = await (flags.resume === undefined ? begin(given, flags) : goOn(given, flags, flags.resume));
  const { folder, problem, settings } = plan;
  const complete = optimizerFor(problem, settings.optimizer).settings;
  const runtime = await openRuntime(settings.engine);
  const interruption = listenForInterruption();
  let result: RunResult;
  try {
    process.stderr.write(plain(`${problem.settings.name}: ${problem.summary}\n`));
    const session = openSession(runtime, problem, settings);
    const covered = coverageSection(settings.optimizer.name, session.coverage);
    if (covered) process.stderr.write(`${formatSection(covered, mostRows)}\n\n`);
    const store = plan.resumes
      ? await resumeRun(folder, { target: undefined, ...settings.limits })
      : await createRun(folder, settings, describeEnvironment(runtime));
    const progress = showProgress(`${settings.optimizer.name}, seed ${settings.seed}`, settings.limits);
    try {
      result = await trainSession(store, session, {
        signal: interruption.signal,
        onProgress: progress.update,
      });
    } finally {
      progress.end();
      store.close();
    }
  } finally {
    interruption.dispose();
    await runtime.close();
  }
  const report = join(folder, "report.html");
  replaceFile(
    report,
    runReport(readRun(folder), {
      problem: problem.summary,
      command: commandOf(settings),
      settings: { [settings.optimizer.name]: complete },
    }),
  );
  if (flags.tensorboard) writeEvents(join(folder, "tensorboard"), readRun(folder));
  show(folder, report, settings, result, flags);
  if (result.diverged)
    throw new UserError(
      `${settings.optimizer.name} diverged at step ${formatCount(result.diverged.step)}: the loss is ${result.diverged.loss}` +
        `${result.diverged.loss === "NaN" || result.diverged.loss.includes("Infinity") ? "" : " and its gradient is not finite"}; ` +
        remedyFor(settings.optimizer.name, complete),
    );
  if (interruption.exitCode !== undefined) {
    process.stderr.write(`interrupted; go on with: thalweg train --resume ${quote(folder)}\n`);
    process.exitCode = interruption.exitCode ?? exitCodes.interrupted;
  }
}

/** What may keep it from diverging: a tenth of every learning rate, also of a hybrid's parts, and clipping where there is any. */
function remedyFor(name: string, complete: Readonly<Record<string, unknown>>): string {
  const rates = Object.keys(complete).filter((key) => /(^|\.)learningRate$/.test(key));
  if (rates.length === 0) return `thalweg list ${name} tells what can be set`;
  const now = rates.map((key) => `${rates.length === 1 ? "it" : key} is ${String(complete[key])}`);
  const lower = rates.flatMap((key) => {
    const clip = key.replace(/learningRate$/, "clipNorm");
    const rate = `${key}=${formatSignificant(Number(complete[key]) / 10, 1)}`;
    return Object.hasOwn(complete, clip) ? [rate, `${clip}=1`] : [rate];
  });
  return (
    `lower the learning rate (${now.join(", ")}) or clip the gradient: ` +
    `--optimizer ${name}:${lower.join(",")}`
  );
}

async function begin(given: string | undefined, flags: TrainFlags): Promise<Plan> {
  const optimizer = readOptimizer(flags.optimizer ?? "adam");
  const engine = readEngine(flags);
  const seed = readCount("seed", flags.seed, 0) ?? 0;
  const problem = await loadProblem(readProblem(given ?? "digits-mlp"));
  const { defaults, metrics } = problem;
  const checkpointSteps = readCount("checkpoint-every", flags.checkpointEvery);
  const folder = flags.out ?? newFolder(`${problem.settings.name}-${optimizer.name}`);
  runRecord.requireNone(folder);
  return {
    folder,
    problem,
    resumes: false,
    settings: {
      problem: problem.settings,
      optimizer,
      seed,
      batch: readCount("batch", flags.batch) ?? batchFor(problem, optimizer),
      limits: readLimits(flags, metrics, defaults),
      evaluateEvery: readCount("evaluate-every", flags.evaluateEvery) ?? defaults.evaluateEvery,
      checkpoint: { seconds: 10, ...(checkpointSteps ? { steps: checkpointSteps } : {}) },
      engine,
    },
  };
}

async function goOn(given: string | undefined, flags: TrainFlags, folder: string): Promise<Plan> {
  refuseWithResume(flags, given, ["steps", "seconds", "target"]);
  const { settings, result, measurements } = readRun(folder);
  const problem = await loadProblem(settings.problem);
  const { target, seconds } = settings.limits;
  const limits = readLimits(flags, problem.metrics, { steps: settings.limits.steps, target });
  const kept = seconds === undefined || flags.seconds !== undefined ? limits : { ...limits, seconds };
  const done = result?.steps ?? measurements.at(-1)?.step ?? 0;
  if (flags.steps !== undefined && limits.steps < done)
    throw new UsageError(
      `--steps is ${formatCount(limits.steps)}, and the run in "${folder}" is at step ${formatCount(done)}; give more, counted from its beginning`,
    );
  if (result?.diverged)
    throw new UserError(
      `the run in "${folder}" diverged at step ${formatCount(result.diverged.step)}; start a new one with a lower learning rate`,
    );
  return { folder, problem, resumes: true, settings: { ...settings, limits: kept } };
}

/** The command that repeats a run. */
function commandOf({ problem, optimizer, seed, batch, limits, evaluateEvery, engine }: RunSettings): string {
  return [
    "thalweg train",
    quote(namedProblem(problem)),
    `-o ${quote(named(optimizer.name, optimizer.settings))}`,
    `--seed ${seed} --batch ${batch} --steps ${limits.steps}`,
    `--target ${limits.target ? `${limits.target.metric}=${limits.target.value}` : "none"}`,
    ...(limits.seconds === undefined ? [] : [`--seconds ${limits.seconds}`]),
    `--evaluate-every ${evaluateEvery}`,
    ...(engine.backend ? [`--backend ${engine.backend}`] : []),
    ...(engine.threads ? [`--threads ${engine.threads}`] : []),
  ].join(" ");
}

function show(
  folder: string,
  report: string,
  settings: RunSettings,
  result: RunResult,
  { json, report: detail }: TrainFlags,
): void {
  if (json) {
    printJson({ folder, report, settings, result });
    return;
  }
  if (detail !== "brief")
    for (const section of accountOf(readRun(folder))) print(`${formatSection(section, mostRows)}\n`);
  const { last, test } = result;
  print(result.message);
  print(`${formatCount(result.steps)} steps in ${formatSeconds(result.seconds)} of training`);
  const list = (data: string, values: Readonly<Record<string, number>>) =>
    Object.entries(values)
      .map(([metric, value]) => `${data} ${metric} ${formatMetric(metric, value)}`)
      .join(", ");
  if (last) print(list(test ? "validation" : "test", last.test));
  if (test) print(list("test", test));
  const checkpoint = join(folder, "checkpoint.safetensors");
  if (existsSync(checkpoint)) print(`checkpoint: ${checkpoint}`);
  print(`report: ${report}`);
}
