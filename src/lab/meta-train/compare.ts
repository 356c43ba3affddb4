/**
 * The learned optimizer beside Adam on the family's held-out half: other widths, other digits, other seeds. Adam is
 * tuned for each problem and each target by itself: for a budget of N steps, the target is the lowest training loss that
 * Adam reaches within N steps with the best learning rate of a grid, and Adam's count is that of the rate which reaches
 * it soonest. Beside it stands Adam tuned once for the family: one rate for all problems at that budget. The learned optimizer has nothing to tune.
 */
import { compile } from "../../compiler/compile.js";
import { createObjective } from "../../curvature/objective.js";
import { adam } from "../../optimizers/adam.js";
import { firstOrder } from "../../optimizers/first-order.js";
import { learnedStep } from "../../optimizers/learned.js";
import type { Optimizer } from "../../optimizers/optimizer.js";
import { constant as constantRate } from "../../optimizers/schedule.js";
import type { Runtime } from "../../runtime/runtime.js";
import { constant, input } from "../../tensor/tensor.js";
import { median } from "../score.js";
import { drawArchitecture, drawProblem, type FamilyProblem } from "./family.js";

export const comparisonDefaults = {
  problems: 25,
  /** N of each target. */
  budgets: [50, 100, 200, 400],
  /** Adam's: factors of two from 0.00025 to 1. */
  rates: Array.from({ length: 13 }, (_, k) => 2 ** (k - 12)),
  /** Steps between looks at the loss of all examples. */
  every: 5,
  seed: 1,
} as const;
export type ComparisonSettings = {
  readonly [K in keyof typeof comparisonDefaults]: (typeof comparisonDefaults)[K] extends number
    ? number
    : readonly number[];
};

/** Steps to one problem's target. */
export interface Finish {
  readonly problem: string;
  /** N */
  readonly budget: number;
  readonly target: number;
  readonly adam: number;
  /** The rate with which Adam is this fast. */
  readonly rate: number;
  /** Adam's steps with each of the rates; Infinity as below. */
  readonly byRate: readonly number[];
  /** Infinity when twice the longest budget did not suffice. */
  readonly learned: number;
}

export interface BudgetSummary {
  readonly budget: number;
  readonly adamSteps: number;
  readonly learnedSteps: number;
  /** Median over problems of Adam's steps over the learned optimizer's. */
  readonly speedup: number;
  /** Problems on which the learned optimizer needs fewer steps. */
  readonly sooner: number;
  /** Of Adam with one rate for all problems: which of the rates, and on how many problems the learned optimizer needs fewer, and more, steps. */
  readonly family: { readonly rate: number; readonly sooner: number; readonly later: number };
  readonly problems: number;
}

/** Losses of all examples at steps 0, every, 2·every, …. */
function lossesOf(
  runtime: Runtime,
  problem: FamilyProblem,
  optimizer: Optimizer,
  steps: number,
  every: number,
): number[] {
  const { architecture, examples } = problem;
  const { model, loss, batch, targets } = architecture;
  const specs = (size: number) =>
    [
      { dtype: "f32", shape: [size, ...examples.inputShape] },
      { dtype: targets, shape: [size, ...examples.targetShape] },
    ] as const;
  const objective = createObjective(runtime, {
    layout: model.layout,
    parameters: problem.initial,
    batch: specs(batch),
    trace: (theta, [x, y]) => ({
      loss: loss.value(model.apply(model.layout.views(theta), x!), y!),
      state: undefined,
    }),
  });
  const theta = input("parameters", objective.parameters);
  const [x, y] = specs(examples.size).map((spec, k) => input(`examples ${k}`, spec));
  const whole = compile(
    runtime,
    { inputs: [theta, x!, y!], outputs: [loss.value(model.apply(model.layout.views(theta), x!), y!)] },
    { inputs: [objective.parameters, undefined, undefined] },
  );
  whole.inputs[1]!.set(examples.inputs);
  whole.inputs[2]!.set(examples.targets);
  const training = optimizer.start(objective);
  const [xs, ys] = objective.batch;
  const losses: number[] = [];
  for (let step = 0; step <= steps; step++) {
    if (step % every === 0) {
      whole.run();
      losses.push(whole.outputs[0]!.data[0]!);
    }
    problem.fill(step, xs!.data as Float32Array, ys!.data as Float32Array | Int32Array);
    training.step();
  }
  training.release();
  whole.release();
  objective.release();
  return losses;
}

