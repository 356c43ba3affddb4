/**
 * Adam: each element is scaled by the root of its mean square. Kingma & Ba 2015, "Adam: a method for stochastic
 * optimization"; AMSGrad: Reddi, Kale, Kumar 2018, "On the convergence of Adam and beyond".
 *
 *     g = ∇L(θ) + λθ
 *     m ← β₁ m + (1 − β₁) g
 *     v ← β₂ v + (1 − β₂) g²
 *     θ ← θ − η · m/(1 − β₁ᵗ) / (√(w/(1 − β₂ᵗ)) + ε)
 *
 * with w = v, or for AMSGrad w ← max(w, v), the largest v so far. ε stands outside the root and after the correction.
 */
import { full, type Tensor } from "../tensor/tensor.js";
import { everyElement, gradients } from "./catalogue.js";
import { elementwise } from "./costs.js";
import { l2 } from "./decay.js";
import { firstOrderMethod, rateOptions } from "./method.js";
import { decayRate, flag, notNegative, positive } from "./settings.js";
import { type Transform, zeroVector } from "./transform.js";

/**
 * 1 − βᵗ, without losing digits where βᵗ is close to 1.
 *
 *     mean.div(biasCorrection(0.9, step))   // m̂; step is t = 1, 2, …, a scalar
 */
export const biasCorrection = (beta: number, step: Tensor): Tensor =>
  beta === 0 ? full(step, 1) : step.mul(Math.log(beta)).expm1().neg();

/**
 * d ← m̂/(√v̂ + ε) with the bias-corrected averages of d and d², or the plain ones when `corrected` is false. State:
 * `mean`, `square`, and for AMSGrad `largest`, all [n].
 *
 *     chain(scaleByAdam({ beta1: 0.9, beta2: 0.95 }), decoupledDecay(0.1, masks.matrices))
 *
 * @throws RangeError when a β is outside [0, 1) or ε is not above 0.
 */
export function scaleByAdam(
  options: { beta1?: number; beta2?: number; epsilon?: number; amsgrad?: boolean; corrected?: boolean } = {},
): Transform {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, amsgrad = false, corrected = true } = options;
  for (const [name, value] of Object.entries({ beta1, beta2 }))
    if (!(value >= 0 && value < 1))
      throw new RangeError(`scaleByAdam: ${name} is ${value}; use a number from 0 to below 1`);
  if (!(epsilon > 0)) throw new RangeError(`scaleByAdam: epsilon is ${epsilon}; use a number above 0`);
  return {
    name: "adam",
    init: (spec) => ({
      mean: zeroVector(spec),
      square: zeroVector(spec),
      ...(amsgrad ? { largest: zeroVector(spec) } : {}),
    }),
    update(direction, state, { step }) {
      const mean = state.mean!.mul(beta1).add(direction.mul(1 - beta1));
      const square = state.square!.mul(beta2).add(direction.square().mul(1 - beta2));
      const largest = amsgrad ? state.largest!.max(square) : undefined;
      // The corrections are scalars: one division and one root an element.
      const c1 = corrected ? biasCorrection(beta1, step).reciprocal() : full(step, 1);
      const c2 = corrected ? biasCorrection(beta2, step).sqrt().reciprocal() : full(step, 1);
      const scale = (largest ?? square).sqrt().mul(c2).add(epsilon);
      return {
        direction: mean.mul(c1).div(scale),
        state: { mean, square, ...(largest ? { largest } : {}) },
      };
    },
  };
}

export const adamOptions = {
  ...rateOptions(0.001, [0.0001, 0.01]),
  beta1: decayRate(0.9, "β₁: how much of the mean gradient is kept", {
    typical: [0.8, 0.98],
    sensitivity: "low",
  }),
  beta2: decayRate(0.999, "β₂: how much of the mean square is kept", {
    typical: [0.9, 0.9999],
    sensitivity: "medium",
  }),
  epsilon: positive(1e-8, "ε: keeps the division finite", { typical: [1e-10, 0.0001], sensitivity: "low" }),
  amsgrad: flag(false, "divide by the largest mean square so far"),
};

/**
 *     adam.create({ learningRate: 1e-3, beta2: 0.99, schedule: "cosine", decaySteps: 2000 }).start(objective).step();
 */
export const adam = firstOrderMethod(
  {
    name: "adam",
    family: "first order",
    description: "Scales every element by its own gradient's size: little tuning, the usual first choice.",
    reference: "Kingma & Ba 2015, Adam: a method for stochastic optimization",
    asks: gradients,
    treats: everyElement("divided by the root of its own mean square"),
    costs: elementwise(
      (s) => (s.amsgrad ? 3 : 2),
      (s) => (s.amsgrad ? 12 : 11),
    ),
    options: {
      ...adamOptions,
      l2: notNegative(0, "λ: adds λθ to the gradient, before the averages", {
        typical: [1e-6, 0.001],
        sensitivity: "low",
      }),
    },
  },
  (s) => [l2(s.l2), scaleByAdam(s)],
);
