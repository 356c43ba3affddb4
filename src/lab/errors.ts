/** Mistakes and mishaps that a person can mend: one line that names the value and the remedy, never a stack. */

/**
 * What a person can mend: a value and a remedy in one line.
 *
 *     throw new UserError(`"${folder}" is not empty; choose another folder with --out`);
 */
export class UserError extends Error {
  override readonly name = "UserError";
}

/** A wrong command line, as opposed to something wrong in the world. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

interface SystemError extends Error {
  readonly code?: string;
  readonly path?: string;
}

/**
 * A failed file operation in the user's terms; other errors are returned as they are.
 *
 *     try { … } catch (error) { throw explainFileError(error, "runs/one/metrics.jsonl"); }
 */
export function explainFileError(error: unknown, path: string): unknown {
  if (!(error instanceof Error) || error instanceof UserError) return error;
  const sentence = fileSentences[(error as SystemError).code ?? ""];
  return sentence ? new UserError(sentence(path), { cause: error }) : error;
}

const fileSentences: Record<string, (path: string) => string> = {
  ENOSPC: (path) => `no space left on the disk while writing "${path}"; free some space, then resume`,
  EDQUOT: (path) => `disk quota exceeded while writing "${path}"; free some space, then resume`,
  EFBIG: (path) => `"${path}" would exceed the largest file size allowed here; raise the limit (ulimit -f)`,
  EACCES: (path) =>
    `no permission for "${path}"; choose another folder with --out, or change its permissions`,
  EPERM: (path) => `no permission for "${path}"; choose another folder with --out, or change its permissions`,
  EROFS: (path) => `"${path}" is on a read-only file system; choose another folder with --out`,
  ENOTDIR: (path) => `a part of "${path}" is a file, not a folder; choose another folder with --out`,
  EEXIST: (path) => `"${path}" exists and is not a folder; choose another folder with --out`,
  EISDIR: (path) => `"${path}" is a folder where a file is needed; move it away`,
  ENOENT: (path) => `"${path}" does not exist and cannot be made; choose another folder with --out`,
  ENAMETOOLONG: (path) => `the path "${path.slice(0, 60)}…" is too long; choose a shorter one with --out`,
  EMFILE: (path) => `too many open files while opening "${path}"; raise the limit (ulimit -n)`,
  ELOOP: (path) => `"${path}" is a circle of symbolic links; choose another folder with --out`,
};
