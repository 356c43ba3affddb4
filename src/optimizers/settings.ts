/**
 * Settings are declared once: default, range, meaning, and where good values lie. From the declaration come their types,
 * the complete settings of a run, help texts, searches, and messages that name the value and the remedy. Values may be
 * given as text ("0.01", "true"), as they come from a command line.
 */
import { nearestNames } from "./names.js";

/** How much the result depends on a setting. */
export type Sensitivity = "high" | "medium" | "low";

/** Where good values of a number lie, and on which scale to search them. */
export interface Typical {
  readonly from: number;
  readonly to: number;
  /** log: equal ratios are alike; complement: equal ratios of 1 − x are, as of decay rates; linear: equal differences. */
  readonly scale: "log" | "complement" | "linear";
}

/** One setting of a method. */
export interface Option<T> {
  readonly kind: "number" | "count" | "flag" | "choice" | "text";
  readonly default: T;
  readonly about: string;
  /** What is allowed, as it is shown: "a number above 0". */
  readonly range: string;
  /** All values, of a choice. */
  readonly choices?: readonly string[];
  /** Of numbers and counts that are worth a search. */
  readonly typical?: Typical;
  readonly sensitivity?: Sensitivity;
  /** The value, or undefined when what was given is not allowed. */
  readonly read: (given: unknown) => T | undefined;
}

export type Options = Readonly<Record<string, Option<unknown>>>;
export type SettingsOf<O extends Options> = {
  readonly [K in keyof O]: O[K] extends Option<infer T> ? T : never;
};

const toNumber = (given: unknown): number =>
  typeof given === "number"
    ? given
    : typeof given === "string" && given.trim() !== ""
      ? Number(given)
      : Number.NaN;

/** What is known of tuning a number: where good values lie, and how much depends on it. */
interface Tuning {
  readonly typical: readonly [from: number, to: number];
  readonly sensitivity: Sensitivity;
}

/** Numbers that `allowed` describes. The scale of their typical values follows from what they are. */
const numbers =
  (kind: "number" | "count", scale: Typical["scale"], range: string, allowed: (x: number) => boolean) =>
  (fallback: number, about: string, tuning?: Tuning): Option<number> => ({
    kind,
    default: fallback,
    about,
    range,
    ...(tuning && {
      typical: { from: tuning.typical[0], to: tuning.typical[1], scale },
      sensitivity: tuning.sensitivity,
    }),
    read(given) {
      const value = toNumber(given);
      return Number.isFinite(value) && allowed(value) ? value : undefined;
    },
  });

/**
 *     positive(0.1, "η: length of a step", { typical: [0.01, 1], sensitivity: "high" })
 */
export const positive = numbers("number", "log", "a number above 0", (x) => x > 0);
/**
 * A number of at least 0; for what can be switched off.
 *
 *     notNegative(0, "λ: weight decay", { typical: [1e-6, 0.1], sensitivity: "low" })
 */
export const notNegative = numbers("number", "log", "a number of at least 0", (x) => x >= 0);
/**
 * For the decay of averages: 0 ≤ β < 1.
 *
 *     decayRate(0.9, "β: how much of the mean gradient is kept", { typical: [0.8, 0.98], sensitivity: "low" })
 */
export const decayRate = numbers(
  "number",
  "complement",
  "a number from 0 to below 1",
  (x) => x >= 0 && x < 1,
);
/**
 * A number from 0 to 1.
 *
 *     fraction(0, "for cosine and linear")
 */
export const fraction = numbers("number", "linear", "a number from 0 to 1", (x) => x >= 0 && x <= 1);
/**
 * A whole number of at least 0.
 *
 *     count(0, "updates over which η rises linearly to its peak; 0 for none")
 */
export const count = numbers(
  "count",
  "log",
  "a whole number of at least 0",
  (x) => Number.isInteger(x) && x >= 0,
);
/**
 * A whole number of at least 1.
 *
 *     positiveCount(20, "iterations of conjugate gradients", { typical: [5, 200], sensitivity: "medium" })
 */
export const positiveCount = numbers(
  "count",
  "log",
  "a whole number of at least 1",
  (x) => Number.isInteger(x) && x >= 1,
);

/**
 * Yes or no; "true" and "false" as text.
 *
 *     flag(false, "divide by the largest mean square so far")
 */
export const flag = (fallback: boolean, about: string): Option<boolean> => ({
  kind: "flag",
  default: fallback,
  about,
  range: "true or false",
  read: (given) =>
    given === true || given === "true" ? true : given === false || given === "false" ? false : undefined,
});

/**
 * One of several names.
 *
 *     choice("f32", ["f32", "f64"], "numbers of the model")
 */
export const choice = <const T extends string>(
  fallback: NoInfer<T>,
  choices: readonly T[],
  about: string,
): Option<T> => ({
  kind: "choice",
  default: fallback,
  about,
  range: choices.join(", "),
  choices,
  read: (given) => choices.find((option) => option === given),
});

/**
 * A text; `range` says in words what `allowed` accepts.
 *
 *     text("", "where the images are", "the path of a directory")
 */
export const text = (
  fallback: string,
  about: string,
  range: string,
  allowed: (given: string) => boolean = () => true,
): Option<string> => ({
  kind: "text",
  default: fallback,
  about,
  range,
  // A command line cannot tell the text "128" from the number.
  read: (given) => {
    const value = typeof given === "number" ? String(given) : given;
    return typeof value === "string" && allowed(value) ? value : undefined;
  },
});

/**
 * What was given of a method's settings is unusable; the message says why and what to do.
 *
 *     adam.create({ beta1: 2 });   // SettingsError: adam: beta1 is 2; use a number from 0 to below 1 (default 0.9)
 */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
}

const show = (value: unknown) => (typeof value === "string" ? `"${value}"` : String(value));

/** "second." of "second.damping": nothing but a hybrid's settings have parts. */
const partOf = (name: string) => name.slice(0, name.lastIndexOf(".") + 1);

/**
 * Complete settings from those given.
 *
 *     readSettings("sgd", { learningRate: positive(0.1, "η") }, { learningRate: "0.3" })   // { learningRate: 0.3 }
 *
 * @throws SettingsError for an unknown name (with the nearest ones) or a value out of range.
 */
export function readSettings<O extends Options>(
  method: string,
  options: O,
  given: Readonly<Record<string, unknown>>,
): SettingsOf<O> {
  for (const name of Object.keys(given))
    if (!Object.hasOwn(options, name)) {
      // What is meant is in the same part: "first.lr" is first.learningRate.
      const part = partOf(name);
      const names = Object.keys(options).filter((other) => partOf(other) === part);
      const near = nearestNames(
        name.slice(part.length),
        names.map((other) => other.slice(part.length)),
      ).map((other) => part + other);
      throw new SettingsError(
        `${method}: there is no setting "${name}"; ` +
          (near.length > 0 ? `did you mean ${near.join(" or ")}?` : `its settings are ${names.join(", ")}`),
      );
    }
  const settings = Object.entries(options).map(([name, option]) => {
    const value = given[name];
    if (value === undefined) return [name, option.default];
    const read = option.read(value);
    if (read === undefined)
      throw new SettingsError(
        `${method}: ${name} is ${show(value)}; use ${option.range} (default ${show(option.default)})`,
      );
    return [name, read];
  });
  return Object.fromEntries(settings) as SettingsOf<O>;
}
