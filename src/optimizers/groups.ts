/**
 * Groups of parameters, each with a method of its own: K-FAC on dense layers, AdamW on the rest.
 *
 *     for all groups g at once     θ ← θ with method_g(θ_g; the others as they are) in the place of θ_g
 *
 * All groups step from one θ: each sees the others where they were when the step began, so that groups of one elementwise method are that
 * method.
 *
 * A group's method is given an objective of the group's arrays alone, θ_g ∈ R^{n_g}. What else the loss depends on, the
 * other arrays and the model's state, is that objective's model state: given, and not moved by it. Groups whose methods
 * are transforms of the gradient share one objective and one program; with all groups such there is no overhead. Every
 * other group evaluates the loss by itself: its backward pass makes the gradient of its own arrays only.
 *
 * Memory: the states of the groups' methods on their arrays; where there are several objectives, a vector as long as θ
 * for each. FLOPs: the methods' own; for each objective a forward pass and a part of a backward pass. Global norms
 * (clipping, the divergence of K-FAC's steps) are those of a group.
 */
import { type ModelShape, modelShapeOf, parameterCount } from "../curvature/model-shape.js";
import { createObjective, type Objective } from "../curvature/objective.js";
import { type Entry, type Layout, layoutOf } from "../nn/parameters.js";
import type { Buffer } from "../runtime/memory.js";
import { concat } from "../tensor/tensor.js";
import { onArrays } from "./arrays.js";
import { scalars, vectors } from "./costs.js";
import { firstOrder, isFirstOrder, scaleBySchedule } from "./first-order.js";
import { addEvaluations, defineHybrid, mixed, part, prefixed, settingsOfParts, statesOf } from "./hybrid.js";
import type { Method } from "./method.js";
import { didYouMean } from "./names.js";
import type { Optimizer, StepReport, Training } from "./optimizer.js";
import { constant } from "./schedule.js";
import { SettingsError, text } from "./settings.js";
import { chain } from "./transform.js";

/** Which arrays: kinds of layers, "matrices", "vectors", and names of arrays in which * stands for anything. */
export type Selection = readonly string[];

export interface Group {
  readonly name: string;
  readonly optimizer: Optimizer;
  /** What no group before has taken and this selects; without it, all that is left. */
  readonly which?: Selection;
}

const kinds = ["dense", "conv2d", "embedding", "scaleShift", "other"] as const;
const isKind = (word: string) => (kinds as readonly string[]).includes(word);

/**
 *     groups([
 *       { name: "layers", optimizer: kfac.create({ damping: 0.1 }), which: ["dense", "conv2d"] },
 *       { name: "rest", optimizer: adamw.create() },
 *     ]).start(objective);
 *
 * @throws SettingsError without groups, or for two of one name; when started, for arrays that no group takes, a name
 *   that no array has, or a group without arrays that selects by name.
 */
export function groups(given: readonly Group[]): Optimizer {
  const names = given.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (given.length === 0) throw new SettingsError("groups: there is no group; give at least one");
  if (twice !== undefined) throw new SettingsError(`groups: two groups are called "${twice}"; rename one`);
  return {
    name: "groups",
    settings: {
      ...Object.fromEntries(
        given.flatMap(({ name, optimizer, which }) => [
          [name, optimizer.name],
          ...(which ? [[`${name}.which`, which.join("+")]] : []),
        ]),
      ),
      ...settingsOfParts(Object.fromEntries(given.map(({ name, optimizer }) => [name, optimizer]))),
    },
    start: (objective) => start(objective, given),
  };
}

interface Taken extends Group {
  readonly entries: readonly Entry[];
}

function start(objective: Objective, given: readonly Group[]): Training {
  const taken = shareOut(objective, given);
  const [only] = taken;
  if (taken.length === 1) return only!.optimizer.start(objective);
  const together = taken.filter(({ optimizer }) => isFirstOrder(optimizer));
  if (together.length === taken.length) {
    const training = oneProgram(taken).start(objective);
    return {
      ...training,
      step() {
        // The rates are inside; the program's own is 1.
        const { learningRate: _, ...report } = training.step();
        return report;
      },
    };
  }
  const units = [
    ...taken
      .filter(({ optimizer }) => !isFirstOrder(optimizer))
      .map(({ name, entries, optimizer }) => ({ name, entries, optimizer })),
    ...(together.length > 0
      ? [
          {
            name: together.map(({ name }) => name).join("+"),
            entries: together.flatMap(({ entries }) => entries).sort((a, b) => a.offset - b.offset),
            optimizer: together.length === 1 ? together[0]!.optimizer : oneProgram(together),
          },
        ]
      : []),
  ].map(({ name, entries, optimizer }) => {
    const view = viewOf(objective, entries);
    return { name, view, training: optimizer.start(view.objective) };
  });
  const trainings = Object.fromEntries(units.map(({ name, training }) => [name, training]));
  return {
    state: statesOf(trainings),
    coverage: units.flatMap(({ training }) => training.coverage ?? []),
    step(): StepReport {
      for (const { view } of units) view.read();
      const reports = units.map(({ training }) => training.step());
      for (const { view } of units) view.write();
      units[0]!.view.writeState();
      const stops = reports.map(({ stop }) => stop);
      const stop = stops.every((each) => each !== undefined) ? stops[0] : undefined;
      return {
        loss: reports[0]!.loss,
        finite: reports.every(({ finite }) => finite),
        gradientNorm: Math.hypot(...reports.map(({ gradientNorm }) => gradientNorm ?? Number.NaN)),
        evaluations: addEvaluations(...reports.map(({ evaluations }) => evaluations)),
        diagnostics: Object.assign(
          {},
          ...units.map(({ name }, k) => prefixed(name, reports[k]!.diagnostics ?? {})),
        ),
        ...(stop && { stop }),
      };
    },
    release() {
      for (const { training, view } of units) {
        training.release();
        view.objective.release();
      }
    },
  };
}

