/**
 * Program → equivalent, smaller program: common subexpressions, arithmetic on known numbers, nested views,
 * identities of the tracing and differentiation layers.
 *
 * Values stay what they are, NaN, infinities and signs of zero included: x·0 is not 0, x + 0 is not x (−0 + 0 = 0), but
 * x − 0 and x + (−0) are. Two rewrites round otherwise: products with two known numbers become one, and a sum is folded term by term.
 */
import { isBinary, isUnary, type Op } from "../tensor/op.js";
import { type Program, reachable } from "../tensor/program.js";
import { sameShape } from "../tensor/shape.js";
import { concat, full, operandWith, Tensor } from "../tensor/tensor.js";

export function simplify(program: Program): Program {
  const simple = new Map<Tensor, Tensor>();
  const known = new Map<string, Tensor>();
  /** One tensor for each (primitive, inputs). */
  const unique = (tensor: Tensor): Tensor => {
    if (tensor.op.kind === "input" || tensor.op.kind === "constant") return tensor;
    const attributes = JSON.stringify(tensor.op, (_, value) =>
      Object.is(value, -0)
        ? "-0"
        : typeof value === "number" && !Number.isFinite(value)
          ? String(value)
          : value,
    );
    const key = `${attributes}|${tensor.inputs.map((t) => t.id).join()}|${tensor.dtype}${tensor.inputs.length === 0 || tensor.op.kind === "random" ? tensor.shape.join() : ""}`;
    const found = known.get(key);
    if (found) return found;
    known.set(key, tensor);
    return tensor;
  };
  const padSums = new Map<Tensor, PadSum | undefined>();
  const visit = (tensor: Tensor): Tensor => {
    const found = simple.get(tensor);
    if (found) return found;
    const { op } = tensor;
    const result =
      op.kind === "softmax"
        ? visit(softmaxOf(tensor.inputs[0]!, op.axis))
        : unique(rewrite(tensor, tensor.inputs.map(visit), unique, padSums));
    simple.set(tensor, result);
    return result;
  };
  for (const tensor of reachable(program.outputs)) visit(tensor);
  return { inputs: program.inputs, outputs: program.outputs.map((output) => simple.get(output)!) };
}

/** Softmax in the other primitives: what is kept of it and what is computed again is then decided as for them. */
function softmaxOf(x: Tensor, axis: number): Tensor {
  const powers = x.sub(x.maximum(axis, true)).exp();
  return powers.div(powers.sum(axis, true));
}

/** The number that fills a tensor, as its type holds it. */
function fillOf({ op, dtype }: Tensor): number | undefined {
  if (op.kind !== "fill") return undefined;
  return dtype === "f64" ? op.value : dtype === "f32" ? Math.fround(op.value) : op.value | 0;
}

const isFloatTensor = (tensor: Tensor) => tensor.dtype === "f32" || tensor.dtype === "f64";

/** Whether adding (or subtracting) the number changes nothing: for floats the sign of zero matters. */
const neutral = (zero: 0 | -0, value: number | undefined, like: Tensor) =>
  isFloatTensor(like) ? Object.is(value, zero) : value === 0;

/** Numbers whose products with each other neither vanish nor overflow in f32. */
const moderate = (x: number) => Math.abs(x) >= 2 ** -60 && Math.abs(x) <= 2 ** 60;

/** Whether no element can be −0, so that adding 0 changes nothing. */
function hasNoNegativeZero(tensor: Tensor): boolean {
  const { op, inputs } = tensor;
  switch (op.kind) {
    // Sums begin with 0.
    case "dot":
    case "reduceSum":
    case "scatterAdd":
    case "fold":
    case "abs":
    case "exp":
    case "sigmoid":
    case "iota":
    case "random":
      return true;
    case "fill":
      return !Object.is(fillOf(tensor), -0);
    case "add":
      return inputs.some(hasNoNegativeZero);
    case "mul":
      return inputs[0] === inputs[1];
    case "reshape":
    case "permute":
    case "expand":
    case "slice":
    case "reverse":
      return hasNoNegativeZero(inputs[0]!);
    default:
      return !isFloatTensor(tensor);
  }
}
const plusZero = (tensor: Tensor): Tensor => (hasNoNegativeZero(tensor) ? tensor : tensor.add(0));

