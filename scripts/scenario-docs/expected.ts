/**
 * What the text that Thalweg comes from expects of a row of the suite: the answer of its decision procedure where that
 * has a branch for the problem, or its statement on such problems (docs/claims.md). The rows have up to 2.8 million
 * parameters, and policies far less than a million: no other threshold of the procedure lies there.
 */
import { type Question, recommendOptimizer } from "../../src/advisor/recommend.js";
import type { SuiteProblem } from "../../src/lab/suite/settings.js";

export interface Expectation {
  readonly said: string;
  /** The methods it names. */
  readonly methods: readonly string[];
}

const kinds: Readonly<Record<string, Pick<Question, "problemType" | "trainingPhase">>> = {
  images: { problemType: "vision", trainingPhase: "early_training" },
  language: { problemType: "language_modeling", trainingPhase: "early_training" },
  equations: { problemType: "pde_solving", trainingPhase: "early_training" },
  sequences: { problemType: "sequence_modeling", trainingPhase: "rnn" },
  control: { problemType: "reinforcement_learning", trainingPhase: "early_training" },
  fineTuning: { problemType: "vision", trainingPhase: "fine_tuning" },
};

/** Small and ill-conditioned: where curvature is said to pay (statements 25 and 26). */
const secondOrder: Expectation = {
  said: "second order: small and ill-conditioned",
  methods: ["newton", "lbfgs", "kfac", "hessianFree", "naturalGradient"],
};
const games: Expectation = { said: "Adam: second order struggles with games", methods: ["adam", "adamw"] };

const families: Readonly<Record<string, keyof typeof kinds | Expectation>> = {
  "digits-mlp": "images",
  "digits-cnn": "images",
  "fashion-mlp": "images",
  "fashion-resnet": "images",
  "moby-dick": "language",
  "pinn-poisson": "equations",
  "pinn-heat": "equations",
  "temporal-order": "sequences",
  addition: "sequences",
  cartpole: "control",
  pendulum: "control",
  "mountain-car": "control",
  "fine-tune": "fineTuning",
  autoencoder: secondOrder,
  "logistic-tumours": secondOrder,
  "regression-penguins": secondOrder,
  quadratic: secondOrder,
  rosenbrock: secondOrder,
  "gan-gaussians": games,
  "gan-digits": games,
};

/** @throws Error for a problem of which nothing is known: add it above. */
export function expectedOf({ id, problem, batches }: SuiteProblem): Expectation {
  const family = families[problem.name];
  if (family === undefined) throw new Error(`"${id}": nothing is expected of ${problem.name} yet`);
  if (typeof family !== "string") return family;
  const { summary, methods } = recommendOptimizer({
    ...kinds[family]!,
    numParameters: 100_000,
    batchSize: batches.any,
    computationalBudget: "limited",
    implementationExpertise: "medium",
  });
  return { said: summary, methods };
}
