/**
 * How old K-FAC's curvature may be. Factors and inverses are refreshed every T updates, or only the inverses, and the
 * average of factors has a decay β, which makes them older by β/(1 − β) estimates. Steps to the target tell what
 * staleness costs; the time tells what refreshing costs:
 *
 *     time = steps·t + estimates·(t_e − t) + inversions·t_i
 *
 * t, t_e and t_i, the seconds of a plain step, of one that estimates the factors and of an inversion, are the least over
 * many steps, taken once: other work on the machine is not in them. (K-FAC inverts sooner while the average is young:
 * whenever its batches have doubled. T is what it settles to.)
 */
import { openProblem } from "../problems/registry.js";
import { median } from "../score.js";
import type { Limits } from "../settings.js";
import {
  type CostPoint,
  type RunPoint,
  readStaleness,
  type Scheme,
  type StalenessPoint,
  schemeNames,
  stalenessSchema,
  usual,
} from "./staleness-reading.js";
import { least, timeSteps } from "./steps.js";
import { defineStudy, type Extent, type Lab, overSeeds, type Task } from "./study.js";

/** What grows stale: with T, the interval. */
const schemes = {
  "inverses every T, β = 0.95": (T: number) => ({ factorInterval: 1, inverseInterval: T, factorDecay: 0.95 }),
  "factors and inverses every T, β = 0.95": (T: number) => ({
    factorInterval: T,
    inverseInterval: T,
    factorDecay: 0.95,
  }),
  "factors and inverses every T, β = 0": (T: number) => ({
    factorInterval: T,
    inverseInterval: T,
    factorDecay: 0,
  }),
} as const satisfies Record<Scheme, unknown>;

export interface StalenessGrid {
  readonly intervals: readonly number[];
  readonly seeds: number;
  readonly limits: Limits;
}
const grids: Readonly<Record<Extent, StalenessGrid>> = {
  quick: {
    intervals: [1, 10, 100, 500],
    seeds: 1,
    limits: { target: { metric: "accuracy", value: 0.955, goal: "max" }, steps: 1000 },
  },
  full: {
    intervals: [1, 5, 20, 100, 500],
    seeds: 3,
    limits: { target: { metric: "accuracy", value: 0.965, goal: "max" }, steps: 2000 },
  },
};
const batch = 128;
const kfac = { learningRate: 0.06, schedule: "constant" } as const;

const openDigits = () => openProblem({ name: "digits-mlp", options: {} });

async function measureCosts(lab: Lab): Promise<CostPoint> {
  const steps = await timeSteps(
    lab,
    openDigits(),
    { name: "kfac", settings: { ...kfac, factorInterval: 2, inverseInterval: 10 } },
    { batch, count: 80 },
  );
  const refreshed = steps.filter(({ report }) => report.diagnostics?.refreshed === true);
  const rest = steps.filter(({ report }) => report.diagnostics?.refreshed !== true);
  const secondsOf = (of: readonly (typeof steps)[number][]) => least(of.map(({ seconds }) => seconds));
  return {
    what: "cost",
    plain: secondsOf(rest.filter(({ report }) => !report.evaluations.factors)),
    estimate: secondsOf(rest.filter(({ report }) => report.evaluations.factors)),
    inversion: least(refreshed.map(({ report }) => report.seconds!.inversion!)),
  };
}

/** steps·t + estimates·(t_e − t) + inversions·t_i */
export const timeOf = (
  { plain, estimate, inversion }: Pick<CostPoint, "plain" | "estimate" | "inversion">,
  counts: { readonly steps: number; readonly estimates: number; readonly inversions: number },
): number => counts.steps * plain + counts.estimates * (estimate - plain) + counts.inversions * inversion;

async function measureRun(
  lab: Lab,
  scheme: Scheme,
  interval: number,
  { seeds, limits }: StalenessGrid,
  earlier: readonly StalenessPoint[],
): Promise<RunPoint> {
  const costs = earlier.find((point) => point.what === "cost")!;
  const problem = openDigits();
  const runs = [];
  for (let k = 0; k < seeds; k++) {
    const stale = schemes[scheme](interval);
    // Schemes may share a setting: their trainings are then the same.
    const name = Object.values(stale).join(" ");
    const { result } = await lab.train(`${name} seed ${lab.seed + k}`, {
      problem,
      optimizer: { name: "kfac", settings: { ...kfac, ...stale } },
      seed: lab.seed + k,
      batch,
      limits,
      evaluateEvery: 5,
    });
    const arrived = result!.reached;
    runs.push({
      steps: arrived?.step ?? Number.POSITIVE_INFINITY,
      estimates: result!.evaluations.factors ?? 0,
      inversions: result!.summary?.words.refreshed?.true ?? 0,
    });
  }
  const steps = runs.map((run) => run.steps);
  const about = { what: "run", scheme, interval, seeds } as const;
  const { middle, low, high } = overSeeds(steps);
  if (middle === null)
    return { ...about, steps: null, low, high, estimates: null, inversions: null, seconds: null };
  return {
    ...about,
    steps: middle,
    low,
    high,
    estimates: median(runs.map(({ estimates }) => estimates)),
    inversions: median(runs.map(({ inversions }) => inversions)),
    seconds: median(runs.map((run) => timeOf(costs, run))),
  };
}

/** What steps cost, then a task for every interval and scheme of a grid. */
export const stalenessTasks = (grid: StalenessGrid): Task<StalenessPoint>[] => [
  { id: "cost of a step", seconds: 1, measure: measureCosts },
  ...grid.intervals.flatMap((interval) =>
    schemeNames.map((scheme) => ({
      id: `${scheme}, T = ${interval}`,
      seconds: grid.seeds * (0.4 + grid.limits.steps * 0.2 * (4e-3 + 1.5e-2 / interval)),
      measure: (lab: Lab, earlier: readonly StalenessPoint[]) =>
        measureRun(lab, scheme, interval, grid, earlier),
    })),
  ),
];

export const staleness = defineStudy({
  name: "staleness",
  title: "Staleness of curvature",
  question: "How rarely may K-FAC refresh its factors and inverses, and what is the fastest interval?",
  expectation: {
    text: `Refreshing every ${usual[0]} to ${usual[1]} updates is usual, with low sensitivity and decays of 0.9 to 0.999; stale curvature costs steps, the more the rarer it is refreshed.`,
    source:
      "the text that Thalweg comes from (docs/claims.md, 31); Martens & Grosse 2015, section 8; Vyas et al. 2024, SOAP, arXiv 2409.11321",
  },
  method: `digits-mlp, batches of ${batch}, K-FAC at a constant rate until an accuracy on the test digits (quick: 95.5 %, full: 96.5 %, medians over 3 seeds). Time is counted: steps, estimates and inversions times the least seconds of each.`,
  columns: {
    what: "cost: seconds of the parts of a step; run: a training to the target",
    plain: "seconds of a step that refreshes nothing",
    estimate: "seconds of a step that estimates the factors",
    inversion: "seconds of an inversion of all factors",
    scheme: "what is refreshed every T updates, and β",
    interval: "T",
    steps: "to the target, median over seeds; empty: not reached",
    low: "least over seeds",
    high: "most over seeds; empty: one did not arrive",
    estimates: "of the factors, until the target",
    inversions: "until the target",
    seconds: "counted time to the target",
    seeds: "how many",
  },
  schema: stalenessSchema,
  tasks: (extent) => stalenessTasks(grids[extent]),
  read: readStaleness,
});
