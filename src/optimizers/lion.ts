/**
 * Lion: the sign of an interpolated momentum. Chen et al. 2023, "Symbolic discovery of optimization algorithms".
 *
 *     d = sign(β₁ m + (1 − β₁) g)
 *     m ← β₂ m + (1 − β₂) g
 *     θ ← (1 − ηλ·mask) θ − η d
 *
 * Every element moves by η: rates are three to ten times smaller than AdamW's, and λ as much larger.
 */
import { everyElement, gradients } from "./catalogue.js";
import { elementwise } from "./costs.js";
import { decayOption, decoupledDecay, masks } from "./decay.js";
import { firstOrderMethod, rateOptions } from "./method.js";
import { decayRate, notNegative } from "./settings.js";
import { type Transform, zeroVector } from "./transform.js";

/** d ← sign(β₁ m + (1 − β₁) d). State: `mean` [n]. */
const signOfMomentum = (beta1: number, beta2: number): Transform => ({
  name: "lion",
  init: (spec) => ({ mean: zeroVector(spec) }),
  update: (direction, state) => ({
    direction: state
      .mean!.mul(beta1)
      .add(direction.mul(1 - beta1))
      .sign(),
    state: { mean: state.mean!.mul(beta2).add(direction.mul(1 - beta2)) },
  }),
});

/**
 *     lion.create({ learningRate: 1e-4, weightDecay: 0.1, schedule: "cosine", decaySteps: 10_000 })
 */
export const lion = firstOrderMethod(
  {
    name: "lion",
    family: "first order",
    description: "Steps of one size in every element: half of Adam's memory, for large batches.",
    reference: "Chen et al. 2023, Symbolic discovery of optimization algorithms",
    asks: gradients,
    treats: everyElement("moved by η, whatever its gradient"),
    costs: elementwise(
      () => 1,
      () => 7,
    ),
    options: {
      ...rateOptions(1e-4, [1e-5, 0.001]),
      beta1: decayRate(0.9, "β₁: how much of the momentum is in the sign", {
        typical: [0.8, 0.98],
        sensitivity: "low",
      }),
      beta2: decayRate(0.99, "β₂: how much of the momentum is kept", {
        typical: [0.9, 0.999],
        sensitivity: "low",
      }),
      weightDecay: notNegative(0.01, "λ: every update shrinks the parameters by ηλ", {
        typical: [0.01, 3],
        sensitivity: "medium",
      }),
      decay: decayOption,
    },
  },
  (s) => [signOfMomentum(s.beta1, s.beta2), decoupledDecay(s.weightDecay, masks[s.decay])],
);
