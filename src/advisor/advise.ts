/**
 * Which optimizer, and why: what ranking.ts says of the costs and the rules, with settings to start from, what would
 * change the answer, what was assumed, and the command that tests it.
 */
import type { OptimizerName } from "../optimizers/registry.js";
import { allCosts } from "./costs.js";
import { type Counterfactual, counterfactuals } from "./counterfactuals.js";
import type { Architecture } from "./model.js";
import { type Ranking, rank } from "./ranking.js";
import { type Recommendation, recommendOptimizer } from "./recommend.js";
import { type Context, contextOf, type Evidence, questionOf, type Situation } from "./situation.js";
import { startingSettings } from "./start.js";

export interface Advice extends Ranking {
  /** To start the first with. */
  readonly settings: Readonly<Record<string, number | string | boolean>>;
  /** Facts that would bring another to the top, or any at all where none can be used. */
  readonly changes: readonly Counterfactual[];
  /** What was assumed for want of a measurement, and what measures it. */
  readonly assumptions: readonly string[];
  /** The command that tests the advice. */
  readonly test: string;
  /** What the published procedure says to the same situation. */
  readonly published: Recommendation;
}

/**
 * Advice for a model in a situation.
 *
 *     advise(readLayerList("784-1000-500-10"), situation).ranked[0].method
 *
 * @param problem the name under which the model can be trained here, for the command that tests the advice.
 */
export function advise(
  model: Architecture,
  situation: Situation,
  evidence: Evidence = {},
  problem?: string,
): Advice {
  const context = contextOf(model, situation, evidence, allCosts(model, situation));
  const { ranked, excluded } = rank(context);
  const [first, second] = ranked;
  return {
    ranked,
    excluded,
    settings: first ? startingSettings(first.method, context) : {},
    changes: counterfactuals(context, first?.method),
    assumptions: assumptionsOf(context),
    test: testOf(model, situation, problem, first?.method ?? "adam", second?.method ?? "sgd"),
    published: recommendOptimizer(questionOf(context)),
  };
}

function assumptionsOf(context: Context): string[] {
  const { evidence, conditionNumber, noiseScale, fullBatch, model, situation, dataSeconds } = context;
  return [
    ...(situation.dataSeconds === undefined && dataSeconds > 0
      ? [`the examples of a step take ${dataSeconds.toPrecision(2)} s to come, thirty times a gradient`]
      : []),
    ...(evidence.conditionNumber === undefined
      ? [
          `condition number ${conditionNumber.toExponential(0)}, as is usual for the task; thalweg probe measures it`,
        ]
      : []),
    ...(evidence.noiseScale === undefined && !fullBatch
      ? [
          `noise scale of ${noiseScale.toLocaleString("en-US")} examples, as is usual for the task; thalweg noise measures it`,
        ]
      : []),
    ...model.notes,
  ];
}

/** The nearest problem that can be trained here. */
const testProblems: Readonly<Partial<Record<Situation["task"] | Architecture["kind"], string>>> = {
  "language-model": "moby-dick",
  "image-classification": "fashion-cnn",
  "differential-equation": "pinn-poisson",
  "reinforcement-learning": "cartpole",
  adversarial: "gan-gaussians",
  regression: "table:file=yours.csv,target=column",
  recurrent: "addition",
  transformer: "moby-dick",
  convolutional: "digits-cnn",
};

function testOf(
  { kind, layers }: Architecture,
  { task }: Situation,
  problem: string | undefined,
  first: OptimizerName,
  second: OptimizerName,
): string {
  const hidden = layers.slice(0, -1).map(({ outputs }) => outputs);
  const dense = hidden.length > 0 ? `digits-mlp:hidden=${hidden.join("-")}` : "digits-mlp";
  const nearest = testProblems[task] ?? testProblems[kind] ?? (kind === "dense" ? dense : "digits-mlp");
  return `thalweg race ${problem ?? nearest} -o ${first} -o ${second}`;
}
