/**
 * Fine-tuning: a convolutional network that has learned one real domain goes on with a few examples of another, its last
 * layer drawn anew (Yosinski, Clune, Bengio, Lipson 2014, "How transferable are features in deep neural networks?").
 *
 *     trains all    every layer moves, from where pretraining left it
 *     trains head   the last layer alone, on the features below it: softmax regression, a convex problem of ten columns
 *
 * Second-order methods are said to suit this: few examples, few steps, a start near a solution.
 */
import { compile } from "../../compiler/compile.js";
import { type Dataset, take } from "../../data/dataset.js";
import { digits, fashionMnist } from "../../data/images.js";
import { dense, type Model, model, sequential, softmaxCrossEntropy } from "../../nn/index.js";
import {
  choice,
  count,
  type Options,
  positiveCount,
  type SettingsOf,
  text,
} from "../../optimizers/settings.js";
import type { Runtime } from "../../runtime/runtime.js";
import { constant, input } from "../../tensor/tensor.js";
import { formatCount } from "../format.js";
import type { ProblemKind } from "../problem.js";
import { activationOption, channelsOption, cnnFeatures } from "./networks.js";
import { pretrainedFolder, readPretrained, withPretrained } from "./pretrained.js";
import { startSupervised } from "./supervised.js";
import { sizesHeld, validated, validationOption } from "./validation.js";

const options = {
  from: choice(
    "fashion",
    ["fashion", "digits"],
    "the domain that was learned before; the other is learned now",
  ),
  pretrained: text(
    "",
    "a run of fashion-cnn (or digits-cnn) or its checkpoint; none: random initial values; default: the cache",
    "the path of a folder or of a safetensors file",
  ),
  trains: choice("all", ["all", "head"], "every layer, or the last one on the features below"),
  examples: positiveCount(500, "images to learn"),
  channels: channelsOption("16-32"),
  activation: activationOption(),
  shift: count(0, "with trains=all: images move by up to so many pixels when they are drawn; 0 for none"),
  precision: choice("f32", ["f32", "f64"], "numbers of the model"),
  validation: validationOption,
} as const satisfies Options;

/** The best of the values in docs/scenarios.md. */
const suggested = {
  sgd: { learningRate: 0.3 },
  momentum: { learningRate: 0.1 },
  nesterov: { learningRate: 0.1 },
  adam: { learningRate: 8e-3 },
  adamw: { learningRate: 8e-3 },
  hessianFree: { iterations: 20 },
};

export const fineTune: ProblemKind<typeof options> = {
  name: "fine-tune",
  task: "fine-tuning",
  description: "a network that has learned clothing learns digits from 500 examples; needs a pretrained one",
  options,
  open(given) {
    const { channels, activation, precision, trains } = given;
    const data = validated(given.from === "fashion" ? digits() : fashionMnist(), given.validation);
    // Both files are in random order.
    const train = take(data.train, given.examples);
    const classes = data.train.classes!.length;
    const kind = `${given.from}-cnn`;
    const path = given.pretrained || pretrainedFolder(kind);
    const arrays = given.pretrained === "none" ? undefined : readPretrained(path, commandOf(kind, given));
    const begin = (network: Model, isFresh: (name: string) => boolean) =>
      arrays ? withPretrained(network, arrays, path, isFresh) : network;

    const features = cnnFeatures(channels, activation);
    const { inputShape } = data.train;
    const below = begin(model(sequential(...features), inputShape, precision), () => false);
    const head = model(dense(classes), below.outputShape, precision);
    const isHead = (name: string) => name.startsWith(`layers.${features.length}.`);
    const whole = begin(model(sequential(...features, dense(classes)), inputShape, precision), isHead);
    const { layout } = trains === "all" ? whole : head;
    return {
      summary:
        `convolutions ${channels} ${activation}, ${arrays ? `pretrained (${given.from})` : "from random values"}, ` +
        `${formatCount(layout.size)} parameters to train; ${formatCount(train.size)} images to learn, ${sizesHeld(data)}`,
      examples: train.size,
      defaults: {
        batch: Math.min(100, train.size),
        steps: 1000,
        evaluateEvery: 5,
        target: { metric: "accuracy", value: 0.9, goal: "max" },
      },
      suggested,
      metrics: { accuracy: "max", loss: "min" },
      start(runtime, sizes) {
        const loss = softmaxCrossEntropy();
        if (trains === "all")
          return startSupervised({
            model: whole,
            loss,
            data: { ...data, train },
            sampling: { shift: given.shift },
          })(runtime, sizes);
        const seen = {
          train: featuresOf(runtime, below, train),
          test: featuresOf(runtime, below, data.test),
          ...(data.validation ? { validation: featuresOf(runtime, below, data.validation) } : {}),
        };
        return startSupervised({ model: head, loss, data: seen })(runtime, sizes);
      },
    };
  },
};

/** Images as the model sees them with its initial values. */
function featuresOf(runtime: Runtime, network: Model, data: Dataset): Dataset {
  const { layout, dtype } = network;
  const chunk = Math.min(250, data.size);
  const x = input("images", { dtype, shape: [chunk, ...data.inputShape] });
  const theta = constant(layout.flatten(network.init(0).parameters));
  const executable = compile(runtime, { inputs: [x], outputs: [network.apply(layout.views(theta), x)] });
  const [images, features] = [executable.inputs[0]!, executable.outputs[0]!];
  const width = data.inputs.length / data.size;
  const depth = features.size / chunk;
  const inputs = new Float32Array(data.size * depth);
  for (let first = 0; first < data.size; first += chunk) {
    const size = Math.min(chunk, data.size - first);
    images.data.set(data.inputs.subarray(first * width, (first + size) * width));
    executable.run();
    inputs.set(features.data.subarray(0, size * depth), first * depth);
  }
  executable.release();
  return { ...data, inputShape: network.outputShape, inputs };
}

/** What `thalweg train` is to be told to make the network. */
function commandOf(kind: string, { channels, activation }: SettingsOf<typeof options>): string {
  const changed = [
    ...(channels === options.channels.default ? [] : [`channels=${channels}`]),
    ...(activation === options.activation.default ? [] : [`activation=${activation}`]),
  ];
  return changed.length > 0 ? `${kind}:${changed.join(",")}` : kind;
}
