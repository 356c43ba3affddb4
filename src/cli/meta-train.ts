/** `thalweg meta-train`: trains the learned optimizer, or compares its weights with Adam. */
import { readFileSync } from "node:fs";
import { explainFileError, UsageError } from "../lab/errors.js";
import { quote } from "../lab/files.js";
import { formatCount, formatSeconds, formatSignificant } from "../lab/format.js";
import { describeEnvironment } from "../lab/machine.js";
import {
  type BudgetSummary,
  compareWithAdam,
  comparisonDefaults,
  type Finish,
  summarise,
} from "../lab/meta-train/compare.js";
import { type MetaSettings, metaDefaults } from "../lab/meta-train/meta-train.js";
import { type MetaResult, type MetaStatus, metaTrain } from "../lab/meta-train/run.js";
import { createMetaTraining, resumeMetaTraining, weightsPath } from "../lab/meta-train/store.js";
import { decodeWeights } from "../lab/meta-train/weights-file.js";
import { shippedWeights } from "../optimizers/learned/weights.js";
import type { MetaTrainFlags } from "./flags.js";
import { listenForInterruption } from "./interrupt.js";
import { newFolder, readCount, readEngine } from "./options.js";
import { showLine } from "./progress.js";
import { openRuntime } from "./setup.js";
import { formatTable, print, printJson, symbol } from "./text.js";

export async function metaTrainCommand(flags: MetaTrainFlags): Promise<void> {
  if (flags.compare === undefined) await train(flags);
  else await compare(flags, flags.compare);
}

/** Flags that begin a meta-training; one that goes on has them already. */
const fixed = ["seed", "pairs", "sigma", "learningRate", "validateEvery", "out"] as const;

async function train(flags: MetaTrainFlags): Promise<void> {
  const settings = readSettings(flags);
  if (flags.resume !== undefined) {
    const given = fixed.find((flag) => flags[flag] !== undefined);
    if (given)
      throw new UsageError(
        `--${dashed(given)} is given beside --resume, which goes on with what it finds; only --steps can change`,
      );
  }
  const runtime = await openRuntime(readEngine(flags));
  const interruption = listenForInterruption();
  const folder = flags.resume ?? flags.out ?? newFolder("meta-train");
  let result: MetaResult;
  try {
    const store =
      flags.resume === undefined
        ? await createMetaTraining(folder, settings, describeEnvironment(runtime))
        : await resumeMetaTraining(folder, readCount("steps", flags.steps));
    const line = showLine();
    try {
      result = await metaTrain(runtime, store, {
        signal: interruption.signal,
        onProgress: (status) => line.update(() => describe(status)),
      });
    } finally {
      line.end();
      store.close();
    }
  } finally {
    interruption.dispose();
    await runtime.close();
  }
  if (flags.json) printJson({ folder, weights: weightsPath(folder), settings, result });
  else {
    print(
      `${formatCount(result.steps)} updates in ${formatSeconds(result.seconds)}; best meta-loss ` +
        `${formatSignificant(result.best.loss, 4)} after ${formatCount(result.best.step)}`,
    );
    print(`weights: ${weightsPath(folder)}`);
  }
  if (interruption.exitCode !== undefined) {
    process.stderr.write(`interrupted; go on with: thalweg meta-train --resume ${quote(folder)}\n`);
    process.exitCode = interruption.exitCode;
  }
}

const dashed = (flag: string) => flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

function readSettings(flags: MetaTrainFlags): MetaSettings {
  const number = (flag: "sigma" | "learningRate") => {
    const given = flags[flag];
    if (given === undefined) return metaDefaults[flag];
    const value = Number(given);
    if (!(Number.isFinite(value) && value > 0))
      throw new UsageError(`--${dashed(flag)} is "${given}"; use a number above 0`);
    return value;
  };
  return {
    ...metaDefaults,
    seed: readCount("seed", flags.seed, 0) ?? metaDefaults.seed,
    steps: readCount("steps", flags.steps) ?? metaDefaults.steps,
    pairs: readCount("pairs", flags.pairs) ?? metaDefaults.pairs,
    validateEvery: readCount("validate-every", flags.validateEvery) ?? metaDefaults.validateEvery,
    sigma: number("sigma"),
    learningRate: number("learningRate"),
  };
}

