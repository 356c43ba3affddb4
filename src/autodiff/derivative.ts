/**
 * Derivatives on the graph. Forward mode applies each primitive's jvp; reverse mode is forward mode along symbolic
 * tangents, transposed: the tangent graph is linear in them, so that walking it backwards gives Jᵀc.
 * (Radul, Paszke, Frostig, Johnson, Maclaurin 2022, "You Only Linearize Once".)
 */
import { isFloat } from "../tensor/dtype.js";
import { rulesOf } from "../tensor/primitives/index.js";
import { type Maybe, sumOf } from "../tensor/primitives/rules.js";
import { formatShape, ShapeError, sameShape } from "../tensor/shape.js";
import { concat, full, input, type Tensor } from "../tensor/tensor.js";

/**
 * The tensors on the paths from `sources` to the outputs, inputs before users, sources excluded; what lies behind a
 * source is not entered, nor what is older than every source and so cannot depend on one.
 */
export function between(sources: ReadonlySet<Tensor>, outputs: readonly Tensor[]): Tensor[] {
  let oldest = Infinity;
  for (const source of sources) oldest = Math.min(oldest, source.id);
  const seen = new Set<Tensor>();
  const pending = [...outputs];
  for (let tensor = pending.pop(); tensor; tensor = pending.pop()) {
    if (seen.has(tensor) || tensor.id < oldest || sources.has(tensor)) continue;
    seen.add(tensor);
    for (const operand of tensor.inputs) pending.push(operand);
  }
  const dependent = new Set<Tensor>();
  for (const tensor of [...seen].sort((a, b) => a.id - b.id))
    if (tensor.inputs.some((operand) => sources.has(operand) || dependent.has(operand)))
      dependent.add(tensor);
  return [...dependent];
}

function checkFits(what: string, derivative: Maybe, tensor: Tensor): void {
  if (derivative && (derivative.dtype !== tensor.dtype || !sameShape(derivative.shape, tensor.shape)))
    throw new ShapeError(
      `${what} is ${derivative.dtype}${formatShape(derivative.shape)}, its primal ${tensor.dtype}${formatShape(tensor.shape)}`,
    );
}

/**
 * Jacobian–vector product: derivatives of the outputs along `tangents` of `wrt` (shapes equal, position by position).
 * `wrt` may be any tensors of the graph except numbers (kind "fill"), which operators read; what lies behind them is
 * constant. undefined stands for zero; integers have no derivative.
 *
 * @throws ShapeError when a tangent does not have the shape and dtype of its primal.
 */
export function pushforward(
  outputs: readonly Tensor[],
  wrt: readonly Tensor[],
  tangents: readonly Maybe[],
): Maybe[] {
  const tangent = new Map<Tensor, Tensor>();
  wrt.forEach((tensor, index) => {
    const t = tangents[index];
    checkFits(`pushforward: tangent ${index}`, t, tensor);
    if (t && isFloat(tensor.dtype)) tangent.set(tensor, t);
  });
  for (const tensor of between(new Set(wrt), outputs)) {
    if (!tensor.inputs.some((operand) => tangent.has(operand))) continue;
    const result = rulesOf(tensor.op).jvp(
      tensor.op,
      tensor.inputs,
      tensor.inputs.map((operand) => tangent.get(operand)),
      tensor,
    );
    if (result) tangent.set(tensor, result);
  }
  return outputs.map((output) => tangent.get(output));
}

/**
 * Vector–Jacobian product: Σ over outputs of (∂output/∂w)ᵀ·cotangent, for each w of `wrt`.
 * undefined stands for zero: of an output's cotangent, and of a result that the outputs do not depend on.
 *
 * @throws ShapeError when a cotangent does not have the shape and dtype of its output.
 */
export function pullback(
  outputs: readonly Tensor[],
  wrt: readonly Tensor[],
  cotangents: readonly Maybe[],
): Maybe[] {
  outputs.forEach((output, index) => {
    checkFits(`pullback: cotangent ${index}`, cotangents[index], output);
  });
  return transpose(linearPart(outputs, wrt), cotangents);
}

/** Outputs as linear functions of placeholders; undefined: the zero function. */
export interface LinearMap {
  readonly placeholders: readonly Tensor[];
  readonly outputs: readonly Maybe[];
}

