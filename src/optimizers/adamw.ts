/**
 * Adam with decoupled weight decay. Loshchilov & Hutter 2019, "Decoupled weight decay regularization".
 *
 *     m, v as in Adam, from the gradient without any penalty
 *     θ ← (1 − ηλ·mask) θ − η · m̂/(√v̂ + ε)
 *
 * Unless told otherwise the decay leaves out arrays with fewer than two axes: biases and the gains of normalisation.
 */
import { adamOptions, scaleByAdam } from "./adam.js";
import { everyElement, gradients } from "./catalogue.js";
import { elementwise } from "./costs.js";
import { decayOption, decoupledDecay, masks } from "./decay.js";
import { firstOrderMethod } from "./method.js";
import { notNegative } from "./settings.js";

/**
 *     adamw.create({ learningRate: 2e-3, weightDecay: 0.1, warmupSteps: 100 }).start(objective).step();
 */
export const adamw = firstOrderMethod(
  {
    name: "adamw",
    family: "first order",
    description: "Adam with weight decay that its scaling does not touch: the standard for transformers.",
    reference: "Loshchilov & Hutter 2019, Decoupled weight decay regularization",
    asks: gradients,
    treats: everyElement("divided by the root of its own mean square"),
    costs: elementwise(
      (s) => (s.amsgrad ? 3 : 2),
      (s) => (s.amsgrad ? 12 : 11),
    ),
    options: {
      ...adamOptions,
      weightDecay: notNegative(0.01, "λ: every update shrinks the parameters by ηλ", {
        typical: [0.001, 0.5],
        sensitivity: "medium",
      }),
      decay: decayOption,
    },
  },
  (s) => [scaleByAdam(s), decoupledDecay(s.weightDecay, masks[s.decay])],
);
