/** The table of cases: model × loss × reduction × data. Every operator of each is compared with its dense matrix. */
import {
  binaryCrossEntropyWithLogits,
  conv2d,
  dense,
  embedding,
  flatten,
  type Layer,
  layer,
  layerNorm,
  maxPool2d,
  meanSquared,
  rnn,
  sequential,
  softmaxCrossEntropy,
  tanh,
  transformerBlock,
  within,
} from "../../src/nn/index.js";
import { normal } from "../../src/nn/initialisers.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import type { Network } from "./networks.js";

export interface Case extends Network {
  /** What stands for the curvature of each block, in the order of θ. */
  readonly blocks: readonly string[];
}

/** tanh(tanh(x Wᵀ) Wᵀ) with W [out, in]: one weight, transposed in θ, used twice. */
const twice = (width: number): Layer<{ weight: Tensor }> =>
  layer<{ weight: Tensor }>({
    kind: "twice",
    declare: (shape) => ({
      parameters: { weight: { shape: [width, width], initialise: normal(0.7) } },
      state: {},
      outputShape: shape,
    }),
    apply({ weight }, x) {
      const map = (input: Tensor) =>
        input
          .matmul(weight.transpose())
          .marked({ layer: "dense", name: "twice", bias: false }, input, weight.transpose())
          .tanh();
      return map(map(x));
    },
  });

/** A table E, layers between, and logits by the same table: h(E[x]) Eᵀ. */
const tied = (vocabulary: number, width: number, between: Layer): Layer =>
  layer<{ table: Tensor; between: Record<string, Tensor> }>({
    kind: "tied",
    declare(shape) {
      const inner = between.declare([...shape, width]);
      return {
        parameters: {
          table: { shape: [vocabulary, width], initialise: normal(0.7) },
          between: within("between", inner.parameters),
        },
        state: {},
        outputShape: [...shape, vocabulary],
      };
    },
    apply({ table, between: inside }, x, context) {
      const embedded = table.gather(x).marked({ layer: "embedding", name: "table" }, x, table);
      const h = between.apply(inside, embedded, context.child("between"));
      const logits = h.matmul(table.transpose());
      return logits.marked({ layer: "dense", name: "table", bias: false }, h, table.transpose());
    },
  });

const perceptron = sequential(dense(4), tanh(), dense(3));

export const cases: Readonly<Record<string, Case>> = {
  "mlp, cross-entropy": {
    layer: perceptron,
    input: [3],
    loss: softmaxCrossEntropy(),
    targets: "classes",
    blocks: ["kronecker", "kronecker"],
  },
  "mlp, soft targets and a regulariser": {
    layer: perceptron,
    input: [3],
    loss: softmaxCrossEntropy(),
    targets: "distributions",
    decay: 0.3,
    blocks: ["kronecker", "kronecker"],
  },
  "mlp, one example": {
    layer: perceptron,
    input: [3],
    loss: meanSquared(),
    targets: "numbers",
    examples: 1,
    blocks: ["kronecker", "kronecker"],
  },
  "layer norm, binary cross-entropy": {
    layer: sequential(dense(4), layerNorm(), tanh(), dense(2)),
    input: [3],
    loss: binaryCrossEntropyWithLogits(),
    targets: "probabilities",
    blocks: ["kronecker", "full", "kronecker"],
  },
  "cnn, mean over the elements": {
    layer: sequential(conv2d(2, 3, { padding: "same" }), tanh(), maxPool2d(2), flatten(), dense(2)),
    input: [4, 4, 1],
    loss: meanSquared({ reduction: "elements" }),
    targets: "numbers",
    examples: 3,
    blocks: ["kronecker", "kronecker"],
  },
  "rnn, cross-entropy": {
    layer: sequential(rnn(3, { output: "last" }), dense(3)),
    input: [4, 2],
    loss: softmaxCrossEntropy(),
    targets: "classes",
    examples: 4,
    blocks: ["kronecker", "kronecker", "kronecker"],
  },
  "a transposed weight used twice, sum over the elements": {
    layer: sequential(twice(3), dense(2)),
    input: [3],
    loss: meanSquared({ reduction: "sum" }),
    targets: "numbers",
    blocks: ["kronecker", "kronecker"],
  },
  "embedding, cross-entropy at every position": {
    layer: sequential(embedding(4, 3, { table: normal(0.7) }), dense(3)),
    input: [3],
    tokens: 4,
    loss: softmaxCrossEntropy(),
    targets: "classes",
    target: [3],
    examples: 4,
    blocks: ["embedding", "kronecker"],
  },
  "transformer with a tied embedding": {
    layer: tied(4, 4, transformerBlock({ heads: 2, causal: true, expansion: 1 })),
    input: [3],
    tokens: 4,
    loss: softmaxCrossEntropy(),
    targets: "classes",
    target: [3],
    examples: 2,
    blocks: ["diagonal", "full", "kronecker", "kronecker", "full", "kronecker", "kronecker"],
  },
  "mlp in f32": {
    layer: perceptron,
    input: [3],
    loss: softmaxCrossEntropy(),
    targets: "classes",
    dtype: "f32",
    blocks: ["kronecker", "kronecker"],
  },
};
