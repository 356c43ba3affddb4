/** An ONNX file's graph: nodes, initialisers by shape, and what is told of activations. Weights are not read. */
import { AdvisorError } from "../error.js";
import { type Field, type Message, messageOf } from "./protobuf.js";
import type { ByteSource } from "./source.js";

export interface Node {
  readonly op: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly numbers: ReadonlyMap<string, readonly number[]>;
  readonly constant: Weight | undefined;
}

export interface Weight {
  readonly shape: readonly number[];
  readonly type: number;
  /** Of whole numbers, where they are few: shapes are made of them. */
  readonly values?: readonly number[];
}

export interface Graph {
  readonly nodes: Node[];
  readonly weights: Map<string, Weight>;
  readonly inputs: Set<string>;
  /** Of inputs and values; the first axis, where it has no number, is the batch: 1. */
  readonly shapes: Map<string, readonly number[]>;
}

const mostNodes = 200_000;
export const assumedTokens = 512;
const [int32, int64] = [6, 7];
/** Bytes of whole numbers that are read. */
const mostBytes = 512;

/** @throws AdvisorError when the file is damaged or too large. */
export function readGraph(source: ByteSource, tokens: number | undefined, notes: Set<string>): Graph {
  const message = messageOf(source);
  const graph: Graph = { nodes: [], weights: new Map(), inputs: new Set(), shapes: new Map() };
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
        if (shape && shape.length > 0) graph.shapes.set(name, shape);
        if (part.number === 11) graph.inputs.add(name);
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
  let values: readonly number[] | undefined;
  let raw: Field | undefined;
  for (const field of message.fields(at.begin, at.end)) {
    if (field.number === 1) shape.push(...message.numbers(field));
    else if (field.number === 2) type = field.value;
    else if (field.number === 8) name = message.text(field);
    else if (field.number === 9 && field.end - field.begin <= mostBytes) raw = field;
    else if (field.number === 7 || field.number === 5)
      values = [...(values ?? []), ...message.numbers(field)];
  }
  const wrong = shape.find((size) => !Number.isSafeInteger(size) || size < 0);
  if (wrong !== undefined || shape.length > 32)
    throw new AdvisorError(
      `the shape of "${name.slice(0, 60)}" is damaged (${shape.length} axes, ${wrong ?? shape[0]})`,
    );
  if (type !== int32 && type !== int64) return { name, weight: { shape, type } };
  if (raw) values = wholeNumbers(message.bytes(raw), type);
  return { name, weight: { shape, type, ...(values && { values }) } };
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

/** Little-endian, as TensorProto.raw_data has them. */
function wholeNumbers(bytes: Uint8Array, type: number): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = type === int64 ? 8 : 4;
  return Array.from({ length: Math.floor(bytes.length / size) }, (_, k) =>
    type === int64 ? Number(view.getBigInt64(8 * k, true)) : view.getInt32(4 * k, true),
  );
}

/** Every value is made before it is read, and once: ONNX demands it, and a cycle cannot have it. */
export function checkOrder(nodes: readonly Node[], known: Set<string>, name: string): void {
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
