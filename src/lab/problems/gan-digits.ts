/**
 * Handwritten digits by a generative adversarial network of dense layers, as in Goodfellow et al. 2014: images of 14×14
 * pixels (means of 2×2) of a normal z. What is measured is the Fréchet distance of 2,000 generated images to the test
 * digits in the first 20 principal components of these (frechet.ts). It sees missing digits as variance that is missing.
 */
import type { Dataset } from "../../data/dataset.js";
import { digits } from "../../data/images.js";
import { dense, type Layer, leakyRelu, relu, sequential, sigmoid } from "../../nn/index.js";
import { choice, type Options, positiveCount } from "../../optimizers/settings.js";
import { formatCount } from "../format.js";
import { frechetDistance, principalComponents } from "../frechet.js";
import type { ProblemKind } from "../problem.js";
import { type Game, networkOf, startGame } from "./gan.js";
import { hiddenOption, widthsOf } from "./networks.js";

const options = {
  generator: hiddenOption("128-256"),
  discriminator: hiddenOption("256-128"),
  noise: positiveCount(32, "numbers that an image is made of"),
  precision: choice("f32", ["f32", "f64"], "numbers of the model"),
} as const satisfies Options;

const [side, components] = [14, 20];

/** What was tried is in docs/scenarios.md. */
const suggested = {
  sgd: { learningRate: 0.1 },
  momentum: { learningRate: 0.03, momentum: 0.5 },
  adam: { learningRate: 1e-3, beta1: 0.5 },
  kfac: { learningRate: 3e-3, momentum: 0, klClip: 1e-4 },
};

export const ganDigits: ProblemKind<typeof options> = {
  name: "gan-digits",
  description: "a generator against a discriminator: handwritten digits of 14×14 pixels",
  options,
  open(given) {
    const data = digits();
    const [train, test] = [halved(data.train), halved(data.test)];
    const pixels = side * side;
    const hidden = (widths: string, activation: () => Layer) =>
      widthsOf(widths)!.flatMap((width) => [dense(width), activation()]);
    const game: Game = {
      generator: sequential(...hidden(given.generator, relu), dense(pixels), sigmoid()),
      discriminator: sequential(...hidden(given.discriminator, () => leakyRelu(0.2)), dense(1)),
      sample: pixels,
      noise: given.noise,
      precision: given.precision,
      draw(rng, into) {
        const first = rng.integer(data.train.size) * pixels;
        into.set(train.subarray(first, first + pixels));
      },
      judged: data.test.size,
      judge(runtime) {
        const real = principalComponents(runtime, test, pixels, components);
        return (images) => ({ frechetDistance: frechetDistance(runtime, real, images) });
      },
    };
    const widths = (of: string) => (widthsOf(of)!.length > 0 ? [of] : []);
    return {
      summary:
        `generator ${[given.noise, ...widths(given.generator), pixels].join("-")} against discriminator ` +
        `${[pixels, ...widths(given.discriminator), 1].join("-")}, ${formatCount(networkOf(game).layout.size)} parameters of two players; ` +
        `${formatCount(data.train.size)} images to learn, ${formatCount(data.test.size)} to test`,
      defaults: {
        batch: 128,
        steps: 10_000,
        evaluateEvery: 250,
        target: { metric: "frechetDistance", value: 1, goal: "min" },
      },
      suggested,
      metrics: { frechetDistance: "min" },
      start: startGame(game),
    };
  },
};

/** Images [28, 28, 1] as [14·14]: the means of 2×2 pixels. */
export function halved({ inputs, size }: Pick<Dataset, "inputs" | "size">): Float32Array {
  const images = new Float32Array(size * side * side);
  for (let k = 0; k < images.length; k++) {
    const [image, row, column] = [Math.floor(k / side ** 2), Math.floor(k / side) % side, k % side];
    const at = image * 4 * side ** 2 + 4 * row * side + 2 * column;
    images[k] = (inputs[at]! + inputs[at + 1]! + inputs[at + 2 * side]! + inputs[at + 2 * side + 1]!) / 4;
  }
  return images;
}