function rewrite(
  tensor: Tensor,
  inputs: readonly Tensor[],
  unique: (t: Tensor) => Tensor,
  padSums: Map<Tensor, PadSum | undefined>,
): Tensor {
  const { op } = tensor;
  const [a, b] = inputs as [Tensor, Tensor];
  const apply = (next: Op, ...operands: Tensor[]) => unique(Tensor.apply(next, ...operands));
  const same = inputs.every((operand, index) => operand === tensor.inputs[index]);
  const rebuilt = () =>
    same
      ? tensor
      : tensor.op.kind === "random"
        ? Tensor.source(op, tensor, ...inputs)
        : Tensor.apply(op, ...inputs);
  const folded = foldFills(tensor, inputs);
  if (folded) return folded;

  if (isBinary(op)) {
    const [x, y] = [fillOf(a), fillOf(b)];
    switch (op.kind) {
      case "add":
        if (neutral(-0, x, a)) return b;
        if (neutral(-0, y, a)) return a;
        if (b.op.kind === "neg") return apply({ kind: "sub" }, a, b.inputs[0]!);
        if (a.op.kind === "neg") return apply({ kind: "sub" }, b, a.inputs[0]!);
        return joinPads(tensor, a, b, padSums) ?? rebuilt();
      case "sub":
        if (neutral(0, y, a)) return a;
        if (neutral(-0, x, a)) return apply({ kind: "neg" }, b);
        if (b.op.kind === "neg") return apply({ kind: "add" }, a, b.inputs[0]!);
        return rebuilt();
      case "mul":
        if (x === 1) return b;
        if (y === 1) return a;
        if (x === -1) return apply({ kind: "neg" }, b);
        if (y === -1) return apply({ kind: "neg" }, a);
        if (isFloatTensor(a)) {
          const merged = mergeFactors(a, y) ?? mergeFactors(b, x);
          if (merged) return apply({ kind: "mul" }, merged.rest, unique(full(tensor, merged.factor)));
        }
        return rebuilt();
      case "div":
        if (y === 1) return a;
        return rebuilt();
      default:
        return rebuilt();
    }
  }
  switch (op.kind) {
    case "identity":
    case "stopGradient":
    case "mark":
      return a;
    case "neg":
      return a.op.kind === "neg" ? a.inputs[0]! : rebuilt();
    case "cast":
      return a.dtype === op.dtype ? a : rebuilt();
    case "reshape": {
      const source = a.op.kind === "reshape" ? a.inputs[0]! : a;
      if (sameShape(source.shape, op.shape)) return source;
      return source === a ? rebuilt() : apply({ kind: "reshape", shape: op.shape }, source);
    }
    case "permute": {
      const axes =
        a.op.kind === "permute"
          ? op.axes.map((axis) => (a.op as { axes: readonly number[] }).axes[axis]!)
          : op.axes;
      const source = a.op.kind === "permute" ? a.inputs[0]! : a;
      if (axes.every((axis, index) => axis === index)) return source;
      return source === a ? rebuilt() : apply({ kind: "permute", axes }, source);
    }
    case "expand":
      if (sameShape(a.shape, op.shape)) return a;
      return a.op.kind === "expand" ? apply({ kind: "expand", shape: op.shape }, a.inputs[0]!) : rebuilt();
    case "slice":
      // A slice of a concatenation that stays inside one operand is that operand, sliced.
      if (a.op.kind === "concat") {
        const { axis } = a.op;
        const operand = operandWith(a, op.start[axis]!, op.limit[axis]!);
        if (operand) {
          const shift = (list: readonly number[]) =>
            list.map((value, k) => (k === axis ? value - operand.first : value));
          const [start, limit] = [shift(op.start), shift(op.limit)];
          const whole =
            start.every((value) => value === 0) &&
            sameShape(limit, operand.tensor.shape) &&
            op.step.every((s) => s === 1);
          return whole
            ? operand.tensor
            : apply({ kind: "slice", start, limit, step: op.step }, operand.tensor);
        }
      }
      return rebuilt();
    case "concat":
      return inputs.length === 1 ? a : rebuilt();
    case "reduceSum":
    case "reduceMax": {
      if (!op.axes.every((axis) => a.shape[axis] === 1)) return rebuilt();
      // 0 + x, without the loop of a sum
      const only = op.kind === "reduceSum" ? unique(plusZero(a)) : a;
      const source = only.op.kind === "reshape" ? only.inputs[0]! : only;
      return sameShape(source.shape, tensor.shape)
        ? source
        : apply({ kind: "reshape", shape: tensor.shape }, source);
    }
    case "select":
      return inputs[1] === inputs[2] ? inputs[1]! : rebuilt();
    case "fold": {
      // Two products folded apart are two convolutions, which never hold their patches whole.
      const sum = a.op.kind === "reshape" ? a.inputs[0]! : a;
      if (sum.op.kind !== "add" || !sum.inputs.every(({ op }) => op.kind === "dot")) return rebuilt();
      const [x, y] = sum.inputs.map((term) => apply(op, apply({ kind: "reshape", shape: a.shape }, term)));
      return apply({ kind: "add" }, x!, y!);
    }
    default:
      return rebuilt();
  }
}

