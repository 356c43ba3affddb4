/** An objective on some of its batch: for curvature, which tolerates more noise than the gradient does. */
import type { Objective } from "../curvature/objective.js";
import { compileEvaluation, type Evaluation } from "./evaluation.js";
import { SettingsError } from "./settings.js";

/**
 * The objective on the first `count` examples of its batch, sharing its buffers: whatever is written to the batch holds
 * for both. Every array of the batch has the examples along its first axis. The batch's examples should be in random
 * order, or the first of them are not like the others.
 *
 *     const G = curvatureOperator(firstExamples("hessianFree", objective, 128), "gaussNewton");
 *
 * @throws SettingsError when the arrays of the batch do not agree in a number of examples, or have fewer.
 */
export function firstExamples(method: string, objective: Objective, count: number): Objective {
  const sizes = objective.batch.map(({ shape }) => shape[0]);
  if (sizes.length === 0 || sizes.some((size) => size === undefined || size !== sizes[0]))
    throw new SettingsError(
      `${method}: a part of the batch needs its examples along the first axis of every array; the arrays are ` +
        (objective.batch.map(({ shape }) => `[${shape.join(", ")}]`).join(", ") || "none"),
    );
  if (count > sizes[0]!)
    throw new SettingsError(`${method}: ${count} examples of a batch of ${sizes[0]}; use at most as many`);
  let evaluation: Evaluation | undefined;
  const part: Objective = {
    ...objective,
    trace: (parameters, batch, state, key) =>
      objective.trace(
        parameters,
        batch.map((array) => array.slice(0, 0, count)),
        state,
        key,
      ),
    loss: () => part.gradient().loss,
    gradient() {
      evaluation ??= compileEvaluation(part);
      const { loss } = evaluation.run();
      return { loss, gradient: evaluation.gradient };
    },
    release: () => evaluation?.release(),
  };
  return part;
}
