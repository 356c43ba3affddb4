/**
 * A learning rate for each array, or layer, from the curvature there: gradient descent is stable below 2/λ, λ the largest
 * eigenvalue (LeCun, Simard, Pearlmutter 1993, "Automatic learning rate maximization by on-line estimation of the
 * Hessian's eigenvectors"), and layers differ in it by orders of magnitude. Over any chain of first-order transforms,
 *
 *     every N updates, for each block l of H:     λ_l ← max(|λ̂_l|, β λ_l + (1 − β) |λ̂_l|)     (λ_l = 0 before)
 *     θ ← θ − η(t) s ⊙ d,   s_l = min(max(1/λ_l, least), most) in block l
 *
 * so that the method's learning rate is the share of 1/λ_l that a step takes. λ̂_l is
 *
 *     largest    the eigenvalue of largest magnitude of the diagonal block H_ll, by power iterations that begin where
 *                the last ones ended: `iterations` products a block
 *     mean       the mean of the block's diagonal, by products with random signs (Hutchinson 1990), the same for all
 *                blocks: `iterations` products in all
 *
 * λ_l rises at once and falls slowly: λ̂ of one batch, at the eigenvector of the last one, is less than that of the next,
 * and a step too long costs more than one too short. As curvature changes fastest at the beginning, estimates before N are
 * at t = 0, 1, 2, 4, 8, …. Momentum allows 2(1 + μ)/λ and adds up to d/(1 − μ), which is not taken into account, nor is
 * the scale of a method that divides by its own (adam): there the rates say how layers compare. Memory: with `largest`
 * one vector; two numbers a block. FLOPs: n, and the products.
 */

import { type ModelShape, parameterCount } from "../curvature/model-shape.js";
import type { Objective } from "../curvature/objective.js";
import { curvatureOperator } from "../curvature/operator.js";
import type { Layout } from "../nn/parameters.js";
import { random } from "../nn/random.js";
import { concat } from "../tensor/tensor.js";
import { arraysOf, multiple, scalars, vectors } from "./costs.js";
import { firstOrder, isFirstOrder } from "./first-order.js";
import { addEvaluations, defineHybrid, mixed, part, prefixed, settingsOfParts } from "./hybrid.js";
import type { Method } from "./method.js";
import type { Optimizer, StepReport, Training } from "./optimizer.js";
import {
  choice,
  count,
  decayRate,
  type Options,
  positive,
  positiveCount,
  readSettings,
  SettingsError,
  type SettingsOf,
} from "./settings.js";
import { chain, type Transform } from "./transform.js";

const own = {
  per: choice(
    "layer",
    ["array", "layer"],
    "what has a rate: each array, or all whose names differ in the last part",
  ),
  curvature: choice("hessian", ["hessian", "gaussNewton"], "H"),
  estimate: choice(
    "largest",
    ["largest", "mean"],
    "λ of a block: its largest eigenvalue, or its diagonal's mean",
  ),
  iterations: positiveCount(1, "products for an estimate; ten times as many for the first", {
    typical: [1, 10],
    sensitivity: "low",
  }),
  every: positiveCount(50, "N: updates between estimates", { typical: [5, 500], sensitivity: "low" }),
  decay: decayRate(0.9, "β: how much of the last estimate is kept, where it was larger"),
  least: positive(1e-4, "1/λ is not taken smaller than this"),
  most: positive(100, "1/λ is not taken larger than this"),
  seed: count(0, "of the first vectors, and of the signs"),
};
type Settings = SettingsOf<typeof own>;

/**
 *     curvatureSchedule({ optimizer: momentum.create({ learningRate: 0.5 }), every: 100, per: "layer" })
 *
 * @throws SettingsError when the optimizer is no chain of transforms, or a setting is out of range.
 */
export function curvatureSchedule({
  optimizer,
  ...given
}: { readonly optimizer: Optimizer } & Partial<Settings>): Optimizer {
  const settings = readSettings("curvatureSchedule", own, given);
  if (settings.least > settings.most)
    throw new SettingsError(
      `curvatureSchedule: least is ${settings.least} and most ${settings.most}; least must not be above most`,
    );
  if (!isFirstOrder(optimizer))
    throw new SettingsError(
      `curvatureSchedule: ${optimizer.name} is no chain of transforms of the gradient; use one such as sgd, momentum or adam`,
    );
  const { transform, schedule } = optimizer;
  return {
    name: "curvatureSchedule",
    settings: { ...settings, optimizer: optimizer.name, ...settingsOfParts({ optimizer }) },
    start(objective) {
      const blocks = blocksOf(objective.layout, settings.per);
      const scaled = chain({ ...transform, name: "optimizer" }, scaleByBlock(blocks));
      return start(
        objective,
        firstOrder(optimizer.name, scaled, schedule).start(objective),
        blocks,
        settings,
      );
    },
  };
}

