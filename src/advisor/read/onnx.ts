/**
 * ONNX: the graph's nodes with the shapes of its initialisers. Positions follow from the shapes of activations, which
 * are told by the file (value_info) or inferred for the usual operators. Weights are not read.
 */
import { basename } from "node:path";
import type { LayerShape } from "../../curvature/model-shape.js";
import { AdvisorError } from "../error.js";
import { type Architecture, activationsOf } from "../model.js";
import { convLayer, countable, denseLayer, embeddingLayer, normLayer, otherLayer } from "./layers.js";
import { type Field, type Message, messageOf } from "./protobuf.js";
import type { ByteSource } from "./source.js";

interface Node {
  readonly op: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly numbers: ReadonlyMap<string, readonly number[]>;
  readonly constant: Weight | undefined;
}

interface Weight {
  readonly shape: readonly number[];
  readonly type: number;
}

interface Graph {
  readonly nodes: Node[];
  readonly weights: Map<string, Weight>;
  /** Of inputs and values; the first axis, where it has no number, is the batch: 1. */
  readonly shapes: Map<string, readonly number[]>;
}

/** Bytes of the floating types: float, float16, double, bfloat16. */
const floats: Readonly<Record<number, number>> = { 1: 4, 10: 2, 11: 8, 16: 2 };
const mostNodes = 200_000;
const assumedTokens = 512;

/** @throws AdvisorError when the file is damaged, its graph has a cycle, or it has no weights. */
export function readOnnx(source: ByteSource, tokens?: number): Architecture {
  const notes = new Set<string>(["layers are read from the graph"]);
  return layersOf(readGraph(source, tokens, notes), basename(source.name), tokens, notes);
}

function readGraph(source: ByteSource, tokens: number | undefined, notes: Set<string>): Graph {
  const message = messageOf(source);
  const graph: Graph = { nodes: [], weights: new Map(), shapes: new Map() };
  let found = false;
  for (const field of message.fields(0, source.size)) {
    if (field.number !== 7) continue;
    found = true;
    for (const part of message.fields(field.begin, field.end)) {
      if (part.number === 1) graph.nodes.push(readNode(message, part));
      else if (part.number === 5) {
        const { name, weight } = readTensor(message, part);
        if (graph.weights.has(name))
          throw new AdvisorError(`"${source.name}" has two initialisers named "${name.slice(0, 60)}"`);
        graph.weights.set(name, weight);
      } else if (part.number === 11 || part.number === 12 || part.number === 13) {
        const { name, shape } = readValue(message, part, tokens, notes);
        if (shape) graph.shapes.set(name, shape);
        else if (part.number === 11) graph.shapes.set(name, []);
      }
      if (graph.nodes.length > mostNodes || graph.weights.size > mostNodes)
        throw new AdvisorError(
          `"${source.name}" has more than ${mostNodes} nodes: it is too large to be read`,
        );
    }
  }
  if (!found) throw new AdvisorError(`"${source.name}" is no ONNX file: it has no graph`);
  return graph;
}

function readNode(message: Message, at: Field): Node {
  const [inputs, outputs, numbers] = [[] as string[], [] as string[], new Map<string, readonly number[]>()];
  let [op, name] = ["", ""];
  let constant: Weight | undefined;
  for (const field of message.fields(at.begin, at.end)) {
    if (field.number === 1) inputs.push(message.text(field));
    else if (field.number === 2) outputs.push(message.text(field));
    else if (field.number === 3) name = message.text(field);
    else if (field.number === 4) op = message.text(field);
    else if (field.number === 5) {
      let key = "";
      const values: number[] = [];
      for (const part of message.fields(field.begin, field.end)) {
        if (part.number === 1) key = message.text(part);
        else if (part.number === 3) values.push(part.value);
        else if (part.number === 4 && part.end - part.begin <= 16)
          // auto_pad: SAME_UPPER, SAME_LOWER, VALID, NOTSET
          values.push(message.text(part).startsWith("SAME") ? 1 : 0);
        else if (part.number === 8) values.push(...message.numbers(part));
        else if (part.number === 5) constant = readTensor(message, part).weight;
      }
      numbers.set(key, values);
    }
  }
  return { op, name: name || outputs[0] || op, inputs, outputs, numbers, constant };
}

