/** Elementwise layers without parameters, and those that only change the shape. */
import { formatShape, type Shape, ShapeError, sizeOf } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { type Layer, layer } from "./layer.js";

/**
 * A layer without parameters from a function that keeps the shape.
 *
 *     const snake = () => activation("snake", (x) => x.add(x.sin().square()));
 */
export const activation = (kind: string, f: (x: Tensor) => Tensor): Layer =>
  layer({
    kind,
    declare: (inputShape) => ({ parameters: {}, state: {}, outputShape: inputShape }),
    apply: (_parameters, x) => f(x),
  });

/**
 * max(x, 0), with derivative 0 at 0.
 *
 *     sequential(dense(128), relu())
 */
export const relu = (): Layer => activation("relu", (x) => x.relu());
/**
 * x where positive, else slope·x (Maas, Hannun, Ng 2013).
 *
 *     sequential(dense(128), leakyRelu(0.1))
 */
export const leakyRelu = (slope = 0.01): Layer =>
  activation("leakyRelu", (x) => x.gt(0).select(x, x.mul(slope)));
/**
 * x where positive, else α(eˣ − 1) (Clevert, Unterthiner, Hochreiter 2015).
 *
 *     sequential(dense(128), elu())
 */
export const elu = (alpha = 1): Layer =>
  activation("elu", (x) => x.gt(0).select(x, x.min(0).expm1().mul(alpha)));
/**
 * (eˣ − e⁻ˣ)/(eˣ + e⁻ˣ).
 *
 *     sequential(dense(128), tanh())
 */
export const tanh = (): Layer => activation("tanh", (x) => x.tanh());
/**
 * 1/(1 + e⁻ˣ). A binary classifier needs none: its loss takes logits.
 *
 *     sequential(dense(128), sigmoid())
 */
export const sigmoid = (): Layer => activation("sigmoid", (x) => x.sigmoid());
/**
 * log(1 + eˣ), without overflow.
 *
 *     sequential(dense(1), softplus())   // a positive number
 */
export const softplus = (): Layer => activation("softplus", (x) => x.softplus());
/**
 * x·sigmoid(x) (Elfwing, Uchibe, Doya 2017; "swish").
 *
 *     sequential(dense(128), silu())
 */
export const silu = (): Layer => activation("silu", (x) => x.silu());
/**
 * x·Φ(x), exact or by tanh (Hendrycks & Gimpel 2016).
 *
 *     gelu("tanh")   // as in GPT-2
 */
export const gelu = (approximation: "none" | "tanh" = "none"): Layer =>
  activation("gelu", (x) => x.gelu(approximation));
/**
 * sin(ωx): periodic activations (Sitzmann et al. 2020, "SIREN").
 *
 *     sequential(dense(64), sine(30), dense(1))
 */
export const sine = (frequency = 1): Layer => activation("sine", (x) => x.mul(frequency).sin());
/**
 * Probabilities along the last axis. Losses take logits, so that a classifier needs none.
 *
 *     sequential(dense(10), softmax())   // probabilities to read, not to train
 */
export const softmax = (): Layer => activation("softmax", (x) => x.softmax(-1));

/**
 * [batch, ...shape] → [batch, product of shape].
 *
 *     sequential(flatten(), dense(10))
 */
export const flatten = (): Layer =>
  layer({
    kind: "flatten",
    declare: (inputShape) => ({ parameters: {}, state: {}, outputShape: [sizeOf(inputShape)] }),
    apply: (_parameters, x) => x.reshape([x.shape[0]!, x.size / x.shape[0]!]),
  });

/**
 * [batch, ...] → [batch, ...shape].
 *
 *     sequential(dense(49), reshape([7, 7, 1]))
 *
 * @throws ShapeError when the number of elements differs.
 */
export const reshape = (shape: Shape): Layer =>
  layer({
    kind: "reshape",
    declare(inputShape) {
      if (sizeOf(shape) !== sizeOf(inputShape))
        throw new ShapeError(`reshape: ${formatShape(inputShape)} does not fill ${formatShape(shape)}`);
      return { parameters: {}, state: {}, outputShape: shape };
    },
    apply: (_parameters, x) => x.reshape([x.shape[0]!, ...shape]),
  });
