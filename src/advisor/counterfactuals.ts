/** What would change an advice, or make one possible: the question asked again with one fact changed at a time. */
import type { OptimizerName } from "../optimizers/registry.js";
import { allCosts, costsOf } from "./costs.js";
import type { Architecture } from "./model.js";
import { rank } from "./ranking.js";
import { type Context, contextOf, type Evidence, type Situation } from "./situation.js";

export interface Counterfactual {
  readonly when: string;
  readonly method: OptimizerName;
  /** Predicted time to a target then, that of tuned Adam being 1. */
  readonly time: number;
}

/** A fact that could be another. */
type Change = readonly [when: string, situation: Situation, evidence: Evidence];

/** Facts that would bring another method to the top than the one that is there now, or any where none is. */
export function counterfactuals(context: Context, now: OptimizerName | undefined): Counterfactual[] {
  const { model } = context;
  const others = now === undefined ? whatCouldFit(context) : whatCouldChange(context);
  return others.flatMap(([when, changed, known]) => {
    const [first] = rank(contextOf(model, changed, known, allCosts(model, changed))).ranked;
    return first && first.method !== now ? [{ when, method: first.method, time: first.time }] : [];
  });
}

function whatCouldChange({ situation, evidence }: Context): Change[] {
  const { batch } = situation;
  const larger = [512, 4096, 32_768].find((size) => size > batch);
  const batches = [...(larger ? [larger] : []), ...(batch > 64 ? [32] : [])];
  const fresh = situation.fullBatch || situation.task === "differential-equation";
  return [
    ...batches.map(
      (size): Change => [
        `with batches of ${size.toLocaleString("en-US")}`,
        { ...situation, batch: size },
        evidence,
      ],
    ),
    [
      fresh ? "with a fresh batch each step" : "with the same full batch each step",
      { ...situation, fullBatch: !fresh },
      evidence,
    ],
    ["if it were as badly conditioned as 10⁸", situation, { ...evidence, conditionNumber: 1e8 }],
    ["if it were as well conditioned as 100", situation, { ...evidence, conditionNumber: 100 }],
    withMemory(situation, evidence),
    ...(situation.phase === "early"
      ? [["later in the training", { ...situation, phase: "late" as const }, evidence] as const]
      : []),
    ...(situation.expertise === "low"
      ? [
          [
            "with more experience, or a search over its settings",
            { ...situation, expertise: "high" as const },
            evidence,
          ] as const,
        ]
      : []),
  ];
}

/** Ways out for a model of which no method's step fits in the memory: one at a time, and with fewer examples at a time. */
function whatCouldFit({ model, situation, evidence }: Context): Change[] {
  const examples = situation.batch * situation.workers;
  const among = (workers: number) =>
    [`divided among ${workers} devices`, { ...situation, workers, sharded: true }] as const;
  const ways: readonly (readonly [string, Situation])[] = [
    ["", situation],
    ["in mixed precision", { ...situation, precision: "mixed" }],
    ...[8, 64].filter((workers) => workers > situation.workers).map(among),
  ];
  return [
    ...ways.flatMap(([way, changed]) => {
      const batch = Math.min(largestBatch(model, changed), Math.ceil(examples / changed.workers));
      if (batch === 0) return [];
      const turns = Math.ceil(examples / (batch * changed.workers));
      const size = batch === 1 ? "one example" : `${batch.toLocaleString("en-US")} examples`;
      const each = changed.workers > 1 ? " on each" : "";
      const slowly = `with ${size}${each} at a time, the gradients of ${turns.toLocaleString("en-US")} averaged before a step`;
      const words = [way, ...(turns > 1 ? [slowly] : [])].filter((part) => part !== "").join(", ");
      return [[words, { ...changed, batch }, evidence] as const];
    }),
    withMemory(situation, evidence),
  ];
}

/** As many examples as fit beside Adam's state, or beside the smallest. */
const largestBatch = (model: Architecture, situation: Situation): number =>
  costsOf(model, "adamw", {}, situation).largestBatch ||
  Math.max(...allCosts(model, situation).map((costs) => costs.largestBatch));

const withMemory = (situation: Situation, evidence: Evidence): Change => [
  "with ten times the memory",
  { ...situation, memory: 10 * (situation.memory ?? situation.hardware.memory) },
  evidence,
];
