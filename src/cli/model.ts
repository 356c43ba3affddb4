/** The model that a command is about: a file, widths, or a problem by name. */
import type { Architecture } from "../advisor/model.js";
import { readModel } from "../advisor/read/model-file.js";
import { architectureOf } from "../advisor/read/objective.js";
import type { Task } from "../advisor/situation.js";
import { isModulePath } from "../lab/problems/own.js";
import { loadProblem, problems } from "../lab/problems/registry.js";
import type { Runtime } from "../runtime/runtime.js";
import { readProblem } from "./options.js";

/** Whether a text names a problem that can be trained here. */
export function isProblem(text: string): boolean {
  const [name] = text.split(":") as [string];
  return isModulePath(name) || problems.some((problem) => problem.name === name);
}

export interface OpenedModel {
  readonly model: Architecture;
  /** What a problem of the lab knows of its training; of files of models some know the task. */
  readonly task?: Task;
  readonly batch?: number;
  readonly fullBatch?: boolean;
}

/**
 * Reads a model from what was typed.
 *
 * @throws AdvisorError when it is nothing that can be read.
 */
export async function openModel(
  text: string,
  { batch, tokens }: { readonly batch: number | undefined; readonly tokens: number | undefined },
  runtime: () => Promise<Runtime>,
): Promise<OpenedModel> {
  if (isProblem(text)) return problemModel(text, batch, await runtime());
  const model = await readModel(text, { tokens });
  return { model, ...(model.task && { task: model.task }) };
}

async function problemModel(text: string, given: number | undefined, runtime: Runtime): Promise<OpenedModel> {
  const problem = await loadProblem(readProblem(text));
  const batch = given ?? problem.defaults.batch;
  const instance = problem.start(runtime, { seed: 0, batch });
  try {
    const model = architectureOf(instance.objective, text);
    const task = problem.task ?? model.task;
    return { model, ...(task && { task }), batch, fullBatch: instance.sameBatch };
  } finally {
    instance.release();
  }
}