/** Groups of transforms as one optimizer; each has its own learning rate inside. */
const oneProgram = (taken: readonly Taken[]): Optimizer =>
  firstOrder(
    "groups",
    chain(
      ...taken.map(({ name, optimizer, entries }) => {
        if (!isFirstOrder(optimizer)) throw new Error(`groups: ${optimizer.name} is no transform`);
        const own = new Set(entries.map((entry) => entry.name));
        const scaled = chain(
          { ...optimizer.transform, name: "transform" },
          scaleBySchedule(optimizer.schedule),
        );
        return { ...onArrays((entry) => own.has(entry.name), scaled), name };
      }),
    ),
    constant(1),
  );

/** An objective of some arrays of another's θ. */
interface View {
  readonly objective: Objective;
  /** From the whole's θ and state. */
  read(): void;
  /** θ_g into the whole's θ. */
  write(): void;
  /** The model's state as this objective has left it. */
  writeState(): void;
}

function viewOf(whole: Objective, entries: readonly Entry[]): View {
  const { runtime, layout, dtype } = whole;
  const chosen = new Set(entries.map(({ name }) => name));
  const own = restricted(layout, ({ name }) => chosen.has(name));
  const others = restricted(layout, ({ name }) => !chosen.has(name));
  const states = whole.state?.size ?? 0;
  const objective = createObjective(runtime, {
    layout: own,
    batch: [],
    beside: whole,
    players: whole.players,
    state: new Float64Array(states + others.size),
    trace(theta, batch, state, key) {
      const rest = state!.slice(0, states);
      const pieces = layout.entries.map(({ name }) => {
        const [vector, { offset, size }] = chosen.has(name)
          ? ([theta, own.entry(name)] as const)
          : ([rest, others.entry(name)] as const);
        return vector.slice(0, offset, offset + size);
      });
      const traced = whole.trace(
        concat(pieces),
        batch,
        states > 0 ? state!.slice(0, 0, states) : undefined,
        key,
      );
      return { ...traced, state: traced.state ? concat([traced.state, rest]) : state };
    },
  });
  const { parameters } = objective;
  const state = objective.state!;
  const copies = (from: Layout, into: Buffer, shift: number) =>
    from.entries.map((entry) => ({
      source: layout.entry(entry.name).offset,
      target: entry.offset + shift,
      size: entry.size,
      into,
    }));
  const mine = copies(own, parameters, 0);
  const theirs = copies(others, state, states);
  return {
    objective,
    read() {
      if (whole.state) state.data.set(whole.state.data);
      for (const { source, target, size, into } of [...mine, ...theirs])
        into.data.set(whole.parameters.data.subarray(source, source + size), target);
    },
    write() {
      for (const { source, target, size } of mine)
        whole.parameters.data.set(parameters.data.subarray(target, target + size), source);
    },
    writeState() {
      whole.state?.data.set(state.data.subarray(0, states));
    },
  };

  function restricted(from: Layout, keep: (entry: Entry) => boolean): Layout {
    return layoutOf(
      Object.fromEntries(from.entries.filter(keep).map(({ name, shape }) => [name, { dtype, shape }])),
      dtype,
    );
  }
}

/** An array as selections see it. */
interface Candidate {
  readonly name: string;
  readonly shape: readonly number[];
  /** Of the layer that it is in; asked only where a selection names kinds. */
  readonly kind: () => string;
}

/** Which group takes an array: the first that selects it. */
const takerOf = (given: readonly Pick<Group, "name" | "which">[], array: Candidate): string | undefined =>
  given.find(({ which }) => which?.some((word) => selects(word, array)) ?? true)?.name;

