/**
 * Generative adversarial networks (Goodfellow et al. 2014): a generator G makes samples of noise z, a discriminator D
 * tells them from real ones x. With D's output as a logit, D lowers its own loss and G the non-saturating one,
 *
 *     L_D = mean −log σ(D(x)) − log(1 − σ(D(G(z)))),     L_G = mean −log σ(D(G(z)))
 *
 * both at once: θ holds the parameters of both, and a step follows the simultaneous gradient (∇_G L_G, ∇_D L_D). That is
 * a vector field and not a gradient: its Jacobian is not symmetric, and what the players do to each other can turn it in
 * circles (Mescheder, Nowozin, Geiger 2017, "The numerics of GANs"). Behind `stopGradient`, a sum of losses has that field:
 *
 *     outputs = (D(x), D(⊥G(z)), ⊥D(G(z))) against targets (1, 0, 1)     by binary cross-entropy, ⊥ stops gradients
 *
 * Curvature of these outputs is each player's own, by its own parameters. What couples the players is in none of it;
 * methods that judge a step by the loss refuse.
 */
import { compile } from "../../compiler/compile.js";
import { createObjective } from "../../curvature/objective.js";
import { curvatureOf } from "../../curvature/output-curvature.js";
import { binaryCrossEntropyWithLogits, type Layer, layer, model, random } from "../../nn/index.js";
import type { Random } from "../../nn/random.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { Data } from "../../tensor/dtype.js";
import { isTensor } from "../../tensor/program.js";
import { concat, constant, input, type Tensor } from "../../tensor/tensor.js";
import { mapTree, type Tree } from "../../tensor/tree.js";
import type { Problem } from "../problem.js";

export interface Game {
  /** Noise → a sample, and a sample → a logit. */
  readonly generator: Layer;
  readonly discriminator: Layer;
  /** Numbers in a sample, and in the noise that it is made of. */
  readonly sample: number;
  readonly noise: number;
  readonly precision: "f32" | "f64";
  /** Writes a real sample into a part of a batch. */
  readonly draw: (rng: Random, into: Data) => void;
  /** How many samples are judged; what judges them. */
  readonly judged: number;
  readonly judge: (runtime: Runtime) => (samples: Data) => Record<string, number>;
}

/** Generator and discriminator as one layer: [batch, sample + noise] → logits [batch, 3], as above. */
export function adversaries(game: Pick<Game, "generator" | "discriminator" | "sample" | "noise">): Layer {
  const { generator, discriminator, sample, noise } = game;
  return layer<{ generator: Tree<Tensor>; discriminator: Tree<Tensor> }>({
    kind: "adversaries",
    declare: () => ({
      parameters: {
        generator: generator.declare([noise]).parameters,
        discriminator: discriminator.declare([sample]).parameters,
      },
      state: {},
      outputShape: [3],
    }),
    apply(parameters, x, context) {
      const real = x.slice(1, 0, sample);
      const z = x.slice(1, sample, sample + noise);
      const fake = generator.apply(parameters.generator, z, context.child("generator"));
      const judge = (player: Tree<Tensor>, samples: Tensor) =>
        discriminator.apply(player, samples, context.child("discriminator"));
      const fixed = mapTree<Tensor, Tensor>(parameters.discriminator, isTensor, (w) => w.stopGradient());
      return concat(
        [
          judge(parameters.discriminator, real),
          judge(parameters.discriminator, fake.stopGradient()),
          judge(fixed, fake),
        ],
        1,
      );
    },
  });
}

/** The parameters of both players. */
export const networkOf = (game: Game) => model(adversaries(game), [game.sample + game.noise], game.precision);

/** `start` of a game; metrics are those of its judge. */
export const startGame =
  (game: Game): Problem["start"] =>
  (runtime, { seed, batch }) => {
    const { sample, noise, precision: dtype } = game;
    const network = networkOf(game);
    const { layout } = network;
    const loss = binaryCrossEntropyWithLogits();
    const objective = createObjective(runtime, {
      layout,
      parameters: layout.flatten(network.init(seed).parameters).data,
      batch: [{ dtype, shape: [batch, sample + noise] }],
      players: ["generator", "discriminator"],
      trace(theta, [samples]) {
        const outputs = network.apply(layout.views(theta), samples!);
        const targets = constant([1, 0, 1], dtype).reshape([1, 3]).expand(outputs.shape);
        return {
          loss: loss.value(outputs, targets),
          state: undefined,
          outputCurvature: curvatureOf(loss, outputs, targets),
        };
      },
    });
    objective.key.data[0] = seed;

    const generator = model(game.generator, [noise], dtype);
    const theta = input("parameters", objective.parameters);
    const z = input("noise", { dtype, shape: [game.judged, noise] });
    const { generator: parameters } = layout.views(theta) as { generator: Tree<Tensor> };
    const generating = compile(
      runtime,
      { inputs: [z, theta], outputs: [generator.apply(parameters, z)] },
      { inputs: [undefined, objective.parameters] },
    );
    drawNoise(random(0).stream("noise of the test"), generating.inputs[0]!.data);

    const judge = game.judge(runtime);
    const { data } = objective.batch[0]!;
    const width = sample + noise;
    const rows = Array.from({ length: batch }, (_, k) => ({
      real: data.subarray(k * width, k * width + sample),
      noise: data.subarray(k * width + sample, (k + 1) * width),
    }));
    return {
      objective,
      sameBatch: false,
      load(step) {
        const rng = random(seed).stream(`batch ${step}`);
        for (const row of rows) {
          game.draw(rng, row.real);
          drawNoise(rng, row.noise);
        }
        objective.key.data[1] = step;
      },
      evaluate() {
        generating.run();
        return judge(generating.outputs[0]!.data);
      },
      release() {
        generating.release();
        objective.release();
      },
    };
  };

function drawNoise(rng: Random, into: Data): void {
  for (let k = 0; k < into.length; k++) into[k] = rng.normal();
}
