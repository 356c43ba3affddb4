/**
 * safetensors: 8 bytes of header length (little-endian), the header as JSON {name: {dtype, shape, data_offsets}}, then
 * the numbers, which are not read. A sharded model has an index {weight_map: {name: file}} beside its files.
 */
import { basename, dirname, join } from "node:path";
import { AdvisorError } from "../error.js";
import type { Architecture } from "../model.js";
import { inferLayers, type StoredArray } from "./infer.js";
import { isObject, parseJson } from "./json.js";
import { type ByteSource, withFile } from "./source.js";

/** The longest header that the format's own library reads. */
const longestHeader = 100_000_000;
const mostArrays = 100_000;
const mostShards = 2_000;

const bits: Readonly<Record<string, number>> = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  F64: 64,
  I64: 64,
  U64: 64,
  C64: 64,
};

/**
 * The arrays that a file holds, from its header.
 *
 * @throws AdvisorError when the header is damaged or does not fit the file.
 */
export function readHeader(source: ByteSource): StoredArray[] {
  const damaged = (what: string) =>
    new AdvisorError(`"${source.name}" is damaged: ${what}; download it again`);
  const prefix = source.read(0, 8);
  if (prefix.length < 8) throw damaged(`${source.size} bytes are no safetensors file`);
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length > longestHeader || 8 + Number(length) > source.size)
    throw damaged(`its header of ${length} bytes is longer than the file (${source.size}) or 100 MB`);
  const begin = 8 + Number(length);
  const header = parseJson(source.read(8, Number(length)), source.name);
  if (!isObject(header)) throw damaged("its header is no object");
  if (Object.keys(header).length > mostArrays)
    throw new AdvisorError(
      `"${source.name}" holds more than ${mostArrays.toLocaleString("en-US")} arrays: it is too large to be read`,
    );
  const arrays: (StoredArray & { readonly begin: number; readonly end: number })[] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const what = `"${name.slice(0, 60)}"`;
    if (!isObject(entry)) throw damaged(`the entry of ${what} is no object`);
    const { dtype, shape, data_offsets: offsets } = entry;
    if (typeof dtype !== "string" || !Object.hasOwn(bits, dtype))
      throw damaged(`${what} has the unknown dtype ${String(JSON.stringify(dtype)).slice(0, 20)}`);
    if (!isWhole(shape) || shape.length > 32)
      throw damaged(`the shape of ${what} is no list of whole numbers`);
    if (!isWhole(offsets) || offsets.length !== 2)
      throw damaged(`the data_offsets of ${what} are no two numbers`);
    const elements = shape.reduce((product, size) => product * size, 1);
    const [from, to] = offsets as [number, number];
    if (!Number.isSafeInteger(elements) || to - from !== Math.ceil((elements * bits[dtype]!) / 8))
      throw damaged(`${what} has ${elements} elements of ${dtype} in ${to - from} bytes`);
    arrays.push({ name, dtype, shape, bytes: bits[dtype]! / 8, begin: from, end: to });
  }
  let end = 0;
  for (const array of arrays.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (array.begin !== end)
      throw damaged(
        `"${array.name.slice(0, 60)}" begins at ${array.begin}, where ${array.begin < end ? "another array lies" : "nothing ends"} (${end})`,
      );
    end = array.end;
  }
  if (begin + end !== source.size)
    throw damaged(`its arrays end at ${begin + end}, the file has ${source.size} bytes`);
  return arrays;
}

const isWhole = (list: unknown): list is readonly number[] =>
  Array.isArray(list) && list.every((n) => Number.isSafeInteger(n) && n >= 0);

/** @throws AdvisorError when the header is damaged, or its shapes are of no model. */
export const readSafetensors = (source: ByteSource, tokens?: number): Architecture =>
  inferLayers(readHeader(source), basename(source.name), tokens);

/**
 * A sharded model from its index: the header of every file that the index names.
 *
 * @throws AdvisorError when a file is missing or damaged, or lacks an array that the index puts there.
 */
export function readShards(index: unknown, path: string, tokens?: number): Architecture {
  const map = isObject(index) ? index.weight_map : undefined;
  if (!isObject(map) || Object.keys(map).length === 0)
    throw new AdvisorError(`"${path}" has no weight_map; download it again`);
  const shards = new Map<string, string[]>();
  for (const [array, file] of Object.entries(map)) {
    if (typeof file !== "string" || file !== basename(file) || file.includes("\\") || file.length > 255)
      throw new AdvisorError(
        `"${path}" puts "${array.slice(0, 60)}" into ${String(JSON.stringify(file)).slice(0, 60)}, which is no name of a file beside it`,
      );
    const held = shards.get(file);
    if (held) held.push(array);
    else shards.set(file, [array]);
    if (shards.size > mostShards)
      throw new AdvisorError(`"${path}" names more than ${mostShards} files: it is too large to be read`);
  }
  const arrays = [...shards].flatMap(([file, expected]) => {
    const held = withShard(join(dirname(path), file), path);
    const names = new Set(held.map(({ name }) => name));
    const missing = expected.find((name) => !names.has(name));
    if (missing !== undefined)
      throw new AdvisorError(`"${file}" lacks "${missing.slice(0, 60)}", which "${path}" puts there`);
    return held;
  });
  const seen = new Set<string>();
  for (const { name } of arrays) {
    if (seen.has(name)) throw new AdvisorError(`two of the files of "${path}" hold "${name.slice(0, 60)}"`);
    seen.add(name);
  }
  return inferLayers(arrays, basename(path), tokens);
}

function withShard(file: string, index: string): StoredArray[] {
  try {
    return withFile(file, readHeader);
  } catch (error) {
    if (error instanceof AdvisorError && error.message.endsWith("is no file"))
      throw new AdvisorError(
        `"${file}" is missing, and "${index}" tells names but no shapes; download it, or give the model's config.json`,
      );
    throw error;
  }
}
