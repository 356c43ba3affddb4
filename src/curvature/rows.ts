/**
 * A square root of the Gauss–Newton matrix, row by row: with Jᵢ the Jacobian of example i's outputs and Hᵢ = Sᵢ Sᵢᵀ,
 *
 *     R [rows, n],   RᵀR = (1/N) Σᵢ Jᵢᵀ Hᵢ Jᵢ,   row (i, c) = N^(−½) (Jᵢᵀ Sᵢ)_c
 *
 * The rows of all examples come from one backward pass an output: the gradient of a marked layer's weight is a sum over
 * its places of x gᵀ, and x and g are known for each example. So R costs about what a gradient does, and RᵀR one matrix
 * product, where the matrix by products costs n of them.
 */

import type { Entry, Layout } from "../nn/parameters.js";
import { concat, full, type Tensor } from "../tensor/tensor.js";
import { termsOf } from "./kronecker/blocks.js";
import { backward } from "./kronecker/gradients.js";
import { readUses, type Use } from "./kronecker/uses.js";
import type { TracedLoss } from "./objective.js";
import type { OutputCurvature } from "./output-curvature.js";

/** More outputs than so many an example, and products are cheaper. */
const mostOutputs = 64;

/**
 * R, or undefined where it cannot be had so: parameters outside of dense, convolution and norm layers, a regulariser,
 * many outputs. It assumes that each example's outputs depend on that example alone; the graph does not tell, so the
 * caller has to compare with a product.
 */
export function curvatureRows(traced: TracedLoss, theta: Tensor, layout: Layout): Tensor | undefined {
  const { outputCurvature, regulariser } = traced;
  if (!outputCurvature || regulariser) return undefined;
  const parts: Tensor[] = [];
  for (const term of termsOf(outputCurvature)) {
    const rows = rowsOfTerm(term, theta, layout);
    if (!rows) return undefined;
    parts.push(rows);
  }
  return concat(parts);
}

function rowsOfTerm(curvature: OutputCurvature, theta: Tensor, layout: Layout): Tensor | undefined {
  const { outputs } = curvature;
  const examples = outputs.shape[0]!;
  if (examples === 0 || outputs.size > mostOutputs * examples) return undefined;
  const { uses, unmarked } = readUses([outputs], theta, layout);
  if (unmarked.size > 0 || !uses.every((use) => isReadable(use, examples))) return undefined;
  const { gradients, weight } = backward(
    curvature,
    uses.map((use) => use.preactivation),
    "exact",
    { draws: 1, key: theta },
  );
  const draws = outputs.size / examples;
  const pieces = new Map<Entry, Tensor>();
  for (const use of uses) {
    const g = gradients
      .get(use.preactivation)!
      .reshape([draws * examples, -1, use.preactivation.shape.at(-1)!]);
    parameterGradients(use, g, draws).forEach((piece, k) => {
      const { entry, transposed } = use.parameters[k]!;
      const rows = (transposed ? piece.permute([0, 2, 1]) : piece).reshape([draws * examples, entry.size]);
      pieces.set(entry, pieces.get(entry)?.add(rows) ?? rows);
    });
  }
  const zeros = (entry: Entry) => full({ dtype: theta.dtype, shape: [draws * examples, entry.size] }, 0);
  const all = layout.entries.map((entry) => pieces.get(entry) ?? zeros(entry));
  return concat(all, 1).mul(Math.sqrt(weight));
}

/** Whether a use has examples along its rows, and parameters whole. */
const isReadable = ({ mark, preactivation, parameters }: Use, examples: number): boolean => {
  const places = preactivation.size / preactivation.shape.at(-1)!;
  const [, ...vectors] = parameters;
  return (
    mark.layer !== "embedding" &&
    places % examples === 0 &&
    parameters.every((view) => view !== undefined) &&
    (mark.layer === "dense" || !parameters[0]!.transposed) &&
    vectors.every((view) => !view!.transposed)
  );
};

/** Gradients of each row by the parameters of a use, [rows, ...]; g is [rows, places, out]. */
function parameterGradients({ mark, input, parameters }: Use, g: Tensor, draws: number): Tensor[] {
  const [rows, places, width] = g.shape as [number, number, number];
  const patches = mark.layer === "conv2d" ? input.patches(mark.window) : input;
  const one = patches.reshape([rows / draws, places, patches.shape.at(-1)!]);
  const x = draws === 1 ? one : concat(Array.from({ length: draws }, () => one));
  const shift = () => g.sum(1);
  if (mark.layer === "scaleShift") return [x.mul(g).sum(1), shift()];
  // One place is an outer product; elementwise, it is written where it belongs.
  const weight =
    places === 1 ? x.reshape([rows, -1, 1]).mul(g.reshape([rows, 1, width])) : x.permute([0, 2, 1]).matmul(g);
  return parameters.length > 1 ? [weight, shift()] : [weight];
}
