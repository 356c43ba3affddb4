/**
 * Chains of dense layers, and the factors between neighbours in them (Martens & Grosse 2015, section 4.3): where layer
 * j reads what layer i wrote and no other layer, the off-diagonal block of the two is approximated as the diagonal ones are,
 *
 *     F_ij ≈ A× ⊗ G×,   A× = 1/N Σ aᵢ aⱼᵀ,   G× = 1/N Σ ⟨gᵢ gⱼᵀ⟩
 */
import { concat, ones, type Tensor } from "../../tensor/tensor.js";
import type { BlockUses } from "./blocks.js";
import { inputRows, type Term } from "./factors.js";

/** Which blocks are correlated with which: none, or neighbours in a chain. */
export type Structure = "blockDiagonal" | "blockTridiagonal";

/** Block `to` reads what block `from` wrote. */
export interface Link {
  readonly from: number;
  readonly to: number;
}

/** Dense maps that act once on each example: their rows are the examples. */
const isLinkable = ({ layer, uses, positions, terms }: BlockUses): boolean =>
  layer === "dense" && uses === 1 && positions === 1 && terms === 1;

/** The links of the blocks, by their numbers. A layer has one before it and one behind it at most. */
export function linksOf(blocks: readonly BlockUses[], structure: Structure): readonly Link[] {
  if (structure === "blockDiagonal") return [];
  const owner = new Map(
    blocks.flatMap(({ marked }, k) => marked.map(({ preactivation }) => [preactivation, k] as const)),
  );
  const links = blocks.flatMap((block, to): Link[] => {
    if (!isLinkable(block)) return [];
    const layers = layersBehind(block.marked[0]!.input);
    const from = layers.size === 1 ? owner.get([...layers][0]!) : undefined;
    return from !== undefined && isLinkable(blocks[from]!) ? [{ from, to }] : [];
  });
  return links.filter(({ from }) => links.filter((link) => link.from === from).length === 1);
}

/** The pre-activations that a tensor is made of, without those below them. */
function layersBehind(tensor: Tensor): Set<Tensor> {
  const met = new Set<Tensor>();
  const seen = new Set<Tensor>();
  const pending = [tensor];
  for (let next = pending.pop(); next; next = pending.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    if (next.op.kind === "mark") met.add(next);
    else pending.push(...next.inputs);
  }
  return met;
}

/** Shapes of A× and G×. */
export const crossShapes = (from: Widths, to: Widths): readonly (readonly number[])[] => [
  [from.inputs, to.inputs],
  [from.outputs, to.outputs],
];
type Widths = Pick<BlockUses, "inputs" | "outputs">;

/** A× and G× of a link on one batch. */
export function crossFactors(
  from: BlockUses,
  to: BlockUses,
  { examples, backward: { gradients, weight } }: Term,
): Tensor[] {
  const inputs = (block: BlockUses) => {
    const { rows } = inputRows(block.marked[0]!, examples);
    return block.bias ? concat([rows, ones([examples, 1], rows.dtype)], 1) : rows;
  };
  const outputs = (block: BlockUses) =>
    gradients.get(block.marked[0]!.preactivation)!.reshape([-1, block.outputs]);
  return [
    inputs(from)
      .transpose()
      .matmul(inputs(to))
      .mul(1 / examples),
    outputs(from).transpose().matmul(outputs(to)).mul(weight),
  ];
}