/** (c·u)·d = (c·d)·u for known numbers c and d. */
function mergeFactors(
  product: Tensor,
  outer: number | undefined,
): { rest: Tensor; factor: number } | undefined {
  if (outer === undefined || !moderate(outer) || product.op.kind !== "mul") return undefined;
  const [a, b] = product.inputs as [Tensor, Tensor];
  const [left, right] = [fillOf(a), fillOf(b)];
  if (right !== undefined && moderate(right)) return { rest: a, factor: right * outer };
  if (left !== undefined && moderate(left)) return { rest: b, factor: left * outer };
  return undefined;
}

/** Arithmetic on tensors that hold one known number, and views of them. */
function foldFills(tensor: Tensor, inputs: readonly Tensor[]): Tensor | undefined {
  const { op } = tensor;
  const values = inputs.map(fillOf);
  const [x, y] = values;
  if (inputs.length === 0 || x === undefined) return undefined;
  if (["reshape", "permute", "expand", "slice", "reverse"].includes(op.kind)) return full(tensor, x);
  const round = (value: number) => full(tensor, tensor.dtype === "f32" ? Math.fround(value) : value);
  if (isUnary(op)) {
    if (op.kind === "neg") return full(tensor, -x);
    if (op.kind === "sqrt") return round(Math.sqrt(x));
    if (op.kind === "exp") return round(Math.exp(x));
    if (op.kind === "log") return round(Math.log(x));
    if (op.kind === "abs") return full(tensor, Math.abs(x));
    return undefined;
  }
  if (isBinary(op) && y !== undefined && isFloatTensor(tensor)) {
    if (op.kind === "add") return round(x + y);
    if (op.kind === "sub") return round(x - y);
    if (op.kind === "mul") return round(x * y);
    if (op.kind === "div") return round(x / y);
    if (op.kind === "pow") return round(x ** y);
    if (op.kind === "max") return full(tensor, Math.max(x, y));
    if (op.kind === "min") return full(tensor, Math.min(x, y));
  }
  if (op.kind === "cast" && (op.dtype === "f32" || op.dtype === "f64")) return round(x);
  return undefined;
}

interface PadSum {
  readonly axis: number;
  /** Extents of all pieces along the axis. */
  readonly length: number;
}

/**
 * Derivatives of slices are sums of padded pieces. Where a whole sum tiles one axis, it is a concatenation of the
 * pieces plus 0: each can then be computed in place. `sums` remembers what is known of smaller sums.
 */
function joinPads(
  tensor: Tensor,
  a: Tensor,
  b: Tensor,
  sums: Map<Tensor, PadSum | undefined>,
): Tensor | undefined {
  const sumOf = (term: Tensor): PadSum | undefined => {
    if (!sums.has(term)) sums.set(term, padSum(term));
    return sums.get(term);
  };
  const [left, right] = [sumOf(a), sumOf(b)];
  if (!left || !right || left.axis !== right.axis) return undefined;
  const { axis } = left;
  const length = left.length + right.length;
  if (length !== tensor.shape[axis]) return undefined;
  const pieces: { tensor: Tensor; start: number; length: number }[] = [];
  const pending = [a, b];
  for (let term = pending.pop(); term; term = pending.pop()) {
    const piece = term.inputs[0]!;
    if (term.op.kind === "pad")
      pieces.push({ tensor: piece, start: term.op.low[axis]!, length: piece.shape[axis]! });
    else pending.push(...term.inputs);
  }
  pieces.sort((p, q) => p.start - q.start);
  let next = 0;
  for (const piece of pieces) {
    if (piece.start !== next) return undefined;
    next += piece.length;
  }
  return concat(
    pieces.map((piece) => plusZero(piece.tensor)),
    axis,
  );

  /** A single padded axis, or a sum of such. */
  function padSum(term: Tensor): PadSum | undefined {
    if (term.op.kind === "add") {
      const [p, q] = [sums.get(term.inputs[0]!), sums.get(term.inputs[1]!)];
      return p && q && p.axis === q.axis ? { axis: p.axis, length: p.length + q.length } : undefined;
    }
    if (term.op.kind !== "pad" || term.op.interior.some((gap) => gap > 0)) return undefined;
    const { low, high } = term.op;
    const padded = low.flatMap((before, k) => (before !== 0 || high[k] !== 0 ? [k] : []));
    const axis = padded[0];
    return axis === undefined || padded.length > 1
      ? undefined
      : { axis, length: term.inputs[0]!.shape[axis]! };
  }
}
