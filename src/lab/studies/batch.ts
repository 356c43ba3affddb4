/**
 * Whether second-order steps gain more from large batches: steps and examples to a target by size of batch, for Adam and
 * for K-FAC, each with the best of a few rates at every size (around η√(B/64)), and the law of McCandlish et al. 2018,
 *
 *     S(B) = S₀ (1 + B₀/B)
 *
 * whose B₀, the critical batch, is where half of what larger batches can save in steps is saved. The benefit is Adam's
 * steps over K-FAC's: it grows with B if curvature needs, or rewards, large batches.
 */
import { openProblem } from "../problems/registry.js";
import type { Target } from "../settings.js";
import { type BatchPoint, batchSchema, type MethodName, methodNames, readBatch } from "./batch-reading.js";
import { defineStudy, type Extent, type Lab, overSeeds, type Task } from "./study.js";

const methods = {
  adam: { learningRate: 0.002, settings: {} },
  kfac: { learningRate: 0.03, settings: { schedule: "constant" } },
} as const satisfies Record<MethodName, unknown>;
/** Of the rates above. */
const usualBatch = 64;

export interface BatchGrid {
  readonly batches: readonly number[];
  /** Times η√(B/64), the likeliest first. */
  readonly rates: readonly number[];
  /** Further seeds on which the best rate runs. */
  readonly seeds: number;
  readonly target: Target;
}
const grids: Readonly<Record<Extent, BatchGrid>> = {
  quick: {
    batches: [16, 128, 1024],
    rates: [1, 0.5, 2, 4],
    seeds: 0,
    target: { metric: "accuracy", value: 0.94, goal: "max" },
  },
  full: {
    batches: [16, 64, 256, 1024, 4096],
    rates: [1, 0.5, 2, 0.25, 4],
    seeds: 2,
    target: { metric: "accuracy", value: 0.95, goal: "max" },
  },
};

/** A run that is not there after so many steps is a miss: some epochs of small batches, some hundred large ones. */
const mostSteps = (batch: number) => Math.ceil(300 + 80_000 / batch);
/** Steps between tests, a few in a hundred of what a run takes. */
const evaluateEvery = (batch: number) => Math.max(2, Math.round(100 / Math.sqrt(batch)));

async function measure(
  lab: Lab,
  method: MethodName,
  batch: number,
  { rates, seeds, target }: BatchGrid,
): Promise<BatchPoint> {
  const problem = openProblem({ name: "digits-mlp", options: {} });
  const { learningRate, settings } = methods[method];
  const steps = async (rate: number, seed: number, limit: number) => {
    const { result } = await lab.train(`${method} ${batch} rate ${rate.toPrecision(3)} seed ${seed}`, {
      problem,
      optimizer: { name: method, settings: { ...settings, learningRate: rate } },
      seed,
      batch,
      limits: { target, steps: limit },
      evaluateEvery: evaluateEvery(batch),
    });
    return result!.reached?.step ?? Number.POSITIVE_INFINITY;
  };
  let best: { factor: number; rate: number; steps: number } | undefined;
  for (const factor of rates) {
    const rate = learningRate * Math.sqrt(batch / usualBatch) * factor;
    // Only the best rate counts: no other runs longer.
    const taken = await steps(rate, lab.seed, best?.steps ?? mostSteps(batch));
    if (Number.isFinite(taken) && !(best && best.steps <= taken)) best = { factor, rate, steps: taken };
  }
  const about = { method, batch, seeds: 1 + seeds };
  if (!best)
    return { ...about, rate: null, atEdge: null, steps: null, low: null, high: null, examples: null };
  const all = [best.steps];
  for (let k = 1; k <= seeds; k++) all.push(await steps(best.rate, lab.seed + k, 2 * mostSteps(batch)));
  const { middle, low, high } = overSeeds(all);
  return {
    ...about,
    rate: best.rate,
    atEdge: best.factor === Math.min(...rates) || best.factor === Math.max(...rates),
    steps: middle,
    low,
    high,
    examples: middle && middle * batch,
  };
}

/** A task for every size and method of a grid. */
export const batchTasks = (grid: BatchGrid): Task<BatchPoint>[] =>
  grid.batches.flatMap((size) =>
    methodNames.map((method) => {
      const runs = grid.rates.length + grid.seeds;
      return {
        id: `${method}, B = ${size}`,
        seconds: runs * (0.4 + 0.3 * mostSteps(size) * (1e-4 + 1.5e-5 * size)),
        measure: (lab) => measure(lab, method, size, grid),
      };
    }),
  );

export const batch = defineStudy({
  name: "batch",
  title: "Size of batch and benefit of curvature",
  question: "Does K-FAC's lead over Adam grow with the batch?",
  expectation: {
    text: "Second-order methods often need larger batches, and gain more from them: Zhang et al. give K-FAC a much larger critical batch than SGD, Ma et al. find no better scaling than SGD's.",
    source:
      "the text that Thalweg comes from (docs/claims.md, 23 and 24); Zhang et al. 2019, arXiv 1907.04164; Ma et al. 2019, arXiv 1903.06237; McCandlish et al. 2018, arXiv 1812.06162",
  },
  method:
    "digits-mlp to an accuracy on its test digits (quick: 94 %, full: 95 %), Adam against K-FAC. At each batch B the best of a few rates around η√(B/64) counts; full runs it on two more seeds.",
  columns: {
    method: "optimizer",
    batch: "B, examples in a step",
    rate: "the best rate; empty: none reached the target",
    atEdge: "whether it is the least or the largest that was tried: a better one may lie beyond",
    steps: "to the target, median over seeds",
    low: "least over seeds",
    high: "most over seeds; empty: one did not arrive",
    examples: "steps·B",
    seeds: "how many",
  },
  schema: batchSchema,
  tasks: (extent) => batchTasks(grids[extent]),
  read: readBatch,
});