/** The first step at which the target is met. */
function stepsTo(losses: readonly number[], target: number, every: number): number {
  const found = losses.findIndex((loss) => loss <= target);
  return found < 0 ? Number.POSITIVE_INFINITY : found * every;
}

/** Runs both on every problem. */
export function compareWithAdam(
  runtime: Runtime,
  phi: ArrayLike<number>,
  settings: ComparisonSettings = comparisonDefaults,
  onProblem: (done: number) => void = () => {},
): Finish[] {
  const { budgets, rates, every, seed } = settings;
  const longest = Math.max(...budgets);
  const learned = firstOrder(
    "learned",
    learnedStep((dtype) => constant(Array.from(phi), dtype)),
    constantRate(1),
  );
  const finishes: Finish[] = [];
  for (let k = 0; k < settings.problems; k++) {
    const problem = drawProblem("test", drawArchitecture("test", seed, k), seed, k);
    const ofAdam = rates.map((learningRate) =>
      lossesOf(runtime, problem, adam.create({ learningRate }), 2 * longest, every),
    );
    const ofLearned = lossesOf(runtime, problem, learned, 2 * longest, every);
    for (const budget of budgets) {
      const within = ofAdam.flatMap((losses) => losses.slice(0, Math.floor(budget / every) + 1));
      const target = Math.min(...within.filter(Number.isFinite));
      const steps = ofAdam.map((losses) => stepsTo(losses, target, every));
      const adamSteps = Math.min(...steps);
      finishes.push({
        problem: problem.architecture.name,
        budget,
        target,
        adam: adamSteps,
        rate: rates[steps.indexOf(adamSteps)]!,
        byRate: steps,
        learned: stepsTo(ofLearned, target, every),
      });
    }
    onProblem(k + 1);
  }
  return finishes;
}

/**
 * The one rate (by its index) with the least median of steps over its problem's best; where several never arrive in the
 * median, the one that arrives most often.
 */
function familyRate(finishes: readonly Finish[]): number {
  const arrivals = (k: number) => finishes.filter(({ byRate }) => Number.isFinite(byRate[k]!)).length;
  const excess = (k: number) => median(finishes.map(({ byRate, adam }) => byRate[k]! / adam));
  const before = (k: number, best: number) => {
    const [own, least] = [excess(k), excess(best)];
    return own < least || (own === least && arrivals(k) > arrivals(best));
  };
  return finishes[0]!.byRate.reduce((best, _, k) => (before(k, best) ? k : best), 0);
}

/** Medians and counts over the problems, for each budget; `rates` as in the comparison. */
export const summarise = (
  finishes: readonly Finish[],
  rates: readonly number[] = comparisonDefaults.rates,
): BudgetSummary[] =>
  [...new Set(finishes.map(({ budget }) => budget))].map((budget) => {
    const own = finishes.filter((finish) => finish.budget === budget);
    const one = familyRate(own);
    return {
      budget,
      adamSteps: median(own.map((finish) => finish.adam)),
      learnedSteps: median(own.map((finish) => finish.learned)),
      speedup: median(own.map((finish) => finish.adam / finish.learned)),
      sooner: own.filter((finish) => finish.learned < finish.adam).length,
      family: {
        rate: rates[one]!,
        sooner: own.filter(({ learned, byRate }) => learned < byRate[one]!).length,
        later: own.filter(({ learned, byRate }) => learned > byRate[one]!).length,
      },
      problems: own.length,
    };
  });
