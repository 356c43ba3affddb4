/**
 * A small residual network with batch norm on Fashion-MNIST, in the manner of He, Zhang, Ren, Sun 2016, "Deep residual
 * learning for image recognition" (section 4.2, the networks for CIFAR-10): a 3×3 convolution, then stages of two-layer
 * blocks; each stage after the first halves the image and has more channels; a mean over positions; a dense layer.
 *
 *     block(x) = relu(shortcut(x) + norm(conv(relu(norm(conv(x))))))
 *
 * The shortcut is the identity, or a 1×1 convolution with norm where the shape changes. Weights start as in He et al.
 * 2015. Networks of convolutions with batch norm are where well-tuned momentum is said to suffice.
 */
import { fashionMnist } from "../../data/images.js";
import {
  batchNorm,
  conv2d,
  dense,
  globalAveragePool2d,
  initialisers,
  type Layer,
  model,
  relu,
  residual,
  sequential,
  softmaxCrossEntropy,
} from "../../nn/index.js";
import { choice, count, type Options, positiveCount, text } from "../../optimizers/settings.js";
import { formatCount } from "../format.js";
import type { ProblemKind } from "../problem.js";
import { widthsOf } from "./networks.js";
import { startSupervised } from "./supervised.js";
import { sizesHeld, validated, validationOption } from "./validation.js";

const options = {
  channels: text(
    "8-16-32",
    "channels of the stages; each after the first halves the image",
    'whole numbers joined by "-", such as 8-16-32',
    (given) => (widthsOf(given) ?? []).length > 0,
  ),
  blocks: positiveCount(1, "blocks of two convolutions in a stage"),
  shift: count(0, "images move by up to so many pixels when they are drawn for training; 0 for none"),
  precision: choice("f32", ["f32", "f64"], "numbers of the model"),
  validation: validationOption,
  directory: text(
    "",
    "where Fashion-MNIST's four IDX files are; default: THALWEG_FASHION_MNIST, or Debian's place",
    "the path of a directory",
  ),
} as const satisfies Options;

/** Rates fall to zero within a run: with a constant one the test accuracy swings by several per cent. */
const steps = 2000;
const falling = (learningRate: number) => ({ learningRate, schedule: "cosine", decaySteps: steps });
const suggested = {
  sgd: falling(0.3),
  momentum: falling(0.1),
  nesterov: falling(0.1),
  adam: falling(5e-3),
  adamw: falling(5e-3),
  kfac: falling(0.06),
};

export const fashionResnet: ProblemKind<typeof options> = {
  name: "fashion-resnet",
  task: "image-classification",
  description: "Fashion-MNIST, a residual network with batch norm (7 convolutions)",
  options,
  open(given) {
    const data = validated(
      given.directory === "" ? fashionMnist() : fashionMnist(given.directory),
      given.validation,
    );
    const channels = widthsOf(given.channels)!;
    const classes = data.train.classes!.length;
    const network = model(
      residualNetwork(channels, given.blocks, classes),
      data.train.inputShape,
      given.precision,
    );
    const layers = 2 * channels.length * given.blocks + 2;
    return {
      summary:
        `residual network of ${layers} layers, channels ${given.channels}, batch norm, ` +
        `${formatCount(network.layout.size)} parameters; ${formatCount(data.train.size)} images to learn, ${sizesHeld(data)}`,
      examples: data.train.size,
      defaults: {
        batch: 128,
        steps,
        evaluateEvery: 100,
        target: { metric: "accuracy", value: 0.9, goal: "max" },
      },
      suggested,
      metrics: { accuracy: "max", loss: "min" },
      start: startSupervised({
        model: network,
        loss: softmaxCrossEntropy(),
        data,
        sampling: { shift: given.shift },
      }),
    };
  },
};

/** Images [h, w, c] → logits. */
export function residualNetwork(channels: readonly number[], blocks: number, outputs: number): Layer {
  const stages = channels.flatMap((width, stage) =>
    Array.from({ length: blocks }, (_, k) => block(width, stage > 0 && k === 0 ? 2 : 1)),
  );
  return sequential(
    convolution(channels[0]!, 3, 1),
    batchNorm(),
    relu(),
    ...stages,
    globalAveragePool2d(),
    dense(outputs),
  );
}

/** The norm behind has a shift: convolutions need no bias. */
const convolution = (channels: number, kernel: number, stride: number) =>
  conv2d(channels, kernel, { stride, padding: "same", bias: false, weight: initialisers.heNormal() });

/** A block of two convolutions; with stride 2, from any number of channels. */
function block(channels: number, stride: 1 | 2): Layer {
  const branch = sequential(
    convolution(channels, 3, stride),
    batchNorm(),
    relu(),
    convolution(channels, 3, 1),
    batchNorm(),
  );
  const shortcut = stride === 1 ? undefined : sequential(convolution(channels, 1, stride), batchNorm());
  return sequential(residual(branch, shortcut), relu());
}
