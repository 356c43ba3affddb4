/**
 * Heavy-ball momentum. Polyak 1964, "Some methods of speeding up the convergence of iteration methods"; as it is used
 * in networks, Sutskever, Martens, Dahl, Hinton 2013. The buffer is a sum, the learning rate stands outside it:
 *
 *     g = ∇L(θ) + λθ
 *     b ← μ b + (1 − τ) g        (b = g at the first update)
 *     θ ← θ − η b
 */
import { full } from "../tensor/tensor.js";
import { everyElement, gradients } from "./catalogue.js";
import { elementwise } from "./costs.js";
import { l2 } from "./decay.js";
import { firstOrderMethod, rateOptions } from "./method.js";
import { decayRate, notNegative } from "./settings.js";
import { type Transform, zeroVector } from "./transform.js";

/**
 * d ← b with b ← μ b + (1 − τ) d; with `nesterov`, d ← d + μ b. State: `buffer` [n].
 * μ is `decay`, τ is `dampening`. The buffer starts at zero, or at the first direction: b₁ = d or (1 + μ) d.
 *
 *     chain(clipByGlobalNorm(1), traceMomentum({ decay: 0.9 }))
 *
 * @throws RangeError when μ or τ is outside [0, 1).
 */
export function traceMomentum(options: {
  decay: number;
  dampening?: number;
  nesterov?: boolean;
  start?: "zero" | "gradient";
}): Transform {
  const { decay, dampening = 0, nesterov = false, start = "zero" } = options;
  for (const [name, value] of Object.entries({ decay, dampening }))
    if (!(value >= 0 && value < 1))
      throw new RangeError(`traceMomentum: ${name} is ${value}; use a number from 0 to below 1`);
  return {
    name: "momentum",
    init: (spec) => ({ buffer: zeroVector(spec) }),
    update(direction, { buffer: before }, { step }) {
      const fresh =
        dampening === 0 ? direction : direction.mul(step.le(1).select(full(step, 1), 1 - dampening));
      const old = start === "zero" ? before! : step.le(1).select(direction, before!);
      const buffer = old.mul(decay).add(fresh);
      return { direction: nesterov ? direction.add(buffer.mul(decay)) : buffer, state: { buffer } };
    },
  };
}

export const momentumOptions = {
  ...rateOptions(0.02, [0.001, 0.3]),
  momentum: decayRate(0.9, "μ: how much of the last step is kept", {
    typical: [0.8, 0.99],
    sensitivity: "medium",
  }),
  dampening: decayRate(0, "τ: how much of each new gradient is left out"),
  l2: notNegative(0, "λ: adds λθ to the gradient", { typical: [1e-6, 0.001], sensitivity: "low" }),
};

/**
 *     momentum.create({ learningRate: 0.03, momentum: 0.9 }).start(objective).step();
 */
export const momentum = firstOrderMethod(
  {
    name: "momentum",
    family: "first order",
    description: "Gradient descent with a heavy ball: damps the zig-zag across narrow valleys.",
    reference: "Polyak 1964, Some methods of speeding up the convergence of iteration methods",
    asks: gradients,
    treats: everyElement("alike"),
    costs: elementwise(
      () => 1,
      (s) => (s.dampening > 0 ? 3 : 2),
    ),
    options: momentumOptions,
  },
  (s) => [l2(s.l2), traceMomentum({ decay: s.momentum, dampening: s.dampening })],
);
