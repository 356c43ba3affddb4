/** A run in its folder: begun there, or gone on with. */
import type { Runtime } from "../runtime/runtime.js";
import { describeEnvironment } from "./machine.js";
import type { Problem } from "./problem.js";
import { type RunOptions, train } from "./run.js";
import { type RunRecord, readRun, runExists } from "./run-record.js";
import { openSession } from "./session.js";
import type { RunSettings } from "./settings.js";
import { isFinal } from "./stop.js";
import { createRun, resumeRun } from "./store.js";

/**
 * Runs to the end, or as far as the signal lets it, and tells what the folder holds then. A run that has ended stays as
 * it is; one that was interrupted goes on from its checkpoint.
 *
 * @throws UserError when the folder holds something else or cannot be written.
 */
export async function recordedRun(
  runtime: Runtime,
  problem: Problem,
  folder: string,
  settings: RunSettings,
  options: RunOptions,
): Promise<RunRecord> {
  const before = runExists(folder) ? readRun(folder) : undefined;
  if (before?.result && isFinal(before.result.reason)) return before;
  const session = openSession(runtime, problem, settings);
  options.onSession?.(session);
  try {
    const store = before
      ? await resumeRun(folder)
      : await createRun(folder, settings, describeEnvironment(runtime));
    try {
      await train(store, session, options);
    } finally {
      store.close();
    }
  } finally {
    session.release();
  }
  return readRun(folder);
}
