import { streamNumber } from "../random.js";
import { bernoulli } from "../sampling.js";
import { type Loss, loss, needSameShape, sumPerExample } from "./loss.js";

/**
 * Binary cross-entropy of logits, summed over an example's outputs: outputs and targets [batch, ...], targets in
 * [0, 1]. With p = σ(o):
 *   ℓ = Σ log(1 + eᵒ) − t·o,   ∂ℓ/∂o = p − t,   H = diag(p(1 − p)), which is also the Fisher information.
 * The reconstruction loss of autoencoders (Hinton & Salakhutdinov 2006; Martens 2010).
 *
 *     binaryCrossEntropyWithLogits().value(net.apply(parameters, images), images)
 */
export function binaryCrossEntropyWithLogits(): Loss {
  const name = "binaryCrossEntropyWithLogits";
  const stream = streamNumber(name);
  return loss({
    name,
    perExample(outputs, targets) {
      needSameShape(name, outputs, targets);
      return sumPerExample(outputs.softplus().sub(targets.mul(outputs)));
    },
    curvatureProduct(outputs, _targets, tangent) {
      const p = outputs.sigmoid();
      return p
        .mul(p.neg().add(1))
        .mul(tangent)
        .mul(1 / outputs.shape[0]!);
    },
    curvatureFactor(outputs, _targets, vector) {
      const p = outputs.sigmoid();
      return p.mul(p.neg().add(1)).sqrt().mul(vector);
    },
    sampleTargets: (outputs, key) => bernoulli(key, stream, outputs.sigmoid()),
    sampleGradient(outputs, _targets, key) {
      const p = outputs.sigmoid();
      return p.sub(bernoulli(key, stream, p));
    },
    metrics: {
      /** Share of outputs on the target's side of ½. */
      accuracy: (outputs, targets) => outputs.gt(0).eq(targets.gt(0.5)).cast(outputs.dtype).mean(),
      /** ‖σ(o) − t‖² of an example, its mean over the batch: the reconstruction error of autoencoders. */
      squaredError: (outputs, targets) =>
        outputs
          .sigmoid()
          .sub(targets)
          .square()
          .sum()
          .mul(1 / outputs.shape[0]!),
    },
  });
}
