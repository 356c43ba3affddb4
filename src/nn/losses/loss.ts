/**
 * A loss knows its value, its curvature in the space of the outputs, and the distribution it is the negative
 * log-likelihood of. One convention throughout: with ℓᵢ the loss of example i,
 *
 *     value = (1/batch) Σᵢ ℓᵢ,   per-example Hessian Hᵢ = ∂²ℓᵢ/∂oᵢ² = Sᵢ Sᵢᵀ,   curvatureProduct = (1/batch) Hᵢ tᵢ.
 *
 * Where Hᵢ is not positive semidefinite, the Fisher information stands in its place (the loss says so).
 */
import { formatShape, ShapeError, sameShape } from "../../tensor/shape.js";
import type { Tensor } from "../../tensor/tensor.js";

export type Metric = (outputs: Tensor, targets: Tensor) => Tensor;

export interface Loss {
  readonly name: string;
  /** Scalar: the mean of `perExample` over the batch. */
  value(outputs: Tensor, targets: Tensor): Tensor;
  /** ℓᵢ, [batch]. */
  perExample(outputs: Tensor, targets: Tensor): Tensor;
  /** The Hessian of `value` by the outputs, times a tangent with the shape of the outputs. */
  curvatureProduct(outputs: Tensor, targets: Tensor, tangent: Tensor): Tensor;
  /** Sᵢ·vᵢ with Sᵢ Sᵢᵀ = Hᵢ; not divided by the batch size. Shapes of outputs and vector are equal. */
  curvatureFactor(outputs: Tensor, targets: Tensor, vector: Tensor): Tensor;
  /**
   * Targets drawn from the model's predictive distribution, key i32 [2]. Positions that `targets` ignores stay
   * ignored. Absent where the loss has no such distribution.
   */
  sampleTargets?(outputs: Tensor, key: Tensor, targets?: Tensor): Tensor;
  /**
   * A random gradient gᵢ by the outputs with E[gᵢ gᵢᵀ] = Hᵢ: that of `perExample` at sampled targets, with each
   * position's weight under a square root (a mean over positions has a smaller variance than its curvature). What a
   * Monte-Carlo Fisher is estimated from.
   */
  sampleGradient?(outputs: Tensor, targets: Tensor, key: Tensor): Tensor;
  /** Scalars that people read, by name. */
  readonly metrics: { readonly [name: string]: Metric };
}

/**
 * A loss whose value is the mean of its examples: a definition without `value` made complete. losses/huber.ts is one.
 *
 *     const absolute = loss({ name: "absolute", perExample: (o, t) => sumPerExample(o.sub(t).abs()), …, metrics: {} });
 */
export const loss = (definition: Omit<Loss, "value">): Loss => ({
  ...definition,
  value: (outputs, targets) => definition.perExample(outputs, targets).mean(),
});

/** Sum of what belongs to each example: [batch, ...] → [batch]. */
export const sumPerExample = (x: Tensor): Tensor => (x.rank === 1 ? x : x.flatten(1).sum(1));

/** @throws ShapeError when targets do not have the outputs' shape; they are never broadcast. */
export function needSameShape(name: string, outputs: Tensor, targets: Tensor): void {
  if (!sameShape(outputs.shape, targets.shape))
    throw new ShapeError(
      `${name}: outputs are ${formatShape(outputs.shape)}, targets ${formatShape(targets.shape)}; give them one shape`,
    );
  if (outputs.dtype !== targets.dtype)
    throw new ShapeError(`${name}: outputs are ${outputs.dtype}, targets ${targets.dtype}; use cast`);
}
