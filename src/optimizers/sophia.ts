/**
 * Sophia: momentum over a running diagonal of the curvature, clipped element by element. Liu et al. 2024, "Sophia: a
 * scalable stochastic second-order optimizer for language model pre-training".
 *
 *     m ← β₁ m + (1 − β₁) g
 *     h ← β₂ h + (1 − β₂) ĥ                  (at every k-th update, ĥ an estimate of the diagonal; else h stays)
 *     θ ← (1 − ηλ·mask) θ − η · clip(m / max(γh, ε), ρ)
 *
 * clip(x, ρ) = min(max(x, −ρ), ρ). Where the curvature is small or negative, the step is that of a sign: ηρ. Averages
 * start at 0 and are not corrected. ĥ is Hutchinson's (Sophia-H) or Gauss–Newton–Bartlett's (Sophia-G), at θ before decay.
 * pytorch_optimizer's step η' clamp(m/max(h, ε'), ±p) is this one with η = pη', γ = p, ε = pε', λ = λ'/p.
 */
import { parameterCount } from "../curvature/model-shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { everyElement } from "./catalogue.js";
import { clipByGlobalNorm } from "./clip.js";
import { decayMask, every, multiple, scalars, sharedFlops, vectors } from "./costs.js";
import { decayOption, decoupledDecay, masks } from "./decay.js";
import { bartlettDiagonal, hutchinsonDiagonal, hutchinsonFlops } from "./diagonal-estimate.js";
import { startDiagonal } from "./diagonal-training.js";
import { defineMethod, rateOptions, scheduleOf } from "./method.js";
import {
  choice,
  count,
  decayRate,
  notNegative,
  positive,
  positiveCount,
  type SettingsOf,
} from "./settings.js";
import { chain, type Transform, zeroVector } from "./transform.js";

const options = {
  ...rateOptions(0.001, [0.0001, 0.005]),
  beta1: decayRate(0.96, "β₁: how much of the mean gradient is kept", {
    typical: [0.9, 0.98],
    sensitivity: "low",
  }),
  beta2: decayRate(0.99, "β₂: how much of the mean diagonal is kept", {
    typical: [0.95, 0.999],
    sensitivity: "low",
  }),
  gamma: positive(
    0.01,
    "γ: smaller values clip more elements; the paper has 0.01 with hutchinson, 0.05 else",
    { typical: [0.005, 0.1], sensitivity: "high" },
  ),
  epsilon: positive(1e-12, "ε: where γh is below, the step is clipped"),
  clip: positive(1, "ρ: the longest step of an element, in parts of η"),
  estimator: choice(
    "hutchinson",
    ["hutchinson", "gaussNewtonBartlett"],
    "of the diagonal: of the Hessian by products, or of Gauss–Newton by gradients at targets that the model draws",
  ),
  every: positiveCount(10, "k: updates from one estimate of the diagonal to the next", {
    typical: [5, 50],
    sensitivity: "low",
  }),
  probes: positiveCount(1, "products that are averaged in an estimate; for hutchinson"),
  seed: count(0, "of what the estimates draw"),
  weightDecay: notNegative(0.1, "λ: every update shrinks the parameters by ηλ", {
    typical: [0.01, 0.3],
    sensitivity: "medium",
  }),
  decay: decayOption,
};
type Settings = SettingsOf<typeof options>;

/** d ← clip(m/max(γh, ε), ρ). State: `mean` and `diagonal`, [n]. */
const clippedByDiagonal = (s: Settings, estimate: Tensor | undefined): Transform => ({
  name: "sophia",
  init: (spec) => ({ mean: zeroVector(spec), diagonal: zeroVector(spec) }),
  update(direction, state) {
    const mean = state.mean!.mul(s.beta1).add(direction.mul(1 - s.beta1));
    const diagonal = estimate ? state.diagonal!.mul(s.beta2).add(estimate.mul(1 - s.beta2)) : state.diagonal!;
    const step = mean.div(diagonal.mul(s.gamma).max(s.epsilon));
    return { direction: step.min(s.clip).max(-s.clip), state: { mean, diagonal } };
  },
});

/**
 *     sophia.create({ learningRate: 6e-4, estimator: "gaussNewtonBartlett", gamma: 0.05, schedule: "cosine", decaySteps: 20_000 })
 */
export const sophia = defineMethod(
  {
    name: "sophia",
    family: "diagonal curvature",
    description:
      "Clipped momentum over a running diagonal of the curvature, estimated now and then: for language models, at little more than Adam's cost.",
    reference:
      "Liu et al. 2024, Sophia: a scalable stochastic second-order optimizer for language model pre-training",
    asks: { questions: ["gradients", "hessianVectorProducts", "sampledGradients"], batch: "any" },
    treats: everyElement("divided by its own entry of the diagonal, and clipped"),
    costs(shape, s) {
      const n = parameterCount(shape);
      const each = 12 + sharedFlops(s);
      const hutchinson = s.estimator === "hutchinson";
      const estimate = hutchinson ? 3 + hutchinsonFlops(s.probes) : 4;
      return {
        state: [
          ...vectors("moments", 2, n),
          ...(hutchinson ? vectors("probes", s.probes, n) : []),
          scalars(),
        ],
        workspace: decayMask(s, shape),
        work: [
          { part: "curvature", formula: every(s.every, multiple(estimate)), flops: (estimate * n) / s.every },
          { part: "update", formula: multiple(each), flops: each * n },
        ],
        evaluations: {
          gradients: 1,
          ...(hutchinson ? { hessianVectorProducts: s.probes / s.every } : { sampledGradients: 1 / s.every }),
        },
      };
    },
    options,
  },
  (s) => {
    const schedule = scheduleOf("sophia", s);
    const clip = s.clipNorm > 0 ? clipByGlobalNorm(s.clipNorm) : undefined;
    const decay = decoupledDecay(s.weightDecay, masks[s.decay]);
    return {
      name: "sophia",
      settings: s,
      start: (objective) =>
        startDiagonal(objective, {
          transform: (estimate) => chain(clip, clippedByDiagonal(s, estimate), decay),
          schedule,
          every: s.every,
          estimate: () =>
            s.estimator === "hutchinson"
              ? hutchinsonDiagonal(objective, s.seed, s.probes)
              : bartlettDiagonal("sophia", objective, s.seed),
        }),
    };
  },
);