function selects(word: string, { name, shape, kind }: Candidate): boolean {
  if (word === "matrices") return shape.length >= 2;
  if (word === "vectors") return shape.length < 2;
  if (isKind(word)) return kind() === word;
  const pattern = word
    .split("*")
    .map((piece) => piece.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&"))
    .join(".*");
  return new RegExp(`^${pattern}$`).test(name);
}

function shareOut(objective: Objective, given: readonly Group[]): Taken[] {
  const { entries } = objective.layout;
  let shape: ModelShape | undefined;
  const kindOf = (name: string) => {
    shape ??= modelShapeOf(objective);
    return shape.layers.find(({ arrays }) => arrays.some((array) => array.name === name))!.kind;
  };
  const candidates = entries.map((entry) => ({ ...entry, kind: () => kindOf(entry.name) }));
  const names = entries.map(({ name }) => name);
  for (const { name, which } of given)
    for (const word of which ?? [])
      if (
        !isKind(word) &&
        word !== "matrices" &&
        word !== "vectors" &&
        !candidates.some((array) => selects(word, array))
      )
        throw new SettingsError(
          `groups: ${name} selects "${word}", which is no parameter${didYouMean(word, names) || `; there are ${names.join(", ")}`}, and the kinds ${kinds.join(", ")}, matrices, vectors`,
        );
  const takers = candidates.map((array) => takerOf(given, array));
  const left = entries.find((_, k) => takers[k] === undefined);
  if (left)
    throw new SettingsError(
      `groups: no group takes "${left.name}"; let the last group select nothing by name`,
    );
  return given
    .map((group) => ({ ...group, entries: entries.filter((_, k) => takers[k] === group.name) }))
    .filter((group) => group.entries.length > 0);
}

/** What is left of a model's shape when only some arrays count; an array whose layer is torn apart stands for itself. */
function shapeOf({ layers }: ModelShape, keep: (array: Candidate) => boolean): ModelShape {
  return {
    layers: layers.flatMap((layer) => {
      const kept = layer.arrays.filter((array) => keep({ ...array, kind: () => layer.kind }));
      if (kept.length === layer.arrays.length) return [layer];
      return kept.map((array) => ({
        name: array.name,
        kind: "other" as const,
        arrays: [array],
        inputs: array.shape.reduce((product, axis) => product * axis, 1),
        outputs: 1,
        positions: 1,
        uses: 0,
      }));
    }),
  };
}

const selection = /^[^+,\s]+(\+[^+,\s]+)*$/;
const options = {
  chosen: part("kfac", "the method of the arrays that `which` selects; chosen.<setting> sets what it has"),
  rest: part("adamw", "the method of the others (or groups again); rest.<setting> sets what it has"),
  which: text(
    "dense+conv2d",
    "arrays, by the kind of their layer (dense, conv2d, embedding, scaleShift, other), as matrices or vectors, or by name",
    "kinds and names with + between them; * in a name stands for anything",
    (given) => selection.test(given),
  ),
};

export const groupsMethod = (find: (name: string) => Method) =>
  defineHybrid(
    {
      name: "groups",
      family: "hybrid",
      description:
        "One method for some arrays, another for the rest: K-FAC on dense layers, AdamW on embeddings and norms.",
      reference: "Parameter groups as in PyTorch (Paszke et al. 2019), for any methods",
      parts: ["chosen", "rest"],
      options,
      asks: { questions: ["gradients"], batch: "any" },
      treats: [
        { arrays: "those that `which` selects", how: "as the method `chosen` does" },
        { arrays: "the rest", how: "as the method `rest` does" },
      ],
      costs(parts, shape, { which }) {
        const words = [{ name: "chosen", which: which.split("+") }, { name: "rest" }];
        const shares = (["chosen", "rest"] as const)
          .map((name) => ({
            ...parts[name],
            shape: shapeOf(shape, (array) => takerOf(words, array) === name),
          }))
          .filter((share) => parameterCount(share.shape) > 0);
        const all = mixed(shares.map((share) => [1, share.costs(share.shape)] as const));
        if (shares.length === 1) return all;
        if (shares.every(({ optimizer }) => isFirstOrder(optimizer)))
          return {
            ...all,
            state: [...all.state.filter(({ part: what }) => what !== "scalars"), scalars()],
            evaluations: { gradients: 1 },
          };
        const n = parameterCount(shape);
        return {
          ...all,
          workspace: [...all.workspace, ...vectors("arrays of the groups", shares.length, n)],
        };
      },
    },
    find,
    ({ which }, { chosen, rest }) => {
      const optimizer = groups([
        { name: "chosen", optimizer: chosen, which: which.split("+") },
        { name: "rest", optimizer: rest },
      ]);
      const { "chosen.which": _, ...settings } = optimizer.settings;
      return { ...optimizer, settings: { ...settings, which } };
    },
  );
