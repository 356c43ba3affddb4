/**
 * What a step of each method costs on a model, a device and a number of workers. What a method keeps and computes is
 * its own catalogue's; what a question costs is the model's, in units of a forward pass F of the batch:
 *
 *     loss F    gradient 3F    Gauss–Newton or Fisher product 4F    Hessian product 6F    after one pass that is shared
 *
 * for a product by a weight, forward along the tangent and backward cost 2F each; a Hessian product has the tangents of
 * both passes (Pearlmutter 1994, "Fast exact multiplication by the Hessian"; Martens 2010). The gradient by the input
 * of the first layer is wanted by nobody, one F of that layer less.
 *
 * Seconds are those of step-time.ts and of communication.
 */
import { parameterCount } from "../curvature/model-shape.js";
import type { Question } from "../optimizers/catalogue.js";
import type { Costs, Work } from "../optimizers/costs.js";
import { findMethod, type OptimizerName, optimizers } from "../optimizers/registry.js";
import type { Hardware } from "./hardware.js";
import { type Architecture, forwardFlops, productFlops } from "./model.js";
import { gradientSeconds, methodSeconds } from "./step-time.js";

/** On what and with what the model is trained. */
export interface Setting {
  /** Examples a step and device. */
  readonly batch: number;
  readonly hardware: Hardware;
  /**
   * f32: everything; mixed: products, parameters and gradients in bf16 beside f32 parameters, the method's state in f32.
   */
  readonly precision: "f32" | "mixed";
  /** Devices that share the data; 1 for one. */
  readonly workers: number;
  /**
   * Parameters, gradients, state and updates are divided among the workers, each layer's parameters gathered when it is
   * used (ZeRO's third stage, Rajbhandari et al. 2020; "fully sharded"). Default: every device has and does them all.
   */
  readonly sharded?: boolean | undefined;
  /** Bytes that may be used on a device; default: the hardware's. */
  readonly memory?: number | undefined;
}

export interface Amount {
  readonly part: string;
  readonly formula: string;
  readonly elements: number;
  readonly bytes: number;
}

export interface MethodCosts {
  readonly method: OptimizerName;
  readonly settings: Readonly<Record<string, unknown>>;
  /** Bytes on one device. */
  readonly memory: {
    readonly parameters: number;
    readonly gradients: number;
    readonly state: readonly Amount[];
    readonly workspace: readonly Amount[];
    readonly activations: number;
    readonly total: number;
  };
  /** Whether it fits, and the largest batch that does; 0 where not even one example does. */
  readonly fits: boolean;
  readonly largestBatch: number;
  /** FLOPs of a step and device, the mean over refresh intervals. */
  readonly flops: {
    readonly gradient: number;
    /** Losses, products and further gradients. */
    readonly questions: number;
    readonly curvature: number;
    readonly inversion: number;
    readonly update: number;
    readonly total: number;
  };
  readonly seconds: {
    readonly gradient: number;
    readonly questions: number;
    readonly curvature: number;
    readonly inversion: number;
    readonly update: number;
    readonly communication: number;
    readonly total: number;
  };
  /** Seconds of a step beside those of its gradient alone. */
  readonly overGradient: number;
  /** Questions that wait for each other: gradients, products and losses one after another. */
  readonly sequentialPasses: number;
  /** Bytes that a device sends in a step, all-reduced in a ring, and their share of the step if nothing hides them. */
  readonly communication: {
    readonly gradients: number;
    readonly curvature: number;
    readonly share: number;
  };
  /** Why it cannot be used, with the number that says so. */
  readonly infeasible: readonly string[];
  /** What else to know, with numbers. */
  readonly warnings: readonly string[];
}

/** Forward passes that a question costs beside what it shares with the gradient. */
const passes: Readonly<Record<Question, number>> = {
  gradients: 3,
  losses: 1,
  hessianVectorProducts: 6,
  gaussNewtonVectorProducts: 4,
  fisherVectorProducts: 4,
  empiricalFisherVectorProducts: 4,
  sampledGradients: 2,
  sampleGradients: 3,
  preconditionerGradients: 3,
  // Their products are the method's work "curvature".
  factors: 0,
  divergences: 1,
};

/**
 * FLOPs of the products of a gradient: three forward passes, but for the gradient by the first layer's input.
 *
 *     gradientFlops(readLayerList("784-128-10"), 64)
 */
