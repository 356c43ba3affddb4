/**
 * Adagrad: each element's step shrinks with all its gradients so far. Duchi, Hazan, Singer 2011, "Adaptive subgradient
 * methods for online learning and stochastic optimization"; the diagonal version.
 *
 *     g = ∇L(θ) + λθ
 *     s ← s + g²                     (s₀ at the beginning)
 *     θ ← θ − η g / (√s + ε)
 */
import { everyElement, gradients } from "./catalogue.js";
import { elementwise } from "./costs.js";
import { l2 } from "./decay.js";
import { firstOrderMethod, rateOptions } from "./method.js";
import { notNegative, positive } from "./settings.js";
import type { Transform } from "./transform.js";

/** d ← d/(√s + ε). State: `sum` [n]. */
const scaleBySum = (initial: number, epsilon: number): Transform => ({
  name: "adagrad",
  init: ({ layout }) => ({ sum: { shape: [layout.size], initial } }),
  update(direction, state) {
    const sum = state.sum!.add(direction.square());
    return { direction: direction.div(sum.sqrt().add(epsilon)), state: { sum } };
  },
});

/**
 *     adagrad.create({ learningRate: 0.05, initialSum: 0.1 })
 */
export const adagrad = firstOrderMethod(
  {
    name: "adagrad",
    family: "first order",
    description:
      "Divides by the root of the summed squares: for sparse features, where rare ones keep large steps.",
    reference:
      "Duchi, Hazan, Singer 2011, Adaptive subgradient methods for online learning and stochastic optimization",
    asks: gradients,
    treats: everyElement("divided by the root of its summed squares"),
    costs: elementwise(
      () => 1,
      () => 4,
    ),
    options: {
      ...rateOptions(0.01, [0.001, 0.3]),
      initialSum: notNegative(0, "s₀: larger values make the first steps shorter", {
        typical: [1e-6, 1],
        sensitivity: "low",
      }),
      epsilon: positive(1e-10, "ε: keeps the division finite", {
        typical: [1e-10, 0.0001],
        sensitivity: "low",
      }),
      l2: notNegative(0, "λ: adds λθ to the gradient", { typical: [1e-6, 0.001], sensitivity: "low" }),
    },
  },
  (s) => [l2(s.l2), scaleBySum(s.initialSum, s.epsilon)],
);
