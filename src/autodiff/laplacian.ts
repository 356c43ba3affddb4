/**
 * Derivatives of a network by its inputs, as differential equations have them: ∂y/∂xₖ and Σ ∂²y/∂xₖ², in one sweep
 * from the inputs to y that carries a value, the derivatives along d coordinates and ONE sum of second derivatives
 * (Li et al. 2023, "Forward Laplacian"). Through y = f(x):
 *
 *     ∂ₖy = f′(x)·∂ₖx        Δy = f′(x)·Δx + Σₖ f″(x)[∂ₖx, ∂ₖx]
 *
 * Against nested derivatives, 1 + 2d sweeps, it is 2 + d; what is linear has no second term. f″ is the derivative of
 * each primitive's own `jvp`, so that no primitive has a rule for this.
 *
 * Where a layer with a weight is marked, so are the products of its weight with the derivatives: they are further uses
 * of the weight (Dangel, Müller, Zeinhofer 2024, "Kronecker-factored approximate curvature for physics-informed neural
 * networks"), without the bias, which no derivative sees.
 */
import { rulesOf } from "../tensor/primitives/index.js";
import { type Maybe, sumOf } from "../tensor/primitives/rules.js";
import { ShapeError } from "../tensor/shape.js";
import { iota, Tensor } from "../tensor/tensor.js";
import { between, orZeros, pushforward } from "./derivative.js";

export interface Coordinates {
  /** The k of ∂y/∂xₖ that are wanted; default none. */
  readonly first?: readonly number[];
  /** The k over which ∂²y/∂xₖ² is summed; default all. */
  readonly second?: readonly number[];
}

export interface InputDerivatives {
  /** ∂y/∂xₖ for each k of `first`, in the shape of y. */
  readonly first: readonly Tensor[];
  /** Σ over `second` of ∂²y/∂xₖ², in the shape of y. */
  readonly laplacian: Tensor;
}

/**
 * Derivatives of y by the coordinates of x [points, d], from which y is traced. Each row of y must depend on its own
 * row of x only, as a network's outputs do.
 *
 *     const u = network.apply(parameters, x);               // [points, 1], x = (t, x₁)
 *     const { first: [ut], laplacian: uxx } = forwardLaplacian(u, x, { first: [0], second: [1] });
 *
 * @throws ShapeError when x is no matrix or a coordinate is none of its columns.
 */
export function forwardLaplacian(y: Tensor, x: Tensor, coordinates: Coordinates = {}): InputDerivatives {
  const width = x.shape[1] ?? 0;
  const all = Array.from({ length: width }, (_, k) => k);
  const { first = [], second = all } = coordinates;
  const outside = [...first, ...second].find((k) => !all.includes(k));
  if (x.rank !== 2 || outside !== undefined)
    throw new ShapeError(
      `forwardLaplacian: coordinate ${outside ?? "of any kind"} of points [${x.shape.join(", ")}]; points are [points, d], coordinates 0 to d − 1`,
    );
  const directions = all.filter((k) => first.includes(k) || second.includes(k));
  const units = directions.map((k) => iota(x.shape, 1).eq(k).cast(x.dtype));
  const derivatives = new Map<Tensor, Derivatives>([[x, { along: units, laplacian: undefined }]]);
  const curved = directions.map((k) => second.includes(k));
  for (const tensor of between(new Set([x]), [y])) {
    const inputs = tensor.inputs.map((operand) => derivatives.get(operand));
    if (inputs.some((each) => each !== undefined)) derivatives.set(tensor, through(tensor, inputs, curved));
  }
  const found = derivatives.get(y);
  return {
    first: first.map((k) => orZeros(found?.along[directions.indexOf(k)], y)),
    laplacian: orZeros(found?.laplacian, y),
  };
}

/** What is carried beside a value; undefined stands for zero. */
interface Derivatives {
  readonly along: readonly Maybe[];
  readonly laplacian: Maybe;
}

function through(
  tensor: Tensor,
  inputs: readonly (Derivatives | undefined)[],
  curved: readonly boolean[],
): Derivatives {
  const { op } = tensor;
  if (op.kind === "mark") return throughMark(tensor, inputs);
  const { jvp } = rulesOf(op);
  // A copy of the primitive on inputs of its own: its derivative is then by these alone, with the tangents constant.
  const own = tensor.inputs.map((operand, k) =>
    inputs[k] ? Tensor.apply({ kind: "identity" }, operand) : operand,
  );
  const variables = own.filter((_, k) => inputs[k]);
  const copy = Tensor.source(op, tensor, ...own);
  const tangent = (tangents: readonly Maybe[]) =>
    tangents.some((t) => t !== undefined) ? jvp(op, own, tangents, copy) : undefined;
  const of = (pick: (derivatives: Derivatives) => Maybe) => inputs.map((each) => each && pick(each));
  const along = curved.map((_, k) => tangent(of((each) => each.along[k])));
  const bends = along.map((first, k) => {
    if (!first || !curved[k]) return undefined;
    const tangents = of((each) => each.along[k]).filter((_, j) => inputs[j]);
    return pushforward([first], variables, tangents)[0];
  });
  return { along, laplacian: sumOf([tangent(of((each) => each.laplacian)), ...bends]) };
}

/** The derivatives of a marked pre-activation, each marked as what it is: the layer's weight times a derivative. */
function throughMark(tensor: Tensor, inputs: readonly (Derivatives | undefined)[]): Derivatives {
  const { mark } = tensor.op as Extract<Tensor["op"], { kind: "mark" }>;
  const [, , weight] = tensor.inputs;
  const [preactivation, input] = inputs;
  const marked = (s: Maybe, x: Maybe): Maybe =>
    s && x && (mark.layer === "dense" || mark.layer === "conv2d")
      ? s.marked({ ...mark, bias: false }, x, weight!)
      : s;
  return {
    along: (preactivation?.along ?? []).map((s, k) => marked(s, input?.along[k])),
    laplacian: marked(preactivation?.laplacian, input?.laplacian),
  };
}
