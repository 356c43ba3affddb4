/**
 * A Keras model from its topology, without weights: shapes go through the graph from the inputs, and tell what every
 * layer is made of and in how many places it acts. A layer that is called twice is counted once, used twice.
 */
import { basename } from "node:path";
import * as v from "valibot";
import { type LayerShape, parameterCount } from "../../curvature/model-shape.js";
import { AdvisorError } from "../error.js";
import { type Architecture, activationsOf } from "../model.js";
import { parseFields } from "./fields.js";
import { isObject } from "./json.js";
import type { Called, Named } from "./keras-call.js";
import { type Call, type Layer, labelOf, type Model, type Reference, readKerasGraph } from "./keras-graph.js";
import { weighted } from "./keras-layers.js";
import { plain } from "./keras-plain.js";
import { axis, type Open, type Shape, shapeOf } from "./keras-shape.js";
import { countable } from "./layers.js";
import { assumedTokens } from "./onnx-graph.js";

type Maybe = Shape | undefined;

/** What was found so far. Layers are known by what they are, not by their names, which models repeat. */
interface Found {
  readonly open: Open;
  readonly layers: Map<Layer, readonly LayerShape[]>;
  flops: number;
  work: number;
}

const assumedSide = 224;
/** Calls and what they read, those of repeated models again. */
const mostWork = 1_000_000;
const kinds = new Set([...Object.keys(weighted), ...Object.keys(plain)]);

/** @throws AdvisorError when a layer's class is not known, or its width cannot be; when the graph is damaged. */
export function readTopology(
  value: { readonly class_name: string; readonly config: unknown; readonly build_config?: unknown },
  path: string,
  tokens?: number,
): Architecture {
  const model = readKerasGraph(value, path);
  const open = { tokens: tokens ?? assumedTokens, side: assumedSide };
  const found: Found = { open, layers: new Map(), flops: 0, work: 0 };
  run(model, [], found);
  const layers = [...found.layers.values()].flat();
  const used = [...found.layers.keys()];
  const has = (kind: RegExp) =>
    used.some((layer) => kind.test(`${layer.kind} ${wrapped(layer.config)?.kind}`));
  const input = entryOf(model, open);
  const kind = has(/^MultiHeadAttention/)
    ? "transformer"
    : layers.some(({ kind }) => kind === "conv2d")
      ? "convolutional"
      : has(/\b(LSTM|GRU|SimpleRNN)\b/)
        ? "recurrent"
        : layers.every(({ kind }) => kind === "dense")
          ? "dense"
          : "other";
  const isSequence = input?.length === 2 || layers.some(({ kind }) => kind === "embedding");
  const isImage = input?.length === 3 && used.every(({ config }) => config.data_format !== "channels_first");
  const [first = axis(1), second = axis(1)] = input ?? [];
  return countable({
    name: basename(path),
    kind,
    example: isImage
      ? `image of ${first.size}×${second.size}`
      : isSequence
        ? `sequence of ${first.size.toLocaleString("en-US")} tokens`
        : "example",
    storedBytes: bytesOf(used[0]?.config.dtype),
    layers,
    otherForwardFlops: found.flops,
    activations: activationsOf(layers),
    notes: [
      "layers are read from the topology; what they are made of follows from the shape of the input",
      ...(input?.some(({ known }) => !known)
        ? [
            input.length >= 3
              ? `sides of images that the file leaves open are taken for ${assumedSide}`
              : `sequences of ${open.tokens} tokens ${tokens === undefined ? "are assumed" : "as given"}: the file leaves their length open`,
          ]
        : []),
      ...(layers.some(({ kind, name }) => kind === "other" && /\.(depthwise|weight)$/.test(name))
        ? ["depthwise and grouped convolutions have no factors: their kernels are counted by elements"]
        : []),
      ...(kind === "transformer"
        ? ["attention is counted over all pairs of places, and its scores are not kept"]
        : []),
      ...(used.some(({ config }) => config.trainable === false)
        ? ["layers that are frozen (trainable: false) are counted as the others"]
        : []),
    ],
  });
}

/** The shape of the first input. */
function entryOf(model: Model, open: Open): Maybe {
  const layer = model.calls.find(({ key }) => key === model.inputs[0])?.layer;
  const built = layer?.built ?? model.built;
  return built ? shapeOf(built, open) : layer?.model && entryOf(layer.model, open);
}

/** Calls every layer of a model, and returns the shapes of its outputs. */
function run(model: Model, inputs: readonly Maybe[], found: Found): Maybe[] {
  const made = new Map<string, readonly Maybe[]>();
  const entering = new Map(model.inputs.map((key, k) => [key, inputs[k]]));
  const read = ({ call, tensor, shape }: Reference): Maybe =>
    made.get(call)?.[tensor] ?? (shape && shapeOf(shape, found.open));
  for (const call of model.calls) {
    found.work += 1 + call.reads.length;
    if (found.work > mostWork)
      throw new AdvisorError(`${call.layer.label}: models are repeated too often for the file to be read`);
    const first = call.key === model.inputs[0] ? model.built : undefined;
    const entry = entering.get(call.key) ?? (first && shapeOf(first, found.open));
    made.set(call.key, enter(call, call.reads.map(read), entry, found));
  }
  return model.outputs.map(read);
}

