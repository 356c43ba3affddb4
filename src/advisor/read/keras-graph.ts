/**
 * The graph of a Keras model's JSON: layers, their calls in an order in which each follows what it reads, and models as
 * layers of models.
 */
import * as v from "valibot";
import { AdvisorError } from "../error.js";
import { parseFields } from "./fields.js";
import { isObject } from "./json.js";
import { isShape, referencesIn, type Sizes, type Written } from "./keras-reference.js";

export interface Layer {
  /** What messages call it: layer "dense" (Dense). */
  readonly label: string;
  readonly path: string;
  readonly kind: string;
  readonly config: Readonly<Record<string, unknown>>;
  /** Of its input as it was built, where the file tells; and of inputs by their names. */
  readonly built: Sizes | undefined;
  readonly builtBy: ReadonlyMap<string, Sizes>;
  /** Whether it is a function, which has no weights. */
  readonly isFunction: boolean;
  /** What it calls, if it is a model. */
  readonly model?: Model;
}

export interface Model {
  readonly layers: readonly Layer[];
  /** In order. */
  readonly calls: readonly Call[];
  /** The layers that inputs enter. */
  readonly inputs: readonly string[];
  readonly outputs: readonly Reference[];
  readonly built: Sizes | undefined;
}

export interface Call {
  readonly layer: Layer;
  /** Layer and number of the call. */
  readonly key: string;
  readonly reads: readonly Reference[];
}

/** An output of a call: call is its key. */
export interface Reference {
  readonly call: string;
  readonly tensor: number;
  /** The argument that it is given as, where it is named. */
  readonly argument: string | undefined;
  readonly shape: Sizes | undefined;
}

const mostLayers = 20_000;
const mostReferences = 500_000;
const functions = /^(Lambda|TFOpLambda|SlicingOpLambda)$/;
const models = /^(Sequential|Functional|Model)$/;

/** Whether an object is a model as Keras's to_json() writes it. */
export const isModel = (value: unknown): value is { class_name: string; config: unknown } =>
  isObject(value) && models.test(String(value.class_name)) && "config" in value;

const layerSchema = v.object({
  class_name: v.string(),
  module: v.optional(v.unknown()),
  name: v.optional(v.string()),
  config: v.record(v.string(), v.unknown()),
  inbound_nodes: v.optional(v.array(v.unknown()), []),
  build_config: v.optional(v.unknown()),
});
const modelSchema = v.object({
  layers: v.pipe(v.array(v.unknown()), v.minLength(1)),
  input_layers: v.optional(v.unknown(), []),
  output_layers: v.optional(v.unknown(), []),
  build_input_shape: v.optional(v.unknown()),
});

/** How many layers and references there were so far, over all models. */
interface Count {
  layers: number;
  references: number;
}

/** @throws AdvisorError when it is damaged or too large, or calls wait for each other. */
export function readKerasGraph(
  value: { readonly class_name: string; readonly config: unknown },
  file: string,
) {
  return modelOf(value.class_name, value.config, `"${file}"`, "", { layers: 0, references: 0 });
}