function readTensor(message: Message, at: Field): { name: string; weight: Weight } {
  const shape: number[] = [];
  let [name, type] = ["", 0];
  for (const field of message.fields(at.begin, at.end)) {
    if (field.number === 1) shape.push(...message.numbers(field));
    else if (field.number === 2) type = field.value;
    else if (field.number === 8) name = message.text(field);
  }
  const wrong = shape.find((size) => !Number.isSafeInteger(size));
  if (wrong !== undefined || shape.length > 32)
    throw new AdvisorError(
      `the shape of "${name.slice(0, 60)}" is damaged (${shape.length} axes, ${wrong ?? shape[0]})`,
    );
  return { name, weight: { shape, type } };
}

/** ValueInfoProto: name, type.tensor_type.shape.dim. */
function readValue(message: Message, at: Field, tokens: number | undefined, notes: Set<string>) {
  let name = "";
  let shape: number[] | undefined;
  const inside = function* (fields: Iterable<Field>, number: number) {
    for (const field of fields) if (field.number === number) yield* message.fields(field.begin, field.end);
  };
  for (const field of message.fields(at.begin, at.end)) if (field.number === 1) name = message.text(field);
  const tensor = inside(inside(message.fields(at.begin, at.end), 2), 1);
  for (const field of inside(tensor, 2)) {
    if (field.number !== 1) continue;
    shape ??= [];
    let size: number | undefined;
    for (const part of message.fields(field.begin, field.end)) if (part.number === 1) size = part.value;
    if (size !== undefined && Number.isSafeInteger(size) && size > 0) shape.push(size);
    else if (shape.length === 0) shape.push(1);
    else {
      shape.push(tokens ?? assumedTokens);
      if (tokens === undefined)
        notes.add(`axes without a number, but the first, are taken for ${assumedTokens} tokens`);
    }
  }
  return { name, shape };
}

/** A weight's layer while it is gathered; a bias may come with a later node. */
interface Found {
  readonly make: (bias: boolean, positions: number, uses: number) => LayerShape;
  readonly outputs: number;
  positions: number;
  uses: number;
  bias: boolean;
}

