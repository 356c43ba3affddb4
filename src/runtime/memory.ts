/**
 * One WebAssembly memory for everything that programs touch: parameters, batches, activations, workspaces.
 * Space is handed out in blocks on a 64-byte grid and can be given back; the memory grows when no block is free.
 */
import { bytesOf, type Data, type DType, allocate as zeroed } from "../tensor/dtype.js";
import { type Shape, ShapeError, sizeOf } from "../tensor/shape.js";

const pageBytes = 65536;
const maximumPages = 65536;
const alignment = 64;
/** Bytes behind every block that vector loads may touch. */
const slack = 64;

/** Elements at a fixed address of the memory. */
export interface Buffer {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly size: number;
  readonly address: number;
  /** The live elements: writing here is what the next run reads. */
  readonly data: Data;
  /** Copies values in. @throws ShapeError when their number differs. */
  set(values: ArrayLike<number>): void;
  /** A copy of the elements. */
  copy(): Data;
  release(): void;
}

export interface Memory {
  readonly memory: WebAssembly.Memory;
  readonly shared: boolean;
  /** Address of a new block, zeroed. @throws Error when 4 GiB, or what the system has, are not enough. */
  allocate(bytes: number): number;
  release(address: number): void;
  /** Bytes in use, and the size of the memory. */
  readonly used: number;
  readonly reserved: number;
  buffer(dtype: DType, shape: Shape): Buffer;
}

export function createMemory(shared: boolean): Memory {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: maximumPages, shared });
  // Sorted by address; address 0 stays unused so that it can mean "nothing".
  let free: { start: number; end: number }[] = [];
  let end = alignment;
  let used = 0;
  const blocks = new Map<number, number>();

  const grow = (bytes: number) => {
    const missing = end + bytes - memory.buffer.byteLength;
    if (missing <= 0) return;
    // Doubling keeps the number of growths small.
    const wanted = Math.max(
      Math.ceil(missing / pageBytes),
      Math.min(1024, memory.buffer.byteLength / pageBytes),
    );
    const pages = Math.min(wanted, maximumPages - memory.buffer.byteLength / pageBytes);
    if (pages * pageBytes < missing)
      throw new Error(
        `memory: ${format(bytes)} more would exceed WebAssembly's 4 GiB (${format(used)} in use); ` +
          "use a smaller batch or model, or release executables that are no longer needed",
      );
    try {
      memory.grow(pages);
    } catch (error) {
      throw new Error(
        `memory: the system gives no ${format(pages * pageBytes)} more (${format(memory.buffer.byteLength)} reserved); ` +
          "use a smaller batch or model, or release executables that are no longer needed",
        { cause: error },
      );
    }
  };
  const allocate = (bytes: number): number => {
    const length = Math.ceil((bytes + slack) / alignment) * alignment;
    let index = -1;
    free.forEach((block, k) => {
      const size = block.end - block.start;
      if (size >= length && (index < 0 || size < free[index]!.end - free[index]!.start)) index = k;
    });
    let start: number;
    if (index >= 0) {
      const block = free[index]!;
      start = block.start;
      block.start += length;
      if (block.start === block.end) free.splice(index, 1);
    } else {
      grow(length);
      start = end;
      end += length;
    }
    blocks.set(start, length);
    used += length;
    new Uint8Array(memory.buffer, start, length).fill(0);
    return start;
  };
  const release = (address: number) => {
    const length = blocks.get(address);
    if (length === undefined) throw new Error(`memory: ${address} is not the address of a block`);
    blocks.delete(address);
    used -= length;
    free.push({ start: address, end: address + length });
    free.sort((a, b) => a.start - b.start);
    const merged: typeof free = [];
    for (const block of free) {
      const last = merged.at(-1);
      if (last && last.end === block.start) last.end = block.end;
      else merged.push({ ...block });
    }
    if (merged.at(-1)?.end === end) end = merged.pop()!.start;
    free = merged;
  };
  const buffer = (dtype: DType, shape: Shape): Buffer => {
    const size = sizeOf(shape);
    const address = allocate(size * bytesOf(dtype));
    const View = dtype === "f32" ? Float32Array : dtype === "f64" ? Float64Array : Int32Array;
    let view: Data = new View(memory.buffer as ArrayBuffer, address, size);
    return {
      dtype,
      shape,
      size,
      address,
      get data() {
        // An unshared memory leaves old views empty when it grows.
        if (view.length !== size) view = new View(memory.buffer as ArrayBuffer, address, size);
        return view;
      },
      set(values) {
        if (values.length !== size)
          throw new ShapeError(
            `buffer: ${values.length} values for a buffer of ${size} (shape [${shape.join(", ")}])`,
          );
        this.data.set(values);
      },
      copy() {
        const values = zeroed(dtype, size);
        values.set(this.data);
        return values;
      },
      release: () => release(address),
    };
  };
  return {
    memory,
    shared,
    allocate,
    release,
    buffer,
    get used() {
      return used;
    },
    get reserved() {
      return memory.buffer.byteLength;
    },
  };
}

const format = (bytes: number) =>
  bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(2)} GiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
