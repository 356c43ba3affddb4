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
 * always 1 and last. Uses of one weight count as further places. An embedding is always expanded.
 */
import { concat, full, ones, scatterAdd, type Tensor } from "../../tensor/tensor.js";
import type { BlockUses } from "./blocks.js";
import type { Backward } from "./gradients.js";
import type { Use } from "./uses.js";

export type Sharing = "expand" | "reduce";

/** Shapes of a block's factors: A and G; of a full block the matrix, of a diagonal one the vector. */
export function factorShapes({
  kind,
  inputs,
  outputs,
}: Pick<BlockUses, "kind" | "inputs" | "outputs">): readonly (readonly number[])[] {
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
  backward: Backward,
  sharing: Sharing,
  diagonal: () => Tensor,
): Tensor[] {
  const { weight } = backward;
  if (block.marked.length === 0) {
    const { offset, size } = block.parameters[0]!;
    return [diagonal().slice(0, offset, offset + size)];
  }
  if (block.kind === "full" || block.kind === "diagonal") {
    const rows = normGradients(block, examples, backward);
    return [
      block.kind === "full" ? rows.transpose().matmul(rows).mul(weight) : rows.square().sum(0).mul(weight),
    ];
  }
  const places = placesOf(block, examples, backward, sharing);
  const G = places.map(({ gradients }) => {
    const rows = gradients.reshape([-1, block.outputs]);
    return rows.transpose().matmul(rows);
  });
  const A = places.map(({ use }) => inputFactor(block, examples, use));
  const rows = places[0]!.use ? examples * block.positions : examples;
  return [sumOf(A).mul(1 / rows), sumOf(G).mul(weight)];
}

const sumOf = (terms: readonly Tensor[]) => terms.reduce((sum, term) => sum.add(term));

/** Rows that count as independent: the places of one use, or, without a use, examples. */
export interface Places {
  readonly use: Use | undefined;
  /** [draws, rows, outputs] */
  readonly gradients: Tensor;
}

/** What the statistics of a weight are sums over. An embedding is always expanded: its A stays diagonal. */
export function placesOf(
  { kind, outputs, marked }: BlockUses,
  examples: number,
  { gradients }: Backward,
  sharing: Sharing,
): readonly Places[] {
  const each = marked.map((use) => ({ use, g: gradients.get(use.preactivation)! }));
  if (sharing === "expand" || kind === "embedding")
    return each.map(({ use, g }) => ({ use, gradients: g.reshape([g.shape[0]!, -1, outputs]) }));
  const sums = each.map(({ g }) => g.reshape([g.shape[0]!, examples, -1, outputs]).sum(2));
  return [{ use: undefined, gradients: sumOf(sums) }];
}

/** a without the coordinate of the bias: the rows of a use, or the means over an example's places, [rows, in]. */
export function activationRows(block: BlockUses, examples: number, use: Use | undefined): Tensor {
  if (use) {
    const x = use.mark.layer === "conv2d" ? use.input.patches(use.mark.window) : use.input;
    return x.reshape([-1, x.shape.at(-1)!]);
  }
  const sums = block.marked.map((each) => {
    const rows = activationRows(block, examples, each);
    return rows.reshape([examples, -1, rows.shape[1]!]).sum(1);
  });
  return sumOf(sums).mul(1 / block.positions);
}

/** Σ a [in] over the rows. Patches are linear: those of the summed image are few. */
function activationSum(rows: Tensor, use: Use | undefined): Tensor {
  if (use?.mark.layer !== "conv2d") return rows.sum(0);
  const patches = use.input.sum(0, true).patches(use.mark.window);
  return patches.reshape([-1, patches.shape.at(-1)!]).sum(0);
}

/** Σ [a; 1][a; 1]ᵀ over the rows; of an embedding its diagonal, how often each row of the table is taken. */
function inputFactor(block: BlockUses, examples: number, use: Use | undefined): Tensor {
  if (use?.mark.layer === "embedding") {
    const indices = use.input.reshape([-1]);
    return scatterAdd(indices, ones(indices.shape, use.preactivation.dtype), block.inputs);
  }
  const rows = activationRows(block, examples, use);
  const [count, width] = rows.shape as [number, number];
  // Few rows are copied rather than a large matrix; patches are never made.
  if (block.bias && count < width && use?.mark.layer !== "conv2d") {
    const extended = concat([rows, ones([count, 1], rows.dtype)], 1);
    return extended.transpose().matmul(extended);
  }
  const gram = rows.transpose().matmul(rows);
  if (!block.bias) return gram;
  const sum = activationSum(rows, use);
  const corner = full({ dtype: gram.dtype, shape: [1, 1] }, count);
  return concat([concat([gram, sum.reshape([-1, 1])], 1), concat([sum.reshape([1, -1]), corner], 1)]);
}

/** Gradients by [scale, shift] of each draw and example, exact: [draws·examples, 2·width]. */
function normGradients({ marked }: BlockUses, examples: number, { gradients }: Backward): Tensor {
  const each = marked.map(({ input, preactivation }) => {
    const g = gradients.get(preactivation)!;
    const width = g.shape.at(-1)!;
    const perExample = [g.shape[0]! * examples, -1, width];
    return concat([g.mul(input).reshape(perExample).sum(1), g.reshape(perExample).sum(1)], 1);
  });
  return sumOf(each);
}
