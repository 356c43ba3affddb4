/** Random tensors: pure functions of a key (i32 [2]) and a stream number; equal arguments give equal numbers. */
import type { DType } from "../tensor/dtype.js";
import type { Shape } from "../tensor/shape.js";
import { Tensor } from "../tensor/tensor.js";

/**
 * Uniform on [0, 1).
 *
 *     const keep = uniform(key, 3, x.shape, x.dtype).ge(0.1);
 */
export const uniform = (key: Tensor, stream: number, shape: Shape, dtype: DType = "f32"): Tensor =>
  Tensor.source({ kind: "random", stream }, { dtype, shape }, key);

/**
 * Standard normal, from two uniforms (Box & Muller 1958): √(−2 ln(1 − u)) · cos 2πv. Uses streams 2s and 2s + 1.
 *
 *     const noisy = x.add(normal(key, 5, x.shape, x.dtype).mul(0.1));
 */
export function normal(key: Tensor, stream: number, shape: Shape, dtype: DType = "f32"): Tensor {
  const u = uniform(key, 2 * stream, shape, dtype);
  const v = uniform(key, 2 * stream + 1, shape, dtype);
  return u
    .neg()
    .log1p()
    .mul(-2)
    .sqrt()
    .mul(v.mul(2 * Math.PI).cos());
}

/**
 * 1 with the given probability, else 0; shape and dtype of `probability`.
 *
 *     bernoulli(key, 0, logits.sigmoid())
 */
export const bernoulli = (key: Tensor, stream: number, probability: Tensor): Tensor =>
  uniform(key, stream, probability.shape, probability.dtype).lt(probability).cast(probability.dtype);

/**
 * Class numbers, i32 [...], drawn from probabilities [..., classes] by inverting the cumulative distribution:
 * one uniform a draw.
 *
 *     categorical(key, 0, logits.softmax())   // f32 [batch, 10] → i32 [batch]
 */
export function categorical(key: Tensor, stream: number, probabilities: Tensor): Tensor {
  const shape = probabilities.shape.slice(0, -1);
  const u = uniform(key, stream, [...shape, 1], probabilities.dtype);
  const below = probabilities.cumsum(-1).le(u).cast("i32").sum(-1);
  return below.min(probabilities.shape.at(-1)! - 1); // the last sum may round below 1
}
