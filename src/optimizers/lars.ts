/**
 * LARS: each layer's gradient is scaled to the length of its weights. You, Gitman, Ginsburg 2017, "Large batch training
 * of convolutional networks". For each array p of θ that takes part, with g its gradient:
 *
 *     r = c ‖p‖ / (‖g‖ + λ‖p‖)           (normalizer "gradient": c ‖p‖ / ‖g‖);  1 where ‖p‖ or ‖g‖ is 0
 *     b ← μ b + r (g + λ p)
 *     θ ← θ − η b                        (Nesterov: θ ← θ − η (r (g + λ p) + μ b))
 *
 * Arrays that do not take part (by default those with fewer than two axes) have r = 1 and λ = 0. The learning rate
 * stands outside the buffer, as in momentum; the paper's stands inside, which is the same while η is constant.
 */
import { parameterCount } from "../curvature/model-shape.js";
import { gradients } from "./catalogue.js";
import { matrixElements, scalars, sharedFlops, vectors } from "./costs.js";
import { masks } from "./decay.js";
import { firstOrderMethod, rateOptions } from "./method.js";
import { traceMomentum } from "./momentum.js";
import { choice, decayRate, flag, notNegative } from "./settings.js";
import { stateless, type Transform } from "./transform.js";
import { length, mapArrays, ratioOrOne } from "./trust-ratio.js";

interface LarsOptions {
  readonly trustCoefficient: number;
  readonly weightDecay: number;
  readonly normalizer: "decayed" | "gradient";
  readonly layers: keyof typeof masks;
}

/** d ← r (d + λp), array by array; c = 0 leaves out the ratio. */
const layerwise = (s: LarsOptions): Transform =>
  stateless("lars", (direction, { layout, parameters }) =>
    mapArrays(layout.entries, masks[s.layers], [direction, parameters], (g, p) => {
      const decayed = s.weightDecay === 0 ? g! : g!.add(p!.mul(s.weightDecay));
      if (s.trustCoefficient === 0) return decayed;
      const [ofP, ofG] = [length(p!), length(g!)];
      const bottom = s.normalizer === "gradient" ? ofG : ofG.add(ofP.mul(s.weightDecay));
      return decayed.mul(ratioOrOne(ofP.mul(s.trustCoefficient), bottom, [ofP, ofG]));
    }),
  );

/**
 *     lars.create({ learningRate: 2, trustCoefficient: 0.001, schedule: "cosine", decaySteps: 5000, warmupSteps: 500 })
 */
export const lars = firstOrderMethod(
  {
    name: "lars",
    family: "layerwise",
    description:
      "Momentum with a rate of its own for each layer: for convolutional networks and large batches.",
    reference: "You, Gitman, Ginsburg 2017, Large batch training of convolutional networks",
    asks: gradients,
    treats: [
      {
        arrays: "two or more axes (layers=all: every array)",
        how: "momentum with a rate in proportion to its weights",
      },
      { arrays: "others", how: "plain momentum, no decay" },
    ],
    costs(shape, s) {
      const n = parameterCount(shape);
      const scaled = s.layers === "all" ? n : matrixElements(shape);
      const [plain, ratio] = [6 + (s.nesterov ? 2 : 0) + sharedFlops({ clipNorm: s.clipNorm }), 4];
      const own = (s.trustCoefficient > 0 ? ratio : 0) + (s.weightDecay > 0 ? 2 : 0);
      return {
        state: [...vectors("moments", 1, n), scalars()],
        workspace: [],
        work: [
          {
            part: "update",
            formula: `${plain}n + ${own} an element with ratio`,
            flops: plain * n + own * scaled,
          },
        ],
        evaluations: { gradients: 1 },
      };
    },
    options: {
      ...rateOptions(1, [0.1, 10]),
      momentum: decayRate(0.9, "μ: how much of the last step is kept", {
        typical: [0.8, 0.99],
        sensitivity: "medium",
      }),
      nesterov: flag(false, "look ahead by one more step of momentum"),
      trustCoefficient: notNegative(
        0.001,
        "c: length of a layer's step in parts of its weights; 0 for no ratio",
        { typical: [0.0001, 0.02], sensitivity: "medium" },
      ),
      weightDecay: notNegative(0, "λ: adds λθ to the gradient of the arrays that take part", {
        typical: [1e-5, 0.001],
        sensitivity: "medium",
      }),
      layers: choice(
        "matrices",
        ["matrices", "all"],
        "which arrays have ratio and decay: those with two or more axes, or all",
      ),
      normalizer: choice(
        "decayed",
        ["decayed", "gradient"],
        "what ‖p‖ is divided by: ‖g‖ + λ‖p‖ (the paper) or ‖g‖",
      ),
      bufferStart: choice(
        "zero",
        ["zero", "gradient"],
        "the buffer before the first update: 0, so that b₁ is the gradient, or the gradient, so that b₁ is 1 + μ times it",
      ),
    },
  },
  (s) => [layerwise(s), traceMomentum({ decay: s.momentum, nesterov: s.nesterov, start: s.bufferStart })],
);