/** The derivative of the outputs as a linear map of tangents of `wrt`. */
export function linearPart(outputs: readonly Tensor[], wrt: readonly Tensor[]): LinearMap {
  const placeholders = wrt.map((tensor, index) => input(`tangent ${index}`, tensor));
  return { placeholders, outputs: pushforward(outputs, wrt, placeholders) };
}

/** The linear map at these tangents; undefined stands for zero. It is its own derivative. */
export function applyLinear(map: LinearMap, tangents: readonly Maybe[]): Maybe[] {
  const present = map.outputs.filter((output) => output !== undefined);
  const values = pushforward(present, map.placeholders, tangents);
  let next = 0;
  return map.outputs.map((output) => output && values[next++]);
}

/** The transposed linear map at these cotangents. */
export function transpose(map: LinearMap, cotangents: readonly Maybe[]): Maybe[] {
  const sources = new Set(map.placeholders);
  const active = map.outputs.filter((output, index) => output && cotangents[index]) as Tensor[];
  const order = between(sources, active);
  const dependent = new Set([...sources, ...order]);

  const terms = new Map<Tensor, Tensor[]>();
  const add = (tensor: Tensor, term: Tensor) => {
    const list = terms.get(tensor);
    if (list) list.push(term);
    else terms.set(tensor, [term]);
  };
  map.outputs.forEach((output, index) => {
    const c = cotangents[index];
    if (output && c && dependent.has(output)) add(output, c);
  });
  for (let index = order.length - 1; index >= 0; index--) {
    const tensor = order[index]!;
    const c = sumOf(joinPieces(terms.get(tensor) ?? []));
    terms.delete(tensor);
    if (!c) continue;
    const rules = rulesOf(tensor.op);
    if (!rules.transpose) throw new Error(`autodiff: ${tensor.op.kind} is not linear`);
    const linear = tensor.inputs.map((operand) => dependent.has(operand));
    rules.transpose(tensor.op, c, tensor.inputs, linear).forEach((value, k) => {
      if (value && linear[k]) add(tensor.inputs[k]!, value);
    });
  }
  return map.placeholders.map((placeholder) => sumOf(joinPieces(terms.get(placeholder) ?? [])));
}

/**
 * The cotangents of slices are pieces between zeros. Pieces along one axis that do not overlap are joined instead of
 * added up, so that T slices of one tensor cost its size once, not T times.
 */
function joinPieces(terms: readonly Tensor[]): Tensor[] {
  const rest: Tensor[] = [];
  const pieces: { term: Tensor; start: number }[] = [];
  let axis: number | undefined;
  for (const term of terms) {
    const at = terms.length > 1 ? pieceAxis(term) : undefined;
    if (at !== undefined && (axis === undefined || at === axis)) {
      axis = at;
      pieces.push({ term, start: (term.op as { low: readonly number[] }).low[at]! });
    } else rest.push(term);
  }
  if (axis === undefined || pieces.length < 2) return [...terms];
  pieces.sort((a, b) => a.start - b.start);
  const joined: Tensor[] = [];
  const whole = pieces[0]!.term;
  const gap = (extent: number) => {
    const shape = whole.shape.map((n, k) => (k === axis ? extent : n));
    if (extent > 0) joined.push(full({ dtype: whole.dtype, shape }, 0));
  };
  let end = 0;
  for (const { term, start } of pieces) {
    if (start < end) {
      rest.push(term);
      continue;
    }
    const [piece] = term.inputs as [Tensor];
    gap(start - end);
    joined.push(piece);
    end = start + piece.shape[axis]!;
  }
  gap(whole.shape[axis]! - end);
  return [concat(joined, axis), ...rest];
}

/** The one axis along which the tensor is a piece between zeros. */
function pieceAxis({ op }: Tensor): number | undefined {
  if (op.kind !== "pad" || op.interior.some((n) => n > 0)) return undefined;
  const padded = op.low.flatMap((n, axis) => (n > 0 || op.high[axis]! > 0 ? [axis] : []));
  return padded.length === 1 ? padded[0] : undefined;
}

/** The derivative, or zeros where there is none. */
export const orZeros = (derivative: Maybe, like: Tensor): Tensor => derivative ?? full(like, 0);
