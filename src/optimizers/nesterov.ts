/**
 * Nesterov's accelerated gradient, in the form that evaluates the gradient at θ itself (Sutskever et al. 2013; PyTorch).
 * Nesterov 1983, "A method of solving a convex programming problem with convergence rate O(1/k²)".
 *
 *     g = ∇L(θ) + λθ
 *     b ← μ b + (1 − τ) g        (b = g at the first update)
 *     θ ← θ − η (g + μ b)
 *
 * With θ' = θ − ημb this is Nesterov's step with the gradient taken at the look-ahead point θ'.
 */
import { everyElement, gradients } from "./catalogue.js";
import { elementwise } from "./costs.js";
import { l2 } from "./decay.js";
import { firstOrderMethod } from "./method.js";
import { momentumOptions, traceMomentum } from "./momentum.js";

/**
 *     nesterov.create({ learningRate: 0.03 }).start(objective).step();
 */
export const nesterov = firstOrderMethod(
  {
    name: "nesterov",
    family: "first order",
    description: "Momentum that looks ahead: stabler than the heavy ball at the same μ.",
    reference:
      "Nesterov 1983; Sutskever, Martens, Dahl, Hinton 2013, On the importance of initialization and momentum",
    asks: gradients,
    treats: everyElement("alike"),
    costs: elementwise(
      () => 1,
      (s) => (s.dampening > 0 ? 5 : 4),
    ),
    options: momentumOptions,
  },
  (s) => [l2(s.l2), traceMomentum({ decay: s.momentum, dampening: s.dampening, nesterov: true })],
);
