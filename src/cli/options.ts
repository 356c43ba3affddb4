/** Options that commands share, and the reading of their values. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { UsageError } from "../lab/errors.js";
import type { EngineSettings, Limits, OptimizerSettings, ProblemSettings, Target } from "../lab/settings.js";
import type {
  CompareFlags,
  EngineFlags,
  LimitFlags,
  RaceFlags,
  StudyFlags,
  SuiteFlags,
  TrainFlags,
  TuneFlags,
} from "./flags.js";

/** Of commands that record what they do. */
export const addFolderOptions = (command: Command): Command =>
  command
    .option("--out <folder>", "where everything is recorded (default: a new folder in thalweg-runs)")
    .option("--resume <folder>", "go on with what was begun there");

/** Of commands that measure times beside other work. */
export const addClockOption = (command: Command): Command =>
  command.option(
    "--clock <wall|cpu>",
    "tell all times by the clock, or by the processor, with one thread (default: wall)",
  );

export const addLimitOptions = (command: Command): Command =>
  addFolderOptions(
    command
      .option("--seed <number>", "of the initial values and the batches (default: 0)")
      .option("--batch <size>", "examples in a step (default: the problem's)")
      .option("--target <metric=value>", "stop when the test reaches it: 97%, accuracy=0.97, loss=0.1, none")
      .option("--steps <count>", "stop after so many steps (default: the problem's)")
      .option("--seconds <time>", "stop after so many seconds of training")
      .option("--evaluate-every <steps>", "steps between tests (default: the problem's)"),
  );

/** Of commands about a model that is not trained. */
export const addModelOptions = (command: Command): Command =>
  command
    .option("--batch <size>", "examples a step and device (default: 64, or the problem's)")
    .option("--tokens <count>", "of an example, where a file leaves it open (default: the longest)")
    .option(
      "--hardware <device>",
      "h100, a100, rtx4090, m4-max, m3-max, cpu-2, here, or a .json file (default: a100)",
    )
    .option("--workers <count>", "devices that share the data (default: 1)")
    .option("--sharded", "parameters, gradients and state are divided among the workers (ZeRO, FSDP)")
    .option("--precision <f32|mixed>", "mixed: products, parameters and gradients in bf16 (default: f32)")
    .option("--memory <amount>", "of a device that may be used: 24GB (default: all of it)");

export const addEngineOptions = (command: Command): Command =>
  command
    .option("--threads <count>", "default: all processors")
    .option("--backend <native|portable>", "matrix products by the machine's BLAS or by WebAssembly alone")
    .option("--json", "print the result as JSON");

/** "learningRate", and "first.learningRate" of a part. */
const settingName = /^[a-zA-Z][a-zA-Z0-9]*(\.[a-zA-Z][a-zA-Z0-9]*)*$/;

/**
 * "adam:learningRate=0.01,beta1=0.8" in its parts. What follows a comma without "=" belongs to the value before it.
 *
 * @throws UsageError
 */
export function readNamed(text: string): {
  name: string;
  settings: Record<string, string | number | boolean>;
} {
  const [, name, rest] = /^([^:]*)(?::(.*))?$/s.exec(text)!;
  if (!/^[a-z][a-zA-Z0-9-]{0,63}$/.test(name!))
    throw new UsageError(`"${text}" begins with no name; write name or name:setting=value,setting=value`);
  return { name: name!, settings: readSettingList(text, rest ?? "") };
}

function readSettingList(text: string, list: string): Record<string, string> {
  const settings: Record<string, string> = {};
  let last: string | undefined;
  for (const part of list === "" ? [] : list.split(",")) {
    const equals = part.indexOf("=");
    const key = part.slice(0, Math.max(0, equals)).trim();
    if (settingName.test(key)) {
      if (Object.hasOwn(settings, key)) throw new UsageError(`"${text}" sets ${key} twice`);
      settings[key] = part.slice(equals + 1).trim();
      last = key;
    } else if (last !== undefined) settings[last] += `,${part}`;
    else throw new UsageError(`"${part}" in "${text}" is no setting; write setting=value`);
  }
  return settings;
}

export const readOptimizer = (text: string): OptimizerSettings => readNamed(text);

/**
 * "digits-mlp:hidden=64", or a module of one's own, "./valley.ts:width=0.01", whose name is known once it is loaded.
 *
 * @throws UsageError
 */
export function readProblem(text: string): ProblemSettings {
  const [, path, rest] = /^(.+?\.[cm]?[jt]s)(?::(.*))?$/s.exec(text) ?? [];
  if (path !== undefined)
    return { name: "own", file: resolve(path), options: readSettingList(text, rest ?? "") };
  const { name, settings } = readNamed(text);
  return { name, options: settings };
}

/** @throws UsageError when it is given and no whole number from `least`. */
export function readCount(flag: string, given: string | undefined, least = 1): number | undefined {
  if (given === undefined) return undefined;
  const value = Number(given);
  if (given.trim() === "" || !Number.isSafeInteger(value) || value < least || value >= 2 ** 31)
    throw new UsageError(`--${flag} is "${given}"; use a whole number of at least ${least}`);
  return value;
}

/** @throws UsageError when it is given and no number between 0 and 1. */
export function readFraction(flag: string, given: string | undefined): number | undefined {
  if (given === undefined) return undefined;
  const value = Number(given);
  if (given.trim() === "" || !(value > 0 && value < 1))
    throw new UsageError(`--${flag} is "${given}"; use a number between 0 and 1`);
  return value;
}

