/** The model that a command is about: a file, widths, or a problem by name. */
import type { Architecture } from "../advisor/model.js";
import { readModel } from "../advisor/read/model-file.js";
import { architectureOf } from "../advisor/read/objective.js";
import { openProblem, problems } from "../lab/problems/registry.js";
import type { Runtime } from "../runtime/runtime.js";
import { readProblem } from "./options.js";

/** Whether a text names a problem that can be trained here. */
export const isProblem = (text: string): boolean =>
  problems.some((problem) => problem.name === text.split(":")[0]);

/**
 * Reads a model from what was typed.
 *
 * @throws AdvisorError when it is nothing that can be read.
 */
export async function openModel(text: string, batch: number | undefined, runtime: () => Promise<Runtime>) {
  return isProblem(text) ? problemModel(text, batch, await runtime()) : readModel(text);
}

function problemModel(text: string, given: number | undefined, runtime: Runtime): Architecture {
  const problem = openProblem(readProblem(text));
  const batch = given ?? problem.defaults.batch;
  const instance = problem.start(runtime, { seed: 0, batch });
  try {
    return architectureOf(instance.objective, text);
  } finally {
    instance.release();
  }
}
