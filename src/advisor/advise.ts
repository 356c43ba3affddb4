/**
 * Which optimizer, and why. Every method is judged by one number, the time to a target beside tuned Adam's:
 *
 *     time = steps · seconds of a step,    log steps = s·c·log(prior) + Σ log(rule)
 *
 * The prior of a method that uses curvature counts as far as its curvature can be trusted, s, and as the conditioning
 * asks for it, c:
 *
 *     s = B/(B + B_min) · B/(B + B_noise) · (0.7 in an early phase)       B_min: what its statistics need
 *     c = log₁₀ κ / 5, between 0.3 and 1.6
 *
 * for below B_noise a step is as long as noise allows, whatever the curvature (McCandlish et al. 2018; Zhang et al.
 * 2019, "Which algorithmic choices matter at which batch sizes?"). Seconds are those of costs.ts. What would change the
 * answer is found by asking again with one fact changed.
 */
import { rowsNeeded } from "../curvature/noise.js";
import { type OptimizerName, optimizers } from "../optimizers/registry.js";
import { allCosts, costsOf, type MethodCosts } from "./costs.js";
import type { Architecture } from "./model.js";
import { type Recommendation, recommendOptimizer } from "./recommend.js";
import { priors, rules } from "./rules.js";
import { type Context, contextOf, type Evidence, questionOf, type Situation } from "./situation.js";
import { startingSettings } from "./start.js";

export interface Reason {
  /** What is the case, with its number. */
  readonly fact: string;
  /** What follows. */
  readonly rule: string;
  readonly source: string;
  /** What it multiplies the steps by; 1 of a remark. */
  readonly steps: number;
}

export interface Candidate {
  readonly method: OptimizerName;
  /** Predicted time to a target, that of tuned Adam being 1. */
  readonly time: number;
  /** Predicted steps, beside tuned Adam's. */
  readonly steps: number;
  /** Seconds of a step, its examples included, beside Adam's. */
  readonly step: number;
  readonly reasons: readonly Reason[];
  readonly costs: MethodCosts;
}

export interface Advice {
  /** Best first, those that can be used. */
  readonly ranked: readonly Candidate[];
  /** What cannot, and why. */
  readonly excluded: readonly { readonly method: OptimizerName; readonly because: string }[];
  /** To start the first with. */
  readonly settings: Readonly<Record<string, number | string | boolean>>;
  /** Facts that would bring another to the top. */
  readonly changes: readonly {
    readonly when: string;
    readonly method: OptimizerName;
    readonly time: number;
  }[];
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
    changes: first ? counterfactuals(model, situation, evidence, first.method) : [],
    assumptions: assumptionsOf(context),
    test: testOf(model, situation, problem, first?.method ?? "adam", second?.method ?? "sgd"),
    published: recommendOptimizer(questionOf(context)),
  };
}

/** Why a method of layers is none for a model that has none. */
const withoutLayers = (method: OptimizerName, { layers }: Architecture): readonly string[] =>
  (method === "kfac" || method === "ekfac") && layers.every(({ kind }) => kind === "other")
    ? ["no layer of the model has Kronecker factors"]
    : [];

function rank(context: Context): Pick<Advice, "ranked" | "excluded"> {
  const excluded: { method: OptimizerName; because: string }[] = [];
  const ranked: Candidate[] = [];
  const adam = context.costs.get("adam")!;
  for (const [method, usual] of context.costs) {
    if (!priors[method]) continue;
    // Refreshed as rarely as its price asks for.
    const costs = affordable(method, usual, context);
    const [reason] = [...withoutLayers(method, context.model), ...costs.infeasible];
    if (reason !== undefined || !costs.fits) {
      excluded.push({
        method,
        because:
          reason ??
          `at batch ${context.situation.batch} it needs more memory than there is; at most ${costs.largestBatch} examples fit`,
      });
      continue;
    }
    const reasons = reasonsFor(method, context);
    const steps = reasons.reduce((product, reason) => product * reason.steps, 1);
    const { dataSeconds } = context;
    const step = (costs.seconds.total + dataSeconds) / (adam.seconds.total + dataSeconds);
    ranked.push({ method, time: steps * step, steps, step, reasons, costs });
  }
  ranked.sort((a, b) => a.time - b.time || a.step - b.step);
  return { ranked, excluded };
}

/** Costs at the settings with which it would be started. */
function affordable(method: OptimizerName, usual: MethodCosts, context: Context): MethodCosts {
  const settings = startingSettings(method, context);
  return Object.keys(settings).length === 0
    ? usual
    : costsOf(context.model, method, settings, context.situation);
}

