import { type Loss, loss, needSameShape, sumPerExample } from "./loss.js";

/**
 * Huber's loss (1964), summed over an example's outputs: ½r² where |r| ≤ δ, δ(|r| − ½δ) beyond; outputs and targets
 * [batch, ...]. H = diag(1 where |r| ≤ δ, else 0), the Hessian itself, semidefinite; it is zero for outliers. Not the
 * log-likelihood of a distribution with this Fisher information: no targets can be sampled.
 *
 *     huber({ delta: 0.5 })
 */
export function huber({ delta = 1 }: { readonly delta?: number } = {}): Loss {
  const name = "huber";
  return loss({
    name,
    perExample(outputs, targets) {
      needSameShape(name, outputs, targets);
      const residual = outputs.sub(targets);
      const near = residual.max(-delta).min(delta);
      return sumPerExample(near.mul(residual.sub(near.mul(0.5))));
    },
    curvatureProduct: (outputs, targets, tangent) =>
      outputs
        .sub(targets)
        .abs()
        .le(delta)
        .select(tangent.mul(1 / outputs.shape[0]!), 0),
    curvatureFactor: (outputs, targets, vector) => outputs.sub(targets).abs().le(delta).select(vector, 0),
    metrics: {
      /** Mean over all elements of |o − t|. */
      absoluteError: (outputs, targets) => outputs.sub(targets).abs().mean(),
    },
  });
}
