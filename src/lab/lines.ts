/**
 * Files of JSON lines that grow while work goes on: a line for each thing that is done, added at the end. Whatever kills
 * the process, the lines before stay; the one that it was writing may lack its end, and then it counts for nothing.
 */
import { closeSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeFileSync } from "node:fs";
import type * as v from "valibot";
import { explainFileError } from "./errors.js";
import { parseJson, readFile, replaceFile, validate } from "./files.js";

/** Bytes beyond which a file is none of ours. */
const largest = 1 << 28;

/** All lines of a file with their places, "trials.jsonl:3"; none when there is no file. @throws UserError */
export function readLines<S extends v.GenericSchema>(
  path: string,
  schema: S,
): { readonly line: v.InferOutput<S>; readonly place: string }[] {
  const bytes = readFile(path, largest);
  if (!bytes) return [];
  return bytes
    .toString("utf8")
    .split("\n")
    .slice(0, -1)
    .map((text, k) => {
      const place = `${path}:${k + 1}`;
      return { line: validate(schema, parseJson(text, place), place), place };
    });
}

/** A line of JSON. */
export const lineOf = (value: unknown): string => `${JSON.stringify(value)}\n`;

/** All lines anew, as a whole. @throws UserError */
export const replaceLines = (path: string, values: readonly unknown[]): void =>
  replaceFile(path, values.map(lineOf).join(""));

/** Adds a line, which is on the disk when this returns. @throws UserError */
export function appendLine(path: string, value: unknown): void {
  try {
    const descriptor = openSync(path, "a+");
    try {
      // A line that was cut off must not become the beginning of this one.
      ftruncateSync(descriptor, readFileSync(path).lastIndexOf("\n") + 1);
      writeFileSync(descriptor, lineOf(value));
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw explainFileError(error, path);
  }
}
