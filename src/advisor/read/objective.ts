/** A model that can be run here: its costs are counted from the very programs that train it. */
import { cost } from "../../compiler/cost.js";
import { modelShapeOf } from "../../curvature/model-shape.js";
import { argumentsOf, gradientOf, type Objective } from "../../curvature/objective.js";
import { type Architecture, productFlops } from "../model.js";

/**
 * The architecture of an objective, for the batch that it was made for. Traces the loss; runs nothing.
 *
 *     costsOf(architectureOf(instance.objective, "digits-mlp"), "kfac", {}, setting)
 *
 * @throws Error when the objective's trace gives no outputCurvature.
 */
export function architectureOf(objective: Objective, name: string): Architecture {
  const given = argumentsOf(objective);
  const traced = objective.trace(given.parameters, given.batch, given.state, given.key);
  const examples = traced.outputCurvature!.outputs.shape[0]!;
  const shape = modelShapeOf(objective);
  const forward = cost({ inputs: given.inputs, outputs: [traced.loss] });
  const gradient = cost({
    inputs: given.inputs,
    outputs: [traced.loss, gradientOf(traced.loss, given.parameters)],
  });
  const scalarBytes = objective.dtype === "f64" ? 8 : 4;
  // What is multiplied beside the layers: attention's scores and sums.
  const layers = shape.layers.reduce((sum, layer) => sum + productFlops(layer), 0);
  return {
    ...shape,
    name,
    kind: objective.players ? "other" : kindOf(shape),
    example: "example",
    storedBytes: scalarBytes,
    otherForwardFlops: Math.max(0, forward.matmulFlops / examples - layers),
    activations: gradient.arenaBytes / scalarBytes / examples,
    elementwise: {
      operations: gradient.elementwiseFlops / examples,
      transcendentals: gradient.transcendentals / examples,
      bytes: gradient.elementwiseBytes / examples,
      steps: gradient.steps,
    },
    ...(objective.players && { task: "adversarial" }),
    notes: [
      `counted from the programs of a batch of ${examples.toLocaleString("en-US")}`,
      ...(objective.players ? [`${objective.players.join(" against ")}: --task adversarial`] : []),
    ],
  };
}

function kindOf({ layers }: Pick<Architecture, "layers">): Architecture["kind"] {
  if (layers.some(({ kind }) => kind === "conv2d")) return "convolutional";
  if (layers.some(({ kind }) => kind === "embedding")) return "transformer";
  if (layers.some(({ kind, uses }) => kind === "dense" && uses > 1)) return "recurrent";
  return layers.every(({ kind }) => kind === "dense") ? "dense" : "other";
}