export function gradientFlops(model: Architecture, batch: number): number {
  const first = model.layers.find(({ kind }) => kind !== "scaleShift" && kind !== "other");
  const unwanted = first ? productFlops(first) : 0;
  return batch * (3 * forwardFlops(model) - unwanted);
}

const bytesOf = {
  f32: { parameter: 4, gradient: 4, activation: 4 },
  mixed: { parameter: 6, gradient: 2, activation: 2 },
};
/** State and workspace are kept in f32 whatever the model computes in. */
const stateBytes = 4;
/** A factorization that takes longer than so many gradients is no price but an obstacle. */
const obstacle = 100;

/**
 * The costs of one method.
 *
 *     const model = readLayerList("784-1000-500-10");
 *     costsOf(model, "kfac", {}, { batch: 256, hardware: hardware.a100!, precision: "f32", workers: 1 }).memory.total;
 *
 * @throws SettingsError for an unknown method or setting.
 */
export function costsOf(
  model: Architecture,
  name: OptimizerName,
  given: Readonly<Record<string, unknown>>,
  setting: Setting,
): MethodCosts {
  const method = findMethod(name);
  const { batch, hardware, precision, workers } = setting;
  const sharded = setting.sharded === true && workers > 1;
  const shares = sharded ? workers : 1;
  const { settings } = method.create(given);
  const costs = method.costs(model, given, batch);
  const n = parameterCount(model);
  const size = bytesOf[precision];

  const amounts = (sizes: Costs["state"] | Costs["workspace"]): Amount[] =>
    sizes.map(({ part, formula, elements }) => ({
      part,
      formula,
      elements,
      bytes: (stateBytes * elements) / shares,
    }));
  const [state, workspace] = [amounts(costs.state), amounts(costs.workspace)];
  const kept = (list: readonly Amount[]) => list.reduce((sum, { bytes }) => sum + bytes, 0);
  // Of a sharded model one layer at a time is whole.
  const gathered = sharded ? largestLayer(model) * 2 * size.gradient : 0;
  const own = (n * (size.parameter + size.gradient)) / shares;
  const fixed = own + gathered + kept(state) + kept(workspace);
  const perExample = model.activations * size.activation;
  const limit = setting.memory ?? hardware.memory;
  const memory = {
    parameters: (n * size.parameter) / shares + gathered / 2,
    gradients: (n * size.gradient) / shares + gathered / 2,
    state,
    workspace,
    activations: perExample * batch,
    total: fixed + perExample * batch,
  };

  const forward = batch * forwardFlops(model);
  const asked = Object.entries(costs.evaluations) as [Question, number][];
  const gradient = gradientFlops(model, batch);
  const beyond = asked.reduce((sum, [question, count]) => sum + count * passes[question] * forward, 0);
  const workOf = (part: Work["part"]) =>
    costs.work.filter((work) => work.part === part).reduce((sum, { flops }) => sum + flops, 0);
  // Of a sharded model each device updates what it has; a gradient's statistics too, but not those of its own examples.
  const ownStatistics = costs.evaluations.factors === undefined ? 1 / shares : 1;
  const flops = {
    gradient,
    questions: Math.max(0, beyond - 3 * forward),
    curvature: ownStatistics * workOf("curvature"),
    inversion: workOf("inversion") / shares,
    update: workOf("update") / shares,
  };

  const peak = precision === "mixed" ? (hardware.matmul.bf16 ?? hardware.matmul.f32) : hardware.matmul.f32;
  const passSeconds = gradientSeconds(model, batch, hardware, { bytes: size.activation, peak });
  const whole = methodSeconds(model, name, settings, costs, hardware);
  const seconds = {
    gradient: passSeconds,
    questions: gradient === 0 ? 0 : passSeconds * (flops.questions / gradient),
    curvature: ownStatistics * whole.curvature,
    inversion: whole.inversion / shares,
    update: whole.update / shares,
    communication: 0,
  };
  const sent = communicationOf(costs, n, size.gradient, asked, { workers, sharded });
  const collectives = workers > 1 ? asked.reduce((sum, [, count]) => sum + count, 0) : 0;
  seconds.communication =
    (sent.gradients + sent.curvature) / hardware.interconnect.bandwidth +
    collectives * hardware.interconnect.latency;
  const total = Object.values(seconds).reduce((sum, part) => sum + part, 0);

  const fits = memory.total <= limit;
  return {
    method: name,
    settings,
    memory,
    fits,
    largestBatch: Math.max(0, Math.floor((limit - fixed) / Math.max(1, perExample))),
    flops: { ...flops, total: Object.values(flops).reduce((sum, part) => sum + part, 0) },
    seconds: { ...seconds, total },
    overGradient: total / seconds.gradient,
    sequentialPasses: asked.reduce((sum, [question, count]) => sum + (passes[question] > 0 ? count : 0), 0),
    communication: { ...sent, share: seconds.communication / total },
    infeasible: [
      ...(fixed > limit
        ? [
            `needs ${describeBytes(fixed)} before the first activation, of which ${describeLargest([...state, ...workspace])}; there are ${describeBytes(limit)}`,
          ]
        : []),
      ...(seconds.inversion > obstacle * seconds.gradient
        ? [
            `its factorizations take ${formatPower(flops.inversion)} FLOP a step, ${Math.round(seconds.inversion / seconds.gradient).toLocaleString("en-US")} times as long as the gradient`,
          ]
        : []),
    ],
    warnings: costs.evaluations.factors === undefined ? [] : wideFactors(model),
  };
}

