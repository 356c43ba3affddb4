/** One owner for a folder: a file `lock` that names the process. A dead owner's lock is taken over. */

import { randomUUID } from "node:crypto";
import { closeSync, openSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { explainFileError, UserError } from "./errors.js";

interface Owner {
  readonly pid: number;
  readonly host: string;
  readonly token: string;
}

/**
 * Takes the folder; the result gives it back (and so does the end of the process).
 *
 * @throws UserError when a living process has it.
 */
export async function lockFolder(folder: string): Promise<() => void> {
  const path = join(folder, "lock");
  const own: Owner = { pid: process.pid, host: hostname(), token: randomUUID() };
  const text = `${JSON.stringify(own)}\n`;
  if (!createExclusively(path, text)) {
    const owner = read(path);
    if (owner && isAlive(owner))
      throw new UserError(
        `"${folder}" is in use by process ${owner.pid}${owner.host === own.host ? "" : ` on ${owner.host}`}; ` +
          `wait for it, or delete "${path}" if that process is not a training`,
      );
    // The last of several who take over at once is the owner: all look again when every one of them has written.
    const mine = `${path}.${own.token}`;
    try {
      writeFileSync(mine, text);
      renameSync(mine, path);
    } catch (error) {
      throw explainFileError(error, path);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
    const last = read(path);
    if (last?.token !== own.token)
      throw new UserError(`"${folder}" was taken by process ${last?.pid ?? "?"} just now; wait for it`);
  }
  const release = () => {
    process.removeListener("exit", release);
    if (read(path)?.token === own.token) rmSync(path, { force: true });
  };
  process.once("exit", release);
  return release;
}

/** Does the work while this process has the folder. @throws UserError when a living process has it. */
export async function whileLocked<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const release = await lockFolder(folder);
  try {
    return await work();
  } finally {
    release();
  }
}

function createExclusively(path: string, text: string): boolean {
  let descriptor: number;
  try {
    descriptor = openSync(path, "wx");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw explainFileError(error, path);
  }
  try {
    writeSync(descriptor, text);
  } catch (error) {
    rmSync(path, { force: true });
    throw explainFileError(error, path);
  } finally {
    closeSync(descriptor);
  }
  return true;
}

/** The owner, or undefined when the file is gone or was not written whole. */
function read(path: string): Owner | undefined {
  try {
    const value = JSON.parse(readFileSync(path, "utf8").slice(0, 4096)) as Partial<Owner> | null;
    if (typeof value?.pid !== "number" || typeof value.host !== "string") return undefined;
    return { pid: value.pid, host: value.host, token: String(value.token) };
  } catch {
    return undefined;
  }
}

function isAlive(owner: Owner): boolean {
  // Another machine's processes cannot be asked.
  if (owner.host !== hostname()) return true;
  if (!Number.isSafeInteger(owner.pid) || owner.pid < 1) return false;
  try {
    process.kill(owner.pid, 0);
    return !isZombie(owner.pid);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Whether it has been killed, but its parent has not asked for it yet; in a container nobody may ever ask. Linux only. */
function isZombie(pid: number): boolean {
  try {
    // "pid (name) state …": the name may hold anything.
    const status = readFileSync(`/proc/${pid}/stat`, "utf8");
    return /^[ZX]/.test(status.slice(status.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}