function layersOf(
  { nodes, weights, shapes }: Graph,
  name: string,
  tokens: number | undefined,
  notes: Set<string>,
): Architecture {
  checkOrder(nodes, new Set([...weights.keys(), ...shapes.keys()]), name);
  const found = new Map<string, Found>();
  const used = new Set<string>();
  const tables = new Set<string>();
  const last = new Map<string, Found>();
  /** The initialiser that a name stands for, as it is or transposed. */
  const origins = new Map<string, { name: string; shape: readonly number[] }>(
    [...weights].map(([key, { shape }]) => [key, { name: key, shape }]),
  );
  let otherForwardFlops = 0;
  let unknown = 0;
  const places = (shape: readonly number[] | undefined, from: number, to: number): number => {
    if (!shape || shape.length === 0) {
      unknown++;
      return 1;
    }
    return product(shape.slice(from, to < 0 ? shape.length + to : to));
  };
  const add = (key: string, outputs: number, positions: number, make: Found["make"], bias?: string) => {
    used.add(key);
    if (bias) used.add(bias);
    const layer = found.get(key) ?? { make, outputs, positions: 0, uses: 0, bias: Boolean(bias) };
    layer.positions += positions;
    layer.uses++;
    found.set(key, layer);
    return layer;
  };
  for (const node of nodes) {
    const { op, inputs, outputs, numbers } = node;
    const out = outputs[0] ?? "";
    if (node.constant && op === "Constant") {
      weights.set(out, node.constant);
      origins.set(out, { name: out, shape: node.constant.shape });
      continue;
    }
    const first = inputs[0] ?? "";
    const source = origins.get(first);
    if (source && /^(Identity|Cast|Transpose|DequantizeLinear)$/.test(op)) {
      const turned = op === "Transpose" ? transposed(source.shape, numbers.get("perm")) : source.shape;
      origins.set(out, { name: source.name, shape: turned });
      continue;
    }
    const x = shapes.get(first);
    const shape = shapes.get(out)?.length ? shapes.get(out) : inferShape(node, shapes, origins);
    if (shape) shapes.set(out, shape);
    const second = origins.get(inputs[1] ?? "");
    const bias = origins.get(inputs[2] ?? "")?.name;
    const sizes = second?.shape ?? [];
    if ((op === "MatMul" || op === "Gemm") && second && sizes.length === 2) {
      const [rows, columns] = (numbers.get("transB")?.[0] ? sizes.toReversed() : sizes) as [number, number];
      const positions = op === "Gemm" ? 1 : places(shape, 1, -1);
      // A table that is the head as well: its layer stays a table, whose look-ups are no products.
      if (tables.has(second.name)) otherForwardFlops += 2 * rows * columns * positions;
      const layer = add(
        second.name,
        columns,
        positions,
        (hasBias, places, uses) =>
          denseLayer(second.name, rows, columns, { bias: hasBias, positions: places, uses }),
        op === "Gemm" ? bias : undefined,
      );
      last.set(out, layer);
    } else if (op === "MatMul" && shape && x) otherForwardFlops += 2 * product(shape) * (x.at(-1) ?? 1);
    else if (op === "Add") {
      const layer = last.get(first) ?? last.get(inputs[1] ?? "");
      const added = source ?? second;
      if (layer && !layer.bias && added?.shape.length === 1 && added.shape[0] === layer.outputs) {
        layer.bias = true;
        used.add(added.name);
      }
    } else if (op === "Conv" && second && sizes.length >= 3) {
      const groups = numbers.get("group")?.[0] ?? 1;
      const kernel = [product(sizes.slice(2, -1)), sizes.at(-1)!, sizes[1]!, sizes[0]!] as const;
      const positions = places(shape, 2, shape?.length ?? 0);
      if (groups === 1)
        add(
          second.name,
          kernel[3],
          positions,
          (hasBias, places, uses) =>
            convLayer(second.name, [...kernel], { bias: hasBias, positions: places, uses }),
          bias,
        );
      else {
        notes.add("grouped convolutions have no factors: their kernels are counted by elements");
        otherForwardFlops += 2 * product(sizes) * positions;
      }
    } else if (op === "Gather" && source && source.shape.length === 2 && isFloat(weights, source.name)) {
      const [rows, width] = source.shape as [number, number];
      const positions = places(shapes.get(inputs[1] ?? ""), 1, 99);
      tables.add(source.name);
      add(source.name, width, positions, (_, places, uses) =>
        embeddingLayer(source.name, rows, width, { positions: places, uses }),
      );
    } else if (
      /^(BatchNormalization|LayerNormalization|InstanceNormalization|GroupNormalization)$/.test(op) &&
      second
    ) {
      const width = product(sizes);
      const positions =
        op === "LayerNormalization" ? places(shape, 1, -1) : places(shape, 2, shape?.length ?? 0);
      add(
        second.name,
        width,
        positions,
        (hasBias, places, uses) => normLayer(second.name, width, { bias: hasBias, positions: places, uses }),
        bias,
      );
      // The running mean and variance are no parameters.
      for (const statistic of inputs.slice(3)) used.add(origins.get(statistic)?.name ?? statistic);
    } else if (/^(LSTM|GRU|RNN)$/.test(op)) {
      const steps = x?.[0] && x[0] > 1 ? x[0] : (tokens ?? assumedTokens);
      for (const [k, weight] of [second, origins.get(inputs[2] ?? "")].entries()) {
        if (weight?.shape.length !== 3) continue;
        const [directions, width, size] = weight.shape as [number, number, number];
        const hasBias = Boolean(inputs[3]);
        for (let d = 0; d < Math.min(directions, 2); d++) {
          const part = `${weight.name}${d === 0 ? "" : ".reverse"}`;
          used.add(weight.name);
          found.set(part, {
            make: (b, positions, uses) => denseLayer(part, size, width, { bias: b, positions, uses }),
            outputs: width,
            positions: steps,
            uses: k === 0 ? 1 : steps,
            bias: hasBias,
          });
        }
      }
      used.add(origins.get(inputs[3] ?? "")?.name ?? "");
      notes.add(`recurrent layers take ${steps} steps`);
    } else if (/^(If|Loop|Scan)$/.test(op)) notes.add(`what is inside ${op} is not read`);
  }
  if (unknown > 0)
    notes.add(`shapes of ${unknown} activations are unknown: their layers are counted once an example`);
  const layers = [...found.values()].map(({ make, bias, positions, uses }) => make(bias, positions, uses));
  for (const [key, { shape }] of weights)
    if (!used.has(key) && isFloat(weights, key) && product(shape) > 1) layers.push(otherLayer(key, shape));
  const has = (kind: LayerShape["kind"]) => layers.some((layer) => layer.kind === kind);
  const ops = new Set(nodes.map(({ op }) => op));
  return countable({
    name,
    kind:
      ops.has("Softmax") && ops.has("LayerNormalization")
        ? "transformer"
        : has("conv2d")
          ? "convolutional"
          : ops.has("LSTM") || ops.has("GRU") || ops.has("RNN")
            ? "recurrent"
            : layers.every(({ kind }) => kind === "dense")
              ? "dense"
              : "other",
    example: "example",
    storedBytes: floats[[...weights.values()].find(({ type }) => floats[type])?.type ?? 1]!,
    layers,
    otherForwardFlops,
    activations: activationsOf(layers),
    notes: [...notes],
  });
}

