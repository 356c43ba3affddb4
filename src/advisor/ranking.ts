/**
 * Methods in order, judged by one number, the time to a target beside tuned Adam's:
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
 * 2019, "Which algorithmic choices matter at which batch sizes?"). Seconds are those of costs.ts.
 */
import { rowsNeeded } from "../curvature/noise.js";
import { type OptimizerName, optimizers } from "../optimizers/registry.js";
import { costsOf, type MethodCosts } from "./costs.js";
import type { Architecture } from "./model.js";
import { priors } from "./priors.js";
import { rules } from "./rules.js";
import type { Context } from "./situation.js";
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

export interface Ranking {
  /** Best first, those that can be used. */
  readonly ranked: readonly Candidate[];
  /** What cannot, and why. */
  readonly excluded: readonly { readonly method: OptimizerName; readonly because: string }[];
}

/** Why a method of factors is another at a higher price where they have nothing to treat. */
function withoutFactors({ method, memory }: MethodCosts, { layers }: Architecture): readonly string[] {
  const kronecker = method === "kfac" || method === "ekfac";
  if (kronecker && layers.every(({ kind }) => kind === "other"))
    return ["no layer of the model has Kronecker factors"];
  const none = !memory.state.some(({ part, elements }) => part === "factors" && elements > 0);
  return (method === "shampoo" || method === "soap") && none
    ? ["no array of the model has two axes that are short enough"]
    : [];
}

/** No prediction tells times apart that are as near as this to the best: the cheaper step goes first. */
export const near = 1.02;

/** All methods for which a prior is known. */
export function rank(context: Context): Ranking {
  const excluded: { method: OptimizerName; because: string }[] = [];
  const ranked: Candidate[] = [];
  const adam = context.costs.get("adam")!;
  for (const [method, usual] of context.costs) {
    if (!priors[method]) continue;
    // Refreshed as rarely as its price asks for, which spares no memory.
    const costs = usual.fits ? affordable(method, usual, context) : usual;
    const [reason] = [...withoutFactors(costs, context.model), ...costs.infeasible];
    if (reason !== undefined || !costs.fits) {
      excluded.push({
        method,
        because:
          reason ??
          `at batch ${context.situation.batch} it needs more memory than there is; ${atMost(costs.largestBatch)}`,
      });
      continue;
    }
    const reasons = reasonsFor(method, context);
    const steps = reasons.reduce((product, reason) => product * reason.steps, 1);
    const { dataSeconds } = context;
    const step = (costs.seconds.total + dataSeconds) / (adam.seconds.total + dataSeconds);
    ranked.push({ method, time: steps * step, steps, step, reasons, costs });
  }
  ranked.sort((a, b) => a.time - b.time);
  const tied = ranked.filter(({ time }) => time <= near * ranked[0]!.time).sort((a, b) => a.step - b.step);
  return { ranked: [...tied, ...ranked.slice(tied.length)], excluded };
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

const atMost = (examples: number) =>
  examples === 1 ? "one example fits" : `at most ${examples.toLocaleString("en-US")} examples fit`;