function reasonsFor(method: OptimizerName, context: Context): Reason[] {
  const prior = priors[method]!;
  const trust = trustOf(method, context);
  const steps = prior.steps ** trust.exponent;
  return [
    {
      fact: trust.fact,
      rule: `${prior.steps < 1 ? "fewer" : prior.steps > 1 ? "more" : "as many"} steps ${prior.steps === 1 ? "as" : "than"} Adam${trust.exponent < 0.99 && prior.steps < 1 ? `, as far as its curvature can be trusted (${Math.round(100 * Math.min(1, trust.exponent))} %)` : ""}`,
      source: prior.source,
      steps,
    },
    ...rules.flatMap((rule) => {
      const effect = rule.effects.find(({ methods }) => methods.includes(method));
      return effect && rule.holds(context)
        ? [{ fact: rule.fact(context), rule: rule.because, source: rule.source, steps: effect.steps }]
        : [];
    }),
  ];
}

/** s·c, and the fact that decides it. */
function trustOf(method: OptimizerName, context: Context): { exponent: number; fact: string } {
  const { situation, conditionNumber, noiseScale, fullBatch, evidence } = context;
  const { family, asks } = optimizers[method];
  const kappa = `κ ≈ ${conditionNumber.toExponential(0)}`;
  // What a poor conditioning does to plain gradients it does at every batch that is not all noise.
  if (family === "first order" || family === "layerwise") return { exponent: 1, fact: kappa };
  const batch = situation.batch * situation.workers;
  const conditioning = Math.min(1.6, Math.max(0.3, Math.log10(conditionNumber) / 5));
  if (asks.batch === "full" && !fullBatch)
    return {
      exponent: 0,
      fact: `batches of ${batch.toLocaleString("en-US")}, another one each step, where it wants the same one`,
    };
  const least = evidence.minimumBatch?.[method] ?? minimumBatch(method, context);
  const drift = evidence.drift === undefined ? 1 : 1 / (1 + evidence.drift);
  const phase = situation.phase === "early" && !fullBatch ? 0.7 : 1;
  const s = (batch / (batch + least)) * (batch / (batch + noiseScale)) * phase * drift;
  const fact = fullBatch
    ? `full batches, ${kappa}`
    : `${batch.toLocaleString("en-US")} examples a step, noise scale ${Math.round(noiseScale).toLocaleString("en-US")}, ${kappa}`;
  return { exponent: s * conditioning, fact };
}

/**
 * The smallest batch, in examples, where none was measured: rows for the neediest factor of effective rank √order, or
 * for a matrix in n dimensions of effective rank n^¼, to within half of its largest eigenvalue.
 */
export function minimumBatch(
  method: OptimizerName,
  { model, parameters, fullBatch }: Pick<Context, "model" | "parameters" | "fullBatch">,
): number {
  if (fullBatch) return 0;
  const { family } = optimizers[method];
  if (family === "matrix preconditioner" || family === "diagonal curvature") return 1;
  if (method !== "kfac" && method !== "ekfac") return rowsNeeded(parameters ** 0.25, 0.5);
  const averaged = 1 / 39;
  return model.layers.reduce((most, { kind, inputs, outputs, positions }) => {
    if (kind !== "dense" && kind !== "conv2d") return most;
    return Math.max(most, (averaged * rowsNeeded(Math.sqrt(Math.max(inputs, outputs)), 0.5)) / positions);
  }, 1);
}

/** Asks again with one fact changed at a time. */
function counterfactuals(
  model: Architecture,
  situation: Situation,
  evidence: Evidence,
  now: OptimizerName,
): Advice["changes"] {
  const { batch } = situation;
  const larger = [512, 4096, 32_768].find((size) => size > batch);
  const others: readonly (readonly [string, Situation, Evidence])[] = [
    ...(larger
      ? [
          [
            `with batches of ${larger.toLocaleString("en-US")}`,
            { ...situation, batch: larger },
            evidence,
          ] as const,
        ]
      : []),
    ...(batch > 64 ? [["with batches of 32", { ...situation, batch: 32 }, evidence] as const] : []),
    ...(situation.fullBatch || situation.task === "differential-equation"
      ? [["with a fresh batch each step", { ...situation, fullBatch: false }, evidence] as const]
      : [["with the same full batch each step", { ...situation, fullBatch: true }, evidence] as const]),
    ["if it were as badly conditioned as 10⁸", situation, { ...evidence, conditionNumber: 1e8 }],
    ["if it were as well conditioned as 100", situation, { ...evidence, conditionNumber: 100 }],
    [
      "with ten times the memory",
      { ...situation, memory: 10 * (situation.memory ?? situation.hardware.memory) },
      evidence,
    ],
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
  return others.flatMap(([when, changed, known]) => {
    const context = contextOf(model, changed, known, allCosts(model, changed));
    const [first] = rank(context).ranked;
    return first && first.method !== now ? [{ when, method: first.method, time: first.time }] : [];
  });
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
const testProblems: Readonly<Partial<Record<Situation["task"], string>>> = {
  "image-classification": "fashion-cnn",
  "differential-equation": "pinn-poisson",
  regression: "table:file=yours.csv,target=column",
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
  const nearest = testProblems[task] ?? (kind === "dense" ? dense : "digits-mlp");
  return `thalweg race ${problem ?? nearest} -o ${first} -o ${second}`;
}
