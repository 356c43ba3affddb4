/**
 * Gradient descent on batches. Robbins & Monro 1951, "A stochastic approximation method"; Cauchy 1847.
 *
 *     g = ∇L(θ) + λθ
 *     θ ← θ − η g
 */
import { everyElement, gradients } from "./catalogue.js";
import { elementwise } from "./costs.js";
import { l2 } from "./decay.js";
import { firstOrderMethod, rateOptions } from "./method.js";
import { notNegative } from "./settings.js";

/**
 *     sgd.create({ learningRate: 0.3, clipNorm: 1 }).start(objective).step();
 */
export const sgd = firstOrderMethod(
  {
    name: "sgd",
    family: "first order",
    description:
      "Plain gradient descent: the baseline; the least memory, the most sensitive to conditioning.",
    reference: "Robbins & Monro 1951, A stochastic approximation method",
    asks: gradients,
    treats: everyElement("alike"),
    costs: elementwise(
      () => 0,
      () => 0,
    ),
    options: {
      ...rateOptions(0.1, [0.01, 1]),
      l2: notNegative(0, "λ: adds λθ to the gradient", { typical: [1e-6, 0.001], sensitivity: "low" }),
    },
  },
  (s) => [l2(s.l2)],
);
