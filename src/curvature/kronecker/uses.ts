/**
 * Where a traced loss uses its parameters, read from the marks that layers leave in the graph. A use says that the
 * pre-activation s is made of the input x and of the parameters in the way its mark names; a weight used twice has two
 * uses. What reaches the outputs past every mark is noted too, for such a parameter has no Kronecker factors.
 */
import { contiguous, isContiguous, isViewKind, type Layout as Strides, view } from "../../compiler/layout.js";
import type { Entry, Layout } from "../../nn/parameters.js";
import type { LayerMark } from "../../tensor/op.js";
import { reachable } from "../../tensor/program.js";
import type { Tensor } from "../../tensor/tensor.js";

/** A parameter as a layer sees it: whole, as it lies in θ or with its two axes exchanged. */
export interface ParameterView {
  readonly entry: Entry;
  readonly transposed: boolean;
}

export interface Use {
  readonly mark: LayerMark;
  /** s, whose op is the mark. */
  readonly preactivation: Tensor;
  /** x; of an embedding, the indices. */
  readonly input: Tensor;
  /** weight and bias; table; scale and shift. undefined: no parameter, or only a part of one. */
  readonly parameters: readonly (ParameterView | undefined)[];
}

export interface Uses {
  readonly uses: readonly Use[];
  /** Names of parameters that reach the outputs without a mark. */
  readonly unmarked: ReadonlySet<string>;
}

/** The uses of θ [n] in a graph, in the order of the graph. */
export function readUses(outputs: readonly Tensor[], theta: Tensor, layout: Layout): Uses {
  const uses = reachable(outputs).flatMap((tensor): Use[] => {
    if (tensor.op.kind !== "mark" || tensor.op.mark.layer === "hidden") return [];
    const [, input, ...parameters] = tensor.inputs;
    const views = parameters.map((parameter) => parameterOf(parameter, theta, layout));
    return [{ mark: tensor.op.mark, preactivation: tensor, input: input!, parameters: views }];
  });
  return { uses, unmarked: reachedUnmarked(outputs, theta, layout) };
}

/** The parameter that a tensor is a view of. */
function parameterOf(tensor: Tensor, theta: Tensor, layout: Layout): ParameterView | undefined {
  const strides = stridesFrom(tensor, theta);
  if (!strides) return undefined;
  const entry = layout.entries.find(({ offset, size }) => offset === strides.offset && size === tensor.size);
  if (!entry) return undefined;
  if (isContiguous(strides)) return { entry, transposed: false };
  const [rows, columns] = strides.shape;
  const exchanged = strides.shape.length === 2 && isContiguous({ ...strides, ...flipped(strides) });
  return exchanged && rows! > 0 && columns! > 0 ? { entry, transposed: true } : undefined;
}

const flipped = ({ shape, strides }: Strides) => ({
  shape: [shape[1]!, shape[0]!],
  strides: [strides[1]!, strides[0]!],
});

/** The strides of a tensor over θ; undefined when it is no view of it. */
function stridesFrom(tensor: Tensor, theta: Tensor): Strides | undefined {
  if (tensor === theta) return contiguous(theta.shape);
  const { op } = tensor;
  if (op.kind !== "identity" && !isViewKind(op)) return undefined;
  const below = stridesFrom(tensor.inputs[0]!, theta);
  return below && isViewKind(op) ? view(below, op) : below;
}

/**
 * Walks from the outputs towards θ; at a mark, only on to the layer's input. The parameters that are still met have a
 * use that no mark tells of.
 */
function reachedUnmarked(outputs: readonly Tensor[], theta: Tensor, layout: Layout): Set<string> {
  const names = new Set<string>();
  const seen = new Set<Tensor>();
  const pending = [...outputs];
  for (let tensor = pending.pop(); tensor; tensor = pending.pop()) {
    if (seen.has(tensor)) continue;
    seen.add(tensor);
    if (tensor === theta) for (const { name } of layout.entries) names.add(name);
    else if (tensor.op.kind === "slice" && tensor.inputs[0] === theta) {
      const [start, limit] = [tensor.op.start[0]!, tensor.op.limit[0]!];
      for (const { name, offset, size } of layout.entries)
        if (offset < limit && start < offset + size) names.add(name);
    } else if (tensor.op.kind === "mark" && tensor.op.mark.layer !== "hidden")
      pending.push(tensor.inputs[1]!);
    else pending.push(...tensor.inputs);
  }
  return names;
}