/** Part of θ with a rate. */
interface Block {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

const layerOf = (name: string) => name.slice(0, Math.max(0, name.lastIndexOf("."))) || name;

/** Arrays of one layer lie side by side in θ. */
function blocksOf({ entries }: Pick<Layout, "entries">, per: Settings["per"]): Block[] {
  const blocks: Block[] = [];
  for (const { name, offset, size } of entries) {
    const last = blocks.at(-1);
    const block = per === "layer" ? layerOf(name) : name;
    if (last?.name === block) blocks[blocks.length - 1] = { ...last, size: last.size + size };
    else blocks.push({ name: block, offset, size });
  }
  return blocks;
}

/** d_l ← rate_l·d_l. State: `rates` [blocks], which is written from outside. */
const scaleByBlock = (blocks: readonly Block[]): Transform => ({
  name: "curvature",
  init: () => ({ rates: { shape: [blocks.length], initial: 1 } }),
  update: (direction, { rates }) => ({
    direction: concat(
      blocks.map(({ offset, size }, l) =>
        direction.slice(0, offset, offset + size).mul(rates!.slice(0, l, l + 1)),
      ),
    ),
    state: { rates: rates! },
  }),
});

function start(
  objective: Objective,
  training: Training,
  blocks: readonly Block[],
  { curvature, estimate, iterations, every, decay, least, most, seed }: Settings,
): Training {
  const { runtime, dtype, layout, key } = objective;
  const rates = training.state["curvature.rates"]!;
  const count = training.state.step!;
  /** λ, 0 before the first estimate. */
  const lambdas = runtime.buffer("f64", [blocks.length]);
  const operator = curvatureOperator(objective, curvature);
  const { tangent, product } = operator;
  /** Of each block, the unit vector that its iterations have come to; all of them side by side [n]. */
  const eigenvectors = estimate === "largest" ? runtime.buffer(dtype, [layout.size]) : undefined;
  if (eigenvectors) {
    const rng = random(seed).stream("curvature schedule");
    for (let k = 0; k < layout.size; k++) eigenvectors.data[k] = rng.normal();
  }

  /** |λ| of a block by products with v, which stays in `eigenvectors`. */
  const largest = (
    { offset, size }: Block,
    v: NonNullable<typeof eigenvectors>,
    products: number,
  ): number => {
    let eigenvalue = 0;
    for (let k = 0; k <= products; k++) {
      const source = k === 0 ? v : product;
      const length = lengthOf(source.data, offset, size);
      if (k > 0) eigenvalue = length;
      // Without curvature, or with one that is no number, v stays.
      if (!(length > 0 && Number.isFinite(length))) return eigenvalue;
      for (let i = offset; i < offset + size; i++) v.data[i] = source.data[i]! / length;
      if (k === products) return eigenvalue;
      tangent.data.fill(0);
      for (let i = offset; i < offset + size; i++) tangent.data[i] = v.data[i]!;
      operator.run();
    }
    return eigenvalue;
  };
  const estimates = new Float64Array(blocks.length);
  const means = (t: number, products: number) => {
    const signs = random(seed).stream(t);
    estimates.fill(0);
    for (let p = 0; p < products; p++) {
      for (let k = 0; k < layout.size; k++) tangent.data[k] = 2 * signs.integer(2) - 1;
      operator.run();
      blocks.forEach(({ offset, size }, l) => {
        for (let i = offset; i < offset + size; i++)
          estimates[l]! += (tangent.data[i]! * product.data[i]!) / (size * products);
      });
    }
  };
  /** How many products it took. */
  const refresh = (t: number): number => {
    const products = (t === 0 ? 10 : 1) * iterations;
    operator.linearize();
    if (!eigenvectors) means(t, products);
    blocks.forEach((block, l) => {
      if (eigenvectors) estimates[l] = largest(block, eigenvectors, products);
      const size = Math.abs(estimates[l]!);
      if (!Number.isFinite(size)) return;
      lambdas.data[l] = Math.max(size, decay * lambdas.data[l]! + (1 - decay) * size);
      rates.data[l] = Math.min(Math.max(1 / lambdas.data[l]!, least), most);
    });
    return products * (eigenvectors ? blocks.length : 1);
  };
  const question = curvature === "hessian" ? "hessianVectorProducts" : "gaussNewtonVectorProducts";
  return {
    state: {
      ...training.state,
      ...prefixed("curvature", { lambdas, ...(eigenvectors && { eigenvectors }) }),
    },
    step(): StepReport {
      const t = count.data[0]!;
      const due = isDue(t, every);
      key.data[1] = t;
      const products = due ? refresh(t) : 0;
      const report = training.step();
      return {
        ...report,
        evaluations: addEvaluations(report.evaluations, products > 0 ? { [question]: products } : {}),
        diagnostics: {
          ...report.diagnostics,
          refreshed: due,
          leastRate: Math.min(...rates.data),
          mostRate: Math.max(...rates.data),
        },
      };
    },
    release() {
      training.release();
      operator.release();
      lambdas.release();
      eigenvectors?.release();
    },
  };
}

/** t = 0, 1, 2, 4, 8, … before N, then its multiples. */
const isDue = (t: number, every: number): boolean =>
  t % every === 0 || (t < every && Number.isInteger(Math.log2(t)));

function lengthOf(data: ArrayLike<number>, offset: number, size: number): number {
  let square = 0;
  for (let i = offset; i < offset + size; i++) square += data[i]! ** 2;
  return Math.sqrt(square);
}

/** Methods whose step is in proportion to the gradient: their learning rate is in parts of 1/λ. */
const shares = new Map([
  ["sgd", 0.5],
  ["momentum", 0.05],
  ["nesterov", 0.05],
]);

const options = {
  optimizer: part(
    "sgd",
    "a first-order method; optimizer.<setting> sets what it has, its learning rate in parts of 1/λ",
  ),
  ...own,
};

export const curvatureScheduleMethod = (find: (name: string) => Method) =>
  defineHybrid(
    {
      name: "curvatureSchedule",
      family: "hybrid",
      description:
        "A learning rate for each array or layer from the curvature there, over any first-order method: where layers differ, and nobody wants to tune.",
      reference:
        "LeCun, Simard, Pearlmutter 1993, Automatic learning rate maximization by on-line estimation of the Hessian's eigenvectors",
      parts: ["optimizer"],
      partOptions({ optimizer = options.optimizer.default }): Options {
        const share = shares.get(String(optimizer));
        if (share === undefined) return {};
        return {
          "optimizer.learningRate": positive(share, "η: the part of 1/λ that a step takes", {
            typical: [0.02, 1],
            sensitivity: "medium",
          }),
        };
      },
      options,
      asks: {
        questions: ["gradients", "hessianVectorProducts", "gaussNewtonVectorProducts"],
        batch: "any",
      },
      treats: [{ arrays: "every array, or layer", how: "step divided by the largest curvature in it" }],
      costs(parts, shape, { per, curvature, estimate, iterations, every }) {
        const base = mixed([[1, parts.optimizer.costs(shape)]]);
        const n = parameterCount(shape);
        const blocks = blockCount(shape, per);
        const products = (iterations * (estimate === "largest" ? blocks : 1)) / every;
        const question = curvature === "hessian" ? "hessianVectorProducts" : "gaussNewtonVectorProducts";
        return {
          ...base,
          state: [
            ...base.state,
            ...(estimate === "largest" ? vectors("probes", 1, n) : []),
            scalars(2 * blocks),
          ],
          work: [...base.work, { part: "update", formula: multiple(1), flops: n }],
          evaluations: { ...base.evaluations, [question]: products },
        };
      },
    },
    find,
    ({ optimizer: _, ...settings }, { optimizer }) => curvatureSchedule({ optimizer, ...settings }),
  );

const blockCount = (shape: ModelShape, per: Settings["per"]): number => {
  let offset = 0;
  const entries = arraysOf(shape).map(({ name, shape: axes }) => {
    const size = axes.reduce((product, axis) => product * axis, 1);
    offset += size;
    return { name, shape: axes, offset: offset - size, size };
  });
  return blocksOf({ entries }, per).length;
};
