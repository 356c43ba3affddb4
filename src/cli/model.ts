/** The model that a command is about: a file, widths, or a problem by name. */
import { AdvisorError } from "../advisor/error.js";
import type { Architecture } from "../advisor/model.js";
import { isLayerList, readLayerList } from "../advisor/read/layer-list.js";
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
  if (isLayerList(text)) return readLayerList(text);
  if (isProblem(text)) return problemModel(text, batch, await runtime());
  throw new AdvisorError(
    `"${text}" is no model that can be read; give widths such as 784-128-10, or a problem (thalweg list names them)`,
  );
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
