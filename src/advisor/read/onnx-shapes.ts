/**
 * Shapes of an ONNX graph's activations, where the file does not tell them: forward through the usual operators, with
 * the whole numbers from which exporters compute the shapes of reshapes, and backward through elementwise ones.
 */
import type { Graph, Node } from "./onnx-graph.js";

type Sizes = readonly number[];

/** What a name stands for: an initialiser, as it is or transposed. */
export type Origins = ReadonlyMap<string, { readonly name: string; readonly shape: Sizes }>;

export interface Shapes {
  readonly shapes: ReadonlyMap<string, Sizes>;
  readonly origins: Origins;
}

/** Operators whose output has the shape of their first input. */
const alike = new Set(
  "Relu Sigmoid Tanh Gelu Erf Softmax LogSoftmax Softplus Clip LeakyRelu Elu Selu HardSwish HardSigmoid Dropout Identity Cast Sqrt Neg Abs Reciprocal Exp Log BatchNormalization LayerNormalization InstanceNormalization GroupNormalization".split(
    " ",
  ),
);
const binary = new Set(["Add", "Sub", "Mul", "Div", "Pow", "Where", "Max", "Min"]);
/** Numbers that a shape is computed from. */
const mostValues = 64;

export const product = (sizes: Sizes): number => sizes.reduce((result, size) => result * size, 1);

export function inferShapes({ nodes, weights, shapes: told }: Graph): Shapes {
  const shapes = new Map(told);
  const origins = new Map([...weights].map(([name, { shape }]) => [name, { name, shape }]));
  const values = new Map(
    [...weights].flatMap(([name, weight]) => (weight.values ? [[name, weight.values]] : [])),
  );
  const known = (name: string | undefined): Sizes | undefined =>
    shapes.get(name ?? "") ?? origins.get(name ?? "")?.shape;
  const forward = () => {
    for (const node of nodes) {
      const [out = "", ...further] = node.outputs;
      if (node.op === "Constant" && node.constant) {
        origins.set(out, { name: out, shape: node.constant.shape });
        if (node.constant.values) values.set(out, node.constant.values);
        continue;
      }
      const source = origins.get(node.inputs[0] ?? "");
      if (source && /^(Identity|Cast|Transpose|DequantizeLinear)$/.test(node.op)) {
        const turned =
          node.op === "Transpose" ? transposed(source.shape, node.numbers.get("perm")) : source.shape;
        origins.set(out, { name: source.name, shape: turned });
      }
      const computed = valuesOf(node, known, values);
      if (computed && computed.length <= mostValues) values.set(out, computed);
      if (!shapes.has(out) && !origins.has(out)) {
        const shape = shapeOf(node, known, origins, values);
        if (shape?.every((size) => Number.isSafeInteger(size) && size > 0)) {
          shapes.set(out, shape);
          // Parts of a split are alike.
          if (node.op === "Split") for (const part of further) shapes.set(part, shape);
        }
      }
    }
  };
  forward();
  for (const { op, inputs, outputs } of nodes.toReversed()) {
    const shape = shapes.get(outputs[0] ?? "");
    if (!shape || !(alike.has(op) || (binary.has(op) && shape.length > 1))) continue;
    for (const input of alike.has(op) ? inputs.slice(0, 1) : inputs)
      if (input !== "" && !known(input)) shapes.set(input, shape);
  }
  forward();
  return { shapes, origins };
}

type Known = (name: string | undefined) => Sizes | undefined;

/** Whole numbers that a node computes of whole numbers: what the shape of a reshape is made of. */
function valuesOf(
  { op, inputs, numbers }: Node,
  known: Known,
  values: ReadonlyMap<string, Sizes>,
): Sizes | undefined {
  const [a, b] = [values.get(inputs[0] ?? ""), values.get(inputs[1] ?? "")];
  switch (op) {
    case "Shape":
      return known(inputs[0]);
    case "Cast":
    case "Squeeze":
    case "Unsqueeze":
    case "Identity":
      return a;
    case "Gather":
      return a && b && (numbers.get("axis")?.[0] ?? 0) === 0 ? b.map((at) => a.at(at) ?? 0) : undefined;
    case "Concat": {
      const parts = inputs.map((input) => values.get(input));
      return parts.every((part) => part !== undefined) ? parts.flat() : undefined;
    }
    case "Add":
      return pairwise(a, b, (x, y) => x + y);
    case "Sub":
      return pairwise(a, b, (x, y) => x - y);
    case "Mul":
      return pairwise(a, b, (x, y) => x * y);
    case "Div":
      return pairwise(a, b, (x, y) => Math.trunc(x / y));
    default:
      return undefined;
  }
}

const pairwise = (a: Sizes | undefined, b: Sizes | undefined, f: (x: number, y: number) => number) =>
  a && b && (a.length === b.length || b.length === 1)
    ? a.map((x, k) => f(x, b[b.length === 1 ? 0 : k]!))
    : undefined;

