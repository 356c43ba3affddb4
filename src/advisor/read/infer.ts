/**
 * Layers from the names and shapes of stored arrays. PyTorch's conventions: a dense weight is [out, in], a kernel
 * [out, in, height, width]; the length of a bias tells where a file has [in, out] (GPT-2). What the arrays cannot tell,
 * such as the size of images, is assumed and said.
 */
import type { LayerShape } from "../../curvature/model-shape.js";
import { AdvisorError } from "../error.js";
import { type Architecture, activationsOf } from "../model.js";
import { convLayer, countable, denseLayer, embeddingLayer, normLayer, otherLayer } from "./layers.js";

export interface StoredArray {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Of one element. */
  readonly bytes: number;
}

interface Group {
  weight?: StoredArray;
  bias?: StoredArray;
}

const assumedTokens = 2048;
/** 14×14: the middle of the usual networks for images of 224×224. */
const assumedPixels = 196;

const buffers =
  /(running_mean|running_var|num_batches_tracked|inv_freq|masked_bias|position_ids|\battn\.bias)$/;
const roles = /^(?:(.*)[._])?(weight|kernel|gamma|scale|bias|beta)((?:_ih|_hh)_l\d+(?:_reverse)?)?$/;
const tables = /(embed|wte$|wpe$|^shared$|\.shared$)/i;
const wordTables = /(^|\.)(wte|embed_tokens|tok_embeddings|embed_in)$/;
const queries = /(^|[._])(q_proj|query|q_lin|wq|to_q|c_attn|qkv|query_key_value|qkv_proj|in_proj)$/;
const onceAnExample = /(^|\.)(pooler|classifier|pre_classifier|head|fc_norm)([._]|$)/;

/**
 * @param tokens - length of an example's sequence; default: as many as the table of positions has, or 2,048.
 * @throws AdvisorError when no layer can be found.
 */
export function inferLayers(stored: readonly StoredArray[], name: string, tokens?: number): Architecture {
  const notes = new Set<string>(["layers are inferred from names and shapes"]);
  const arrays = stored.filter(({ name, dtype }) => !buffers.test(name) && !/^(BOOL|I64|U64)$/.test(dtype));
  if (arrays.some(({ dtype }) => /^([IU](8|16|32)|F[468])/.test(dtype)))
    notes.add("stored in few bits: packed weights are counted as they are stored");
  const groups = groupsOf(arrays);
  const names = [...groups.keys()];
  const rank = ({ weight }: Group) => weight?.shape.length ?? 0;
  const attention = names.some((key) => queries.test(key));
  const convolutional = !attention && [...groups.values()].some((group) => rank(group) === 4);
  const recurrent = names.some((key) => key.includes("_hh_l"));
  const sequential = attention || recurrent || names.some((key) => tables.test(key));
  const positions = sequential ? (tokens ?? sequenceOf(arrays, notes)) : convolutional ? assumedPixels : 1;
  if (convolutional)
    notes.add(
      "the size of images is not in the file: every convolution is counted at 196 places (14×14); an ONNX file tells",
    );
  let firstKernel = true;
  const layers: LayerShape[] = [];
  let otherForwardFlops = 0;
  for (const [key, group] of groups) {
    const { weight, bias } = group;
    if (!weight || weight.shape.includes(0)) {
      for (const array of [weight, bias]) if (array) layers.push(otherLayer(array.name, array.shape));
      continue;
    }
    const isBiased = bias !== undefined;
    const unknownBias = isBiased && !isBiasOf(weight.shape, bias.shape);
    const once = (attention && onceAnExample.test(key)) || (convolutional && rank(group) === 2);
    const place = { bias: isBiased, positions: once ? 1 : positions };
    const turned = isBiased && bias.shape[0] === weight.shape.at(-1) && bias.shape[0] !== weight.shape[0];
    if (unknownBias) {
      layers.push(otherLayer(weight.name, weight.shape), otherLayer(bias.name, bias.shape));
      notes.add(`"${bias.name.slice(0, 60)}" is no bias that is known: it is counted by elements`);
    } else if (rank(group) === 1) layers.push(normLayer(key, weight.shape[0]!, place));
    else if (rank(group) === 2 && tables.test(key) && !isBiased)
      layers.push(embeddingLayer(key, weight.shape[0]!, weight.shape[1]!, { positions }));
    else if (rank(group) === 2) {
      const [outputs, inputs] = (turned ? weight.shape.toReversed() : weight.shape) as [number, number];
      if (turned) notes.add("weights that their biases show to be [in, out] are read so");
      layers.push(denseLayer(key, inputs, outputs, place));
      if (queries.test(key)) {
        const fused = /(c_attn|qkv|query_key_value|qkv_proj|in_proj)$/.test(key);
        if (fused) notes.add("queries, keys and values are one layer");
        otherForwardFlops += 4 * positions ** 2 * (fused ? Math.min(inputs, outputs / 3) : outputs);
      }
    } else if (rank(group) >= 3 && rank(group) <= 5 && roles.test(weight.name)) {
      const kernel = kernelOf(weight.shape, turned);
      const [height, width, inputs, outputs] = kernel;
      const depthwise = inputs === 1 && outputs > 1 && !firstKernel;
      firstKernel = false;
      if (depthwise) {
        notes.add("kernels with one input channel are taken for depthwise ones, and counted by elements");
        otherForwardFlops += 2 * height * width * outputs * positions;
        layers.push(otherLayer(weight.name, weight.shape));
        if (bias) layers.push(otherLayer(bias.name, bias.shape));
      } else layers.push(convLayer(key, kernel, place));
    } else {
      layers.push(otherLayer(weight.name, weight.shape));
      if (bias) layers.push(otherLayer(bias.name, bias.shape));
    }
  }
  if (layers.length === 0)
    throw new AdvisorError(`"${name}" holds no weights; give the file that holds the model's`);
  if (names.some((key) => /(^|\.)experts\./.test(key)))
    notes.add("every expert is counted as if all tokens went through it");
  const tied = tieHead(layers, notes);
  if (tied !== undefined) {
    const { inputs, outputs } = layers[tied]!;
    otherForwardFlops += 2 * positions * inputs * outputs;
    layers[tied] = { ...layers[tied]!, positions: 2 * positions, uses: 2 };
  }
  if (attention) notes.add("attention is counted over all pairs of places, and its scores are not kept");
  return countable({
    name,
    kind: attention
      ? "transformer"
      : convolutional
        ? "convolutional"
        : recurrent
          ? "recurrent"
          : layers.every(({ kind }) => kind === "dense")
            ? "dense"
            : "other",
    example: sequential
      ? `sequence of ${positions.toLocaleString("en-US")} tokens`
      : convolutional
        ? "image"
        : "example",
    storedBytes: storedBytesOf(arrays),
    layers,
    otherForwardFlops,
    activations: activationsOf(layers),
    notes: [...notes],
  });
}

