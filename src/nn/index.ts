/** Layers, models, losses and initial values. Nothing here knows of optimizers. */
export {
  activation,
  elu,
  flatten,
  gelu,
  leakyRelu,
  relu,
  reshape,
  sigmoid,
  silu,
  sine,
  softmax,
  softplus,
  tanh,
} from "./activations.js";
export {
  type AttentionOptions,
  multiHeadAttention,
  type TransformerBlockOptions,
  transformerBlock,
} from "./attention.js";
export { type Conv2dOptions, conv2d, type Padding, type Pair, type WindowOptions } from "./conv2d.js";
export { type Affine, affine, affineVariables, type DenseOptions, dense } from "./dense.js";
export { dropout } from "./dropout.js";
export { embedding, positionalEmbedding } from "./embedding.js";
export type { Initialiser } from "./initialisers.js";
export * as initialisers from "./initialisers.js";
export {
  type Context,
  type Declaration,
  type Initial,
  initialise,
  type Layer,
  layer,
  type Variable,
  within,
} from "./layer.js";
export { binaryCrossEntropyWithLogits } from "./losses/binary-cross-entropy.js";
export { gaussianNLL } from "./losses/gaussian-nll.js";
export { huber } from "./losses/huber.js";
export { type Loss, loss, type Metric } from "./losses/loss.js";
export { type MeanSquaredOptions, meanSquared } from "./losses/mean-squared.js";
export { type SoftmaxCrossEntropyOptions, softmaxCrossEntropy } from "./losses/softmax-cross-entropy.js";
export { type Mode, type Model, model } from "./model.js";
export { type BatchNormOptions, batchNorm, layerNorm } from "./norm.js";
export { type Entry, isNDArray, isSpec, type Layout, layoutOf } from "./parameters.js";
export { avgPool2d, globalAveragePool2d, maxPool2d } from "./pool2d.js";
export { type Random, random, streamNumber } from "./random.js";
export { gru, lstm, type RecurrentOptions, rnn } from "./recurrent.js";
export { bernoulli, categorical, normal, uniform } from "./sampling.js";
export { residual, sequential, sized } from "./sequential.js";