function describe({ step, steps, rate, loss, last }: MetaStatus): string {
  return [
    "meta-train",
    `update ${formatCount(step)}/${formatCount(steps)}`,
    ...(rate > 0 ? [`${formatSignificant(rate, 3)} updates/s`] : []),
    ...(loss === undefined ? [] : [`meta-loss ${formatSignificant(loss, 3)}`]),
    ...(last
      ? [`validation ${formatSignificant(last.validation, 4)}, best ${formatSignificant(last.best, 4)}`]
      : []),
    ...(rate > 0 ? [`${formatSeconds((steps - step) / rate)} left`] : []),
  ].join(` ${symbol.dot} `);
}

/** @param given a file of weights, or true for those of the package. */
async function compare(flags: MetaTrainFlags, given: string | true): Promise<void> {
  const problems = readCount("problems", flags.problems) ?? comparisonDefaults.problems;
  const seed = readCount("seed", flags.seed, 0) ?? comparisonDefaults.seed;
  const budgets =
    flags.budgets?.split(",").map((text) => readCount("budgets", text)!) ?? comparisonDefaults.budgets;
  const phi = given === true ? shippedWeights() : decodeWeights(readWeights(given), given).phi;
  const runtime = await openRuntime(readEngine(flags));
  const line = showLine();
  let finishes: Finish[];
  try {
    finishes = compareWithAdam(runtime, phi, { ...comparisonDefaults, problems, seed, budgets }, (done) =>
      line.update(() => `problem ${done}/${problems}`),
    );
  } finally {
    line.end();
    await runtime.close();
  }
  const summary = summarise(finishes);
  if (flags.json) printJson({ summary, finishes: finishes.map(jsonOf) });
  else show(summary, finishes);
}

const finiteOrNull = (steps: number) => (Number.isFinite(steps) ? steps : null);
/** JSON has no infinity: a target that was not reached is null. */
const jsonOf = (finish: Finish) => ({
  ...finish,
  byRate: finish.byRate.map(finiteOrNull),
  learned: finiteOrNull(finish.learned),
});

function readWeights(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw explainFileError(error, path);
  }
}

const stepsText = (steps: number) => (Number.isFinite(steps) ? String(steps) : "never");

function show(summary: readonly BudgetSummary[], finishes: readonly Finish[]): void {
  const longest = Math.max(...summary.map(({ budget }) => budget));
  print(
    formatTable(
      [
        { title: "problem" },
        { title: "target loss", align: "right" },
        { title: "Adam, tuned", align: "right" },
        { title: "its rate", align: "right" },
        { title: "learned", align: "right" },
      ],
      finishes
        .filter(({ budget }) => budget === longest)
        .map(({ problem, target, adam, rate, learned }) => [
          problem,
          formatSignificant(target, 3),
          stepsText(adam),
          formatSignificant(rate, 2),
          stepsText(learned),
        ]),
    ),
  );
  print("");
  print(
    formatTable(
      [
        { title: "Adam's best within", align: "right" },
        { title: "Adam, tuned", align: "right" },
        { title: "learned", align: "right" },
        { title: "median of Adam/learned", align: "right" },
        { title: "learned is sooner", align: "right" },
        { title: "Adam, one rate", align: "right" },
        { title: "learned is sooner, later", align: "right" },
      ],
      summary.map((row) => [
        `${row.budget} steps`,
        stepsText(row.adamSteps),
        stepsText(row.learnedSteps),
        row.speedup.toFixed(2),
        `${row.sooner} of ${row.problems}`,
        formatSignificant(row.family.rate, 2),
        `${row.family.sooner}, ${row.family.later}`,
      ]),
    ),
  );
}
