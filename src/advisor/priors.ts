/**
 * How many steps a method needs beside tuned Adam, where its curvature can be trusted entirely and the problem is as badly
 * conditioned as usual (κ = 10⁵). Judgments by order of magnitude; each names what it rests on, and a race on the problem
 * itself replaces all of them.
 */
import type { OptimizerName } from "../optimizers/registry.js";

export interface Prior {
  /** Steps to a target, those of tuned Adam being 1. */
  readonly steps: number;
  readonly source: string;
}

const measured = (source: string, steps: number): Prior => ({ steps, source });
const alike = (steps: number): Prior => ({ steps, source: "scaled gradients, close to Adam's" });

export const priors: Readonly<Partial<Record<OptimizerName, Prior>>> = {
  sgd: measured("no momentum: steps grow with κ rather than √κ (Polyak 1964)", 3),
  momentum: measured("steps grow with √κ (Polyak 1964)", 1.15),
  nesterov: measured("steps grow with √κ (Nesterov 1983)", 1.15),
  adam: { steps: 1, source: "the measure of the others" },
  adamw: { steps: 1, source: "Adam with decay that its scaling does not touch (Loshchilov & Hutter 2019)" },
  adagrad: measured("its rate only falls (Duchi et al. 2011)", 1.4),
  rmsprop: alike(1.15),
  lion: alike(1.15),
  adafactor: measured("rows and columns of mean squares, no momentum (Shazeer & Stern 2018)", 1.6),
  lars: measured("made for very large batches (You et al. 2017)", 1.3),
  lamb: measured("made for very large batches (You et al. 2020)", 1.1),
  adahessian: measured("Yao et al. 2021 report accuracy rather than steps", 0.9),
  sophia: measured("half of the steps in the paper, not seen by others who tuned AdamW", 0.9),
  newton: measured("quadratic convergence near a minimum (Nocedal & Wright 2006)", 0.02),
  lbfgs: measured("superlinear where the loss is smooth and without noise (Liu & Nocedal 1989)", 0.4),
  hessianFree: measured("tens of iterations of conjugate gradients a step (Martens 2010)", 0.03),
  naturalGradient: measured("Fisher solves by conjugate gradients (Schulman et al. 2015)", 0.08),
  kfac: measured("a fraction of the iterations of SGD with momentum (Martens & Grosse 2015)", 0.35),
  ekfac: measured("a fraction of K-FAC's at equal refreshes (George et al. 2018)", 0.32),
  muon: measured("about a third fewer on GPT-2 speedruns (Jordan et al. 2024)", 0.74),
  soap: measured("40 % fewer iterations at 360M and 660M (Vyas et al. 2024); others saw none (2025)", 0.65),
  shampoo: measured("28 % less time on AlgoPerf (Kasimbeg et al. 2025)", 0.72),
};