const product = (sizes: readonly number[]): number => sizes.reduce((result, size) => result * size, 1);
const isFloat = (weights: ReadonlyMap<string, Weight>, name: string): boolean =>
  floats[weights.get(name)?.type ?? 0] !== undefined;

const transposed = (shape: readonly number[], perm: readonly number[] | undefined): readonly number[] =>
  perm?.length === shape.length ? perm.map((axis) => shape[axis] ?? 1) : shape.toReversed();

/** Every value is made before it is read, and once: ONNX demands it, and a cycle cannot have it. */
function checkOrder(nodes: readonly Node[], known: Set<string>, name: string): void {
  const made = new Set(nodes.flatMap(({ outputs }) => outputs));
  const before = new Set([...known].filter((value) => !made.has(value)));
  for (const { op, inputs, outputs } of nodes) {
    const early = inputs.find((input) => input !== "" && made.has(input) && !before.has(input));
    if (early !== undefined)
      throw new AdvisorError(
        `"${name}": ${op.slice(0, 40)} reads "${early.slice(0, 60)}" before it is made: the graph has a cycle or is out of order`,
      );
    for (const output of outputs) {
      if (output !== "" && before.has(output))
        throw new AdvisorError(`"${name}": "${output.slice(0, 60)}" is made twice`);
      before.add(output);
    }
  }
}

/** The shape of a node's first output, where an operator is known. */
function inferShape(
  { op, inputs, numbers }: Node,
  shapes: ReadonlyMap<string, readonly number[]>,
  origins: ReadonlyMap<string, { readonly shape: readonly number[] }>,
): readonly number[] | undefined {
  const shape = (k: number) => {
    const name = inputs[k] ?? "";
    const known = shapes.get(name) ?? origins.get(name)?.shape;
    return known?.length ? known : undefined;
  };
  const [x, w] = [shape(0), shape(1)];
  switch (op) {
    case "MatMul":
      return x && w && [...x.slice(0, -1), w.at(-1)!];
    case "Gemm":
      return x && w && [x[0]!, numbers.get("transB")?.[0] ? w[0]! : w.at(-1)!];
    case "Conv":
      return x && w && [x[0]!, w[0]!, ...windows(x.slice(2), w.slice(2), numbers)];
    case "MaxPool":
    case "AveragePool":
      return x && [x[0]!, x[1] ?? 1, ...windows(x.slice(2), numbers.get("kernel_shape") ?? [], numbers)];
    case "GlobalAveragePool":
    case "GlobalMaxPool":
      return x && [...x.slice(0, 2), ...x.slice(2).map(() => 1)];
    case "Flatten":
      return x && [x[0]!, product(x.slice(1))];
    case "Gather": {
      const indices = shape(1);
      return x && indices && x.length === 2 ? [...indices, x[1]!] : undefined;
    }
    case "Add":
    case "Sub":
    case "Mul":
    case "Div":
      return x && w ? (w.length > x.length || product(w) > product(x) ? w : x) : (x ?? w);
    case "Transpose":
      return x && transposed(x, numbers.get("perm"));
    case "Relu":
    case "Sigmoid":
    case "Tanh":
    case "Gelu":
    case "Erf":
    case "Softmax":
    case "Clip":
    case "LeakyRelu":
    case "Elu":
    case "HardSwish":
    case "Dropout":
    case "Identity":
    case "Cast":
    case "Sqrt":
    case "Pow":
    case "Exp":
    case "BatchNormalization":
    case "LayerNormalization":
    case "InstanceNormalization":
    case "GroupNormalization":
      return x;
    default:
      return undefined;
  }
}

/** Places of a window along each axis: ⌊(size + padding − dilation·(kernel − 1) − 1)/stride⌋ + 1. */
function windows(
  sizes: readonly number[],
  kernel: readonly number[],
  numbers: ReadonlyMap<string, readonly number[]>,
): number[] {
  const [strides, dilations, pads] = [numbers.get("strides"), numbers.get("dilations"), numbers.get("pads")];
  return sizes.map((size, k) => {
    if (numbers.get("auto_pad")?.[0]) return Math.ceil(size / (strides?.[k] || 1));
    const padding = (pads?.[k] ?? 0) + (pads?.[k + sizes.length] ?? 0);
    const reach = (dilations?.[k] ?? 1) * ((kernel[k] ?? 1) - 1) + 1;
    return Math.max(1, Math.floor((size + padding - reach) / (strides?.[k] || 1)) + 1);
  });
}
