/** All factors of a traced loss on one batch, as tensors: for programs that compute them beside loss and gradient. */
import type { Layout } from "../../nn/parameters.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { TracedLoss } from "../objective.js";
import { type BlockUses, blocksOf, needCurvature } from "./blocks.js";
import { crossFactors, type Link, linksOf, type Structure } from "./chains.js";
import { factorsOf, type Sharing } from "./factors.js";
import type { Backward } from "./gradients.js";
import { backward, type Estimator, sampledDiagonal } from "./gradients.js";

export interface FactorOptions {
  /** Whose gradients G is made of; default "sampled". */
  readonly estimator?: Estimator;
  /** Of "sampled": draws of targets for each example; default 1. */
  readonly draws?: number;
  /** Of weights that act in several places; default "expand". */
  readonly sharing?: Sharing;
  /** Whether neighbours in chains of dense layers have factors too; default "blockDiagonal". */
  readonly structure?: Structure;
}

export interface TracedFactors {
  readonly blocks: readonly BlockUses[];
  /** The factors of each block, in the order of `factorShapes`. */
  readonly factors: readonly (readonly Tensor[])[];
  readonly links: readonly Link[];
  /** A× and G× of each link. */
  readonly cross: readonly (readonly Tensor[])[];
  readonly backward: Backward;
}

/**
 * Blocks of θ [n] and their factors. `key` i32 [2] is what targets are drawn with.
 * @throws Error when the traced loss lacks what the estimator needs.
 */
export function traceFactors(
  traced: TracedLoss,
  theta: Tensor,
  layout: Layout,
  key: Tensor,
  { estimator = "sampled", draws = 1, sharing = "expand", structure = "blockDiagonal" }: FactorOptions = {},
): TracedFactors {
  const { outputs } = needCurvature(traced);
  const blocks = blocksOf(outputs, theta, layout);
  const preactivations = blocks.flatMap(({ marked }) => marked.map((use) => use.preactivation));
  const drawn = { draws, key };
  const gradients = backward(traced, preactivations, estimator, drawn);
  let estimate: Tensor | undefined;
  const diagonal = () => {
    estimate ??= sampledDiagonal(traced, theta, estimator, drawn);
    return estimate;
  };
  const examples = outputs.shape[0]!;
  const links = linksOf(blocks, structure);
  return {
    blocks,
    factors: blocks.map((block) => factorsOf(block, examples, gradients, sharing, diagonal)),
    links,
    cross: links.map(({ from, to }) => crossFactors(blocks[from]!, blocks[to]!, examples, gradients)),
    backward: gradients,
  };
}
