/** Bytes of a file that are read where they are asked for: a model's weights never are. */
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { AdvisorError } from "../error.js";

export interface ByteSource {
  /** What messages call it. */
  readonly name: string;
  readonly size: number;
  /** The bytes [begin, begin + length), fewer at the end. The caller bounds the length. */
  read(begin: number, length: number): Uint8Array;
}

export const sourceOf = (bytes: Uint8Array, name: string): ByteSource => ({
  name,
  size: bytes.length,
  read: (begin, length) => bytes.subarray(begin, begin + length),
});

/**
 * Calls `use` with an open file, and closes it.
 *
 * @throws AdvisorError when it cannot be opened or is no regular file.
 */
export function withFile<T>(path: string, use: (source: ByteSource) => T): T {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile()) throw new AdvisorError(`"${path}" is no file`);
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    throw new AdvisorError(`"${path}" cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
  try {
    return use({
      name: path,
      size: stat.size,
      read(begin, length) {
        const bytes = new Uint8Array(Math.max(0, Math.min(length, stat.size - begin)));
        return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, begin));
      },
    });
  } finally {
    closeSync(file);
  }
}
