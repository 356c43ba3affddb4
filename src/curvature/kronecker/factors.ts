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
 * always 1 and last; a use without the bias has 0 there. Uses of one weight count as further places. An embedding is
 * always expanded.
 *
 * Where the loss is a sum of means over different examples, each has an A and a G, and the curvature is Σₜ Aₜ ⊗ Gₜ
 * (Dangel, Müller, Zeinhofer 2024, "Kronecker-factored approximate curvature for physics-informed neural networks").
 */
import { concat, full, ones, scatterAdd, type Tensor } from "../../tensor/tensor.js";
import { type BlockUses, rowsOf, type TermUse } from "./blocks.js";
import type { Backward } from "./gradients.js";

export type Sharing = "expand" | "reduce";

/** What the statistics of one summand of the loss are made of. */
export interface Term {
  readonly examples: number;
  readonly backward: Backward;
}

/** Shapes of a block's factors: A and G of each term; of a full block the matrix, of a diagonal one the vector. */
export function factorShapes({
  kind,
  inputs,
  outputs,
  terms = 1,
}: Pick<BlockUses, "kind" | "inputs" | "outputs"> & {
  readonly terms?: number;
}): readonly (readonly number[])[] {
  switch (kind) {
    case "kronecker":
      return Array.from({ length: terms }, () => [
        [inputs, inputs],
        [outputs, outputs],
      ]).flat();
    case "embedding":
      return [[inputs], [outputs, outputs]];
    case "full":
      return [[inputs, inputs]];
    case "diagonal":
      return [[inputs]];
  }
}

/** The factors of one block on one batch; `diagonal` [n] is for blocks without marks. */
export function factorsOf(
  block: BlockUses,
  terms: readonly Term[],
  sharing: Sharing,
  diagonal: () => Tensor,
): Tensor[] {
  if (block.marked.length === 0) {
    const { offset, size } = block.parameters[0]!;
    return [diagonal().slice(0, offset, offset + size)];
  }
  if (block.kind === "full" || block.kind === "diagonal") {
    const exact = withUses(block, terms).map(({ uses, term }) => {
      const rows = normGradients(uses, term);
      const squares = block.kind === "full" ? rows.transpose().matmul(rows) : rows.square().sum(0);
      return squares.mul(term.backward.weight);
    });
    return [sumOf(exact)];
  }
  if (block.kind === "embedding") {
    const [{ uses, term }] = withUses(block, terms) as [TermUses];
    return kroneckerFactorsOf(block, uses, term, sharing);
  }
  return terms.flatMap((term, index) => {
    const uses = block.marked.filter((use) => use.term === index);
    if (uses.length > 0) return kroneckerFactorsOf(block, uses, term, sharing);
    const { dtype } = block.marked[0]!.preactivation;
    return factorShapes({ ...block, terms: 1 }).map((shape) => full({ dtype, shape }, 0));
  });
}

interface TermUses {
  readonly uses: readonly TermUse[];
  readonly term: Term;
}

/** The terms in which a block is used. */
const withUses = ({ marked }: BlockUses, terms: readonly Term[]): TermUses[] =>
  terms.flatMap((term, index) => {
    const uses = marked.filter((use) => use.term === index);
    return uses.length > 0 ? [{ uses, term }] : [];
  });

/** A and G of one term. */
function kroneckerFactorsOf(
  block: BlockUses,
  uses: readonly TermUse[],
  { examples, backward }: Term,
  sharing: Sharing,
): Tensor[] {
  const places = placesOf(block, uses, examples, backward, sharing);
  const G = places.map(({ gradients }) => {
    const rows = gradients.reshape([-1, block.outputs]);
    return rows.transpose().matmul(rows);
  });
  const A = places.map(({ use }) => inputFactor(block, use ?? uses, examples));
  const rows = places[0]!.use ? uses.reduce((sum, use) => sum + rowsOf(use), 0) : examples;
  return [sumOf(A).mul(1 / rows), sumOf(G).mul(backward.weight)];
}

const sumOf = (terms: readonly Tensor[]) => terms.reduce((sum, term) => sum.add(term));

/** Rows that count as independent: the places of one use, or, without a use, examples. */
export interface Places {
  readonly use: TermUse | undefined;
  /** [draws, rows, outputs] */
  readonly gradients: Tensor;
}

