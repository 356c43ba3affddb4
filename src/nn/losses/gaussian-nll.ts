/**
 * Negative log-likelihood of a normal distribution with predicted mean and variance:
 *   ℓ = ½ Σ s + (t − μ)² e⁻ˢ + log 2π,   s = log σ².
 * The Hessian is indefinite wherever t ≠ μ. Its expectation over t, the Fisher information diag(e⁻ˢ, ½), is the
 * curvature here (Amari 1998; for this model Nix & Weigend 1994).
 */
import { formatShape, ShapeError } from "../../tensor/shape.js";
import { concat, full, type Tensor } from "../../tensor/tensor.js";
import { streamNumber } from "../random.js";
import { normal } from "../sampling.js";
import { type Loss, loss, sumPerExample } from "./loss.js";

/**
 * Outputs [batch, ..., 2d]: d means, then d log-variances; targets [batch, ..., d]. Summed over an example's
 * elements. `curvatureProduct` is by the Fisher information, not by the (indefinite) Hessian.
 *
 *     const net = model(sequential(dense(32), tanh(), dense(2)), [1]);
 *     gaussianNLL().value(net.apply(parameters, x), y)     // y [batch, 1]
 */
export function gaussianNLL(): Loss {
  const name = "gaussianNLL";
  const stream = streamNumber(name);

  const split = (outputs: Tensor): { mean: Tensor; logVariance: Tensor } => {
    const width = outputs.shape.at(-1)!;
    if (outputs.rank < 2 || width % 2 !== 0)
      throw new ShapeError(
        `${name}: outputs must be [batch, ..., 2d] (means, then log-variances), not ${formatShape(outputs.shape)}`,
      );
    return { mean: outputs.slice(-1, 0, width / 2), logVariance: outputs.slice(-1, width / 2) };
  };
  const residual = (outputs: Tensor, targets: Tensor): Tensor => {
    const { mean } = split(outputs);
    if (targets.rank !== mean.rank || targets.shape.some((extent, axis) => extent !== mean.shape[axis]))
      throw new ShapeError(
        `${name}: targets must be ${formatShape(mean.shape)}, not ${formatShape(targets.shape)}`,
      );
    return targets.sub(mean);
  };
  const noise = (outputs: Tensor, key: Tensor): Tensor => {
    const { mean } = split(outputs);
    return normal(key, stream, mean.shape, mean.dtype);
  };
  /** The diagonal of the Fisher information, [batch, ..., 2d]. */
  const fisher = (outputs: Tensor): Tensor => {
    const { logVariance } = split(outputs);
    return concat([logVariance.neg().exp(), full(logVariance, 0.5)], -1);
  };

  return loss({
    name,
    perExample(outputs, targets) {
      const { logVariance } = split(outputs);
      const scaled = residual(outputs, targets).square().mul(logVariance.neg().exp());
      return sumPerExample(logVariance.add(scaled).add(Math.log(2 * Math.PI))).mul(0.5);
    },
    curvatureProduct: (outputs, _targets, tangent) =>
      fisher(outputs)
        .mul(tangent)
        .mul(1 / outputs.shape[0]!),
    curvatureFactor: (outputs, _targets, vector) => fisher(outputs).sqrt().mul(vector),
    sampleTargets(outputs, key) {
      const { mean, logVariance } = split(outputs);
      return mean.add(logVariance.mul(0.5).exp().mul(noise(outputs, key)));
    },
    sampleGradient(outputs, _targets, key) {
      // With t = μ + σε: ∂ℓ/∂μ = −ε/σ, ∂ℓ/∂s = ½(1 − ε²).
      const epsilon = noise(outputs, key);
      const { logVariance } = split(outputs);
      return concat(
        [epsilon.mul(logVariance.mul(-0.5).exp()).neg(), epsilon.square().neg().add(1).mul(0.5)],
        -1,
      );
    },
    metrics: {
      /** Mean over all elements of (μ − t)². */
      squaredError: (outputs, targets) => residual(outputs, targets).square().mean(),
    },
  });
}
