/**
 * ONNX: the graph's nodes with the shapes of its initialisers. Positions follow from the shapes of activations, which
 * are told by the file (value_info) or inferred for the usual operators. Weights are not read.
 */
import { basename } from "node:path";
import type { LayerShape } from "../../curvature/model-shape.js";
import { type Architecture, activationsOf } from "../model.js";
import { convLayer, countable, denseLayer, embeddingLayer, normLayer, otherLayer } from "./layers.js";
import { assumedTokens, checkOrder, type Graph, readGraph, type Weight } from "./onnx-graph.js";
import { inferShapes, product } from "./onnx-shapes.js";
import type { ByteSource } from "./source.js";

/** Bytes of the floating types: float, float16, double, bfloat16. */
const floats: Readonly<Record<number, number>> = { 1: 4, 10: 2, 11: 8, 16: 2 };

/** @throws AdvisorError when the file is damaged, its graph has a cycle, or it has no weights. */
export function readOnnx(source: ByteSource, tokens?: number): Architecture {
  const notes = new Set<string>(["layers are read from the graph"]);
  return layersOf(readGraph(source, tokens, notes), basename(source.name), tokens, notes);
}

/** A weight's layer while it is gathered; a bias may come with a later node. */
interface Found {
  readonly make: (bias: boolean, positions: number, uses: number) => LayerShape;
  readonly outputs: number;
  positions: number;
  uses: number;
  bias: boolean;
}

function layersOf(graph: Graph, name: string, tokens: number | undefined, notes: Set<string>): Architecture {
  const { nodes, weights } = graph;
  checkOrder(nodes, new Set([...weights.keys(), ...graph.inputs, ...graph.shapes.keys()]), name);
  const { shapes, origins } = inferShapes(graph);
  // Of files with a batch of a set size.
  const batch = shapes.get([...graph.inputs].find((input) => !weights.has(input)) ?? "")?.[0] ?? 1;
  const found = new Map<string, Found>();
  const used = new Set<string>();
  const tables = new Set<string>();
  const last = new Map<string, Found>();
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
    // Initialisers, as they are or transposed, and numbers that shapes are computed from.
    if (origins.has(out)) {
      if (op === "Identity" && origins.has(inputs[0] ?? ""))
        notes.add("arrays of equal numbers are stored once, as exporters do, and counted once");
      continue;
    }
    const first = inputs[0] ?? "";
    const source = origins.get(first);
    const [x, shape] = [shapes.get(first), shapes.get(out)];
    const second = origins.get(inputs[1] ?? "");
    const bias = origins.get(inputs[2] ?? "")?.name;
    const sizes = second?.shape ?? [];
    if ((op === "MatMul" || op === "Gemm") && second && sizes.length === 2) {
      const [rows, columns] = (numbers.get("transB")?.[0] ? sizes.toReversed() : sizes) as [number, number];
      const positions =
        op === "Gemm" ? Math.max(1, Math.round((x?.[0] ?? batch) / batch)) : places(shape, 1, -1);
      // A table that is the head as well: its layer stays a table, whose look-ups are no products.
      if (tables.has(second.name)) otherForwardFlops += 2 * rows * columns * positions;
      const layer = add(
        second.name,
        columns,
        positions,
        (hasBias, places, uses) =>
          denseLayer(labelOf(second.name, node.name), rows, columns, {
            bias: hasBias,
            positions: places,
            uses,
          }),
        op === "Gemm" ? bias : undefined,
      );
      last.set(out, layer);
    } else if (op === "MatMul" && shape && x)
      otherForwardFlops += (2 * product(shape) * (x.at(-1) ?? 1)) / batch;
    else if (op === "Add") {
      const layer = last.get(first) ?? last.get(inputs[1] ?? "");
      const added = source ?? second;
      if (layer && !layer.bias && added?.shape.length === 1 && added.shape[0] === layer.outputs) {
        layer.bias = true;
        used.add(added.name);
      }
    } else if (
      op === "Mul" &&
      isChannelScale(weights, (second ?? source)?.name, second ? x : shapes.get(inputs[1] ?? ""))
    ) {
      // A norm that the exporter wrote out: its scale, and its shift in the next node.
      const scale = (second ?? source)!;
      const width = scale.shape[0]!;
      const layer = add(scale.name, width, places(shape, 1, -1), (hasBias, places, uses) =>
        normLayer(scale.name, width, { bias: hasBias, positions: places, uses }),
      );
      last.set(out, layer);
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
            convLayer(labelOf(second.name, node.name), [...kernel], {
              bias: hasBias,
              positions: places,
              uses,
            }),
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
        const recurrent = labelOf(weight.name, node.name);
        const [directions, width, size] = weight.shape as [number, number, number];
        const hasBias = Boolean(inputs[3]);
        for (let d = 0; d < Math.min(directions, 2); d++) {
          const part = `${recurrent}${k === 0 ? "" : ".recurrent"}${d === 0 ? "" : ".reverse"}`;
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
      ops.has("Softmax") && otherForwardFlops > 0
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

/** Exporters that turn a weight give it a number for a name: then its module's, from the node's "/block/qkv/MatMul". */
const labelOf = (weight: string, node: string): string =>
  weight.startsWith("onnx::") && node.startsWith("/")
    ? node.split("/").slice(1, -1).join(".") || weight
    : weight;

const isFloat = (weights: ReadonlyMap<string, Weight>, name: string): boolean =>
  floats[weights.get(name)?.type ?? 0] !== undefined;

/** Whether an initialiser is one number for each element of an activation's last axis. */
function isChannelScale(
  weights: ReadonlyMap<string, Weight>,
  name: string | undefined,
  activation: readonly number[] | undefined,
): boolean {
  const shape = weights.get(name ?? "")?.shape;
  return shape?.length === 1 && shape[0]! > 1 && isFloat(weights, name!) && activation?.at(-1) === shape[0];
}
