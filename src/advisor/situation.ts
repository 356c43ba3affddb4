/** What is trained, where, and what is known of it: the question that `advise` answers. */
import { parameterCount } from "../curvature/model-shape.js";
import type { OptimizerName } from "../optimizers/registry.js";
import type { MethodCosts, Setting } from "./costs.js";
import type { Architecture } from "./model.js";
import type { Question } from "./recommend.js";

/**
 * What a model may be trained for.
 *
 *     tasks.includes("fine-tuning")
 */
export const tasks = [
  "language-model",
  "image-classification",
  "differential-equation",
  "fine-tuning",
  "reinforcement-learning",
  "adversarial",
  "recurrent",
  "regression",
  "other",
] as const;
export type Task = (typeof tasks)[number];

export interface Situation extends Setting {
  readonly task: Task;
  /** early: the first tenth of a training, or all of a short one. */
  readonly phase: "early" | "late";
  /** Whether a batch is all the data: losses and gradients are then without noise. Default: of differential equations. */
  readonly fullBatch?: boolean | undefined;
  /** Seconds until the examples of a step are there: of a simulation, for example. Default: as assumed for the task. */
  readonly dataSeconds?: number | undefined;
  readonly budget: "limited" | "moderate" | "unlimited";
  /** Of the people who train: low means that a method with many sensitive settings will be badly set. */
  readonly expertise: "low" | "medium" | "high";
  /** A device of little memory and power, as phones have. */
  readonly edge?: boolean | undefined;
}

/** What was measured of the problem, by `thalweg probe` and `thalweg noise`. What is absent is assumed by the task. */
export interface Evidence {
  /** Effective condition number: λ₁ over the eigenvalue below which a tenth of them lies. */
  readonly conditionNumber?: number | undefined;
  /** Batch, in examples, at which noise equals gradient. */
  readonly noiseScale?: number | undefined;
  /** Smallest batch of a method, in examples. */
  readonly minimumBatch?: Readonly<Partial<Record<OptimizerName, number>>> | undefined;
  /** Relative change of the curvature over a refresh interval. */
  readonly drift?: number | undefined;
}

/** What the rules read. */
export interface Context {
  readonly model: Architecture;
  /** n */
  readonly parameters: number;
  readonly situation: Situation;
  readonly evidence: Evidence;
  readonly conditionNumber: number;
  readonly noiseScale: number;
  readonly fullBatch: boolean;
  readonly dataSeconds: number;
  readonly costs: ReadonlyMap<OptimizerName, MethodCosts>;
}

/**
 * What is usual for a task, where nothing was measured. Noise scales in examples: 0 of a full batch; others by orders of
 * magnitude as in McCandlish et al. 2018, figure 4. Condition numbers: Rathore et al. 2024 for differential equations.
 */
const usual: Readonly<Record<Task, { conditionNumber: number; noiseScale: number }>> = {
  "language-model": { conditionNumber: 1e4, noiseScale: 500 },
  "image-classification": { conditionNumber: 1e4, noiseScale: 1000 },
  "differential-equation": { conditionNumber: 1e8, noiseScale: 100 },
  "fine-tuning": { conditionNumber: 1e4, noiseScale: 200 },
  "reinforcement-learning": { conditionNumber: 1e3, noiseScale: 4000 },
  adversarial: { conditionNumber: 1e3, noiseScale: 10_000 },
  recurrent: { conditionNumber: 1e6, noiseScale: 500 },
  regression: { conditionNumber: 1e5, noiseScale: 100 },
  other: { conditionNumber: 1e4, noiseScale: 500 },
};

/** Where a policy acts to get its examples, that takes so many times as long as learning from them. */
const simulation = 30;

export function contextOf(
  model: Architecture,
  situation: Situation,
  evidence: Evidence,
  costs: readonly MethodCosts[],
): Context {
  const fullBatch = situation.fullBatch ?? situation.task === "differential-equation";
  const { conditionNumber, noiseScale } = usual[situation.task];
  const gradient = costs.find(({ method }) => method === "adam")!.seconds.gradient;
  return {
    model,
    parameters: parameterCount(model),
    situation,
    evidence,
    conditionNumber: evidence.conditionNumber ?? conditionNumber,
    noiseScale: fullBatch ? 0 : (evidence.noiseScale ?? noiseScale),
    fullBatch,
    dataSeconds:
      situation.dataSeconds ?? (situation.task === "reinforcement-learning" ? simulation * gradient : 0),
    costs: new Map(costs.map((cost) => [cost.method, cost])),
  };
}

const problemTypes: Readonly<Record<Task, Question["problemType"]>> = {
  "language-model": "language_modeling",
  "image-classification": "vision",
  "differential-equation": "pde_solving",
  "fine-tuning": "language_modeling",
  "reinforcement-learning": "reinforcement_learning",
  adversarial: "vision",
  recurrent: "sequence_modeling",
  regression: "scientific_computing",
  other: "other",
};

/** The same situation in the words of the published procedure. */
export const questionOf = ({ parameters, situation }: Context): Question => ({
  numParameters: parameters,
  batchSize: situation.batch * situation.workers,
  problemType: problemTypes[situation.task],
  trainingPhase:
    situation.task === "fine-tuning"
      ? "fine_tuning"
      : situation.task === "recurrent"
        ? "rnn"
        : situation.phase === "early"
          ? "early_training"
          : "late_training",
  computationalBudget: situation.budget,
  implementationExpertise: situation.expertise,
});
