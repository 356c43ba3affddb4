/**
 * First-order steps, then second-order ones: which share of an equal time should go to the first? Of a time that k₀ steps
 * of Adam take, Adam has the share s and another method the rest:
 *
 *     s·k₀ steps of Adam,  then  (1 − s)·k₀·t₁/t₂ steps of the second method
 *
 * t₁ and t₂ are the mean seconds of their steps, estimates and inversions among them, taken once before, so that what
 * else the machine does changes no run.
 */
import { openProblem } from "../problems/registry.js";
import type { OptimizerSettings } from "../settings.js";
import { timeSteps } from "./steps.js";
import { defineStudy, type Extent, type Lab, overSeeds } from "./study.js";
import { pairNames, readSwitch, type SwitchPoint, type SwitchRun, switchSchema } from "./switch-reading.js";

interface Pair {
  readonly problem: string;
  readonly batch: number;
  /** Measured at the end; less is better. */
  readonly metric: string;
  readonly first: OptimizerSettings;
  readonly second: OptimizerSettings;
  /** k₀ */
  readonly steps: Readonly<Record<Extent, number>>;
}

const pairs = {
  "pinn-poisson, adam then lbfgs": {
    problem: "pinn-poisson",
    batch: 900,
    metric: "l2Error",
    first: { name: "adam", settings: { learningRate: 1.7e-3 } },
    second: { name: "lbfgs", settings: {} },
    steps: { quick: 1000, full: 4000 },
  },
  "digits-mlp, adam then kfac": {
    problem: "digits-mlp",
    batch: 128,
    metric: "loss",
    first: { name: "adam", settings: { learningRate: 2e-3 } },
    second: { name: "kfac", settings: { learningRate: 0.06, schedule: "constant" } },
    steps: { quick: 600, full: 2500 },
  },
} as const satisfies Record<PairName, Pair>;
type PairName = SwitchPoint["pair"];

interface Grid {
  /** Per cent of the time for the first method. */
  readonly shares: readonly number[];
  readonly seeds: number;
}
const grids: Readonly<Record<Extent, Grid>> = {
  quick: { shares: [0, 10, 25, 50, 75, 100], seeds: 1 },
  full: { shares: [0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100], seeds: 3 },
};

type CostPoint = Extract<SwitchPoint, { what: "cost" }>;
/** The first steps are compiled as they run, and invert more often. */
const warmUp = 40;

async function measureCosts(lab: Lab, name: PairName): Promise<CostPoint> {
  const { problem, batch, first, second } = pairs[name];
  const opened = openProblem({ name: problem, options: {} });
  const mean = async (optimizer: OptimizerSettings) => {
    const steps = await timeSteps(lab, opened, optimizer, { batch, count: warmUp + 200 });
    const timed = steps.slice(warmUp);
    return timed.reduce((sum, { seconds }) => sum + seconds, 0) / timed.length;
  };
  return {
    what: "cost",
    pair: name,
    first: await mean(first),
    second: await mean(second),
  };
}

/** Steps of both methods when the first has a share (in per cent) of the time of `steps` of its own. */
export function divide(
  steps: number,
  share: number,
  { first, second }: { readonly first: number; readonly second: number },
): { firstSteps: number; secondSteps: number } {
  const firstSteps = Math.round((steps * share) / 100);
  return { firstSteps, secondSteps: Math.round(((steps - firstSteps) * first) / second) };
}

async function measureRun(
  lab: Lab,
  name: PairName,
  share: number,
  extent: Extent,
  earlier: readonly SwitchPoint[],
): Promise<SwitchRun> {
  const { problem, batch, metric, first, second, steps }: Pair = pairs[name];
  const { seeds } = grids[extent];
  const costs = earlier.find((point): point is CostPoint => point.what === "cost" && point.pair === name)!;
  const { firstSteps, secondSteps } = divide(steps[extent], share, costs);
  const opened = openProblem({ name: problem, options: {} });
  const total = firstSteps + secondSteps;
  const values = [];
  for (let k = 0; k < seeds; k++) {
    const { result } = await lab.train(`${problem} ${share} seed ${lab.seed + k}`, {
      problem: opened,
      optimizer: secondSteps === 0 ? first : switching(first, second, firstSteps),
      seed: lab.seed + k,
      batch,
      limits: { steps: total },
      evaluateEvery: total,
    });
    values.push(result!.diverged ? Number.POSITIVE_INFINITY : result!.last!.test[metric]!);
  }
  const { middle: value, low, high } = overSeeds(values);
  return { what: "run", pair: name, share, firstSteps, secondSteps, value, low, high, seeds };
}

/** `switchTo` with the settings of both. */
const switching = (first: OptimizerSettings, second: OptimizerSettings, at: number): OptimizerSettings => ({
  name: "switchTo",
  settings: {
    first: first.name,
    second: second.name,
    at,
    ...Object.fromEntries(
      Object.entries({ first, second }).flatMap(([part, { settings }]) =>
        Object.entries(settings).map(([key, value]) => [`${part}.${key}`, value]),
      ),
    ),
  },
});

export const switchStudy = defineStudy({
  name: "switch",
  title: "First order, then second order",
  question: "Of an equal time, which share should Adam have before a second-order method takes over?",
  expectation: {
    text: "Adam first and a second-order method to finish is better than either alone: curvature is unreliable early and pays late.",
    source:
      "the text that Thalweg comes from (docs/claims.md, 26 and 43); Rathore et al. 2024, arXiv 2402.01868",
  },
  method:
    "pinn-poisson with Adam then L-BFGS (error of the solution) and digits-mlp with Adam then K-FAC (test loss), all in the time that a number of Adam's steps takes (quick: 1,000 and 600, full: 4,000 and 2,500), by the method switchTo.",
  columns: {
    what: "cost: seconds of the steps; run: a training of equal time",
    pair: "problem and methods",
    first: "mean seconds of a step of the first method",
    second: "mean seconds of a step of the second method",
    share: "per cent of the time for the first method",
    firstSteps: "its steps",
    secondSteps: "steps of the second method",
    value: "error of the solution, or test loss, at the end, median over seeds; empty: diverged",
    low: "least over seeds",
    high: "most over seeds",
    seeds: "how many",
  },
  schema: switchSchema,
  tasks: (extent) =>
    pairNames.flatMap((name) => [
      { id: `cost, ${name}`, seconds: 2, measure: (lab: Lab) => measureCosts(lab, name) },
      ...grids[extent].shares.map((share) => ({
        id: `${name}, ${share} %`,
        seconds: grids[extent].seeds * (0.5 + pairs[name].steps[extent] * 1.2e-3),
        measure: (lab: Lab, earlier: readonly SwitchPoint[]) => measureRun(lab, name, share, extent, earlier),
      })),
    ]),
  read: readSwitch,
});
