/** A method by name: what it is, what can be set, and how an optimizer is made of it. */
import type { ModelShape } from "../curvature/model-shape.js";
import type { Asks, Family, Treatment } from "./catalogue.js";
import { clipByGlobalNorm } from "./clip.js";
import type { Costs } from "./costs.js";
import { firstOrder } from "./first-order.js";
import type { Optimizer } from "./optimizer.js";
import { constant, cosine, exponential, linear, type Schedule, stepwise, warmUp } from "./schedule.js";
import {
  choice,
  count,
  fraction,
  notNegative,
  type Options,
  positive,
  readSettings,
  SettingsError,
  type SettingsOf,
} from "./settings.js";
import { chain, type Transform } from "./transform.js";

/** What is known of a method without an objective: its entry in the catalogue. */
export interface About<O extends Options = Options> {
  readonly name: string;
  readonly family: Family;
  /** One sentence: what it does, and when it is the one to use. */
  readonly description: string;
  /** Where it was published. */
  readonly reference: string;
  /** Every setting with its default, range and meaning. */
  readonly options: O;
  /** What it asks of the objective, and how large a batch it wants. */
  readonly asks: Asks;
  /** Which arrays of θ it treats how. */
  readonly treats: readonly Treatment[];
  /** What it keeps and computes for a model of that shape, on batches of so many examples. */
  costs(shape: ModelShape, settings: SettingsOf<O>, batch: number): Costs;
}

export interface Method<O extends Options = Options> extends About<O> {
  /** The settings of `create()`. */
  readonly defaults: SettingsOf<O>;
  /** Of a hybrid: the settings that name the methods it is made of. */
  readonly parts?: readonly string[];
  /**
   * Of a hybrid: options of its parts that mean something else in it than alone. What suits the part alone does not hold
   * for them.
   */
  partOptions?(settings: Readonly<Record<string, unknown>>): Options;
  /** All that can be set beside such settings: of a hybrid, what its parts can be set to as well. */
  optionsFor(settings?: Readonly<Record<string, unknown>>): Options;
  /**
   * An optimizer; what is not given has its default. Text is read as a number, a flag or a choice.
   * @throws SettingsError naming the setting, its value, and what is allowed.
   */
  create(settings?: Partial<SettingsOf<O>>): Optimizer;
  /**
   *     adam.costs(modelShapeOf(objective)).state;   // moments 2n, scalars 1
   *
   * @param settings as for `create`. @param batch examples in a step: for the work of estimates; default 1.
   */
  costs(shape: ModelShape, settings?: Partial<SettingsOf<O>>, batch?: number): Costs;
}

/**
 * A method from its declaration: the entry in the catalogue, and how settings that have been read become an optimizer.
 *
 *     export const newton = defineMethod({ name: "newton", options, … }, (settings) => newtonOptimizer(settings));
 */
export function defineMethod<O extends Options>(
  about: About<O>,
  build: (settings: SettingsOf<O>) => Optimizer,
): Method<O> {
  return {
    ...about,
    defaults: readSettings(about.name, about.options, {}),
    optionsFor: () => about.options,
    create: (given = {}) => build(readSettings(about.name, about.options, given)),
    costs: (shape, given = {}, batch = 1) =>
      about.costs(shape, readSettings(about.name, about.options, given), batch),
  };
}

/**
 * Settings of the learning rate and of clipping: every first-order method has these.
 *
 *     const options = { ...rateOptions(0.1, [0.01, 1]), l2: notNegative(0, "λ: adds λθ to the gradient") };
 */
export const rateOptions = (learningRate: number, typical: readonly [from: number, to: number]) =>
  ({
    learningRate: positive(learningRate, "step size η; the peak, where it follows a schedule", {
      typical,
      sensitivity: "high",
    }),
    schedule: choice(
      "constant",
      ["constant", "cosine", "linear", "step", "exponential"],
      "how η changes: cosine and linear fall to finalFraction·η within decaySteps; " +
        "step and exponential multiply it by decayFactor every decaySteps",
    ),
    decaySteps: count(0, "length of the schedule in updates, counted after the warm-up"),
    decayFactor: fraction(0.1, "for step and exponential"),
    finalFraction: fraction(0, "for cosine and linear"),
    warmupSteps: count(0, "updates over which η rises linearly to its peak; 0 for none"),
    clipNorm: notNegative(0, "gradients longer than this are shortened to it; 0 for no clipping", {
      typical: [0.1, 10],
      sensitivity: "low",
    }),
  }) satisfies Options;
type RateSettings = SettingsOf<ReturnType<typeof rateOptions>>;

/**
 * The schedule that `rateOptions` describe.
 *
 *     scheduleOf("sgd", sgd.defaults);   // constant(0.1)
 *
 * @throws SettingsError when the schedule needs a length and none is given.
 */
export function scheduleOf(method: string, settings: RateSettings): Schedule {
  const { learningRate: rate, schedule, decaySteps: steps, decayFactor: factor } = settings;
  if (schedule !== "constant" && steps === 0)
    throw new SettingsError(
      `${method}: schedule ${schedule} needs decaySteps, its length in updates; for example decaySteps=1000`,
    );
  if ((schedule === "step" || schedule === "exponential") && factor === 0)
    throw new SettingsError(`${method}: decayFactor is 0; use a number above 0, at most 1 (default 0.1)`);
  const to = settings.finalFraction * rate;
  const schedules = {
    constant: () => constant(rate),
    cosine: () => cosine({ from: rate, to, steps }),
    linear: () => linear({ from: rate, to, steps }),
    step: () => stepwise({ rate, factor, every: steps }),
    exponential: () => exponential({ rate, factor, every: steps }),
  };
  const main = schedules[schedule]();
  return settings.warmupSteps > 0 ? warmUp(settings.warmupSteps, main) : main;
}

/**
 * A first-order method: clipping as set, then the method's transforms, then the learning rate as set.
 *
 *     export const sgd = firstOrderMethod({ name: "sgd", options, … }, ({ l2: strength }) => [l2(strength)]);
 */
export function firstOrderMethod<O extends ReturnType<typeof rateOptions> & Options>(
  about: About<O>,
  transforms: (settings: SettingsOf<O>) => readonly (Transform | undefined)[],
): Method<O> {
  return defineMethod(about, (settings) => {
    const rate = settings as unknown as RateSettings;
    const clip = rate.clipNorm > 0 ? clipByGlobalNorm(rate.clipNorm) : undefined;
    return firstOrder(
      about.name,
      chain(clip, ...transforms(settings)),
      scheduleOf(about.name, rate),
      settings as Readonly<Record<string, unknown>>,
    );
  });
}