/** Parameters of the largest layer. */
const largestLayer = (model: Architecture): number =>
  model.layers.reduce((most, layer) => Math.max(most, parameterCount({ layers: [layer] })), 0);

/**
 * All methods of the catalogue, as they are by default.
 *
 *     allCosts(model, setting).filter(({ fits }) => fits).map(({ method }) => method)
 */
export const allCosts = (model: Architecture, setting: Setting): MethodCosts[] =>
  (Object.keys(optimizers) as OptimizerName[]).map((name) => costsOf(model, name, {}, setting));

/**
 * A ring all-reduce of S bytes sends 2(W − 1)/W·S from each device. Of a sharded model every pass gathers the parameters
 * forward and again backward, and its gradient ends where its share is: 3(W − 1)/W·S.
 */
function communicationOf(
  { state, evaluations }: Costs,
  n: number,
  gradientBytes: number,
  asked: readonly (readonly [Question, number])[],
  { workers, sharded }: { workers: number; sharded: boolean },
): { gradients: number; curvature: number } {
  const ring = (2 * (workers - 1)) / workers;
  const vectors = asked.reduce(
    (sum, [question, count]) => sum + (passes[question] > 1 && question !== "sampledGradients" ? count : 0),
    0,
  );
  const factors = state
    .filter(({ part }) => part === "factors")
    .reduce((sum, { elements }) => sum + elements, 0);
  // Shampoo's and SOAP's factors are made of the gradient, which every device has after its own all-reduce.
  return {
    gradients: ring * (sharded ? 1.5 : 1) * n * gradientBytes * vectors,
    curvature: ring * factors * stateBytes * (evaluations.factors ?? 0),
  };
}

/** The order of a factor from which on one layer makes the others small: an output head over a vocabulary, a table of words. */
const wide = 16_384;

/** Layers whose dense factors are more than a method can bear, with the number: of a table of words it is not even made. */
function wideFactors({ layers }: Architecture): string[] {
  const price = (order: number) =>
    `of order ${order.toLocaleString("en-US")}: ${describeBytes(stateBytes * order ** 2)}, and ${formatPower(order ** 3)} FLOP an inverse`;
  return layers.flatMap(({ name, kind, inputs, outputs }) => {
    const [side, order] = outputs > inputs ? ["output", outputs] : ["input", inputs];
    if (order < wide) return [];
    if (kind === "embedding" && side === "input")
      return [`${name}: the factor of its words would be ${price(order)}; only its diagonal is kept`];
    if (kind !== "dense" && kind !== "conv2d") return [];
    return [
      `${name}: the factor of its ${side} side is dense, ${price(order)}; leave this layer to another method`,
    ];
  });
}

const describeLargest = (amounts: readonly Amount[]): string => {
  const largest = amounts.reduce((a, b) => (b.bytes > a.bytes ? b : a));
  return `${describeBytes(largest.bytes)} are ${largest.part} (${largest.formula})`;
};

/** 4e16 → "40 PB": decimal, as memory is sold for accelerators. */
export function describeBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  return `${Number((bytes / 1000 ** power).toPrecision(3)).toLocaleString("en-US")} ${units[power]}`;
}

/** 1.27e14 → "1.3·10¹⁴". */
export function formatPower(value: number): string {
  if (value < 1e6) return Math.round(value).toLocaleString("en-US");
  const exponent = Math.floor(Math.log10(value));
  const digits = [...String(exponent)].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(digit)]).join("");
  return `${(value / 10 ** exponent).toFixed(1)}·10${digits}`;
}
