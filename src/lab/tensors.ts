/** Named arrays as a safetensors file: checkpoints that other tools read too. */
import type { NDArray } from "../tensor/array.js";
import { allocate, bytesOf, type Data } from "../tensor/dtype.js";
import { sizeOf } from "../tensor/shape.js";
import { UserError } from "./errors.js";

export interface NamedArray extends NDArray {
  readonly name: string;
}

const codes = { f32: "F32", f64: "F64", i32: "I32", bool: "I32" } as const;
const dtypes = { F32: "f32", F64: "f64", I32: "i32" } as const;

/**
 * The file: 8 bytes of header length, the header (JSON, padded to 8 bytes), then the data in order.
 *
 *     encodeTensors([{ name: "w", dtype: "f32", shape: [2], data: Float32Array.of(1, 2) }], { made: "by hand" })
 */
export function encodeTensors(
  arrays: readonly NamedArray[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  let end = 0;
  const entries = arrays.map(({ name, dtype, shape, data }) => {
    const begin = end;
    end += data.length * bytesOf(dtype);
    return [name, { dtype: codes[dtype], shape, data_offsets: [begin, end] }];
  });
  const text = new TextEncoder().encode(
    JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) }),
  );
  const header = Math.ceil(text.length / 8) * 8;
  const file = new Uint8Array(8 + header + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(header), true);
  file.fill(0x20, 8, 8 + header);
  file.set(text, 8);
  let at = 8 + header;
  for (const { data } of arrays) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}

/**
 * The arrays and texts of a safetensors file.
 *
 *     const { arrays } = decodeTensors(readFileSync(path), path);
 *
 * @throws UserError naming the file and what is wrong with it.
 */
export function decodeTensors(
  file: Uint8Array,
  path: string,
): { metadata: Readonly<Record<string, string>>; arrays: NamedArray[] } {
  const damaged = (what: string) =>
    new UserError(`"${path}" is damaged: ${what}; delete it to start from the first step`);
  if (file.length < 8) throw damaged(`${file.length} bytes are no safetensors file`);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const length = Number(view.getBigUint64(0, true));
  if (length > file.length - 8) throw damaged(`its header of ${length} bytes is longer than the file`);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
  } catch {
    throw damaged("its header is not JSON");
  }
  if (typeof header !== "object" || header === null || Array.isArray(header))
    throw damaged("its header is not an object");
  const { __metadata__: metadata = {}, ...tensors } = header as Record<string, unknown>;
  if (
    typeof metadata !== "object" ||
    metadata === null ||
    Object.values(metadata).some((value) => typeof value !== "string")
  )
    throw damaged("its metadata are not texts");
  const bytes = file.subarray(8 + length);
  const arrays = Object.entries(tensors).map(([name, entry]): NamedArray => {
    const { dtype: code, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>;
    const dtype = dtypes[code as keyof typeof dtypes];
    const whole = (list: unknown): list is number[] =>
      Array.isArray(list) && list.every((n) => Number.isSafeInteger(n) && n >= 0);
    if (!dtype || !whole(shape) || !whole(offsets) || offsets.length !== 2)
      throw damaged(`the entry "${name.slice(0, 60)}" is malformed`);
    const [begin, end] = offsets as [number, number];
    if (end > bytes.length || end - begin !== sizeOf(shape) * bytesOf(dtype))
      throw damaged(`"${name.slice(0, 60)}" should have ${sizeOf(shape)} elements, the file is cut short`);
    const data: Data = allocate(dtype, sizeOf(shape));
    new Uint8Array(data.buffer).set(bytes.subarray(begin, end));
    return { name, dtype, shape, data };
  });
  return { metadata: metadata as Record<string, string>, arrays };
}
