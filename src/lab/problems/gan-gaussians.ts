/**
 * Eight Gaussians on a ring, by a generative adversarial network (Metz, Poole, Pfau, Sohl-Dickstein 2017, "Unrolled
 * generative adversarial networks", from which ring and deviation come): the smallest problem on which generators
 * collapse to some of the modes. A generated point is of high quality within three deviations of a mode (Srivastava et
 * al. 2017, "VEEGAN"), as 98.9 % of the real ones are; a mode is covered when one in a hundred points is of high quality
 * there. With q the share of high quality and m of 8 modes covered,
 *
 *     quality = q·m/8     at least 0.9: all modes, and nine in ten points of high quality
 */
import { dense, type Layer, sequential } from "../../nn/index.js";
import { choice, type Options, positive, positiveCount } from "../../optimizers/settings.js";
import type { Data } from "../../tensor/dtype.js";
import { formatCount } from "../format.js";
import type { ProblemKind } from "../problem.js";
import { type Game, networkOf, startGame } from "./gan.js";
import { activationOption, activations, hiddenOption, widthsOf } from "./networks.js";

const options = {
  hidden: hiddenOption("128-128"),
  activation: activationOption("tanh"),
  noise: positiveCount(16, "numbers that a point is made of"),
  deviation: positive(0.05, "σ of a mode; the ring has radius 2"),
  precision: choice("f32", ["f32", "f64"], "numbers of the model"),
} as const satisfies Options;

const [modes, radius, judged] = [8, 2, 2500];

/** The best of the values in docs/scenarios.md. */
const suggested = {
  sgd: { learningRate: 0.03 },
  momentum: { learningRate: 0.03, momentum: 0.5 },
  adam: { learningRate: 1e-3, beta1: 0.5 },
  kfac: { learningRate: 0.01, momentum: 0.5 },
};

export const ganGaussians: ProblemKind<typeof options> = {
  name: "gan-gaussians",
  description: "a generator against a discriminator: eight Gaussians on a ring",
  options,
  open(given) {
    const widths = widthsOf(given.hidden)!;
    const network = (outputs: number): Layer =>
      sequential(
        ...widths.flatMap((width) => [dense(width), activations[given.activation]()]),
        dense(outputs),
      );
    const game: Game = {
      generator: network(2),
      discriminator: network(1),
      sample: 2,
      noise: given.noise,
      precision: given.precision,
      draw(rng, into) {
        const angle = (2 * Math.PI * rng.integer(modes)) / modes;
        into[0] = rng.normal(radius * Math.cos(angle), given.deviation);
        into[1] = rng.normal(radius * Math.sin(angle), given.deviation);
      },
      judged,
      judge: () => (points) => judgeRing(points, given.deviation),
    };
    return {
      summary:
        `generator ${[given.noise, ...widths, 2].join("-")} against discriminator ${[2, ...widths, 1].join("-")}, ` +
        `${given.activation}, ${formatCount(networkOf(game).layout.size)} parameters of two players; ${modes} modes of deviation ${given.deviation}`,
      defaults: {
        batch: 256,
        steps: 10_000,
        evaluateEvery: 250,
        target: { metric: "quality", value: 0.9, goal: "max" },
      },
      suggested,
      metrics: { quality: "max", highQuality: "max", modes: "max" },
      start: startGame(game),
    };
  },
};

/** Points [count, 2] against the ring. */
export function judgeRing(points: Data, deviation: number): Record<string, number> {
  const count = points.length / 2;
  const near = new Int32Array(modes);
  for (let k = 0; k < count; k++) {
    const [x, y] = [points[2 * k]!, points[2 * k + 1]!];
    const mode = Math.round((Math.atan2(y, x) / (2 * Math.PI)) * modes + modes) % modes;
    const angle = (2 * Math.PI * mode) / modes;
    const distance = Math.hypot(x - radius * Math.cos(angle), y - radius * Math.sin(angle));
    if (distance <= 3 * deviation) near[mode]!++;
  }
  const highQuality = near.reduce((sum, some) => sum + some, 0) / count;
  const covered = near.filter((some) => some >= count / 100).length;
  return { quality: (highQuality * covered) / modes, highQuality, modes: covered };
}
