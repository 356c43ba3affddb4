/** All factors of a traced loss on one batch, as tensors: for programs that compute them beside loss and gradient. */
import type { Layout } from "../../nn/parameters.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { TracedLoss } from "../objective.js";
import { type BlockUses, blocksOf, needCurvature, termsOf } from "./blocks.js";
import { crossFactors, type Link, linksOf, type Structure } from "./chains.js";
import { factorsOf, type Sharing, type Term } from "./factors.js";
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
  /** Of each summand of the loss. */
  readonly terms: readonly Term[];
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
  const curvature = needCurvature(traced);
  const blocks = blocksOf(curvature, theta, layout);
  const uses = blocks.flatMap(({ marked }) => marked);
  const drawn = { draws, key };
  const terms = termsOf(curvature).map((term, index): Term => {
    const preactivations = uses.filter((use) => use.term === index).map((use) => use.preactivation);
    return { examples: term.outputs.shape[0]!, backward: backward(term, preactivations, estimator, drawn) };
  });
  let estimate: Tensor | undefined;
  const diagonal = () => {
    estimate ??= sampledDiagonal(curvature, theta, estimator, drawn);
    return estimate;
  };
  const links = linksOf(blocks, structure);
  return {
    blocks,
    factors: blocks.map((block) => factorsOf(block, terms, sharing, diagonal)),
    links,
    cross: links.map(({ from, to }) => crossFactors(blocks[from]!, blocks[to]!, terms[0]!)),
    terms,
  };
}
