/**
 * How much depends on the damping λ: the loss after equal steps from the same θ, λ over five decades. Three ways to use it:
 *
 *     kfac, λ fixed          step=clip: λ stays what it is
 *     kfac, λ adapted        step=quadratic: λ follows the ratio of reductions from where it begins
 *     hessianFree, λ adapted conjugate gradients on A + λI, λ the first one
 *
 * The good range of λ is where the loss is within a tenth of the way from the best loss back to the initial one.
 */
import { openProblem } from "../problems/registry.js";
import type { OptimizerSettings } from "../settings.js";
import { type DampingPoint, dampingSchema, readDamping, wayNames } from "./damping-reading.js";
import { defineStudy, type Extent, type Lab, overSeeds } from "./study.js";

interface Way {
  readonly optimizer: OptimizerSettings;
  readonly problem: Readonly<Record<string, string>>;
  readonly batch: number;
  readonly steps: Readonly<Record<Extent, number>>;
}

const kfac = { learningRate: 0.06, schedule: "constant" } as const;
const ways = {
  "kfac, λ fixed": {
    optimizer: { name: "kfac", settings: kfac },
    problem: {},
    batch: 256,
    steps: { quick: 60, full: 200 },
  },
  "kfac, λ adapted": {
    optimizer: { name: "kfac", settings: { step: "quadratic", leastDamping: 1e-6 } },
    problem: {},
    batch: 512,
    steps: { quick: 40, full: 100 },
  },
  "hessianFree, λ adapted": {
    optimizer: { name: "hessianFree", settings: { iterations: 20, curvatureExamples: 500 } },
    problem: { hidden: "32" },
    batch: 2000,
    steps: { quick: 8, full: 20 },
  },
} as const satisfies Record<WayName, Way>;
type WayName = DampingPoint["way"];

interface Grid {
  readonly dampings: readonly number[];
  readonly seeds: number;
}
const grids: Readonly<Record<Extent, Grid>> = {
  quick: { dampings: [1e-4, 1e-3, 1e-2, 0.1, 1, 10], seeds: 1 },
  full: { dampings: [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1, 3, 10], seeds: 3 },
};

async function measure(lab: Lab, name: WayName, damping: number, extent: Extent): Promise<DampingPoint> {
  const way: Way = ways[name];
  const { seeds } = grids[extent];
  const problem = openProblem({ name: "digits-mlp", options: { ...way.problem } });
  const steps = way.steps[extent];
  const ends = [];
  for (let k = 0; k < seeds; k++) {
    const { measurements, result } = await lab.train(
      `${wayNames.indexOf(name)} ${damping} seed ${lab.seed + k}`,
      {
        problem,
        optimizer: { ...way.optimizer, settings: { ...way.optimizer.settings, damping } },
        seed: lab.seed + k,
        batch: way.batch,
        limits: { steps },
        evaluateEvery: steps,
      },
    );
    const last = result!.diverged ? undefined : result!.last?.test;
    ends.push({
      initial: measurements[0]!.test.loss!,
      loss: last?.loss ?? Number.POSITIVE_INFINITY,
      accuracy: last?.accuracy ?? Number.NaN,
    });
  }
  const { middle, low, high } = overSeeds(ends.map(({ loss }) => loss));
  return {
    way: name,
    damping,
    steps,
    initial: overSeeds(ends.map(({ initial }) => initial)).middle!,
    loss: middle,
    low,
    high,
    accuracy: overSeeds(ends.map(({ accuracy }) => accuracy)).middle,
    seeds,
  };
}

export const damping = defineStudy({
  name: "damping",
  title: "Sensitivity to damping",
  question: "Over how many decades of λ is the loss good, with λ fixed and with λ adapted?",
  expectation: {
    text: "Damping is usually between 0.001 and 1, and much depends on it where it is fixed; adaptation by the ratio of reductions widens the range.",
    source:
      "the text that Thalweg comes from (docs/claims.md, 31); Martens 2010, section 4.1; Martens & Grosse 2015, section 6.5",
  },
  method:
    "Test loss on digits-mlp after equal steps from the same initial values: K-FAC with λ fixed (batches of 256), K-FAC with the quadratic step that adapts λ (batches of 512), Hessian-free (32 hidden units, batches of 2,000). Nothing else is tuned to λ.",
  columns: {
    way: "optimizer and what becomes of λ",
    damping: "λ, the first one where it is adapted",
    steps: "how many",
    initial: "test loss before the first step",
    loss: "test loss after the steps, median over seeds; empty: diverged",
    low: "least over seeds",
    high: "most over seeds",
    accuracy: "test accuracy after the steps, median over seeds",
    seeds: "how many",
  },
  schema: dampingSchema,
  tasks: (extent) =>
    grids[extent].dampings.flatMap((lambda) =>
      wayNames.map((name) => ({
        id: `${name}, λ = ${lambda}`,
        seconds: grids[extent].seeds * (0.6 + ways[name].steps[extent] * 2.5e-5 * ways[name].batch),
        measure: (lab: Lab) => measure(lab, name, lambda, extent),
      })),
    ),
  read: readDamping,
});
