/**
 * Blocks of θ whose curvature is approximated together, everything between blocks being zero. What a block is follows
 * from the uses of its parameters:
 *
 *     kronecker   weight and bias of dense maps and convolutions: A ⊗ G            Martens & Grosse 2015; Grosse & Martens 2016
 *     embedding   a table: A ⊗ G with A diagonal, O(vocabulary)
 *     full        scale and shift of a narrow norm: the exact block
 *     diagonal    scale and shift of a wide norm: the exact diagonal; everything else: an unbiased estimate of it
 */
import type { Entry, Layout } from "../../nn/parameters.js";
import type { LayerMark } from "../../tensor/op.js";
import type { Tensor } from "../../tensor/tensor.js";
import { argumentsOf, type Objective, type TracedLoss } from "../objective.js";
import type { OutputCurvature } from "../output-curvature.js";
import { type ParameterView, readUses, type Use } from "./uses.js";

/** One block, as data: what a table of a model's blocks shows. */
export interface KroneckerBlock {
  readonly kind: "kronecker" | "embedding" | "full" | "diagonal";
  /** Of its layer, or of its parameter. */
  readonly name: string;
  /** The layer that marks it; "other" where none does. */
  readonly layer: LayerMark["layer"] | "other";
  readonly parameters: readonly Entry[];
  /** Order of A (the bias counts as one more input); of a full or diagonal block, of the block. */
  readonly inputs: number;
  /** Order of G; 1 of a full or diagonal block. */
  readonly outputs: number;
  /** Uses in the graph; 0 where no mark was found. */
  readonly uses: number;
  /** In how many places of one example the parameters act (times, positions), over all uses. */
  readonly positions: number;
  /** Summands of the loss; a Kronecker block has an A and a G for each, and is the sum of A ⊗ G. */
  readonly terms: number;
  /** Why this kind: "dense with bias", "no layer marks it", … */
  readonly reason: string;
}

/** A use, and the summand of the loss that it is used for. */
export interface TermUse extends Use {
  readonly term: number;
  /** Whether the bias is added: derivatives by a network's inputs multiply by its weights alone. */
  readonly biased: boolean;
}

/** A block and where its statistics come from. */
export interface BlockUses extends KroneckerBlock {
  readonly marked: readonly TermUse[];
  /** The weight lies in θ as [outputs, inputs]. */
  readonly transposed: boolean;
  readonly bias: boolean;
}

/** Scale and shift of at most this many elements together have a full block. */
const fullLimit = 256;

/** The kind of block that a layer's parameters have, from its shape alone. */
export function kindOfLayer({
  kind,
  inputs,
}: {
  readonly kind: KroneckerBlock["layer"];
  readonly inputs: number;
}): KroneckerBlock["kind"] {
  switch (kind) {
    case "dense":
    case "conv2d":
      return "kronecker";
    case "embedding":
      return "embedding";
    case "scaleShift":
      return inputs <= fullLimit ? "full" : "diagonal";
    case "other":
      return "diagonal";
  }
}

/**
 * The blocks of an objective: which parameters have Kronecker factors, and which fall back to a diagonal, and why.
 * Traces the loss; compiles and runs nothing.
 *
 *     for (const { name, kind, inputs, outputs, reason } of kroneckerBlocks(objective))
 *       console.log(name, kind, inputs, outputs, reason);   // layers.1 kronecker 785 128 dense with bias
 *
 * @throws Error when the objective's trace gives no outputCurvature.
 */
export function kroneckerBlocks(objective: Objective): readonly KroneckerBlock[] {
  const { parameters, batch, state, key } = argumentsOf(objective);
  const traced = objective.trace(parameters, batch, state, key);
  return blocksOf(needCurvature(traced), parameters, objective.layout).map(
    ({ marked: _, transposed: __, bias: ___, ...block }) => block,
  );
}

/** @throws Error when there is none. */
export function needCurvature({ outputCurvature }: TracedLoss): OutputCurvature {
  if (!outputCurvature)
    throw new Error(
      "Kronecker factors: need outputCurvature; return it from the objective's trace (curvatureOf makes it from an nn loss)",
    );
  return outputCurvature;
}

/** The summands of a loss: itself, where it is one mean. */
export const termsOf = (curvature: OutputCurvature): readonly OutputCurvature[] =>
  curvature.terms ?? [curvature];

