/**
 * The decision procedure of the text that Thalweg comes from, exactly: its branches in their order, its thresholds, its
 * answers word for word. It reads six facts and knows neither memory nor hardware nor measurements; `advise` does. It is
 * kept as it was published, surprises included:
 *
 * - only a phase that contains "rnn" leads to Hessian-free, whatever the model is;
 * - a batch below 64 ends every question, a problem with 63 collocation points included;
 * - fine-tuning of more than 10⁸ parameters (BERT among them) never leads to K-FAC;
 * - budget and expertise are read in one branch only, and case matters everywhere but in "rnn".
 */
import type { OptimizerName } from "../optimizers/registry.js";

/** Known values are suggestions; any other text leads on to the next branch. */
export interface Question {
  /** N: a whole number, at least 1. */
  readonly numParameters: number;
  /** B, in examples: a whole number, at least 1. */
  readonly batchSize: number;
  readonly problemType:
    | "vision"
    | "sequence_modeling"
    | "language_modeling"
    | "reinforcement_learning"
    | "scientific_computing"
    | "pde_solving"
    | (string & {});
  readonly trainingPhase: "early_training" | "late_training" | "fine_tuning" | "rnn" | (string & {});
  readonly computationalBudget: "limited" | "moderate" | "unlimited" | (string & {});
  readonly implementationExpertise: "low" | "medium" | "high" | (string & {});
}

export interface Recommendation {
  /** The answer, word for word. */
  readonly summary: string;
  /** The branch that gave it. */
  readonly branch: string;
  /** The facts that led there. */
  readonly because: string;
  /** The methods that the answer names, as they are called here, in its order. */
  readonly methods: readonly OptimizerName[];
}

interface Branch extends Recommendation {
  readonly holds: (question: Question) => boolean;
}

const isPde = ({ problemType }: Question) =>
  problemType === "scientific_computing" || problemType === "pde_solving";
const million = 1_000_000;

/** The first that holds answers. */
const branches: readonly Branch[] = [
  {
    branch: "very large",
    because: "more than 10⁹ parameters: curvature costs too much memory",
    summary: "AdamW with careful LR schedule and warmup",
    methods: ["adamw"],
    holds: (q) => q.numParameters > 1000 * million,
  },
  {
    branch: "small batch",
    because: "batches below 64: curvature would be mostly noise",
    summary: "Adam with standard settings",
    methods: ["adam"],
    holds: (q) => q.batchSize < 64,
  },
  {
    branch: "small policy",
    because: "reinforcement learning with less than 10⁶ parameters",
    summary: "Natural Gradient (TRPO/PPO style) or Adam",
    methods: ["naturalGradient", "adam"],
    holds: (q) => q.problemType === "reinforcement_learning" && q.numParameters < million,
  },
  {
    branch: "large policy",
    because: "reinforcement learning with 10⁶ parameters or more",
    summary: "Adam with entropy regularization",
    methods: ["adam"],
    holds: (q) => q.problemType === "reinforcement_learning",
  },
  {
    branch: "differential equations",
    because: "scientific computing with less than 10⁸ parameters",
    summary: "L-BFGS or K-FAC (ill-conditioning likely)",
    methods: ["lbfgs", "kfac"],
    holds: (q) => isPde(q) && q.numParameters < 100 * million,
  },
  {
    branch: "large differential equations",
    because: "scientific computing with 10⁸ parameters or more",
    summary: "Adam with aggressive LR decay",
    methods: ["adam"],
    holds: isPde,
  },
  {
    branch: "recurrent sequences",
    because: 'sequences, and a phase that contains "rnn"',
    summary: "Adam or Hessian-Free (gradient pathologies common)",
    methods: ["adam", "hessianFree"],
    holds: (q) => q.problemType === "sequence_modeling" && q.trainingPhase.toLowerCase().includes("rnn"),
  },
  {
    branch: "fine-tuning with large batches",
    because: "fine-tuning of less than 10⁸ parameters with batches of 512 or more",
    summary: "K-FAC (fast convergence, stable curvature)",
    methods: ["kfac"],
    holds: (q) => q.trainingPhase === "fine_tuning" && q.batchSize >= 512 && q.numParameters < 100 * million,
  },
  {
    branch: "fine-tuning",
    because: "fine-tuning with smaller batches or more parameters",
    summary: "AdamW with low LR",
    methods: ["adamw"],
    holds: (q) => q.trainingPhase === "fine_tuning",
  },
  {
    branch: "early training",
    because: "the beginning of a training: curvature changes faster than it is measured",
    summary: "Adam or SGD+momentum (exploration phase, curvature unreliable)",
    methods: ["adam", "momentum"],
    holds: (q) => q.trainingPhase === "early_training",
  },
  {
    branch: "unlimited budget, experts",
    because: "an unlimited budget, less than 10⁸ parameters, and people who know the method",
    summary: "K-FAC (potential iteration savings)",
    methods: ["kfac"],
    holds: (q) =>
      q.computationalBudget === "unlimited" &&
      q.numParameters < 100 * million &&
      q.implementationExpertise === "high",
  },
  {
    branch: "unlimited budget",
    because: "an unlimited budget and less than 10⁸ parameters",
    summary: "Adam (reliable, well-understood)",
    methods: ["adam"],
    holds: (q) => q.computationalBudget === "unlimited" && q.numParameters < 100 * million,
  },
  {
    branch: "otherwise",
    because: "none of the other cases applies",
    summary: "AdamW with cosine LR schedule",
    methods: ["adamw"],
    holds: () => true,
  },
];

/**
 * The answer of the published procedure.
 *
 *     recommendOptimizer({
 *       numParameters: 50_000_000, batchSize: 256, problemType: "vision",
 *       trainingPhase: "early_training", computationalBudget: "limited", implementationExpertise: "medium",
 *     }).summary;   // "Adam or SGD+momentum (exploration phase, curvature unreliable)"
 *
 * @throws RangeError when a number is not a whole one of at least 1, or a text is none.
 */
export function recommendOptimizer(question: Question): Recommendation {
  for (const name of ["numParameters", "batchSize"] as const)
    if (!Number.isSafeInteger(question[name]) || question[name] < 1)
      throw new RangeError(
        `recommendOptimizer: ${name} is ${question[name]}; use a whole number of at least 1`,
      );
  for (const name of [
    "problemType",
    "trainingPhase",
    "computationalBudget",
    "implementationExpertise",
  ] as const)
    if (typeof question[name] !== "string")
      throw new RangeError(`recommendOptimizer: ${name} is ${question[name]}; use a text`);
  const { holds: _, ...recommendation } = branches.find(({ holds }) => holds(question))!;
  return recommendation;
}
