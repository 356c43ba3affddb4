/**
 * IDX files, the format of MNIST: bytes 0 0 type rank, one big-endian u32 for each extent, then the elements.
 * http://yann.lecun.com/exdb/mnist/
 */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { DataError } from "./error.js";

export interface IdxArray {
  readonly shape: readonly number[];
  readonly data: Uint8Array | Int8Array | Int16Array | Int32Array | Float32Array | Float64Array;
}

const types = {
  8: { bytes: 1, read: (v: DataView, at: number) => v.getUint8(at), make: (n: number) => new Uint8Array(n) },
  9: { bytes: 1, read: (v: DataView, at: number) => v.getInt8(at), make: (n: number) => new Int8Array(n) },
  11: { bytes: 2, read: (v: DataView, at: number) => v.getInt16(at), make: (n: number) => new Int16Array(n) },
  12: { bytes: 4, read: (v: DataView, at: number) => v.getInt32(at), make: (n: number) => new Int32Array(n) },
  13: {
    bytes: 4,
    read: (v: DataView, at: number) => v.getFloat32(at),
    make: (n: number) => new Float32Array(n),
  },
  14: {
    bytes: 8,
    read: (v: DataView, at: number) => v.getFloat64(at),
    make: (n: number) => new Float64Array(n),
  },
} as const;
const isType = (code: number): code is keyof typeof types => code in types;

/** A decompressed file may not be larger than this. */
const largest = 2 ** 31;

/**
 * Reads an IDX file, gzipped or not.
 *
 *     const { shape, data } = readIdx("train-images-idx3-ubyte.gz");   // shape [60000, 28, 28]
 *
 * @throws DataError when the file is missing, truncated, too long, or not IDX.
 */
export function readIdx(path: string): IdxArray {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new DataError(
      `"${path}" cannot be read (${(error as NodeJS.ErrnoException).code ?? error}); check the path`,
    );
  }
  return parseIdx(bytes, path);
}

/**
 * The same from bytes, gzipped or not; `name` is what messages call them.
 *
 *     const { shape, data } = parseIdx(await readFile(path), path);
 *
 * @throws DataError when they are truncated, too long, or not IDX.
 */
export function parseIdx(source: Uint8Array, name: string): IdxArray {
  let bytes = source;
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    try {
      bytes = gunzipSync(bytes, { maxOutputLength: largest });
    } catch (error) {
      throw new DataError(
        `"${name}" is damaged gzip data (${(error as Error).message}); download or copy it again`,
      );
    }
  }
  if (bytes.length < 4)
    throw new DataError(`"${name}" has ${bytes.length} bytes, too few for an IDX header; is it complete?`);
  const [zero, zero2, code, rank] = bytes as unknown as [number, number, number, number];
  if (zero !== 0 || zero2 !== 0 || !isType(code))
    throw new DataError(
      `"${name}" is not an IDX file: it starts with bytes ${[...bytes.subarray(0, 4)].join(" ")}, not 0 0 (8, 9, 11–14) rank`,
    );
  const header = 4 + 4 * rank;
  if (bytes.length < header)
    throw new DataError(
      `"${name}" ends inside its header (${bytes.length} of ${header} bytes); is it complete?`,
    );
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const type = types[code];
  const count = shape.reduce((a, b) => a * b, 1);
  const wanted = header + count * type.bytes;
  if (bytes.length !== wanted)
    throw new DataError(
      `"${name}" has ${bytes.length} bytes where shape [${shape.join(", ")}] needs ${wanted}: it is ${bytes.length < wanted ? "truncated" : "too long"}; get it again`,
    );
  const data = type.make(count);
  for (let i = 0; i < count; i++) data[i] = type.read(view, header + i * type.bytes);
  return { shape, data };
}

/**
 * Uint8 elements, row-major, as an IDX file.
 *
 *     writeFileSync("images-idx3-ubyte", encodeIdx([2, 28, 28], pixels));   // pixels has 2·28·28 elements
 */
export function encodeIdx(shape: readonly number[], data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * shape.length + data.length);
  const view = new DataView(bytes.buffer);
  bytes[2] = 8;
  bytes[3] = shape.length;
  shape.forEach((n, axis) => {
    view.setUint32(4 + 4 * axis, n);
  });
  bytes.set(data, 4 + 4 * shape.length);
  return bytes;
}
