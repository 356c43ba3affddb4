/** Normalizations: (x − mean) / √(variance + ε), then a learned scale and shift for each feature. */
import type { Shape } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { features } from "./dense.js";
import { ones, zeros } from "./initialisers.js";
import { type Layer, layer, nameOf } from "./layer.js";

type ScaleShift = { readonly scale: Tensor; readonly shift: Tensor };
type Statistics = { readonly mean: Tensor; readonly variance: Tensor };

const scaleShiftVariables = (width: number) => ({
  scale: { shape: [width], initialise: ones() },
  shift: { shape: [width], initialise: zeros() },
});

/** x ⊙ scale + shift over the last axis, marked. */
const scaleShift = ({ scale, shift }: ScaleShift, x: Tensor, name: string): Tensor =>
  x.mul(scale).add(shift).marked({ layer: "scaleShift", name }, x, scale, shift);

const standardize = (centered: Tensor, variance: Tensor, epsilon: number): Tensor =>
  centered.mul(variance.add(epsilon).sqrt().reciprocal());

/**
 * Each example's (each position's) features to mean 0 and variance 1: [batch, ..., width] → the same
 * (Ba, Kiros, Hinton 2016). Parameters: scale [width], shift [width].
 *
 *     sequential(dense(64), layerNorm(), gelu())
 */
export const layerNorm = ({ epsilon = 1e-5 }: { readonly epsilon?: number } = {}): Layer<ScaleShift> =>
  layer<ScaleShift>({
    kind: "layerNorm",
    declare: (inputShape) => ({
      parameters: scaleShiftVariables(features("layerNorm", inputShape)),
      state: {},
      outputShape: inputShape,
    }),
    apply(parameters, x, context) {
      const centered = x.sub(x.mean(-1, true));
      const normalized = standardize(centered, centered.square().mean(-1, true), epsilon);
      return scaleShift(parameters, normalized, nameOf(context, "layerNorm"));
    },
  });

export interface BatchNormOptions {
  readonly epsilon?: number;
  /** What remains of the running statistics after a step, default 0.9. (PyTorch's `momentum` is 1 minus this.) */
  readonly decay?: number;
}

/**
 * Each feature to mean 0 and variance 1 over the batch and all positions: [batch, ..., width] → the same
 * (Ioffe & Szegedy 2015). Training normalizes by the batch and records running statistics (the variance unbiased,
 * as in the paper); evaluation normalizes by those. Parameters: scale [width], shift [width]; state: mean [width],
 * variance [width].
 *
 *     const { outputs, state } = net.forward(parameters, x, { training: true, state: before });
 */
export function batchNorm({ epsilon = 1e-5, decay = 0.9 }: BatchNormOptions = {}): Layer<ScaleShift> {
  return layer<ScaleShift>({
    kind: "batchNorm",
    declare(inputShape: Shape) {
      const shape = [features("batchNorm", inputShape)];
      return {
        parameters: scaleShiftVariables(shape[0]!),
        state: { mean: { shape, initialise: zeros() }, variance: { shape, initialise: ones() } },
        outputShape: inputShape,
      };
    },
    apply(parameters, x, context) {
      const name = nameOf(context, "batchNorm");
      const running = context.state as Statistics;
      if (!context.training)
        return scaleShift(parameters, standardize(x.sub(running.mean), running.variance, epsilon), name);
      const axes = x.shape.slice(0, -1).map((_, axis) => axis);
      const mean = x.mean(axes);
      const centered = x.sub(mean);
      const variance = centered.square().mean(axes);
      const count = x.size / mean.size;
      const move = (old: Tensor, now: Tensor) => old.mul(decay).add(now.stopGradient().mul(1 - decay));
      context.record("mean", move(running.mean, mean));
      context.record("variance", move(running.variance, variance.mul(count / Math.max(1, count - 1))));
      return scaleShift(parameters, standardize(centered, variance, epsilon), name);
    },
  });
}
