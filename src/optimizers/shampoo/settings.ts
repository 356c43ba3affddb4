/** Settings of Shampoo, and which arrays have preconditioners. */
import type { ArrayShape } from "../../curvature/model-shape.js";
import { decayOption } from "../decay.js";
import { rateOptions } from "../method.js";
import {
  choice,
  count,
  decayRate,
  flag,
  fraction,
  notNegative,
  positive,
  positiveCount,
  type SettingsOf,
} from "../settings.js";

export const shampooOptions = {
  ...rateOptions(0.001, [0.0003, 0.01]),
  beta1: decayRate(0.9, "β₁: how much of the mean gradient is kept", {
    typical: [0.8, 0.98],
    sensitivity: "low",
  }),
  beta2: fraction(0.999, "β₂: how much of the statistics is kept; 1 for their sum", {
    typical: [0.9, 0.9999],
    sensitivity: "medium",
  }),
  epsilon: positive(1e-10, "ε: added to the statistics", { typical: [1e-12, 1e-6], sensitivity: "medium" }),
  momentum: decayRate(0, "μ: how much of the last step is kept"),
  graft: choice("adam", ["none", "sgd", "adagrad", "rmsprop", "adam"], "whose length steps have"),
  graftBeta2: decayRate(0.999, "β₂ of the grafted method", { typical: [0.9, 0.9999], sensitivity: "low" }),
  graftEpsilon: positive(1e-8, "ε of the grafted method"),
  blockSize: positiveCount(256, "longer axes are cut into blocks of this many", {
    typical: [64, 2048],
    sensitivity: "low",
  }),
  vectors: flag(
    false,
    "a preconditioner for arrays of one axis too (the paper), not the grafted method's step",
  ),
  variant: choice(
    "paper",
    ["paper", "sequential"],
    "statistics of the gradient, or, axis after axis, of what the axes before have preconditioned (pytorch_optimizer's)",
  ),
  exponent: count(
    0,
    "p of the inverse p-th roots; 0 for twice the number of axes (sequential: the number of axes)",
  ),
  root: choice("eigen", ["eigen", "newton"], "how roots are taken: by eigenvectors, or products only"),
  interval: positiveCount(10, "updates between roots", { typical: [1, 100], sensitivity: "medium" }),
  start: count(0, "updates of the grafted method before the first roots"),
  weightDecay: notNegative(0, "λ: adds λθ to the step, before the momentum", {
    typical: [0.0001, 0.1],
    sensitivity: "low",
  }),
  decay: decayOption,
};
export type ShampooSettings = SettingsOf<typeof shampooOptions>;

/** Whether an array has preconditioners. */
export const hasRoots = (
  { shape }: Pick<ArrayShape, "shape">,
  { vectors, graft }: ShampooSettings,
): boolean => shape.length >= (vectors || graft === "none" ? 1 : 2);

/** p, where no exponent is set. */
export const usualExponent = ({ variant }: ShampooSettings, axes: number): number =>
  variant === "paper" ? 2 * axes : axes;
