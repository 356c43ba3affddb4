/** The model that a command is about: a file, widths, or a problem by name. */
import { AdvisorError } from "../advisor/error.js";
import type { Architecture } from "../advisor/model.js";
import { isLayerList, readLayerList } from "../advisor/read/layer-list.js";
import { architectureOf } from "../advisor/read/objective.js";
import { openProblem, problems } from "../lab/problems/registry.js";
import type { Runtime } from "../runtime/runtime.js";
import { readProblem } from "./options.js";

/**
 * Reads a model from what was typed.
 *
 * @throws AdvisorError when it is nothing that can be read.
 */
export async function openModel(text: string, batch: number | undefined, runtime: () => Promise<Runtime>) {
  if (isLayerList(text)) return readLayerList(text);
  const name = text.split(":")[0]!;
  if (problems.some((problem) => problem.name === name)) return problemModel(text, batch, await runtime());
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
