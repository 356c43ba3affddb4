/**
 * Statistics of one batch. With N examples, R places of a use in each (times, positions), ⟨·⟩ the expectation over
 * draws, and g the gradient of ℓᵢ (no 1/N in it), the curvature of W [in, out] is approximated by A ⊗ G, A on the
 * side of the inputs:
 *
 *     expand    A = 1/(NR) Σᵢᵣ a aᵀ               G = 1/N Σᵢᵣ ⟨g gᵀ⟩                places are as independent as examples
 *     reduce    A = 1/N Σᵢ ā āᵀ, ā = 1/R Σᵣ a     G = 1/N Σᵢ ⟨ḡ ḡᵀ⟩, ḡ = Σᵣ g      an example's gradient is ≈ ā ḡᵀ
 *
 * (Eschenhagen et al. 2023, "Kronecker-factored approximate curvature for modern architectures"; "expand" of a
 * convolution is Grosse & Martens 2016 with their |T| in G instead of A; that of a recurrence treats times as
 * independent, Martens, Ba, Johnson 2018.) With R = 1 both are Martens & Grosse 2015. A bias is one more input,
 * always 1 and last. Uses of one weight count as further places.
 */
import { concat, full, ones, scatterAdd, type Tensor } from "../../tensor/tensor.js";
import type { BlockUses } from "./blocks.js";
import type { Backward } from "./gradients.js";
import type { Use } from "./uses.js";

export type Sharing = "expand" | "reduce";

/** Shapes of a block's factors: A and G; of a full block the matrix, of a diagonal one the vector. */
export function factorShapes({ kind, inputs, outputs }: BlockUses): readonly (readonly number[])[] {
  switch (kind) {
    case "kronecker":
      return [
        [inputs, inputs],
        [outputs, outputs],
      ];
    case "embedding":
      return [[inputs], [outputs, outputs]];
    case "full":
      return [[inputs, inputs]];
    case "diagonal":
      return [[inputs]];
  }
}

/** The factors of one block on one batch of `examples`; `diagonal` [n] is for blocks without marks. */
export function factorsOf(
  block: BlockUses,
  examples: number,
  { gradients, weight }: Backward,
  sharing: Sharing,
  diagonal: () => Tensor,
): Tensor[] {
  const uses = block.marked.map((use) => ({ use, g: gradients.get(use.preactivation)! }));
  if (uses.length === 0) {
    const { offset, size } = block.parameters[0]!;
    return [diagonal().slice(0, offset, offset + size)];
  }
  switch (block.kind) {
    case "kronecker": {
      const activations =
        sharing === "reduce"
          ? [meanOverPlaces(block, examples)]
          : uses.map(({ use }) => activationGram(use, block.bias));
      const rows = sharing === "reduce" ? examples : examples * block.positions;
      return [sumOf(activations).mul(1 / rows), outputFactor(block, uses, examples, weight, sharing)];
    }
    case "embedding": {
      const counts = uses.map(({ use }) => {
        const indices = use.input.reshape([-1]);
        return scatterAdd(indices, ones(indices.shape, use.preactivation.dtype), block.inputs);
      });
      const share = sumOf(counts).mul(1 / (examples * block.positions));
      return [share, outputFactor(block, uses, examples, weight, sharing)];
    }
    case "full":
    case "diagonal": {
      const rows = normGradients(uses, examples);
      return [
        block.kind === "full" ? rows.transpose().matmul(rows).mul(weight) : rows.square().sum(0).mul(weight),
      ];
    }
  }
}

const sumOf = (terms: readonly Tensor[]) => terms.reduce((sum, term) => sum.add(term));

type WithGradient = readonly { readonly use: Use; readonly g: Tensor }[];

/** Rows of the input of a dense map, or the patches of a convolution, [rows, in]. */
function activationRows({ mark, input }: Use): Tensor {
  const x = mark.layer === "conv2d" ? input.patches(mark.window) : input;
  return x.reshape([-1, x.shape.at(-1)!]);
}

/** Σ a [in] over all rows. Patches are linear: those of the summed image are few. */
function activationSum({ mark, input }: Use): Tensor {
  if (mark.layer !== "conv2d") return input.reshape([-1, input.shape.at(-1)!]).sum(0);
  const patches = input.sum(0, true).patches(mark.window);
  return patches.reshape([-1, patches.shape.at(-1)!]).sum(0);
}

/** Σ [a; 1][a; 1]ᵀ over the rows of one use. */
function activationGram(use: Use, bias: boolean): Tensor {
  const rows = activationRows(use);
  const gram = rows.transpose().matmul(rows);
  if (!bias) return gram;
  const sum = activationSum(use);
  const corner = full({ dtype: gram.dtype, shape: [1, 1] }, rows.shape[0]!);
  return concat([concat([gram, sum.reshape([-1, 1])], 1), concat([sum.reshape([1, -1]), corner], 1)]);
}

/** Σᵢ ā āᵀ. */
function meanOverPlaces({ marked, bias, positions }: BlockUses, examples: number): Tensor {
  const sums = marked.map((use) => {
    const rows = activationRows(use);
    return rows.reshape([examples, -1, rows.shape[1]!]).sum(1);
  });
  const mean = sumOf(sums).mul(1 / positions);
  const rows = bias ? concat([mean, ones([examples, 1], mean.dtype)], 1) : mean;
  return rows.transpose().matmul(rows);
}

/** weight · Σ g gᵀ over draws, examples and places, or of the sums over places. */
function outputFactor(
  { outputs }: BlockUses,
  uses: WithGradient,
  examples: number,
  weight: number,
  sharing: Sharing,
): Tensor {
  const rows =
    sharing === "expand"
      ? uses.map(({ g }) => g.reshape([-1, outputs]))
      : [sumOf(uses.map(({ g }) => g.reshape([g.shape[0]! * examples, -1, outputs]).sum(1)))];
  return sumOf(rows.map((g) => g.transpose().matmul(g))).mul(weight);
}

/** Gradients by [scale, shift] of each draw and example, exact: [draws·examples, 2·width]. */
function normGradients(uses: WithGradient, examples: number): Tensor {
  const each = uses.map(({ use, g }) => {
    const width = g.shape.at(-1)!;
    const perExample = [g.shape[0]! * examples, -1, width];
    return concat([g.mul(use.input).reshape(perExample).sum(1), g.reshape(perExample).sum(1)], 1);
  });
  return sumOf(each);
}
