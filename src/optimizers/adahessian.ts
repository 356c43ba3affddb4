/**
 * AdaHessian: Adam with the Hessian's diagonal in the place of the gradient. Yao et al. 2021, "ADAHESSIAN: an adaptive
 * second order optimizer for machine learning".
 *
 *     h = z ⊙ (∇²L z), z random signs; averaged over the window of a convolution's weights [kh, kw, c, out]
 *     m ← β₁ m + (1 − β₁) g
 *     v ← β₂ v + (1 − β₂) h²                 (at every k-th update; else v stays)
 *     θ ← (1 − ηλ·mask) θ − η · m̂ / (v̂^(p/2) + ε)
 *
 * with m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵉ), e the estimates so far, p the Hessian power; g and h are those at θ.
 */
import { parameterCount } from "../curvature/model-shape.js";
import { concat, type Tensor } from "../tensor/tensor.js";
import { biasCorrection } from "./adam.js";
import { clipByGlobalNorm } from "./clip.js";
import { decayMask, every, multiple, scalars, sharedFlops, vectors } from "./costs.js";
import { decayOption, decoupledDecay, masks } from "./decay.js";
import { hutchinsonDiagonal, hutchinsonFlops } from "./diagonal-estimate.js";
import { startDiagonal } from "./diagonal-training.js";
import { defineMethod, rateOptions, scheduleOf } from "./method.js";
import {
  choice,
  count,
  decayRate,
  fraction,
  notNegative,
  positive,
  positiveCount,
  type SettingsOf,
} from "./settings.js";
import { chain, type Transform, type TransformSpec, zeroVector } from "./transform.js";

const options = {
  ...rateOptions(0.1, [0.01, 0.5]),
  beta1: decayRate(0.9, "β₁: how much of the mean gradient is kept", {
    typical: [0.8, 0.98],
    sensitivity: "low",
  }),
  beta2: decayRate(0.999, "β₂: how much of the mean square of the diagonal is kept", {
    typical: [0.99, 0.9999],
    sensitivity: "medium",
  }),
  epsilon: positive(1e-4, "ε: keeps the division finite", { typical: [1e-8, 0.01], sensitivity: "medium" }),
  hessianPower: fraction(1, "p: 1 divides by the diagonal's size, 0.5 by its root, 0 not at all", {
    typical: [0.5, 1],
    sensitivity: "medium",
  }),
  averaging: choice(
    "window",
    ["window", "windowOfMagnitudes", "none"],
    "of the diagonal over a convolution's window: of its values (the paper), of their magnitudes (its authors' program), or none",
  ),
  every: positiveCount(1, "k: updates from one estimate of the diagonal to the next", {
    typical: [1, 10],
    sensitivity: "low",
  }),
  probes: positiveCount(1, "products with random signs that are averaged in an estimate"),
  seed: count(0, "of the random signs"),
  weightDecay: notNegative(0, "λ: every update shrinks the parameters by ηλ", {
    typical: [1e-5, 0.01],
    sensitivity: "low",
  }),
  decay: decayOption,
};
type Settings = SettingsOf<typeof options>;

/** Means over the window for weights of convolutions; everything else as it is. */
function overWindows(h: Tensor, { layout }: TransformSpec, averaging: Settings["averaging"]): Tensor {
  if (averaging === "none" || layout.size === 0) return h;
  const parts = layout.entries.map(({ shape, offset, size }) => {
    const part = h.slice(0, offset, offset + size);
    if (shape.length !== 4) return part;
    const window = part.reshape([shape[0]! * shape[1]!, -1]);
    const mean = (averaging === "window" ? window : window.abs()).mean(0, true);
    return mean.expand(window.shape).reshape([size]);
  });
  return concat(parts);
}

/** d ← m̂/(v̂^(p/2) + ε). State: `mean` and `square`, [n]. */
const scaleByDiagonal = (s: Settings, diagonal: Tensor | undefined): Transform => ({
  name: "adahessian",
  init: (spec) => ({ mean: zeroVector(spec), square: zeroVector(spec) }),
  update(direction, state, context) {
    const mean = state.mean!.mul(s.beta1).add(direction.mul(1 - s.beta1));
    const square = diagonal
      ? state.square!.mul(s.beta2).add(
          overWindows(diagonal, context, s.averaging)
            .square()
            .mul(1 - s.beta2),
        )
      : state.square!;
    const estimates = context.step.sub(1).div(s.every).floor().add(1);
    const c1 = biasCorrection(s.beta1, context.step).reciprocal();
    const c2 = biasCorrection(s.beta2, estimates).reciprocal();
    const scale = square
      .mul(c2)
      .pow(s.hessianPower / 2)
      .add(s.epsilon);
    return { direction: mean.mul(c1).div(scale), state: { mean, square } };
  },
});

/**
 *     adahessian.create({ learningRate: 0.15, weightDecay: 5e-4, schedule: "step", decaySteps: 5000 })
 */
export const adahessian = defineMethod(
  {
    name: "adahessian",
    family: "diagonal curvature",
    description:
      "Adam that divides by the Hessian's diagonal: follows curvature instead of the gradient's size, for two to three times the work.",
    reference: "Yao et al. 2021, ADAHESSIAN: an adaptive second order optimizer for machine learning",
    asks: { questions: ["gradients", "hessianVectorProducts"], batch: "any" },
    treats: [
      { arrays: "weights of convolutions", how: "the diagonal averaged over the window" },
      { arrays: "others", how: "each element by its own entry of the diagonal" },
    ],
    costs(shape, s) {
      const n = parameterCount(shape);
      const each = 12 + sharedFlops(s);
      const estimate = 4 + hutchinsonFlops(s.probes);
      return {
        state: [...vectors("moments", 2, n), ...vectors("probes", s.probes, n), scalars()],
        workspace: decayMask(s, shape),
        work: [
          { part: "curvature", formula: every(s.every, multiple(estimate)), flops: (estimate * n) / s.every },
          { part: "update", formula: multiple(each), flops: each * n },
        ],
        evaluations: { gradients: 1, hessianVectorProducts: s.probes / s.every },
      };
    },
    options,
  },
  (s) => {
    const schedule = scheduleOf("adahessian", s);
    const clip = s.clipNorm > 0 ? clipByGlobalNorm(s.clipNorm) : undefined;
    const decay = decoupledDecay(s.weightDecay, masks[s.decay]);
    return {
      name: "adahessian",
      settings: s,
      start: (objective) =>
        startDiagonal(objective, {
          transform: (diagonal) => chain(clip, scaleByDiagonal(s, diagonal), decay),
          schedule,
          every: s.every,
          estimate: () => hutchinsonDiagonal(objective, s.seed, s.probes),
        }),
    };
  },
);
