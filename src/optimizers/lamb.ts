/**
 * LAMB: Adam's direction, each layer's scaled to the length of its weights. You et al. 2020, "Large batch optimization for
 * deep learning: training BERT in 76 minutes", algorithm 2. For each array p of θ:
 *
 *     u = m̂/(√v̂ + ε) + λp               m̂, v̂ as in Adam
 *     p: θ ← θ − η · ‖p‖/‖u‖ · u          the ratio is 1 where a norm is 0
 *
 * Implementations differ from the paper in four places, each a setting: the biases of the averages (`correction`),
 * whether the decay is part of what the ratio scales (`decayPlace`), a bound on ‖p‖ (`mostNorm`), and an ε beside ‖u‖
 * (`ratioEpsilon`). pytorch_optimizer is { correction: "outside", decayPlace: "before", mostNorm: 10, ratioEpsilon: ε }.
 */
import { biasCorrection, scaleByAdam } from "./adam.js";
import { gradients } from "./catalogue.js";
import { elementwise } from "./costs.js";
import { decayBefore, decayOption, decoupledDecay, masks } from "./decay.js";
import { firstOrderMethod, rateOptions, scheduleOf } from "./method.js";
import { choice, decayRate, notNegative, positive } from "./settings.js";
import { chain, stateless } from "./transform.js";
import { trustRatio } from "./trust-ratio.js";

/**
 *     lamb.create({ learningRate: 2e-3, weightDecay: 0.01, schedule: "linear", decaySteps: 10_000, warmupSteps: 1000 })
 */
export const lamb = firstOrderMethod(
  {
    name: "lamb",
    family: "layerwise",
    description: "Adam with a rate of its own for each layer: for transformers and large batches.",
    reference: "You et al. 2020, Large batch optimization for deep learning: training BERT in 76 minutes",
    asks: gradients,
    treats: [
      {
        arrays: "every array (layers=matrices: two or more axes)",
        how: "Adam with a rate in proportion to its weights",
      },
    ],
    costs: elementwise(
      () => 2,
      (s) => 11 + (s.layers === "none" ? 0 : 5) + { moments: 0, outside: -1, none: -2 }[s.correction],
    ),
    options: {
      ...rateOptions(0.002, [0.0005, 0.02]),
      beta1: decayRate(0.9, "β₁: how much of the mean gradient is kept", {
        typical: [0.8, 0.98],
        sensitivity: "low",
      }),
      beta2: decayRate(0.999, "β₂: how much of the mean square is kept", {
        typical: [0.9, 0.9999],
        sensitivity: "low",
      }),
      epsilon: positive(1e-6, "ε: keeps the division finite", {
        typical: [1e-8, 0.0001],
        sensitivity: "low",
      }),
      weightDecay: notNegative(0.01, "λ: how strongly the parameters shrink", {
        typical: [0.001, 0.1],
        sensitivity: "medium",
      }),
      decay: decayOption,
      layers: choice(
        "all",
        ["all", "matrices", "none"],
        "which arrays have a ratio: all (the paper), those with two or more axes, or none (then this is AdamW)",
      ),
      correction: choice(
        "moments",
        ["moments", "outside", "none"],
        "of the averages' bias: in both (the paper), of the mean alone and after the ratio, or none",
      ),
      decayPlace: choice(
        "ratio",
        ["ratio", "before"],
        "λθ is scaled by the ratio too (the paper), or θ shrinks by ηλ before all else",
      ),
      mostNorm: notNegative(0, "bound on ‖p‖ in the ratio; 0 for none"),
      ratioEpsilon: notNegative(0, "added to ‖u‖ in the ratio"),
    },
  },
  (s) => {
    const adam = scaleByAdam({ ...s, corrected: s.correction === "moments" });
    const ratio =
      s.layers === "none"
        ? undefined
        : trustRatio({ mask: masks[s.layers], mostNorm: s.mostNorm, epsilon: s.ratioEpsilon });
    const outside =
      s.correction === "outside"
        ? stateless("correction", (d, { step }) => d.mul(biasCorrection(s.beta1, step).reciprocal()))
        : undefined;
    const mask = masks[s.decay];
    return s.decayPlace === "ratio"
      ? [adam, decoupledDecay(s.weightDecay, mask), ratio, outside]
      : [decayBefore(s.weightDecay, mask, scheduleOf("lamb", s), chain(adam, ratio, outside))];
  },
);