/** The blocks of a traced loss. Together they hold every parameter once, in the order of θ. */
export function blocksOf(curvature: OutputCurvature, theta: Tensor, layout: Layout): readonly BlockUses[] {
  const terms = termsOf(curvature);
  const batches = terms.map(({ outputs }) => outputs.shape[0] ?? 1);
  const read = terms.map(({ outputs }) => readUses([outputs], theta, layout));
  const unmarked = new Set(read.flatMap((each) => [...each.unmarked]));
  const uses = read.flatMap((each, term) =>
    each.uses.map((use): TermUse => ({ ...use, term, biased: use.parameters.length > 1 })),
  );
  const groups = new Map<Entry, TermUse[]>();
  for (const use of uses) {
    const first = use.parameters[0]?.entry;
    if (first) groups.set(first, [...(groups.get(first) ?? []), use]);
  }
  const reasons = new Map<Entry, string>();
  for (const { mark, parameters } of uses)
    if (parameters.includes(undefined))
      for (const view of parameters)
        if (view) reasons.set(view.entry, `${mark.name} uses a function of its parameters`);

  const owners = new Map<Entry, Set<Entry>>();
  for (const [first, group] of groups)
    for (const { entry } of group.flatMap(({ parameters }) =>
      parameters.filter((view) => view !== undefined),
    ))
      owners.set(entry, (owners.get(entry) ?? new Set()).add(first));

  const blocks: BlockUses[] = [];
  for (const [first, group] of groups) {
    const members = [...owners].filter(([, by]) => by.has(first)).map(([entry]) => entry);
    const problem =
      members.map((entry) => reasons.get(entry)).find((reason) => reason !== undefined) ??
      members
        .filter(({ name }) => unmarked.has(name))
        .map(({ name }) => `${name} is also used outside of layers`)[0] ??
      members
        .filter((entry) => owners.get(entry)!.size > 1)
        .map(({ name }) => `${name} belongs to several layers`)[0] ??
      disagreement(group, batches);
    if (problem === undefined) blocks.push(blockOf(group, batches));
    else for (const entry of members) if (!reasons.has(entry)) reasons.set(entry, problem);
  }
  const covered = new Set(blocks.flatMap(({ parameters }) => parameters));
  for (const entry of layout.entries)
    if (!covered.has(entry)) blocks.push(diagonal(entry, reasons.get(entry) ?? "no layer marks it"));
  return blocks.sort((a, b) => a.parameters[0]!.offset - b.parameters[0]!.offset);
}

const diagonal = (entry: Entry, reason: string): BlockUses => ({
  kind: "diagonal",
  name: entry.name,
  layer: "other",
  parameters: [entry],
  inputs: entry.size,
  outputs: 1,
  uses: 0,
  positions: 1,
  terms: 1,
  reason,
  marked: [],
  transposed: false,
  bias: false,
});

/** Rows of the input that a layer acts on, each by itself. */
export function rowsOf({ mark, input, preactivation }: Use): number {
  if (mark.layer === "embedding") return input.size;
  return preactivation.size / preactivation.shape.at(-1)!;
}

/** Why the uses of one weight have no common factors; undefined when they have. */
function disagreement(group: readonly TermUse[], batches: readonly number[]): string | undefined {
  const first = mostParameters(group);
  const describe = ({ mark, parameters }: Use, count: number) =>
    [
      mark.layer,
      ...parameters.slice(0, count).map((view) => `${view?.entry.name} ${view?.transposed}`),
    ].join();
  // The weight alone is one of the ways in which a weight with a bias is used.
  if (group.some((use) => describe(use, 2) !== describe(first, use.parameters.length)))
    return `${first.parameters[0]!.entry.name} is used in different ways`;
  const [matrix, ...vectors] = first.parameters as ParameterView[];
  if (matrix!.transposed && first.mark.layer !== "dense")
    return `${matrix!.entry.name} is used transposed by ${first.mark.layer}`;
  if (vectors.some((view) => view.transposed)) return `${first.mark.name} uses a bias transposed`;
  if (first.mark.layer === "embedding" && group.some((use) => use.term !== first.term))
    return `${first.mark.name} is an embedding in several summands of the loss`;
  const odd = group.find((use) => rowsOf(use) === 0 || rowsOf(use) % batches[use.term]! !== 0);
  return odd === undefined
    ? undefined
    : `${first.mark.name} acts on ${rowsOf(odd)} rows, not on each of ${batches[odd.term]} examples`;
}

/** The use that has the bias, where one has. */
const mostParameters = (group: readonly TermUse[]): TermUse =>
  group.find(({ biased }) => biased) ?? group[0]!;

/** The block of a weight whose uses agree. */
function blockOf(marked: readonly TermUse[], batches: readonly number[]): BlockUses {
  const { mark, parameters, preactivation } = mostParameters(marked);
  const entries = (parameters as ParameterView[]).map(({ entry }) => entry);
  const size = entries.reduce((sum, entry) => sum + entry.size, 0);
  const outputs = preactivation.shape.at(-1)!;
  const common = {
    name: mark.name,
    layer: mark.layer,
    parameters: entries,
    uses: marked.length,
    positions: marked.reduce((sum, use) => sum + rowsOf(use) / batches[use.term]!, 0),
    terms: mark.layer === "dense" || mark.layer === "conv2d" ? batches.length : 1,
    marked,
    transposed: parameters[0]!.transposed,
    bias: entries.length > 1,
  };
  switch (mark.layer) {
    case "dense":
    case "conv2d": {
      const reason = `${mark.layer} ${mark.bias ? "with" : "without"} bias`;
      return { ...common, kind: "kronecker", inputs: size / outputs, outputs, reason };
    }
    case "embedding":
      return { ...common, kind: "embedding", inputs: size / outputs, outputs, reason: "embedding" };
    case "scaleShift": {
      const kind = kindOfLayer({ kind: mark.layer, inputs: size });
      return { ...common, kind, inputs: size, outputs: 1, reason: `scale and shift, ${kind}` };
    }
  }
}