function modelOf(kind: string, config: unknown, where: string, prefix: string, count: Count): Model {
  // The first Keras 2 wrote a Sequential's layers without a name for them.
  const given = parseFields(modelSchema, Array.isArray(config) ? { layers: config } : config, where);
  const read = new Map<string, { readonly layer: Layer; readonly nodes: readonly unknown[] }>();
  for (const value of given.layers) {
    const entry = parseFields(layerSchema, value, `${where}: a layer`);
    const name = v.parse(v.fallback(v.string(), ""), entry.name ?? entry.config.name) || entry.class_name;
    const label = labelOf(name, entry.class_name);
    if (read.has(name)) throw new AdvisorError(`${where} has two layers named ${quoted(name)}`);
    if (++count.layers > mostLayers)
      throw new AdvisorError(`${where} has more than ${mostLayers} layers: it is too large to be read`);
    const path = prefix + name;
    const layer = {
      label,
      path,
      kind: entry.class_name,
      config: entry.config,
      built: [
        isObject(entry.build_config) ? entry.build_config.input_shape : undefined,
        entry.config.batch_shape,
        entry.config.batch_input_shape,
      ].find(isShape),
      builtBy: builtBy(entry.config, entry.build_config),
      isFunction: functions.test(entry.class_name) || String(entry.module).startsWith("keras.src.ops"),
      ...(models.test(entry.class_name) && {
        model: modelOf(entry.class_name, entry.config, label, `${path}/`, count),
      }),
    };
    read.set(name, { layer, nodes: entry.inbound_nodes });
  }
  const layers = [...read.values()].map(({ layer }) => layer);
  const built = isShape(given.build_input_shape) ? given.build_input_shape : undefined;
  if (kind === "Sequential") return { ...sequence(layers), built };

  const references = (value: unknown) => {
    const found: Written[] = [];
    for (const reference of referencesIn(value, undefined)) {
      found.push(reference);
      if (++count.references > mostReferences)
        throw new AdvisorError(
          `${where} has more than ${mostReferences} tensors: it is too large to be read`,
        );
    }
    return found;
  };
  const raw = [...read].flatMap(([name, { layer, nodes }]) =>
    nodes.length === 0
      ? [{ layer, name, index: 0, reads: [] }]
      : nodes.map((node, index) => ({ layer, name, index, reads: references(node) })),
  );
  const outputs = references(given.output_layers);
  // A model as a layer was called once when it was made, which Keras counts and does not write.
  const offsets = new Map<string, number>();
  for (const { layer, call } of [...raw.flatMap(({ reads }) => reads), ...outputs]) {
    const to = read.get(layer);
    const calls = Math.max(1, to?.nodes.length ?? 0);
    if (!to || call > calls || (call === calls && !to.layer.model))
      throw new AdvisorError(
        `${where}: call ${call} of layer ${quoted(layer)} is read and is not in the file`,
      );
    if (call === calls) offsets.set(layer, 1);
  }
  const keyOf = (name: string, call: number) => `${call} ${name}`;
  const resolve = ({ layer, call, tensor, argument, shape }: Written): Reference => ({
    call: keyOf(layer, Math.max(0, call - (offsets.get(layer) ?? 0))),
    tensor,
    argument,
    shape,
  });
  const calls = raw.map(({ layer, name, index, reads }) => ({
    layer,
    key: keyOf(name, index),
    reads: reads.map(resolve),
  }));
  return {
    layers,
    calls: inOrder(calls, where),
    inputs: references(given.input_layers).map(({ layer }) => keyOf(layer, 0)),
    outputs: outputs.map(resolve),
    built,
  };
}

export const labelOf = (name: string, kind: string): string =>
  `layer ${quoted(name)} (${quoted(kind).slice(1, -1)})`;

const quoted = (name: string): string => JSON.stringify(name.slice(0, 60));

/** Each layer reads the one before. */
function sequence(layers: readonly Layer[]): Omit<Model, "built"> {
  const output = (k: number) => [{ call: String(k), tensor: 0, argument: undefined, shape: undefined }];
  return {
    layers,
    calls: layers.map((layer, k) => ({ layer, key: String(k), reads: k === 0 ? [] : output(k - 1) })),
    inputs: ["0"],
    outputs: output(layers.length - 1),
  };
}

/** Keras 3 has {shapes_dict: {query_shape: …}}, Keras 2 such fields among the others. */
function builtBy(config: Layer["config"], build: unknown): Map<string, Sizes> {
  const shapes = isObject(build) && isObject(build.shapes_dict) ? build.shapes_dict : config;
  return new Map(
    ["query", "value", "key"].flatMap((name) => {
      const shape = shapes[`${name}_shape`];
      return isShape(shape) ? [[name, shape]] : [];
    }),
  );
}

/** Calls after those that they read (Kahn 1962). */
function inOrder(calls: readonly Call[], where: string): Call[] {
  const readers = new Map<string, Call[]>();
  const waits = new Map<Call, number>();
  for (const call of calls) {
    waits.set(call, call.reads.length);
    for (const { call: key } of call.reads) {
      const known = readers.get(key);
      if (known) known.push(call);
      else readers.set(key, [call]);
    }
  }
  const ready = calls.filter(({ reads }) => reads.length === 0);
  for (const { key } of ready)
    for (const reader of readers.get(key) ?? []) {
      waits.set(reader, waits.get(reader)! - 1);
      if (waits.get(reader) === 0) ready.push(reader);
    }
  const stuck = calls.find((call) => waits.get(call)! > 0);
  if (stuck) throw new AdvisorError(`${where}: ${stuck.layer.label} waits for itself: the graph has a cycle`);
  return ready;
}
