/**
 * Grafting: the direction of one method with the length of another one's step, array by array (Agarwal et al. 2020,
 * "Disentangling adaptive gradient methods from learning rates"). With m the mean gradient and g the gradient:
 *
 *     sgd m    adagrad m/(√v + ε), v ← v + g²    rmsprop m/(√v + ε)    adam m/(√(v/(1 − β₂ᵗ)) + ε), v ← β₂ v + (1 − β₂) g²
 */
import type { Layout } from "../nn/parameters.js";
import { concat, type Tensor } from "../tensor/tensor.js";
import { biasCorrection } from "./adam.js";
import { type Transform, zeroVector } from "./transform.js";

export type Graft = "none" | "sgd" | "adagrad" | "rmsprop" | "adam";

/** d ← the step that lengths are taken of; d is m. State: `square` [n], where the method has one. */
export function graftedStep(kind: Graft, decay: number, epsilon: number): Transform {
  const scales = kind !== "none" && kind !== "sgd";
  return {
    name: "graft",
    init: (spec) => (scales ? { square: zeroVector(spec) } : {}),
    update(direction, state, { gradient, step }) {
      if (!scales) return { direction, state: {} };
      const square =
        kind === "adagrad"
          ? state.square!.add(gradient.square())
          : state.square!.mul(decay).add(gradient.square().mul(1 - decay));
      const corrected = kind === "adam" ? square.mul(biasCorrection(decay, step).reciprocal()) : square;
      return { direction: direction.div(corrected.sqrt().add(epsilon)), state: { square } };
    },
  };
}

/** The direction [n] with the norm that `length` [n] has in each array; zeros stay zeros. */
export function withNormsOf(direction: Tensor, length: Tensor, layout: Layout): Tensor {
  const parts = layout.entries.map(({ offset, size }) => {
    const [d, a] = [direction, length].map((vector) => vector.slice(0, offset, offset + size)) as [
      Tensor,
      Tensor,
    ];
    const norm = d.square().sum().sqrt();
    return d.mul(norm.gt(0).select(a.square().sum().sqrt().div(norm), 0));
  });
  return concat(parts);
}
