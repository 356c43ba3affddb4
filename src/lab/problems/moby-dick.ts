/**
 * A character language model of a real text: a transformer (GPT; Radford et al. 2019) predicts each character of Herman
 * Melville's "Moby Dick" from those before it in a window of T characters,
 *
 *     loss = mean over windows and positions t of −log p(xₜ₊₁ | x₁ … xₜ)     in nats; / log 2 in bits per character
 *
 * Windows are drawn at random from the first nine tenths; the test is the last tenth, in windows side by side. Adam is
 * the optimizer that such models are trained with; what is asked is how far SGD is behind, and whether curvature helps.
 */
import type { Dataset } from "../../data/dataset.js";
import { mobyDick } from "../../data/text.js";
import {
  affine,
  dense,
  embedding,
  type Layer,
  layer,
  layerNorm,
  model,
  positionalEmbedding,
  random,
  sequential,
  softmaxCrossEntropy,
  transformerBlock,
} from "../../nn/index.js";
import {
  choice,
  notNegative,
  type Options,
  positiveCount,
  SettingsError,
} from "../../optimizers/settings.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { Tree } from "../../tensor/tree.js";
import { formatCount } from "../format.js";
import type { ProblemKind } from "../problem.js";
import { type DrawBatches, startSupervised } from "./supervised.js";

const options = {
  context: positiveCount(64, "T: characters in a window"),
  width: positiveCount(64, "width of the transformer"),
  heads: positiveCount(4, "attention heads; they divide the width"),
  blocks: positiveCount(2, "transformer blocks"),
  dropout: notNegative(0, "share of each block's outputs that is dropped in training"),
  head: choice("untied", ["untied", "tied"], "the last layer; tied: the embedding's table, transposed"),
  precision: choice("f32", ["f32", "f64"], "numbers of the model"),
} as const satisfies Options;

/** What was tried is in docs/scenarios.md. */
const suggested = {
  sgd: { learningRate: 0.3, clipNorm: 1 },
  momentum: { learningRate: 0.2, clipNorm: 1 },
  nesterov: { learningRate: 0.2, clipNorm: 1 },
  adam: { learningRate: 3e-3, clipNorm: 1 },
  adamw: { learningRate: 3e-3, clipNorm: 1, weightDecay: 0.1 },
};

export const mobyDickProblem: ProblemKind<typeof options> = {
  name: "moby-dick",
  task: "language-model",
  description: "a character language model of a novel: a transformer of two blocks, 64 characters of context",
  options,
  open(given) {
    if (given.width % given.heads !== 0)
      throw new SettingsError(
        `moby-dick: width ${given.width} does not split into ${given.heads} heads; use a multiple of heads`,
      );
    if (given.dropout >= 1)
      throw new SettingsError(`moby-dick: dropout is ${given.dropout}; use a number below 1`);
    const text = mobyDick();
    const held = Math.floor(text.codes.length * 0.9);
    const [train, test] = [text.codes.subarray(0, held), text.codes.subarray(held)];
    if (given.context >= test.length)
      throw new SettingsError(
        `moby-dick: context is ${given.context}; the test has ${formatCount(test.length)} characters, use fewer`,
      );
    const network = model(gpt(text.vocabulary.length, given), [given.context], given.precision);
    const loss = softmaxCrossEntropy();
    return {
      summary:
        `transformer of ${given.blocks} blocks of width ${given.width} over ${given.context} characters, ` +
        `${formatCount(network.layout.size)} parameters; ${formatCount(train.length)} characters to learn, ` +
        `${formatCount(test.length)} to test, ${text.vocabulary.length} different ones`,
      defaults: {
        batch: 32,
        steps: 3000,
        evaluateEvery: 100,
        target: { metric: "bitsPerCharacter", value: 2.5, goal: "min" },
      },
      suggested,
      metrics: { bitsPerCharacter: "min", loss: "min", accuracy: "max" },
      start: startSupervised({
        model: network,
        loss,
        data: {
          train: (size, seed) => randomWindows(train, given.context, size, seed),
          test: windows(text.name, test, given.context),
        },
        metrics: {
          bitsPerCharacter: (outputs, targets) => loss.value(outputs, targets).mul(1 / Math.LN2),
          accuracy: loss.metrics.accuracy!,
        },
      }),
    };
  },
};

/** Characters [batch, T] → logits of the next ones [batch, T, vocabulary]. */
function gpt(
  vocabulary: number,
  given: { width: number; heads: number; blocks: number; dropout: number; head: "untied" | "tied" },
): Layer {
  const { width, heads, blocks, dropout } = given;
  const body = {
    embedding: embedding(vocabulary, width),
    positions: positionalEmbedding(),
    ...Object.fromEntries(
      Array.from({ length: blocks }, (_, k) => [
        `block${k}`,
        transformerBlock({ heads, causal: true, dropout }),
      ]),
    ),
    norm: layerNorm(),
  };
  return given.head === "tied"
    ? tied(sequential(body), vocabulary)
    : sequential({ ...body, head: dense(vocabulary) });
}

/** Logits by the table of the layer named "embedding": h · tableᵀ (Press & Wolf 2017). */
const tied = (body: Layer, vocabulary: number): Layer =>
  layer<{ embedding: { table: Tensor }; [name: string]: Tree<Tensor> }>({
    kind: "tied",
    declare: (inputShape) => ({ ...body.declare(inputShape), outputShape: [...inputShape, vocabulary] }),
    apply: (parameters, x, context) =>
      affine({ weight: parameters.embedding.table.transpose() }, body.apply(parameters, x, context), "head"),
  });

/** A text as examples of T characters and the T that follow each, side by side; the rest at the end is left out. */
export function windows(name: string, codes: Int32Array, context: number): Dataset {
  const size = Math.floor((codes.length - 1) / context);
  return {
    name,
    size,
    inputShape: [context],
    inputs: codes.subarray(0, size * context),
    targetShape: [context],
    targets: codes.subarray(1, size * context + 1),
  };
}

/** Batches of windows at random places, drawn from the seed and the number of the step. */
export function randomWindows(
  codes: Int32Array,
  context: number,
  size: number,
  seed: number,
): ReturnType<DrawBatches> {
  return {
    fill(step, inputs, targets) {
      const rng = random(seed).stream(`batch ${step}`);
      for (let k = 0; k < size; k++) {
        const first = rng.integer(codes.length - context);
        inputs.set(codes.subarray(first, first + context), k * context);
        targets.set(codes.subarray(first + 1, first + context + 1), k * context);
      }
    },
  };
}
