/** Classification of images: a data set times a network. */
import type { Split } from "../../data/dataset.js";
import { digits, fashionMnist, imageDirectory } from "../../data/images.js";
import { avgPool2d, type Layer, model, sequential, softmaxCrossEntropy } from "../../nn/index.js";
import { prefixed } from "../../optimizers/hybrid.js";
import {
  choice,
  count,
  type Options,
  positiveCount,
  type SettingsOf,
  text,
} from "../../optimizers/settings.js";
import { formatCount } from "../format.js";
import type { Problem, ProblemKind, RunDefaults } from "../problem.js";
import { activationOption, channelsOption, cnn, hiddenOption, mlp } from "./networks.js";
import { startSupervised } from "./supervised.js";
import { sizesHeld, validated, validationOption } from "./validation.js";

const shared = {
  shift: count(1, "images move by up to so many pixels when they are drawn for training; 0 for none"),
  pool: positiveCount(
    1,
    "images are averaged over squares of so many pixels first: smaller models; 1 for none",
  ),
  precision: choice("f32", ["f32", "f64"], "numbers of the model"),
  validation: validationOption,
} as const satisfies Options;
const mlpOptions = { hidden: hiddenOption("128"), activation: activationOption(), ...shared } as const;
const cnnOptions = { channels: channelsOption("16-32"), activation: activationOption(), ...shared } as const;
const directory = (about: string) =>
  ({ directory: text("", about, "the path of a directory") }) as const satisfies Options;

interface Images {
  readonly data: Split;
  readonly layer: Layer;
  readonly network: string;
  readonly options: SettingsOf<typeof shared>;
  readonly defaults: RunDefaults;
  readonly suggested: Problem["suggested"];
  readonly batches: NonNullable<Problem["batches"]>;
}

function classification(images: Images): Omit<Problem, "settings"> {
  const { options, network } = images;
  const data = validated(images.data, options.validation);
  const layer = options.pool === 1 ? images.layer : sequential(avgPool2d(options.pool), images.layer);
  const classifier = model(layer, data.train.inputShape, options.precision);
  const size = `${formatCount(classifier.layout.size)} parameters`;
  return {
    summary: `${network}, ${size}; ${formatCount(data.train.size)} images to learn, ${sizesHeld(data)}`,
    examples: data.train.size,
    defaults: images.defaults,
    suggested: images.suggested,
    batches: Object.fromEntries(
      Object.entries(images.batches).map(([name, batch]) => [name, Math.min(batch, data.train.size)]),
    ),
    metrics: { accuracy: "max", loss: "min" },
    start: startSupervised({
      model: classifier,
      loss: softmaxCrossEntropy(),
      data,
      sampling: { shift: options.shift },
    }),
  };
}

const classesOf = (data: Split) => data.train.classes!.length;
const dense = (data: Split, { hidden, activation, pool }: SettingsOf<typeof mlpOptions>) => {
  const [height, width, channels] = data.train.inputShape as [number, number, number];
  const inputs = Math.floor(height / pool) * Math.floor(width / pool) * channels;
  const widths = [inputs, ...(hidden === "none" ? [] : [hidden])];
  return `${[...widths, classesOf(data)].join("-")} ${activation}`;
};
const convolutional = (data: Split, { channels, activation }: { channels: string; activation: string }) =>
  `convolutions ${channels} ${activation}, ${classesOf(data)} classes`;

const until = (accuracy: number, steps: number): RunDefaults => ({
  batch: 64,
  steps,
  evaluateEvery: 50,
  target: { metric: "accuracy", value: accuracy, goal: "max" },
});

const toZero = (schedule: "cosine" | "linear", decaySteps: number) => ({ schedule, decaySteps });

