/**
 * Files of results. What is written is there whole or not at all, whatever kills the process; what is read is checked
 * field by field, since disks fill, people edit and versions change.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import * as v from "valibot";
import { explainFileError, UserError } from "./errors.js";

/** Bytes beyond which a file is none of ours. */
const largest = 1 << 22;

/** The folder and those above it, made if need be. @throws UserError */
export function makeFolder(folder: string): void {
  // Node's own recursion never ends below /proc, where nothing can be made and nothing says so.
  const missing: string[] = [];
  for (let path = resolve(folder); !existsSync(path); path = dirname(path)) missing.push(path);
  try {
    if (missing.length === 0 && !statSync(folder).isDirectory())
      throw new UserError(`"${folder}" is a file; choose another folder with --out`);
    for (const path of missing.reverse()) if (!existsSync(path)) mkdirSync(path);
  } catch (error) {
    throw explainFileError(error, folder);
  }
}

/** Writes a file under another name and renames it: readers see the old one or the new one, never half of it. */
export function replaceFile(path: string, content: string | Uint8Array): void {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  try {
    rmSync(temporary, { force: true });
    const descriptor = openSync(temporary, "wx");
    try {
      writeWhole(descriptor, content);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, path);
  } catch (error) {
    try {
      rmSync(temporary, { force: true });
    } catch {
      // What went wrong first is what is reported.
    }
    throw explainFileError(error, path);
  }
}

/** All of it: the system may write less than it was given. */
export function writeWhole(descriptor: number, content: string | Uint8Array): void {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  for (let done = 0; done < bytes.length; ) done += writeSync(descriptor, bytes, done, bytes.length - done);
}

/** The same of JSON for people to read. */
export const replaceJson = (path: string, value: unknown): void =>
  replaceFile(path, `${JSON.stringify(value, undefined, 2)}\n`);

/** A JSON file that satisfies the schema, or undefined when there is none. @throws UserError when it is damaged. */
export function readJson<S extends v.GenericSchema>(path: string, schema: S): v.InferOutput<S> | undefined {
  const bytes = readFile(path, largest);
  return bytes && validate(schema, parseJson(bytes.toString("utf8"), path), path);
}

/** A regular file of at most `limit` bytes, or undefined when there is none. @throws UserError */
export function readFile(path: string, limit: number): Buffer | undefined {
  try {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (!stats) return undefined;
    if (!stats.isFile()) throw new UserError(`"${path}" is not a regular file; move it away`);
    if (stats.size > limit)
      throw new UserError(`"${path}" is damaged: ${stats.size} bytes are more than such a file can have`);
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOTDIR") return undefined;
    throw explainFileError(error, path);
  }
}

/**
 * Checks data from a file against a schema.
 *
 * @throws UserError with the file, the field, its value and what was expected.
 */
export function validate<S extends v.GenericSchema>(
  schema: S,
  data: unknown,
  file: string,
): v.InferOutput<S> {
  const result = v.safeParse(schema, data);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const field = v.getDotPath(issue) ?? "the whole file";
  const found = issue.received === "undefined" ? "is missing" : `is ${shorten(issue.received)}`;
  // What a function checks has no other words than its message.
  const wanted = issue.type === "check" ? issue.message : (issue.expected ?? issue.requirement);
  throw new UserError(
    `"${file}" is damaged or of another program: ${field} ${found}, expected ${shorten(wanted)}; restore the file or start a new run`,
  );
}

/** Parses JSON from a file. @throws UserError when it is not JSON. */
export function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = (error as Error).message.split("\n")[0]!.slice(0, 100);
    throw new UserError(
      `"${file}" is damaged: it is not JSON (${reason}); restore the file or start a new run`,
      { cause: error },
    );
  }
}

const shorten = (value: unknown): string => {
  const text = String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
};

/** An argument as a shell needs it. */
export const quote = (argument: string): string =>
  /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
