import { kroneckerOptions } from "../kfac/settings.js";
import {
  choice,
  count,
  decayRate,
  flag,
  fraction,
  notNegative,
  type Options,
  positive,
  positiveCount,
  type SettingsOf,
} from "../settings.js";

export const options = {
  curvature: choice("gaussNewton", ["gaussNewton", "hessian"], "A; gaussNewton is never negative"),
  damping: positive(1, "λ: the first one; it then follows the ratio of reductions", {
    typical: [0.01, 100],
    sensitivity: "low",
  }),
  leastDamping: positive(1e-20, "λ does not fall below it; few iterations never find the model wrong"),
  iterations: count(250, "most iterations of conjugate gradients in a step", {
    typical: [20, 300],
    sensitivity: "medium",
  }),
  progress: positive(5e-4, "ε: iterations end when the model gains less than this a step", {
    typical: [0.0001, 0.005],
    sensitivity: "medium",
  }),
  warmStart: decayRate(0.95, "w: how much of the last solution the next one begins with", {
    typical: [0.5, 0.98],
    sensitivity: "low",
  }),
  preconditioner: choice(
    "empiricalFisher",
    ["empiricalFisher", "kfac", "none"],
    "of the iterations: a diagonal; Kronecker factors of each layer, for networks of marked layers; or none",
  ),
  preconditionerDraws: count(8, "gradients from which its diagonal is estimated; exact with one an example"),
  preconditionerExponent: fraction(0.75, "of the damped diagonal", { typical: [0.5, 1], sensitivity: "low" }),
  estimator: kroneckerOptions.estimator,
  factorDecay: decayRate(0.95, "with preconditioner kfac, ρ of the average of factors over batches"),
  factorInterval: positiveCount(2, "with preconditioner kfac, updates between estimates of the factors"),
  inverseInterval: positiveCount(
    10,
    "with preconditioner kfac, most updates between inversions; sooner while the average is young",
  ),
  curvatureExamples: count(0, "examples of the batch, its first, on which curvature is taken; 0 for all"),
  structuralDamping: notNegative(0, "μ: of the hidden states of recurrent layers, times λ; 0 for none", {
    typical: [0.001, 1],
    sensitivity: "medium",
  }),
  backtracking: flag(true, "whether earlier iterates are tried"),
  tolerance: notNegative(1e-8, "gradients as short as this have converged"),
} satisfies Options;
export type Settings = SettingsOf<typeof options>;
