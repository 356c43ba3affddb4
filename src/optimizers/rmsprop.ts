/**
 * RMSProp: each element is divided by the root of its mean square. Tieleman & Hinton 2012, "Lecture 6.5: rmsprop"; centered:
 * Graves 2013, "Generating sequences with recurrent neural networks".
 *
 *     g = ∇L(θ) + λθ
 *     v ← α v + (1 − α) g²
 *     b ← μ b + g / (√v + ε)         (centered: √(v − m²) with m ← α m + (1 − α) g)
 *     θ ← θ − η b
 */
import { everyElement, gradients } from "./catalogue.js";
import { elementwise } from "./costs.js";
import { l2 } from "./decay.js";
import { firstOrderMethod, rateOptions } from "./method.js";
import { traceMomentum } from "./momentum.js";
import { decayRate, flag, notNegative, positive } from "./settings.js";
import { type Transform, zeroVector } from "./transform.js";

/** d ← d/(√v + ε). State: `square`, and centered `mean`, [n]. */
const scaleByRms = (alpha: number, epsilon: number, centered: boolean): Transform => ({
  name: "rms",
  init: (spec) => ({ square: zeroVector(spec), ...(centered ? { mean: zeroVector(spec) } : {}) }),
  update(direction, state) {
    const square = state.square!.mul(alpha).add(direction.square().mul(1 - alpha));
    const mean = centered ? state.mean!.mul(alpha).add(direction.mul(1 - alpha)) : undefined;
    // A variance; rounding alone makes it negative.
    const variance = mean ? square.sub(mean.square()).max(0) : square;
    return {
      direction: direction.div(variance.sqrt().add(epsilon)),
      state: { square, ...(mean ? { mean } : {}) },
    };
  },
});

/**
 *     rmsprop.create({ learningRate: 0.001, momentum: 0.9 })
 */
export const rmsprop = firstOrderMethod(
  {
    name: "rmsprop",
    family: "first order",
    description: "Scales every element by its recent gradients' size: for recurrent networks.",
    reference: "Tieleman & Hinton 2012, Lecture 6.5: rmsprop",
    asks: gradients,
    treats: everyElement("divided by the root of its own mean square"),
    costs: elementwise(
      (s) => 1 + (s.momentum > 0 ? 1 : 0) + (s.centered ? 1 : 0),
      (s) => 6 + (s.momentum > 0 ? 2 : 0) + (s.centered ? 6 : 0),
    ),
    options: {
      ...rateOptions(0.001, [0.0001, 0.01]),
      alpha: decayRate(0.9, "α: how much of the mean square is kept", {
        typical: [0.9, 0.999],
        sensitivity: "medium",
      }),
      epsilon: positive(1e-8, "ε: keeps the division finite", {
        typical: [1e-10, 0.0001],
        sensitivity: "low",
      }),
      momentum: decayRate(0, "μ: how much of the last step is kept", {
        typical: [0.5, 0.95],
        sensitivity: "low",
      }),
      centered: flag(false, "divide by the deviation from the mean gradient"),
      l2: notNegative(0, "λ: adds λθ to the gradient", { typical: [1e-6, 0.001], sensitivity: "low" }),
    },
  },
  (s) => [
    l2(s.l2),
    scaleByRms(s.alpha, s.epsilon, s.centered),
    s.momentum > 0 ? traceMomentum({ decay: s.momentum }) : undefined,
  ],
);
