/**
 * What a loss knows of its curvature by the model's outputs: what separates Gauss–Newton and Fisher from the Hessian.
 * The convention is that of nn/losses/loss.ts: with ℓᵢ the loss of example i and oᵢ its outputs,
 *
 *     loss = (1/batch) Σᵢ ℓᵢ(oᵢ) + regulariser(θ),   Hᵢ = ∂²ℓᵢ/∂oᵢ² = Sᵢ Sᵢᵀ
 */
import type { Loss } from "../nn/losses/loss.js";
import type { Tensor } from "../tensor/tensor.js";

/** Functions traced on one batch: they hold its outputs and targets. */
export interface OutputCurvature {
  /** [batch, ...], from which the loss is computed. */
  readonly outputs: Tensor;
  /** (1/batch) Hᵢ·tᵢ for a tangent with the outputs' shape. Symmetric and positive semidefinite. */
  product(tangent: Tensor): Tensor;
  /** Sᵢ·vᵢ, not divided by the batch size. */
  factor(vector: Tensor): Tensor;
  /**
   * A random gradient gᵢ by the outputs with E[gᵢ gᵢᵀ] = Hᵢ; key i32 [2]. Present where the loss is the negative
   * log-likelihood of a distribution: then Hᵢ is its Fisher information.
   */
  sampleGradient?(key: Tensor): Tensor;
  /** ℓᵢ, [batch], without the regulariser: what the empirical Fisher is made of. */
  perExample?(): Tensor;
}

/**
 * The output curvature of a loss on one batch, outputs [batch, ...].
 *
 *     trace(theta, [x, y]) {
 *       const outputs = net.apply(net.layout.views(theta), x!);
 *       return { loss: loss.value(outputs, y!), state: undefined, outputCurvature: curvatureOf(loss, outputs, y!) };
 *     }
 */
export function curvatureOf(loss: Loss, outputs: Tensor, targets: Tensor): OutputCurvature {
  return {
    outputs,
    product: (tangent) => loss.curvatureProduct(outputs, targets, tangent),
    factor: (vector) => loss.curvatureFactor(outputs, targets, vector),
    ...(loss.sampleGradient && {
      sampleGradient: (key: Tensor) => loss.sampleGradient!(outputs, targets, key),
    }),
    perExample: () => loss.perExample(outputs, targets),
  };
}