/** One number an output, which is the first axis of a weight, or the last where the file has [in, out]. */
const isBiasOf = (weight: readonly number[], bias: readonly number[]): boolean =>
  bias.length === 1 && (bias[0] === weight[0] || bias[0] === weight.at(-1));

/** Weight and bias by the name that they share, in the order of the file; a lone array under its own name. */
function groupsOf(arrays: readonly StoredArray[]): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const array of arrays) {
    const [, prefix = "", role, part = ""] = roles.exec(array.name) ?? [];
    const key = role === undefined ? array.name : `${prefix}${part}` || role;
    const slot = role === "bias" || role === "beta" ? "bias" : "weight";
    const group = groups.get(key) ?? {};
    // Two arrays of one role and prefix, such as weight and scale: each for itself.
    if (group[slot]) groups.set(array.name, { weight: array });
    else groups.set(key, { ...group, [slot]: array });
  }
  return groups;
}

/** [height, width, in, out] of [out, in, …places] or, turned, of [...places, in, out]. */
function kernelOf(shape: readonly number[], turned: boolean): [number, number, number, number] {
  const [outputs, inputs] = turned ? [shape.at(-1)!, shape.at(-2)!] : [shape[0]!, shape[1]!];
  const places = turned ? shape.slice(0, -2) : shape.slice(2);
  const width = places.at(-1)!;
  return [places.slice(0, -1).reduce((product, size) => product * size, 1), width, inputs, outputs];
}

/** Tokens of an example: the rows of a table of positions. */
function sequenceOf(arrays: readonly StoredArray[], notes: Set<string>): number {
  const table = arrays.find(({ name }) =>
    /(wpe|position_embeddings?|pos_embed(ding)?|embed_positions)(\.weight)?$/.test(name),
  );
  const rows = table && table.shape.length >= 2 ? table.shape.at(-2)! : 0;
  if (rows > 0) return rows;
  notes.add(
    `the length of sequences is not in the file: ${assumedTokens.toLocaleString("en-US")} tokens are assumed`,
  );
  return assumedTokens;
}

/** Which layer is a table of words that is the head as well: a language model's, where no head is stored. */
function tieHead(layers: readonly LayerShape[], notes: Set<string>): number | undefined {
  const index = layers.findIndex(({ kind, name }) => kind === "embedding" && wordTables.test(name));
  const table = layers[index];
  if (!table || layers.some(({ kind, outputs }) => kind === "dense" && outputs === table.inputs))
    return undefined;
  notes.add(`no head is stored: the table of words (${table.name}) is taken for it, used twice`);
  return index;
}

/** Bytes of an element, of the type that most elements have. */
function storedBytesOf(arrays: readonly StoredArray[]): number {
  const elements = new Map<number, number>();
  for (const { bytes, shape } of arrays)
    elements.set(bytes, (elements.get(bytes) ?? 0) + shape.reduce((product, size) => product * size, 1));
  return [...elements].reduce((most, entry) => (entry[1] > most[1] ? entry : most), [4, -1])[0];
}
