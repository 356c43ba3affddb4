/** Settings that kfac and ekfac share. */
import { masks } from "../decay.js";
import { rateOptions } from "../method.js";
import {
  choice,
  count,
  decayRate,
  notNegative,
  type Options,
  positive,
  positiveCount,
  SettingsError,
  type SettingsOf,
} from "../settings.js";

export const kroneckerOptions = {
  ...rateOptions(0.03, [0.001, 0.1]),
  momentum: decayRate(0.9, "μ: how much of the last step is kept, where step is clip", {
    typical: [0.8, 0.98],
    sensitivity: "low",
  }),
  step: choice(
    "clip",
    ["clip", "quadratic"],
    "length of a step: clip bounds its KL divergence by klClip at learning rate η; quadratic takes step length and " +
      "momentum from the exact quadratic model on the batch (no η, no μ, two more products) and adapts λ",
  ),
  klClip: notNegative(1e-2, "κ: steps whose η²·gᵀF⁻¹g is larger are shortened to it; 0 for no bound", {
    typical: [0.0001, 0.1],
    sensitivity: "medium",
  }),
  damping: positive(0.1, "λ: added to the curvature; with step quadratic the first one", {
    typical: [0.001, 1],
    sensitivity: "high",
  }),
  leastDamping: positive(1e-2, "with step quadratic, λ does not fall below it", {
    typical: [0.0001, 0.1],
    sensitivity: "medium",
  }),
  dampingInterval: count(5, "with step quadratic, updates between adaptations of λ; 0 leaves it"),
  gammaInterval: count(
    0,
    "with step quadratic, updates between trials of other γ for the factors; 0 keeps γ = √λ",
  ),
  estimator: choice(
    "sampled",
    ["sampled", "exact", "empirical"],
    "whose gradients the factors are of: targets sampled from the model, the expectation over all outputs (few outputs), or the data's targets",
  ),
  sharing: choice(
    "expand",
    ["expand", "reduce"],
    "weights that act at several positions or times: as independent examples, or summed over each example",
  ),
  factorDecay: decayRate(0.95, "ρ of the average of factors over batches, bias-corrected", {
    typical: [0.9, 0.999],
    sensitivity: "low",
  }),
  factorStart: choice(
    "zero",
    ["zero", "identity"],
    "what the average of factors begins with; identity, not corrected for, is a damping that fades",
  ),
  factorInterval: positiveCount(10, "updates between estimates of the factors", {
    typical: [1, 50],
    sensitivity: "low",
  }),
  inverseInterval: positiveCount(
    100,
    "most updates between inversions; sooner while the average is young: whenever its batches have doubled",
    { typical: [5, 100], sensitivity: "low" },
  ),
  weightDecay: notNegative(0, "λ of decoupled decay, where step is clip", {
    typical: [1e-5, 0.01],
    sensitivity: "low",
  }),
  decay: choice(
    "matrices",
    Object.keys(masks) as (keyof typeof masks)[],
    "what decays; matrices leaves out biases and gains",
  ),
} satisfies Options;

export type KroneckerSettings = SettingsOf<typeof kroneckerOptions>;

/** @throws SettingsError for settings that have no effect together. */
export function checkSettings(method: string, { step, weightDecay, clipNorm }: KroneckerSettings): void {
  if (step !== "quadratic") return;
  if (weightDecay > 0)
    throw new SettingsError(
      `${method}: weightDecay is ${weightDecay}, which step quadratic does not see; make ½λ‖θ‖² the regulariser of the loss`,
    );
  if (clipNorm > 0)
    throw new SettingsError(
      `${method}: clipNorm is ${clipNorm}, which step quadratic does not use; leave it at 0`,
    );
}

/** Which layers have which block; `kroneckerBlocks` tells those of a model. */
export const kroneckerTreatment = [
  { arrays: "dense, conv2d, attention's maps: weight with bias", how: "A ⊗ G, one block a layer" },
  { arrays: "embedding", how: "A ⊗ G with A diagonal" },
  {
    arrays: "scale and shift of norms",
    how: "the full block up to 256 elements together, else the diagonal",
  },
  { arrays: "others", how: "the diagonal" },
];
