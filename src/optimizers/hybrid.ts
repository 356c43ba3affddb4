/**
 * Methods made of methods. A hybrid has a setting for each of its parts, the name of a method; what the part itself can
 * be set to has the part's name before it, to any depth:
 *
 *     switchTo:first=adam,second=kfac,at=500,first.learningRate=0.01,second.damping=0.1
 *
 * So settings stay one flat record, and what reads options (help, records, searches, messages) reads these too.
 */
import type { ModelShape } from "../curvature/model-shape.js";
import type { Question } from "./catalogue.js";
import type { Costs, Work } from "./costs.js";
import type { About, Method } from "./method.js";
import type { Evaluations, Optimizer, Training } from "./optimizer.js";
import { type Option, type Options, readSettings, SettingsError, type SettingsOf, text } from "./settings.js";

/** The setting that names a part. */
export const part = (fallback: string, about: string): Option<string> =>
  text(fallback, about, "the name of an optimizer", (given) => /^[a-zA-Z][a-zA-Z0-9]*$/.test(given));

/** "second.damping": names of a part among those of the whole. */
export const prefixed = <T>(name: string, record: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [`${name}.${key}`, value]));

/** The settings of a part, from those of the whole. */
export const ofPart = <T>(name: string, record: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(
    Object.entries(record)
      .filter(([key]) => key.startsWith(`${name}.`))
      .map(([key, value]) => [key.slice(name.length + 1), value]),
  );

interface Hybrid<O extends Options, P extends keyof O & string> extends Omit<About<O>, "costs"> {
  /** The settings that name parts. */
  readonly parts: readonly P[];
  readonly partOptions?: NonNullable<Method["partOptions"]>;
  /** From those of the parts, each with the settings it has. */
  costs(parts: Readonly<Record<P, CostedPart>>, shape: ModelShape, settings: SettingsOf<O>): Costs;
}

interface CostedPart {
  readonly optimizer: Optimizer;
  costs(shape: ModelShape): Costs;
}

/**
 * A hybrid from its declaration. Names of parts are looked up when they are needed, for a hybrid may be part of another.
 *
 *     defineHybrid(about, findMethod, (settings, { first, second }) => switchTo({ first, second, when: … }))
 */
export function defineHybrid<O extends Options, P extends keyof O & string>(
  { costs, ...about }: Hybrid<O, P>,
  find: (name: string) => Method,
  build: (settings: SettingsOf<O>, parts: Readonly<Record<P, Optimizer>>) => Optimizer,
): Method<O> {
  type Given = Readonly<Record<string, unknown>>;
  /** What goes wrong in a part tells in which. */
  const within = <T>(name: P, act: () => T): T => {
    try {
      return act();
    } catch (error) {
      if (!(error instanceof SettingsError)) throw error;
      throw new SettingsError(`${about.name}, ${name}: ${error.message}`, { cause: error });
    }
  };
  const methodOf = (name: P, given: Given): Method =>
    within(name, () => {
      const chosen = given[name] ?? about.options[name]!.default;
      if (about.options[name]!.read(chosen) === undefined)
        throw new SettingsError(`"${String(chosen)}" is no name of an optimizer`);
      return find(String(chosen));
    });
  const eachPart = <T>(value: (name: P) => T) =>
    Object.fromEntries(about.parts.map((name) => [name, value(name)])) as Record<P, T>;
  const optionsFor = (given: Given): Options => ({
    ...about.options,
    ...Object.assign(
      {},
      ...about.parts.map((name) => prefixed(name, methodOf(name, given).optionsFor(ofPart(name, given)))),
    ),
    ...about.partOptions?.(given),
  });
  const read = (given: Given): SettingsOf<O> => {
    const all: Given = readSettings(about.name, optionsFor(given), given);
    return Object.fromEntries(Object.keys(about.options).map((name) => [name, all[name]])) as SettingsOf<O>;
  };
  const settingsOf = (name: P, given: Given) =>
    ofPart(name, { ...defaultsOf(about.partOptions?.(given) ?? {}), ...given });
  const make = (name: P, given: Given) =>
    within(name, () => methodOf(name, given).create(settingsOf(name, given)));
  const create = (given: Given = {}): Optimizer =>
    build(
      read(given),
      eachPart((name) => make(name, given)),
    );
  return {
    ...about,
    optionsFor: (given = {}) => optionsFor(given),
    get defaults() {
      return create().settings as SettingsOf<O>;
    },
    create,
    costs(shape, given: Given = {}, batch = 1) {
      const settings = read(given);
      const parts = eachPart((name) => ({
        optimizer: make(name, given),
        costs: (some: ModelShape) => methodOf(name, given).costs(some, settingsOf(name, given), batch),
      }));
      return costs(parts, shape, settings);
    },
  };
}

/** What several methods keep; of their work and their questions, the share of the steps that each takes. */
export function mixed(shares: readonly (readonly [share: number, costs: Costs])[]): Costs {
  const evaluations: Partial<Record<Question, number>> = {};
  for (const [share, costs] of shares)
    for (const [question, count] of Object.entries(costs.evaluations) as [Question, number][])
      if (share > 0) evaluations[question] = (evaluations[question] ?? 0) + share * count;
  return {
    state: shares.flatMap(([, { state }]) => state),
    workspace: shares.flatMap(([, { workspace }]) => workspace),
    work: shares.flatMap(([share, { work }]) => work.flatMap((term) => partOf(share, term))),
    evaluations,
  };
}

const partOf = (share: number, { part: what, formula, flops }: Work): Work[] =>
  share === 0
    ? []
    : share === 1
      ? [{ part: what, formula, flops }]
      : [{ part: what, formula: `${Number(share.toPrecision(3))}·(${formula})`, flops: share * flops }];

/** Questions counted together. */
export function addEvaluations(...counts: readonly Evaluations[]): Evaluations {
  const sum: Record<string, number> = {};
  for (const each of counts)
    for (const [question, count] of Object.entries(each)) sum[question] = (sum[question] ?? 0) + (count ?? 0);
  return sum;
}

/** The states of several trainings, each under the name of its part. */
export const statesOf = (trainings: Readonly<Record<string, Training>>): Training["state"] =>
  Object.assign({}, ...Object.entries(trainings).map(([name, { state }]) => prefixed(name, state)));

/** The settings of several optimizers with their names, as a hybrid of them records them. */
export const settingsOfParts = (parts: Readonly<Record<string, Optimizer>>): Record<string, unknown> =>
  Object.assign({}, ...Object.entries(parts).map(([name, { settings }]) => prefixed(name, settings)));

export const defaultsOf = (options: Options): Record<string, unknown> =>
  Object.fromEntries(Object.entries(options).map(([name, option]) => [name, option.default]));
