/**
 * Gradient descent on batches. Robbins & Monro 1951, "A stochastic approximation method"; Cauchy 1847.
 *
 *     g = ∇L(θ) + λθ
 *     θ ← θ − η g
 *
 * Memory: nothing beside θ and g. FLOPs: 2n after the gradient.
 */
import { l2 } from "./decay.js";
import { firstOrderMethod, rateOptions } from "./method.js";
import { notNegative } from "./settings.js";

export const sgd = firstOrderMethod(
  {
    name: "sgd",
    description:
      "Plain gradient descent: the baseline; the least memory, the most sensitive to conditioning.",
    reference: "Robbins & Monro 1951, A stochastic approximation method",
    options: {
      ...rateOptions(0.1),
      l2: notNegative(0, "λ: adds λθ to the gradient"),
    },
  },
  (s) => [l2(s.l2)],
);
