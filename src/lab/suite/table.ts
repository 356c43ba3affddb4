/**
 * The problems and optimizers of `thalweg suite`. To add a problem, add a row: everything else follows from it.
 *
 * Targets are the problems' own, which come from the literature, where nothing else is said here; where a row says
 * `target: "tuned"`, the target was found beforehand by a larger tuning of AdamW and momentum (targets.ts).
 */
import type { Asks } from "../../optimizers/catalogue.js";

/** Examples in a step of methods that work with any, that want large batches, and that want all of the data. */
export type Batches = Partial<Readonly<Record<Asks["batch"], number>>>;

export interface Row {
  /** A name with options, as on a command line; also the name of the row. */
  readonly problem: string;
  /** Seconds of training that a run has, unless the budget of the suite leaves fewer. */
  readonly seconds: number;
  /** Whether the quick table has it. */
  readonly quick?: boolean;
  /** What differs from the problem's own batch. */
  readonly batches?: Batches;
  readonly target?: "tuned" | { readonly metric: string; readonly value: number };
  /** Where the target comes from. */
  readonly source: string;
}

const images = { large: 500, full: 2000 };
const sequences = { large: 500, full: 500 };

export const rows: readonly Row[] = [
  {
    problem: "digits-mlp:validation=1000",
    seconds: 6,
    quick: true,
    batches: images,
    source: "97 %, as AlgoPerf's MNIST workload",
  },
  {
    problem: "autoencoder:encoder=128-32",
    seconds: 6,
    quick: true,
    batches: { large: 500, full: 1000 },
    target: "tuned",
    source: "AdamW and momentum, tuned",
  },
  {
    problem: "temporal-order:length=30",
    seconds: 6,
    quick: true,
    batches: sequences,
    source: "99 % right (Hochreiter & Schmidhuber 1997)",
  },
  {
    problem: "pinn-poisson",
    seconds: 6,
    quick: true,
    target: { metric: "l2Error", value: 1e-3 },
    source: "the first error of which Dangel et al. 2024 report the steps",
  },
  {
    problem: "logistic-tumours",
    seconds: 3,
    quick: true,
    source: "a millionth of the way to the optimum, which is computed",
  },
  {
    problem: "regression-penguins",
    seconds: 3,
    source: "as for logistic-tumours",
  },
  {
    problem: "cartpole",
    seconds: 6,
    source: "475, from which on Gym calls it solved",
  },
  {
    problem: "fine-tune:validation=1000",
    seconds: 6,
    batches: { large: 500, full: 500 },
    source: "90 %, the problem's own",
  },
  {
    problem: "quadratic",
    seconds: 3,
    source: "near the minimum, which is known",
  },
  {
    problem: "rosenbrock",
    seconds: 3,
    source: "near the minimum, which is known",
  },
  {
    problem: "mountain-car",
    seconds: 3,
    source: "−110, from which on Gym calls it solved",
  },
  {
    problem: "pinn-heat",
    seconds: 10,
    target: { metric: "l2Error", value: 1e-3 },
    source: "as for pinn-poisson",
  },
  {
    problem: "fashion-mlp:validation=5000",
    seconds: 10,
    batches: images,
    source: "87 %",
  },
  {
    problem: "digits-cnn:validation=1000",
    seconds: 20,
    batches: { large: 500, full: 1000 },
    source: "98 %",
  },
  {
    problem: "gan-gaussians",
    seconds: 20,
    source: "the problem's own",
  },
  {
    problem: "pendulum",
    seconds: 10,
    source: "−172, PPO's in RL Baselines3 Zoo",
  },
  {
    problem: "autoencoder",
    seconds: 60,
    batches: { any: 100, large: 500, full: 1000 },
    target: { metric: "trainingError", value: 5.01 },
    source: "what tuned Adam reaches in 60 seconds (docs/scenarios.md)",
  },
  {
    problem: "addition:length=50",
    seconds: 60,
    batches: sequences,
    source: "99 % within 0.04 (Martens & Sutskever 2011)",
  },
  {
    problem: "moby-dick",
    seconds: 120,
    batches: { large: 128, full: 512 },
    source: "2.5 bits a character, the problem's own",
  },
  {
    problem: "fashion-resnet:validation=5000",
    seconds: 180,
    batches: { large: 500, full: 1000 },
    source: "90 %, the problem's own",
  },
  {
    problem: "gan-digits",
    seconds: 120,
    source: "a Fréchet distance of 1, the problem's own",
  },
];

export const quickOptimizers = ["momentum", "adam", "adamw", "muon", "soap", "kfac", "lbfgs", "hessianFree"];
export const fullOptimizers = [
  "sgd",
  "momentum",
  "nesterov",
  "adam",
  "adamw",
  "lion",
  "adahessian",
  "sophia",
  "muon",
  "soap",
  "shampoo",
  "kfac",
  "lbfgs",
  "naturalGradient",
  "hessianFree",
  "newton",
];
/** The fixed optimizer that ratios are to. */
export const baseline = "adamw";
