/**
 * EKFAC (George, Laurent, Bouthillier, Ballas, Vincent 2018, "Fast approximate natural gradient descent in a
 * Kronecker-factored eigenbasis"): with A = E_Aᵀ Λ_A E_A and G = E_Gᵀ Λ_G E_G (eigenvectors in rows), the block in this
 * basis is taken as the diagonal of its true second moments instead of Λ_A ⊗ Λ_G:
 *
 *     S = 1/N Σᵢ ⟨(E_A Dᵢ E_Gᵀ)²⟩, Dᵢ an example's gradient,    F⁻¹M ≈ E_Aᵀ [(E_A M E_Gᵀ) / (S + λ)] E_G
 *
 * Of all diagonals in this basis S is the nearest to the block. Where a weight acts in several places, Dᵢ² is taken as
 * the factors take it: "expand" adds the squares of the places, "reduce" squares ā ḡᵀ.
 */
import { scatterAdd, type Tensor } from "../../tensor/tensor.js";
import type { BlockUses } from "./blocks.js";
import { inputRows, placesOf, type Sharing, type Term } from "./factors.js";

/** Whether a block has an eigenbasis; full and diagonal blocks are exact without one. */
export const hasEigenbasis = ({ kind }: Pick<BlockUses, "kind">): boolean =>
  kind === "kronecker" || kind === "embedding";

/** S [inputs, outputs] on one batch; `bases` are E_A (none of an embedding) and E_G. */
export function secondMoments(
  block: BlockUses,
  { examples, backward }: Term,
  sharing: Sharing,
  [basisA, basisG]: readonly [Tensor | undefined, Tensor],
): Tensor {
  const terms = placesOf(block, block.marked, examples, backward, sharing).map(({ use, gradients }) => {
    const rotated = gradients
      .reshape([-1, block.outputs])
      .matmul(basisG.transpose())
      .square()
      .reshape(gradients.shape)
      .sum(0);
    if (!basisA) return scatterAdd(use!.input.reshape([-1]), rotated, block.inputs);
    const { rows, one } = inputRows(use ?? block.marked, examples);
    const width = rows.shape[1]!;
    const linear = rows.matmul(basisA.slice(1, 0, width).transpose());
    const a = block.bias ? linear.add(basisA.slice(1, width).reshape([-1]).mul(one)) : linear;
    return a.square().transpose().matmul(rotated);
  });
  return terms.reduce((sum, term) => sum.add(term)).mul(backward.weight);
}

/** E_Aᵀ [(E_A M E_Gᵀ) / S] E_G of one block's matrix; `scales` is S, with its damping. */
export function solveInEigenbasis(
  matrix: Tensor,
  [basisA, basisG]: readonly [Tensor | undefined, Tensor],
  scales: Tensor,
): Tensor {
  const half = matrix.matmul(basisG.transpose());
  const rotated = basisA ? basisA.matmul(half) : half;
  const scaled = rotated.div(scales).matmul(basisG);
  return basisA ? basisA.transpose().matmul(scaled) : scaled;
}