/** The shape of a node's first output. */
function shapeOf(
  { op, inputs, numbers, outputs }: Node,
  known: Known,
  origins: Origins,
  values: ReadonlyMap<string, Sizes>,
): Sizes | undefined {
  const [x, w] = [known(inputs[0]), known(inputs[1])];
  if (alike.has(op)) return x;
  if (binary.has(op)) {
    if (x && w) return broadcast(x, w);
    // Of two activations one tells; an initialiser may be broadcast.
    return origins.has(inputs[0] ?? "") || origins.has(inputs[1] ?? "") ? undefined : (x ?? w);
  }
  const axesGiven = numbers.get("axes") ?? values.get(inputs[1] ?? "");
  switch (op) {
    case "MatMul":
      return x && w && x.length > 0 && w.length > 0
        ? [...broadcast(x.slice(0, -2), w.slice(0, -2)), ...x.slice(-2, -1), w.at(-1)!]
        : undefined;
    case "Gemm":
      return x && w && [x[0]!, numbers.get("transB")?.[0] ? w[0]! : w.at(-1)!];
    case "Conv":
      return x && w && [x[0]!, w[0]!, ...windows(x.slice(2), w.slice(2), numbers)];
    case "MaxPool":
    case "AveragePool":
      return x && [x[0]!, x[1] ?? 1, ...windows(x.slice(2), numbers.get("kernel_shape") ?? [], numbers)];
    case "GlobalAveragePool":
    case "GlobalMaxPool":
      return x && [...x.slice(0, 2), ...x.slice(2).map(() => 1)];
    case "Flatten": {
      const axis = numbers.get("axis")?.[0] ?? 1;
      return x && [product(x.slice(0, axis)), product(x.slice(axis))];
    }
    case "Gather": {
      const axis = numbers.get("axis")?.[0] ?? 0;
      const at = axis < 0 ? axis + (x?.length ?? 0) : axis;
      return x && w && [...x.slice(0, at), ...w, ...x.slice(at + 1)];
    }
    case "Transpose":
      return x && transposed(x, numbers.get("perm"));
    case "Reshape":
      return reshaped(x, values.get(inputs[1] ?? ""));
    case "Squeeze":
      return x?.filter((size, k) =>
        axesGiven ? !axesGiven.some((axis) => (axis + x.length) % x.length === k) : size !== 1,
      );
    case "Unsqueeze": {
      if (!x || !axesGiven) return undefined;
      const rank = x.length + axesGiven.length;
      const sizes = [...x];
      for (const axis of axesGiven.map((k) => (k + rank) % rank).toSorted((a, b) => a - b))
        sizes.splice(axis, 0, 1);
      return sizes;
    }
    case "Split": {
      const axis = numbers.get("axis")?.[0] ?? 0;
      const at = axis < 0 ? axis + (x?.length ?? 0) : axis;
      return x?.map((size, k) => (k === at ? size / outputs.length : size));
    }
    case "ReduceMean":
    case "ReduceSum":
    case "ReduceMax": {
      if (!x || !axesGiven) return undefined;
      const reduced = (k: number) => axesGiven.some((axis) => (axis + x.length) % x.length === k);
      return (numbers.get("keepdims")?.[0] ?? 1)
        ? x.map((size, k) => (reduced(k) ? 1 : size))
        : x.filter((_, k) => !reduced(k));
    }
    default:
      return undefined;
  }
}

/** NumPy's rule, last axes first; of sizes that do not fit the larger. */
function broadcast(a: Sizes, b: Sizes): Sizes {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, k) =>
    Math.max(a[k - rank + a.length] ?? 1, b[k - rank + b.length] ?? 1),
  );
}

/** 0 keeps a size, −1 takes what is left. */
function reshaped(x: Sizes | undefined, wanted: Sizes | undefined): Sizes | undefined {
  if (!wanted || wanted.length === 0) return undefined;
  const sizes = wanted.map((size, k) => (size === 0 ? (x?.[k] ?? 0) : size));
  const rest = product(sizes.filter((size) => size !== -1));
  return sizes.map((size) => (size === -1 ? (x ? product(x) / rest : 0) : size));
}

const transposed = (shape: Sizes, perm: Sizes | undefined): Sizes =>
  perm?.length === shape.length ? perm.map((axis) => shape[axis] ?? 1) : shape.toReversed();

/** Places of a window along each axis: ⌊(size + padding − dilation·(kernel − 1) − 1)/stride⌋ + 1. */
function windows(
  sizes: readonly number[],
  kernel: readonly number[],
  numbers: ReadonlyMap<string, readonly number[]>,
): number[] {
  const [strides, dilations, pads] = [numbers.get("strides"), numbers.get("dilations"), numbers.get("pads")];
  return sizes.map((size, k) => {
    if (numbers.get("auto_pad")?.[0]) return Math.ceil(size / (strides?.[k] || 1));
    const padding = (pads?.[k] ?? 0) + (pads?.[k + sizes.length] ?? 0);
    const reach = (dilations?.[k] ?? 1) * ((kernel[k] ?? 1) - 1) + 1;
    return Math.max(1, Math.floor((size + padding - reach) / (strides?.[k] || 1)) + 1);
  });
}