/** Found by trying a few values of each on the digits (`npx tsx bench/catalogue.ts`); what is not here has its defaults. */
const mlpSuggested = {
  sgd: { learningRate: 0.3 },
  momentum: { learningRate: 0.03 },
  nesterov: { learningRate: 0.03 },
  adam: { learningRate: 2e-3 },
  adamw: { learningRate: 2e-3, weightDecay: 0.1 },
  adagrad: { learningRate: 0.05 },
  lion: { learningRate: 3e-4 },
  adafactor: { learningRate: 0.03, ...toZero("linear", 3000) },
  learned: { learningRate: 0.1, weightDecay: 0.01, ...toZero("cosine", 2500) },
  lars: { learningRate: 0.2, trustCoefficient: 0.02, ...toZero("cosine", 4000) },
  lamb: { learningRate: 5e-3 },
  adahessian: { learningRate: 0.05, ...toZero("cosine", 3000) },
  sophia: { weightDecay: 0.01, ...toZero("cosine", 3000) },
  shampoo: { learningRate: 3e-3 },
  newton: { curvature: "gaussNewton", globalization: "none", learningRate: 0.3, damping: 0.02 },
  lbfgs: { lineSearch: "none", learningRate: 0.5 },
  hessianFree: { curvatureExamples: 500, iterations: 20, damping: 10 },
  kfac: { learningRate: 0.06, ...toZero("cosine", 2000) },
  ekfac: { learningRate: 0.06, klClip: 1e-3, ...toZero("cosine", 2000) },
  curvatureSchedule: { "optimizer.learningRate": 1, ...prefixed("optimizer", toZero("cosine", 3000)) },
};
/** Methods that compare losses, or solve with the curvature of one batch, want more of the data in it. */
const mlpBatches = { newton: 1000, lbfgs: 8000, hessianFree: 2000, naturalGradient: 2000, periodic: 2000 };
const cnnBatches = { ...mlpBatches, lbfgs: 4000 };
const cnnSuggested = {
  ...mlpSuggested,
  sgd: { learningRate: 0.1 },
  momentum: { learningRate: 0.02 },
  nesterov: { learningRate: 0.02 },
  learned: { learningRate: 0.1 },
  lars: { ...mlpSuggested.lars, decaySteps: 3000 },
  ekfac: { ...mlpSuggested.ekfac, decaySteps: 3000 },
  naturalGradient: { curvatureExamples: 500, iterations: 10 },
};

const openMlp = (
  data: Split,
  options: SettingsOf<typeof mlpOptions>,
  defaults: RunDefaults,
): Omit<Problem, "settings"> =>
  classification({
    data,
    layer: mlp(options.hidden, options.activation, classesOf(data)),
    network: dense(data, options),
    options,
    defaults,
    suggested: mlpSuggested,
    batches: mlpBatches,
  });
const openCnn = (
  data: Split,
  options: SettingsOf<typeof cnnOptions>,
  defaults: RunDefaults,
): Omit<Problem, "settings"> =>
  classification({
    data,
    layer: cnn(options.channels, options.activation, classesOf(data)),
    network: convolutional(data, options),
    options,
    defaults,
    suggested: cnnSuggested,
    batches: cnnBatches,
  });

const kind = <O extends Options>(definition: ProblemKind<O>) => definition;

const fashionDirectory = directory(
  "where Fashion-MNIST's four IDX files are; default: THALWEG_FASHION_MNIST, or Debian's place",
);
const anyDirectory = directory("with MNIST's four files: train-images-idx3-ubyte and so on, gzipped or not");
const fashion = (path: string) => (path === "" ? fashionMnist() : fashionMnist(path));
const named = (path: string) => imageDirectory(path, path);

export const imageProblems = [
  kind({
    name: "digits-mlp",
    task: "image-classification",
    description: "10,000 handwritten digits, dense layers (784-128-10)",
    options: mlpOptions,
    open: (options) => openMlp(digits(), options, until(0.97, 6000)),
  }),
  kind({
    name: "digits-cnn",
    task: "image-classification",
    description: "10,000 handwritten digits, two convolutions",
    options: cnnOptions,
    open: (options) => openCnn(digits(), options, until(0.98, 6000)),
  }),
  kind({
    name: "fashion-mlp",
    task: "image-classification",
    description: "Fashion-MNIST (70,000 images of clothing), dense layers",
    options: { ...mlpOptions, shift: count(0, shared.shift.about), ...fashionDirectory },
    open: (options) => openMlp(fashion(options.directory), options, until(0.87, 20_000)),
  }),
  kind({
    name: "fashion-cnn",
    task: "image-classification",
    description: "Fashion-MNIST, two convolutions",
    options: { ...cnnOptions, shift: count(0, shared.shift.about), ...fashionDirectory },
    open: (options) => openCnn(fashion(options.directory), options, until(0.89, 20_000)),
  }),
  kind({
    name: "images-mlp",
    task: "image-classification",
    description: "images of your own in MNIST's format, ten classes, dense layers",
    options: { ...mlpOptions, shift: count(0, shared.shift.about), ...anyDirectory },
    open: (options) => openMlp(named(options.directory), options, until(0.97, 20_000)),
  }),
  kind({
    name: "images-cnn",
    task: "image-classification",
    description: "images of your own in MNIST's format, ten classes, two convolutions",
    options: { ...cnnOptions, shift: count(0, shared.shift.about), ...anyDirectory },
    open: (options) => openCnn(named(options.directory), options, until(0.98, 20_000)),
  }),
];