/** One call of a layer: its weights are noted, and the shapes of its outputs returned. */
function enter(
  { layer, reads }: Call,
  shapes: readonly Maybe[],
  entry: Maybe,
  found: Found,
): readonly Maybe[] {
  const built = layer.built && shapeOf(layer.built, found.open);
  if (layer.kind === "InputLayer") return [entry ?? built];
  const given = reads.length > 0 ? shapes : [entry];
  if (layer.model) return run(layer.model, given, found);
  const ordered = given.filter((_, k) => reads[k]?.argument === undefined);
  let all = ordered.length > 0 ? ordered : given;
  const named = new Map<string, Shape>();
  if (all.includes(undefined) && (layer.builtBy.size > 0 || built)) {
    for (const [name, shape] of layer.builtBy) named.set(name, shapeOf(shape, found.open));
    all = [built ?? named.get("query")];
  }
  for (const [k, { argument }] of reads.entries())
    if (argument !== undefined && shapes[k]) named.set(argument, shapes[k]);
  const isPlain = layer.isFunction || Object.hasOwn(plain, layer.kind);
  if (isPlain && (all.includes(undefined) || !Object.hasOwn(plain, layer.kind))) return [undefined];
  const { layers, outputs, flops = 0 } = call(layer, all, named);
  found.flops += flops;
  if (layers.length > 0) note(layer, layers, found);
  return outputs;
}

function note(layer: Layer, layers: readonly LayerShape[], found: Found): void {
  const before = found.layers.get(layer);
  if (before && parameterCount({ layers: before }) !== parameterCount({ layers }))
    throw new AdvisorError(`${layer.label}: it is called with inputs of different widths`);
  found.layers.set(
    layer,
    layers.map((now, k) => ({
      ...now,
      positions: now.positions + (before?.[k]?.positions ?? 0),
      uses: now.uses + (before?.[k]?.uses ?? 0),
    })),
  );
}

interface Callable extends Named {
  readonly kind: string;
  readonly config: Readonly<Record<string, unknown>>;
}

function call(layer: Callable, all: readonly Maybe[], named: ReadonlyMap<string, Shape>): Called {
  const { kind, config, label } = layer;
  const inputs = all.filter((shape) => shape !== undefined);
  const [first] = inputs;
  if (kind !== "Bidirectional" && kind !== "TimeDistributed" && !kinds.has(kind))
    throw new AdvisorError(
      `${label}: layers of this class are not read, nor can its weights be known; give an ONNX file of the model`,
    );
  if (!first || inputs.length < all.length)
    throw new AdvisorError(
      `${label}: the shape of its input is not in the file; give the model an Input or build it before to_json()`,
    );
  if (kind === "Bidirectional") return bothWays(layer, first);
  if (kind === "TimeDistributed") return atEachStep(layer, first);
  return (Object.hasOwn(weighted, kind) ? weighted : plain)[kind]!(
    config,
    { first, all: inputs, named },
    layer,
  );
}

/** The layer that another one holds. */
function wrapped({ layer }: Callable["config"]): Omit<Callable, keyof Named> | undefined {
  if (!isObject(layer) || !isObject(layer.config)) return undefined;
  return { kind: String(layer.class_name), config: layer.config };
}

function innerOf({ path, label, config }: Callable, part: string): Callable {
  const inner = wrapped(config);
  if (!inner) throw new AdvisorError(`${label}: the layer that it holds is missing`);
  return { ...inner, path: path + part, label: labelOf(path + part, inner.kind) };
}

const modes = v.object({
  merge_mode: v.optional(v.nullable(v.picklist(["concat", "sum", "mul", "ave"])), "concat"),
});

function bothWays(layer: Callable, input: Shape): Called {
  const { merge_mode: mode } = parseFields(modes, layer.config, layer.label);
  const ways = ["/forward", "/backward"].map((way) => call(innerOf(layer, way), [input], new Map()));
  const layers = ways.flatMap((way) => way.layers);
  const [[output, ...states], [, ...further]] = ways.map(({ outputs }) => outputs) as [Maybe[], Maybe[]];
  const width = output?.at(-1);
  if (mode === null || mode === undefined)
    return { layers, outputs: [output, output, ...states, ...further] };
  return {
    layers,
    outputs: [
      mode === "concat" && output && width ? output.with(-1, axis(2 * width.size, width.known)) : output,
      ...states,
      ...further,
    ],
  };
}

function atEachStep(layer: Callable, [steps, ...input]: Shape): Called {
  if (!steps) throw new AdvisorError(`${layer.label}: its input has no steps`);
  const { layers, outputs, flops = 0 } = call(innerOf(layer, ""), [input], new Map());
  return {
    layers: layers.map((inner) => ({ ...inner, positions: inner.positions * steps.size })),
    outputs: outputs.map((output) => output && [steps, ...output]),
    flops: flops * steps.size,
  };
}

/** "float32", or the policy in which Keras 3 holds it; "mixed_…" keeps its weights in 32 bits. */
function bytesOf(dtype: unknown): number {
  const name = isObject(dtype) && isObject(dtype.config) ? dtype.config.name : dtype;
  return name === "float64" ? 8 : name === "float16" || name === "bfloat16" ? 2 : 4;
}
