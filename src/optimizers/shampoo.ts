/**
 * Shampoo: one preconditioner an axis. Gupta, Koren, Singer 2018, "Shampoo: preconditioned stochastic tensor
 * optimization"; blocks, grafting and roots after Anil et al. 2020, "Scalable second order optimization for deep learning".
 * For an array of k axes, or each of its blocks, with gradient G:
 *
 *     Lᵢ ← β₂ Lᵢ + (1 − β₂) Gᵢ Gᵢᵀ    Gᵢ: the vectors along axis i in columns; β₂ = 1: Lᵢ ← Lᵢ + Gᵢ Gᵢᵀ
 *     Pᵢ ← (Lᵢ/(1 − β₂ᵗ) + εI)^(−1/p),  p = 2k,    every `interval` updates
 *     M ← β₁ M + (1 − β₁) G,    D = M/(1 − β₁ᵗ) ×₁ P₁ … ×ₖ Pₖ, with the norm of the grafted method's step
 *     b ← μ b + D + λ·mask·θ,    θ ← θ − η b
 *
 * variant sequential: Gᵢ is the gradient that the axes before i have preconditioned with their new roots, and p = k, as in
 * pytorch_optimizer; neither is the paper's.
 *
 * Until `start` updates are done there are no roots, and the step is the grafted method's; so is that of arrays of one
 * axis, whose matrix costs more than what it multiplies (Anil et al. call it skip_preconditioning_rank_lt = 2), unless
 * `vectors` is set or there is no grafted method. Where the gradient is not finite a step changes nothing.
 */
import type { Objective } from "../curvature/objective.js";
import { gradients } from "./catalogue.js";
import { notFinite } from "./evaluation.js";
import { createRooter } from "./matrix-root.js";
import { defineMethod, scheduleOf } from "./method.js";
import type { Training } from "./optimizer.js";
import { shampooCosts } from "./shampoo/costs.js";
import { coverageOf, createFactors } from "./shampoo/factors.js";
import { type ShampooSettings, shampooOptions } from "./shampoo/settings.js";
import { compileStatistics } from "./shampoo/statistics.js";
import { compileUpdate } from "./shampoo/update.js";
import { stopwatch } from "./stopwatch.js";

function start(objective: Objective, settings: ShampooSettings): Training {
  const { runtime, dtype, key } = objective;
  const { beta2, epsilon, interval } = settings;
  const factors = createFactors(objective, settings);
  const counter = runtime.buffer("i32", []);
  const statistics = compileStatistics(objective, factors, counter, settings);
  const update = compileUpdate(objective, statistics.gradient, factors, counter, settings);
  const largest = Math.max(1, ...factors.axes.map(({ root }) => root.shape[0]!));
  const watch = stopwatch(runtime.clock);
  const rooter = createRooter(runtime, dtype, settings.root, largest);
  return {
    state: {
      step: counter,
      ...update.state,
      ...Object.fromEntries(factors.axes.map((factor) => [`statistics.${factor.name}`, factor.statistics])),
      ...Object.fromEntries(factors.axes.map((factor) => [`root.${factor.name}`, factor.root])),
    },
    coverage: coverageOf(objective, factors, settings.graft),
    step() {
      const t = counter.data[0]!;
      watch.start();
      key.data[1] = t; // dropout draws by seed and number of the update
      const { loss, gradientNorm } = statistics.evaluate();
      watch.lap("evaluation");
      const accepted = Number.isFinite(loss) && Number.isFinite(gradientNorm);
      const due = accepted && t >= settings.start && (t - settings.start) % interval === 0;
      const scale = beta2 === 1 ? 1 : 1 / (1 - beta2 ** (t + 1));
      let failed = 0;
      if (accepted)
        for (const round of statistics.rounds) {
          round.observe?.();
          if (!due) continue;
          for (const { statistics: from, root, p } of round.factors)
            if (!rooter.root(from, scale, epsilon, p, root)) failed++;
        }
      if (due) watch.lap("inversion");
      const learningRate = accepted ? update.run() : undefined;
      watch.lap("update");
      return {
        loss,
        ...(learningRate !== undefined && { learningRate }),
        gradientNorm,
        finite: accepted,
        evaluations: { gradients: 1 },
        diagnostics: {
          accepted,
          ...(!accepted && notFinite),
          refreshed: due,
          ...(failed > 0 && {
            rootsKept: failed,
            fallback: "roots could not be had and stay as they were",
          }),
        },
        seconds: watch.seconds,
      };
    },
    release() {
      const buffers = [counter, ...factors.axes.flatMap((factor) => [factor.statistics, factor.root])];
      for (const part of [statistics, update, rooter, ...buffers]) part.release();
    },
  };
}

/** @example shampoo.create({ learningRate: 0.001, interval: 20, graft: "rmsprop" }).start(objective).step(); */
export const shampoo = defineMethod(
  {
    name: "shampoo",
    family: "matrix preconditioner",
    description: "A full-matrix preconditioner for every axis, with the step lengths of a simpler method.",
    reference: "Gupta, Koren & Singer 2018, Shampoo: preconditioned stochastic tensor optimization",
    asks: gradients,
    treats: [
      { arrays: "two or more axes", how: "a preconditioner an axis; axes above blockSize in blocks" },
      { arrays: "vectors and scalars", how: "the grafted method (vectors=true: scalars only)" },
    ],
    costs: shampooCosts,
    options: shampooOptions,
  },
  (settings) => {
    scheduleOf("shampoo", settings);
    return { name: "shampoo", settings, start: (objective) => start(objective, settings) };
  },
);
