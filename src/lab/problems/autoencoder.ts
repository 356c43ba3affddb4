/**
 * The deep autoencoder of the digits: the problem on which deep networks were first trained from random initial values
 * by curvature (Martens 2010; Martens & Grosse 2015), after Hinton & Salakhutdinov 2006, "Reducing the dimensionality of
 * data with neural networks". With x an image [784] and o the network's logits,
 *
 *     loss = mean over images of Σ log(1 + eᵒ) − x·o,     error = mean over images of ‖σ(o) − x‖²
 *
 * The code, the narrowest layer, is linear. The claim is about optimization: the error on the training images.
 */
import type { Dataset } from "../../data/dataset.js";
import { digits } from "../../data/images.js";
import {
  binaryCrossEntropyWithLogits,
  dense,
  type Initialiser,
  initialisers,
  model,
  sequential,
} from "../../nn/index.js";
import { choice, type Options, text } from "../../optimizers/settings.js";
import { formatCount } from "../format.js";
import type { ProblemKind } from "../problem.js";
import { activationOption, activations, widthsOf } from "./networks.js";
import { startSupervised } from "./supervised.js";

const initial = { sparse: initialisers.sparse(), glorot: initialisers.glorotUniform() } as const;

const options = {
  encoder: text(
    "1000-500-250-30",
    "widths from the first layer to the code; the decoder has the same, back to the pixels",
    'whole numbers joined by "-", such as 128-16',
    (given) => (widthsOf(given) ?? []).length > 0,
  ),
  activation: activationOption("tanh"),
  initial: choice(
    "glorot",
    ["glorot", "sparse"],
    "weights at the start: uniform, or 15 a unit, N(0, 1) (Martens 2010)",
  ),
  precision: choice("f32", ["f32", "f64"], "numbers of the model"),
} as const satisfies Options;

/** The best of the grids in docs/scenarios.md. */
const suggested = {
  sgd: { learningRate: 0.1, clipNorm: 10 },
  momentum: { learningRate: 0.03, clipNorm: 10 },
  nesterov: { learningRate: 0.03, clipNorm: 10 },
  adam: { learningRate: 1e-3 },
  adamw: { learningRate: 1e-3 },
  kfac: { step: "quadratic", damping: 0.1, leastDamping: 0.02, factorInterval: 2, inverseInterval: 10 },
  hessianFree: { damping: 10, preconditioner: "none" },
};

export const autoencoder: ProblemKind<typeof options> = {
  name: "autoencoder",
  task: "regression",
  description: "10,000 handwritten digits through a code of 30 numbers and back (784-1000-500-250-30-…-784)",
  options,
  open(given) {
    const data = digits();
    const [train, test] = [itself(data.train), itself(data.test)];
    const encoder = widthsOf(given.encoder)!;
    const widths = [...encoder, ...encoder.slice(0, -1).reverse(), train.inputShape[0]!];
    const network = model(
      sequential(
        ...widths.flatMap((width, k) => {
          const affine = dense(width, { weight: initial[given.initial] as Initialiser });
          const linear = k === encoder.length - 1 || k === widths.length - 1;
          return linear ? [affine] : [affine, activations[given.activation]()];
        }),
      ),
      train.inputShape,
      given.precision,
    );
    const loss = binaryCrossEntropyWithLogits();
    return {
      summary:
        `${[train.inputShape[0], ...widths].join("-")} ${given.activation}, ` +
        `${formatCount(network.layout.size)} parameters; ${formatCount(train.size)} images to learn, ${formatCount(test.size)} to test`,
      examples: train.size,
      defaults: { batch: 250, steps: 5000, evaluateEvery: 50, target: undefined },
      suggested,
      metrics: { trainingError: "min", trainingLoss: "min", error: "min", loss: "min" },
      start: startSupervised({
        model: network,
        loss,
        data: { train, test },
        metrics: { error: loss.metrics.squaredError! },
        measuresTraining: true,
      }),
    };
  },
};

/** Images as vectors that are their own targets. */
function itself({ name, size, inputs }: Dataset): Dataset {
  const shape = [inputs.length / size];
  return { name, size, inputShape: shape, inputs, targetShape: shape, targets: inputs };
}