/** "24GB", "512 MB", "8GiB". @throws UsageError when it is given and no amount of memory. */
export function readBytes(flag: string, given: string | undefined): number | undefined {
  if (given === undefined) return undefined;
  const [, digits, unit] = /^\s*([\d.]+)\s*(?:([kMGT]i?)B?|B)\s*$/.exec(given) ?? [];
  const value =
    Number(digits) * (unit ? (unit.endsWith("i") ? 1024 : 1000) ** ("kMGT".indexOf(unit[0]!) + 1) : 1);
  if (!(Number.isFinite(value) && value > 0))
    throw new UsageError(
      `--${flag} is "${given}"; use an amount of memory with its unit, such as 24GB or 512MB`,
    );
  return value;
}

/** @throws UsageError when it is given and no number above 0. */
export function readPositive(flag: string, given: string | undefined): number | undefined {
  if (given === undefined) return undefined;
  const value = Number(given);
  if (!(Number.isFinite(value) && value > 0))
    throw new UsageError(`--${flag} is "${given}"; use a number above 0`);
  return value;
}

/**
 * The target: a percentage of accuracy, or a metric with its value.
 *
 * @param metrics those of the problem, with the direction that is better.
 * @throws UsageError
 */
export function readTarget(
  given: string | undefined,
  metrics: Readonly<Record<string, Target["goal"]>>,
  fallback: Target | undefined,
): Target | undefined {
  if (given === undefined) return fallback;
  if (given === "none") return undefined;
  const names = Object.keys(metrics);
  const [, metric = names[0]!, digits, percent] =
    /^(?:([a-zA-Z][a-zA-Z0-9]*)\s*=\s*)?([-+.eE\d]+)\s*(%?)$/.exec(given) ?? [];
  // A percentage without a metric is one of what shall be large: a loss of 97 % would be met at once.
  const isOfNone = percent === "%" && !given.includes("=") && metrics[metric] === "min";
  const value = Number(isOfNone ? Number.NaN : (digits ?? Number.NaN)) / (percent === "%" ? 100 : 1);
  const goal = Object.hasOwn(metrics, metric) ? metrics[metric] : undefined;
  if (goal === undefined || !Number.isFinite(value))
    throw new UsageError(
      `--target is "${given}"; use metric=value with one of ${names.join(", ")}, such as ${names[0]}=${names[0] === "accuracy" ? "0.97" : "0.1"}, or none`,
    );
  if (metric === "accuracy" && !(value > 0 && value <= 1))
    throw new UsageError(`--target is "${given}"; an accuracy is above 0 and at most 1 (or 100%)`);
  return { metric, value, goal };
}

export function readEngine(flags: EngineFlags): EngineSettings {
  const threads = readCount("threads", flags.threads);
  if (threads !== undefined && threads > 64) throw new UsageError(`--threads is ${threads}; use at most 64`);
  const { backend } = flags;
  if (backend !== undefined && backend !== "native" && backend !== "portable")
    throw new UsageError(`--backend is "${backend}"; use native or portable`);
  return { ...(backend ? { backend } : {}), ...(threads ? { threads } : {}) };
}

/** Threads that wait for each other use the processor too: only that of one thread is the time of the work. */
export function readClock({
  clock,
  threads,
}: Pick<SuiteFlags, "clock" | "threads">): Pick<EngineSettings, "clock"> {
  if (clock === undefined || clock === "wall") return {};
  if (clock !== "cpu") throw new UsageError(`--clock is "${clock}"; use wall or cpu`);
  if (threads?.trim() !== "1") throw new UsageError("--clock cpu is given without --threads 1; add it");
  return { clock };
}

/** The limits that were given; what was not has the fallback. */
export function readLimits(
  flags: LimitFlags,
  metrics: Readonly<Record<string, Target["goal"]>>,
  fallback: { readonly steps: number; readonly target: Target | undefined },
): Limits {
  const target = readTarget(flags.target, metrics, fallback.target);
  const seconds = readPositive("seconds", flags.seconds);
  const [metric, goal] = Object.entries(metrics)[0]!;
  return {
    steps: readCount("steps", flags.steps) ?? fallback.steps,
    ...(seconds === undefined ? {} : { seconds }),
    ...(target ? { target } : Object.hasOwn(metrics, "loss") ? {} : { quality: { metric, goal } }),
  };
}

/** @throws UsageError when a flag is given that a resumed run cannot change. */
export function refuseWithResume(
  flags: CompareFlags | RaceFlags | StudyFlags | SuiteFlags | TrainFlags | TuneFlags,
  problem: string | undefined,
  changeable: readonly string[],
): void {
  if (problem !== undefined)
    throw new UsageError(`"${problem}" is given beside --resume, which goes on with the problem it finds`);
  const fixed = Object.keys(flags).find(
    (flag) => !["resume", "json", "report", "tensorboard", ...changeable].includes(flag),
  );
  if (fixed !== undefined)
    throw new UsageError(
      `--${fixed.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)} is given beside --resume, which goes on with what it finds` +
        (changeable.length > 0 ? `; only ${changeable.map((c) => `--${c}`).join(", ")} can change` : ""),
    );
}

/** A folder for a run that was given none: thalweg-runs/<name>-<date>-<time>, and -2, -3, … within one second. */
export function newFolder(name: string, now = new Date()): string {
  const stamp = now.toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-");
  const folder = `thalweg-runs/${name}-${stamp}`;
  let free = folder;
  for (let count = 2; existsSync(free); count++) free = `${folder}-${count}`;
  return free;
}
