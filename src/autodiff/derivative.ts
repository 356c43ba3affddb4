/**
 * Derivatives on the graph. Forward mode applies each primitive's jvp; reverse mode is forward mode along symbolic
 * tangents, transposed: the tangent graph is linear in them, so that walking it backwards gives Jᵀc.
 * (Radul, Paszke, Frostig, Johnson, Maclaurin 2022, "You Only Linearize Once".)
 */
import { isFloat } from "../tensor/dtype.js";
import { rulesOf } from "../tensor/primitives/index.js";
import { type Maybe, sumOf } from "../tensor/primitives/rules.js";
import { formatShape, ShapeError, sameShape } from "../tensor/shape.js";
import { concat, full, input, Tensor } from "../tensor/tensor.js";
import { joinFactors } from "./factors.js";

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
 *     const y = x.square();
 *     const [dy] = pushforward([y], [x], [dx]);   // 2x·dx
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
 *     const [dx] = pullback([x.square()], [x], [c]);   // 2x·c
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
  return linearMap(placeholders, pushforward(outputs, wrt, placeholders));
}

/** The linear map of the placeholders that the outputs are, with known factors joined. */
export function linearMap(placeholders: readonly Tensor[], outputs: readonly Maybe[]): LinearMap {
  const present = outputs.filter((output) => output !== undefined);
  const order = between(new Set(placeholders), present);
  return { placeholders, outputs: joinFactors(placeholders, order, outputs) };
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
 * The cotangents of slices are pieces between zeros. Pieces of one place are added before the zeros are put around
 * them, and pieces along one axis that do not overlap are joined: T slices of one tensor cost its size once, not T
 * times.
 */
function joinPieces(terms: readonly Tensor[]): readonly Tensor[] {
  if (terms.length < 2) return terms;
  const whole: Tensor[] = [];
  const pieces = new Map<number, Map<string, Tensor[]>>();
  for (const term of terms) {
    const axis = pieceAxis(term);
    if (axis === undefined) {
      whole.push(term);
      continue;
    }
    const { low, high } = term.op as Extract<Tensor["op"], { kind: "pad" }>;
    const places = pieces.get(axis) ?? new Map<string, Tensor[]>();
    pieces.set(axis, places);
    const place = `${low[axis]} ${high[axis]}`;
    if (places.has(place)) places.get(place)!.push(term);
    else places.set(place, [term]);
  }
  const joined = [...pieces].flatMap(([axis, places]) =>
    joinAlong(axis, [...places.values()].map(addContents)),
  );
  return [...whole, ...joined];
}

/** The sum of pieces at one place. */
const addContents = (pieces: readonly Tensor[]): Tensor =>
  pieces.length === 1
    ? pieces[0]!
    : Tensor.apply(pieces[0]!.op, sumOf(pieces.map((piece) => piece.inputs[0]!))!);

/** Sums of pieces along one axis, each of as many as do not overlap. */
function joinAlong(axis: number, pieces: readonly Tensor[]): Tensor[] {
  const startOf = (piece: Tensor) => (piece.op as { low: readonly number[] }).low[axis]!;
  const sums: Tensor[] = [];
  let left = [...pieces].sort((a, b) => startOf(a) - startOf(b));
  while (left.length > 0) {
    const chain: Tensor[] = [];
    const overlapping: Tensor[] = [];
    let end = 0;
    for (const piece of left)
      if (startOf(piece) < end) overlapping.push(piece);
      else {
        chain.push(piece);
        end = startOf(piece) + piece.inputs[0]!.shape[axis]!;
      }
    sums.push(chain.length === 1 ? chain[0]! : joinChain(axis, chain, startOf));
    left = overlapping;
  }
  return sums;
}

/** Pieces in order with zeros in the gaps. */
function joinChain(axis: number, chain: readonly Tensor[], startOf: (piece: Tensor) => number): Tensor {
  const [{ shape, dtype }] = chain as [Tensor];
  const parts: Tensor[] = [];
  let end = 0;
  const zerosUpTo = (next: number) => {
    if (next > end) parts.push(full({ dtype, shape: shape.map((n, k) => (k === axis ? next - end : n)) }, 0));
  };
  for (const piece of chain) {
    const [content] = piece.inputs as [Tensor];
    zerosUpTo(startOf(piece));
    parts.push(content);
    end = startOf(piece) + content.shape[axis]!;
  }
  zerosUpTo(shape[axis]!);
  return concat(parts, axis);
}

/** The one axis along which the tensor is a piece between zeros. */
function pieceAxis({ op }: Tensor): number | undefined {
  if (op.kind !== "pad" || op.interior.some((n) => n > 0)) return undefined;
  const padded = op.low.flatMap((n, axis) => (n > 0 || op.high[axis]! > 0 ? [axis] : []));
  return padded.length === 1 ? padded[0] : undefined;
}

/**
 * The derivative, or zeros where there is none.
 *
 *     orZeros(pullback([loss], [x], [seed])[0], x)
 */
export const orZeros = (derivative: Maybe, like: Tensor): Tensor => derivative ?? full(like, 0);