/** What the statistics of a weight are sums over. An embedding is always expanded: its A stays diagonal. */
export function placesOf(
  { kind, outputs }: BlockUses,
  uses: readonly TermUse[],
  examples: number,
  { gradients }: Backward,
  sharing: Sharing,
): readonly Places[] {
  const each = uses.map((use) => ({ use, g: gradients.get(use.preactivation)! }));
  if (sharing === "expand" || kind === "embedding")
    return each.map(({ use, g }) => ({ use, gradients: g.reshape([g.shape[0]!, -1, outputs]) }));
  const sums = each.map(({ g }) => g.reshape([g.shape[0]!, examples, -1, outputs]).sum(2));
  return [{ use: undefined, gradients: sumOf(sums) }];
}

/** Rows a of an input factor without the coordinate of the bias, [rows, in], and that coordinate, the same for all. */
export interface InputRows {
  readonly rows: Tensor;
  readonly one: number;
}

/** The rows of a use; of several, the means over an example's places. */
export function inputRows(of: TermUse | readonly TermUse[], examples: number): InputRows {
  if (!isList(of)) {
    const x = of.mark.layer === "conv2d" ? of.input.patches(of.mark.window) : of.input;
    return { rows: x.reshape([-1, x.shape.at(-1)!]), one: Number(of.biased) };
  }
  const each = of.map((use) => inputRows(use, examples));
  const sums = each.map(({ rows }) => rows.reshape([examples, -1, rows.shape[1]!]).sum(1));
  const places = of.map((use) => rowsOf(use) / examples);
  const total = places.reduce((sum, count) => sum + count);
  return {
    rows: sumOf(sums).mul(1 / total),
    one: each.reduce((sum, { one }, k) => sum + one * places[k]!, 0) / total,
  };
}

const isList = (of: TermUse | readonly TermUse[]): of is readonly TermUse[] => Array.isArray(of);

/** Σ a [in] over the rows. Patches are linear: those of the summed image are few. */
function activationSum(rows: Tensor, of: TermUse | readonly TermUse[]): Tensor {
  if (isList(of) || of.mark.layer !== "conv2d") return rows.sum(0);
  const patches = of.input.sum(0, true).patches(of.mark.window);
  return patches.reshape([-1, patches.shape.at(-1)!]).sum(0);
}

/** Σ [a; 1][a; 1]ᵀ over the rows; of an embedding its diagonal, how often each row of the table is taken. */
function inputFactor(block: BlockUses, of: TermUse | readonly TermUse[], examples: number): Tensor {
  if (!isList(of) && of.mark.layer === "embedding") {
    const indices = of.input.reshape([-1]);
    return scatterAdd(indices, ones(indices.shape, of.preactivation.dtype), block.inputs);
  }
  const { rows, one } = inputRows(of, examples);
  const [count, width] = rows.shape as [number, number];
  const { dtype } = rows;
  // Few rows are copied rather than a large matrix; patches are never made.
  if (block.bias && count < width && (isList(of) || of.mark.layer !== "conv2d")) {
    const extended = concat([rows, full({ dtype, shape: [count, 1] }, one)], 1);
    return extended.transpose().matmul(extended);
  }
  const gram = rows.transpose().matmul(rows);
  if (!block.bias) return gram;
  const sum = one === 0 ? full({ dtype, shape: [width] }, 0) : activationSum(rows, of).mul(one);
  const corner = full({ dtype, shape: [1, 1] }, count * one ** 2);
  return concat([concat([gram, sum.reshape([-1, 1])], 1), concat([sum.reshape([1, -1]), corner], 1)]);
}

/** Gradients by [scale, shift] of each draw and example, exact: [draws·examples, 2·width]. */
function normGradients(uses: readonly TermUse[], { examples, backward }: Term): Tensor {
  const each = uses.map(({ input, preactivation }) => {
    const g = backward.gradients.get(preactivation)!;
    const width = g.shape.at(-1)!;
    const perExample = [g.shape[0]! * examples, -1, width];
    return concat([g.mul(input).reshape(perExample).sum(1), g.reshape(perExample).sum(1)], 1);
  });
  return sumOf(each);
}
