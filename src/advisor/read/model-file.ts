/** A model from whatever describes it: a file is recognised by what is in it, then by its name. */
import { existsSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { AdvisorError } from "../error.js";
import type { Architecture } from "../model.js";
import { isConfig, readConfig } from "./config.js";
import { isObject, parseJson } from "./json.js";
import { isKeras, readKeras } from "./keras.js";
import { isLayerList, readLayerList } from "./layer-list.js";
import { readOnnx } from "./onnx.js";
import { readSafetensors, readShards } from "./safetensors.js";
import { type ByteSource, withFile } from "./source.js";

export interface ReadOptions {
  /** Tokens of an example; default: the longest sequence of the model, or as its notes say. */
  readonly tokens?: number | undefined;
}

const formats =
  "safetensors (or its index.json), ONNX, a Hugging Face config.json, Keras's to_json() and a TensorFlow.js model.json";
const longestJson = 64_000_000;
/** What is looked for in a folder, the most telling first. */
const inFolder = [
  "config.json",
  "model.safetensors.index.json",
  "model.safetensors",
  "model.onnx",
  "model.json",
];

/**
 * The architecture that a file, a folder or a list of widths describes. Never reads weights.
 *
 *     readModel("model.safetensors.index.json");   readModel("784-1000-500-10");
 *
 * @throws AdvisorError, in one line, when it is not there, damaged or of a kind that cannot be read.
 */
export function readModel(pathOrText: string, options: ReadOptions = {}): Architecture {
  if (!existsSync(pathOrText) && isLayerList(pathOrText)) return readLayerList(pathOrText);
  if (!existsSync(pathOrText))
    throw new AdvisorError(
      `"${pathOrText.slice(0, 200)}" is no model that can be read: there is no such file; give a model's file, widths such as 784-128-10, or a problem (thalweg list names them)`,
    );
  if (!statSync(pathOrText).isDirectory())
    return withFile(pathOrText, (source) => readSource(source, options));
  const path = inFolder.map((file) => join(pathOrText, file)).find((file) => existsSync(file));
  if (!path)
    throw new AdvisorError(`"${pathOrText}" holds none of ${inFolder.join(", ")}; name the model's file`);
  return withFile(path, (source) => readSource(source, options));
}

/** Files that are known and cannot be read, by their first bytes. */
const refused: readonly (readonly [first: readonly number[], what: string])[] = [
  [
    [0x50, 0x4b],
    "is a zip archive (.pt, .keras and .npz are); unpack it (the config.json of a .keras can be read), or save the weights as safetensors",
  ],
  [[0x1f, 0x8b], "is compressed by gzip; unpack it first"],
  [[0x28, 0xb5, 0x2f, 0xfd], "is compressed by zstd; unpack it first"],
  [[0x42, 0x5a, 0x68], "is compressed by bzip2; unpack it first"],
  [[0xfd, 0x37, 0x7a, 0x58], "is compressed by xz; unpack it first"],
  [[0x89, 0x48, 0x44, 0x46], "is HDF5; save the model as safetensors, ONNX or by Keras's to_json()"],
  [[0x47, 0x47, 0x55, 0x46], "is GGUF, for inference only; give the safetensors that it was made from"],
  [[0x80], "is a Python pickle, which can run code when it is read; save the weights as safetensors"],
];

/** @throws AdvisorError when the content is damaged or of a kind that cannot be read. */
export function readSource(source: ByteSource, { tokens }: ReadOptions = {}): Architecture {
  const { name, size } = source;
  if (size === 0) throw new AdvisorError(`"${name}" is empty; download it again`);
  const head = source.read(0, 16);
  if (name.endsWith(".safetensors") || (head[7] === 0 && head[8] === 0x7b))
    return readSafetensors(source, tokens);
  const known = refused.find(([first]) => first.every((byte, k) => head[k] === byte));
  if (known) throw new AdvisorError(`"${name}" ${known[1]}`);
  if (isJson(head, name)) {
    if (size > longestJson)
      throw new AdvisorError(`"${name}" has ${size} bytes; a model's JSON has at most ${longestJson}`);
    return readJson(parseJson(source.read(0, size), name), name, tokens);
  }
  // The first field of an ONNX model is ir_version, a varint.
  if (name.endsWith(".onnx") || head[0] === 0x08) return readOnnx(source, tokens);
  throw new AdvisorError(`"${name}" is of no kind that can be read; these are ${formats}`);
}

const isJson = (head: Uint8Array, name: string): boolean =>
  name.endsWith(".json") || head.find((byte) => !" \t\r\n".includes(String.fromCharCode(byte))) === 0x7b;

function readJson(value: unknown, path: string, tokens: number | undefined): Architecture {
  if (isObject(value) && "weight_map" in value) return readShards(value, path, tokens);
  if (isKeras(value)) return readKeras(value, path, tokens);
  if (isConfig(value)) return readConfig(value, basename(path), tokens);
  throw new AdvisorError(
    `"${path}" is JSON of another kind; a safetensors index has weight_map, a config.json has model_type, a TensorFlow.js model has modelTopology, Keras's to_json() the class_name Sequential, Functional or Model`,
  );
}
