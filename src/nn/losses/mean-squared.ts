import { streamNumber } from "../random.js";
import { normal } from "../sampling.js";
import { type Loss, loss, needSameShape, sumPerExample } from "./loss.js";

export interface MeanSquaredOptions {
  /**
   * What one example's loss is, for its residual r of m elements:
   * "half": ½‖r‖² (default), "sum": ‖r‖², "elements": ‖r‖²/m (the mean over all elements, as elsewhere).
   */
  readonly reduction?: "half" | "sum" | "elements";
}

/**
 * Squared error, by default ℓ = ½‖o − t‖²: outputs and targets [batch, ...] of one shape.
 *
 * With ℓ = c/2·‖o − t‖², H = c·I, and ℓ is the negative log-likelihood of a normal distribution of variance 1/c
 * about the outputs (c = 1, 2, 2/m for "half", "sum", "elements").
 *
 *     meanSquared().value(net.apply(parameters, x), y)
 *     meanSquared({ reduction: "elements" })
 */
export function meanSquared({ reduction = "half" }: MeanSquaredOptions = {}): Loss {
  const name = "meanSquared";
  const scale = (outputs: { size: number; shape: readonly number[] }) =>
    reduction === "half" ? 1 : reduction === "sum" ? 2 : (2 * outputs.shape[0]!) / outputs.size;
  const stream = streamNumber(name);
  return loss({
    name,
    perExample(outputs, targets) {
      needSameShape(name, outputs, targets);
      return sumPerExample(outputs.sub(targets).square()).mul(scale(outputs) / 2);
    },
    curvatureProduct: (outputs, _targets, tangent) => tangent.mul(scale(outputs) / outputs.shape[0]!),
    curvatureFactor: (outputs, _targets, vector) => vector.mul(Math.sqrt(scale(outputs))),
    sampleTargets: (outputs, key) =>
      outputs.add(normal(key, stream, outputs.shape, outputs.dtype).mul(1 / Math.sqrt(scale(outputs)))),
    sampleGradient: (outputs, _targets, key) =>
      normal(key, stream, outputs.shape, outputs.dtype).mul(-Math.sqrt(scale(outputs))),
    metrics: {
      /** Mean over all elements of the squared residual. */
      squaredError: (outputs, targets) => outputs.sub(targets).square().mean(),
    },
  });
}
