/**
 * K-FAC. Martens & Grosse 2015, "Optimizing neural networks with Kronecker-factored approximate curvature"; for
 * convolutions Grosse & Martens 2016; for weights that act in several places Eschenhagen et al. 2023.
 *
 *     every T_f updates     A ← average of E[a aᵀ],  G ← average of E[g gᵀ]       of each layer
 *     every T_i updates     A⁻¹ ← (A + π√λ I)⁻¹,     G⁻¹ ← (G + √λ/π I)⁻¹
 *     d = A⁻¹ (∇L by [W; b]) G⁻¹,   m ← μ m + ν d,   θ ← θ − η m                 ν bounds the KL divergence
 *
 * The length of a step is bounded by its KL divergence (step clip, the default), or comes with momentum and λ from the
 * exact quadratic model on the batch (step quadratic; for large batches). What is no marked layer has a diagonal block;
 * `kroneckerBlocks` lists them.
 *
 * Structure blockTridiagonal has the blocks beside the diagonal too, between neighbours in chains of dense layers
 * (kfac/tridiagonal.ts).
 */
import { kroneckerCosts } from "./kfac/costs.js";
import { invertedFactors } from "./kfac/inverted-factors.js";
import { checkSettings, kroneckerOptions, kroneckerTreatment } from "./kfac/settings.js";
import { startKronecker } from "./kfac/training.js";
import { tridiagonalInverse } from "./kfac/tridiagonal.js";
import { defineMethod } from "./method.js";
import { choice } from "./settings.js";

const options = {
  ...kroneckerOptions,
  inverse: choice(
    "cholesky",
    ["cholesky", "eigen", "newtonSchulz"],
    "how factors are inverted: cholesky is cheapest, eigen refuses nothing, newtonSchulz is products only",
  ),
  structure: choice(
    "blockDiagonal",
    ["blockDiagonal", "blockTridiagonal"],
    "blockTridiagonal also has what is between neighbours in chains of dense layers; others stay block-diagonal",
  ),
};

/**
 *     const training = kfac.create({ damping: 0.03, factorInterval: 10, inverseInterval: 100 }).start(objective);
 *     training.step().diagnostics?.condition;
 */
export const kfac = defineMethod(
  {
    name: "kfac",
    family: "second order",
    description:
      "Kronecker-factored natural gradient: few steps for networks of dense, convolutional and attention layers, at up to twice the cost of a gradient step.",
    reference:
      "Martens & Grosse 2015, Optimizing neural networks with Kronecker-factored approximate curvature",
    asks: {
      questions: ["gradients", "factors", "losses", "gaussNewtonVectorProducts"],
      batch: "any",
    },
    treats: kroneckerTreatment,
    costs: kroneckerCosts,
    options,
  },
  (settings) => {
    checkSettings("kfac", settings);
    const inverse = settings.structure === "blockTridiagonal" ? tridiagonalInverse : invertedFactors;
    return {
      name: "kfac",
      settings,
      start: (objective) =>
        startKronecker("kfac", objective, settings, (running) =>
          inverse(objective.runtime, objective.dtype, running, settings.inverse),
        ),
    };
  },
);
