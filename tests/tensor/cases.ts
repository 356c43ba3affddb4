/**
 * One row for each way of using a primitive: what drives the tests of evaluation, derivatives, vmap and compiled code.
 * A new primitive is one more row; `tests/autodiff/primitives.test.ts` fails while a kind has none.
 */
import { array, type NDArray, type Spec } from "../../src/tensor/array.js";
import { allocate } from "../../src/tensor/dtype.js";
import type { Mark, Op, Window } from "../../src/tensor/op.js";
import { type Program, trace } from "../../src/tensor/program.js";
import { type Shape, sizeOf } from "../../src/tensor/shape.js";
import { concat, constant, full, iota, scatterAdd, Tensor } from "../../src/tensor/tensor.js";

/** An argument of a case: distinct floats between two bounds, row numbers below a bound, truth values, or a key. */
export type Argument =
  | { readonly shape: Shape; readonly low: number; readonly high: number }
  | { readonly shape: Shape; readonly below: number }
  | { readonly shape: Shape; readonly dtype: "bool" | "i32" };

export interface Case {
  readonly kind: Op["kind"];
  readonly name: string;
  readonly inputs: readonly Argument[];
  /** Works for f32 and f64 alike. */
  readonly apply: (...inputs: Tensor[]) => Tensor;
}

const real = (shape: Shape, low = -1.5, high = 1.5): Argument => ({ shape, low, high });
const rows = (shape: Shape, below: number): Argument => ({ shape, below });
const bool = (shape: Shape): Argument => ({ shape, dtype: "bool" });
const integer = (shape: Shape): Argument => ({ shape, dtype: "i32" });

const op = (operation: Op, ...inputs: Tensor[]) => Tensor.apply(operation, ...inputs);
const unaryCase = (
  kind:
    | Extract<Op["kind"], "neg" | "abs" | "sign" | "floor" | "exp" | "expm1" | "log" | "log1p" | "sqrt">
    | "tanh"
    | "sigmoid"
    | "erf"
    | "sin"
    | "cos",
  low = -2,
  high = 2,
): Case => ({ kind, name: kind, inputs: [real([3, 5], low, high)], apply: (x) => op({ kind }, x!) });
const binaryCase = (
  kind: "add" | "sub" | "mul" | "div" | "pow" | "max" | "min",
  low = -2,
  high = 2,
): Case => ({
  kind,
  name: kind,
  inputs: [real([2, 7], low, high), real([2, 7], low, high)],
  apply: (a, b) => op({ kind }, a!, b!),
});
const compareCase = (kind: "lt" | "le" | "eq" | "ne"): Case => ({
  kind,
  name: `${kind}, of rounded numbers`,
  inputs: [real([4, 5], -2, 2), real([4, 5], -2, 2)],
  apply: (a, b) => op({ kind }, a!.floor(), b!.floor()),
});

const window: Window = {
  kernel: [3, 2],
  stride: [1, 1],
  padding: [
    [1, 1],
    [0, 1],
  ],
  dilation: [1, 1],
};
const strided: Window = {
  kernel: [2, 2],
  stride: [2, 3],
  padding: [
    [0, 1],
    [1, 0],
  ],
  dilation: [2, 1],
};
const dense: Mark = { layer: "dense", name: "dense", bias: true };

export const cases: readonly Case[] = [
  // sources
  { kind: "input", name: "input", inputs: [real([2, 3])], apply: (x) => x! },
  {
    kind: "constant",
    name: "constant beside an input",
    inputs: [real([2, 2])],
    apply: (x) =>
      x!.mul(
        constant(
          [
            [1, -2],
            [3, 0.5],
          ],
          x!.dtype,
        ),
      ),
  },
  { kind: "fill", name: "fill", inputs: [real([2, 3])], apply: (x) => x!.add(full(x!, 1.25)) },
  {
    kind: "iota",
    name: "iota along the first axis",
    inputs: [real([3, 4])],
    apply: (x) => x!.mul(iota([3, 4], 0, x!.dtype)),
  },
  { kind: "iota", name: "iota, integers", inputs: [integer([3, 4])], apply: (x) => x!.add(iota([3, 4])) },
  {
    kind: "random",
    name: "random, stream 3",
    inputs: [integer([2]), real([5, 7])],
    apply: (key, x) =>
      x!.mul(Tensor.source({ kind: "random", stream: 3 }, { dtype: x!.dtype, shape: [5, 7] }, key!)),
  },
  // elementwise
  unaryCase("neg"),
  unaryCase("abs"),
  unaryCase("sign"),
  unaryCase("floor"),
  unaryCase("exp"),
  unaryCase("expm1"),
  unaryCase("log", 0.2, 3),
  unaryCase("log1p", -0.7, 3),
  unaryCase("sqrt", 0.2, 3),
  unaryCase("tanh"),
  unaryCase("sigmoid", -4, 4),
  unaryCase("erf"),
  unaryCase("sin", -4, 4),
  unaryCase("cos", -4, 4),
  { kind: "not", name: "not", inputs: [bool([3, 3])], apply: (x) => x!.not() },
  binaryCase("add"),
  binaryCase("sub"),
  binaryCase("mul"),
  binaryCase("div", 0.5, 2),
  binaryCase("pow", 0.3, 2),
  binaryCase("max"),
  binaryCase("min"),
  { kind: "mul", name: "square", inputs: [real([2, 3])], apply: (x) => x!.square() },
  { kind: "mul", name: "mul, integers", inputs: [integer([6]), integer([6])], apply: (a, b) => a!.mul(b!) },
  { kind: "div", name: "reciprocal", inputs: [real([4], 0.5, 2)], apply: (x) => x!.reciprocal() },
  { kind: "pow", name: "cube of both signs", inputs: [real([5])], apply: (x) => x!.pow(3) },
  { kind: "pow", name: "power −1.5", inputs: [real([5], 0.3, 2)], apply: (x) => x!.pow(-1.5) },
  {
    kind: "pow",
    name: "power of 2",
    inputs: [real([5])],
    apply: (x) => full(x!, 2).pow(x!),
  },
  { kind: "max", name: "max with a number", inputs: [real([6])], apply: (x) => x!.max(0.1) },
  { kind: "and", name: "and", inputs: [bool([3, 3]), bool([3, 3])], apply: (a, b) => a!.and(b!) },
  { kind: "or", name: "or", inputs: [bool([3, 3]), bool([3, 3])], apply: (a, b) => a!.or(b!) },
  compareCase("lt"),
  compareCase("le"),
  compareCase("eq"),
  compareCase("ne"),
  {
    kind: "select",
    name: "select",
    inputs: [bool([3, 4]), real([3, 4]), real([3, 4])],
    apply: (condition, a, b) => condition!.select(a!, b!),
  },
  { kind: "select", name: "relu", inputs: [real([3, 4])], apply: (x) => x!.relu() },
  {
    kind: "cast",
    name: "cast to f64 and back",
    inputs: [real([3, 4])],
    apply: (x) => x!.cast("f64").mul(2).cast(x!.dtype),
  },
  { kind: "cast", name: "cast to i32", inputs: [real([3, 4], -9, 9)], apply: (x) => x!.cast("i32") },
  {
    kind: "cast",
    name: "cast of truth values",
    inputs: [bool([3, 4]), real([3, 4])],
    apply: (condition, x) => condition!.cast(x!.dtype).mul(x!),
  },
  // layout
  { kind: "reshape", name: "reshape", inputs: [real([3, 4])], apply: (x) => x!.reshape([2, 6]) },
  { kind: "permute", name: "permute", inputs: [real([2, 3, 4])], apply: (x) => x!.permute([2, 0, 1]) },
  { kind: "permute", name: "transpose", inputs: [real([3, 4])], apply: (x) => x!.transpose() },
  { kind: "expand", name: "expand", inputs: [real([2, 1, 3])], apply: (x) => x!.expand([4, 2, 5, 3]) },
  { kind: "expand", name: "expand a scalar", inputs: [real([])], apply: (x) => x!.expand([2, 3]) },
  { kind: "slice", name: "slice", inputs: [real([4, 5])], apply: (x) => x!.slice(1, 1, 4) },
  {
    kind: "slice",
    name: "slice in steps",
    inputs: [real([7, 6])],
    apply: (x) => op({ kind: "slice", start: [1, 0], limit: [6, 6], step: [2, 4] }, x!),
  },
  {
    kind: "slice",
    name: "slices that overlap, tile and leave gaps",
    inputs: [real([9, 2])],
    apply: (x) =>
      concat([
        x!.slice(0, 6, 8),
        x!.slice(0, 0, 2),
        x!.slice(0, 2, 4),
        x!.slice(0, 3, 5),
        x!.slice(1, 1).expand([9, 2]),
      ]),
  },
  {
    kind: "pad",
    name: "pad",
    inputs: [real([2, 3])],
    apply: (x) =>
      x!.pad([
        [1, 0],
        [0, 2],
      ]),
  },
  {
    kind: "pad",
    name: "pad between elements",
    inputs: [real([2, 3])],
    apply: (x) => op({ kind: "pad", low: [0, 1], high: [2, 0], interior: [1, 2] }, x!),
  },
  {
    kind: "concat",
    name: "concat",
    inputs: [real([2, 2]), real([2, 1]), real([2, 3])],
    apply: (...parts) => concat(parts, 1),
  },
  { kind: "reverse", name: "reverse", inputs: [real([2, 3, 2])], apply: (x) => x!.reverse([0, 2]) },
  // reductions
  { kind: "reduceSum", name: "sum of all", inputs: [real([3, 4])], apply: (x) => x!.sum() },
  { kind: "reduceSum", name: "sum of two axes", inputs: [real([2, 3, 4])], apply: (x) => x!.sum([0, 2]) },
  { kind: "reduceSum", name: "mean of rows", inputs: [real([3, 4])], apply: (x) => x!.mean(1, true) },
  { kind: "reduceMax", name: "maximum", inputs: [real([3, 4])], apply: (x) => x!.maximum(1) },
  {
    kind: "reduceMax",
    name: "minimum of two axes",
    inputs: [real([2, 3, 4])],
    apply: (x) => x!.minimum([0, 1]),
  },
  { kind: "reduceMax", name: "log-sum-exp", inputs: [real([3, 4])], apply: (x) => x!.logSumExp(0) },
  { kind: "argMax", name: "argMax", inputs: [real([3, 4])], apply: (x) => x!.argMax(0) },
  { kind: "cumsum", name: "cumsum", inputs: [real([3, 4])], apply: (x) => x!.cumsum(1) },
  { kind: "softmax", name: "softmax", inputs: [real([3, 5], -2, 2)], apply: (x) => x!.softmax(-1) },
  {
    kind: "softmax",
    name: "softmax of the first axis",
    inputs: [real([4, 3], -2, 2)],
    apply: (x) => x!.softmax(0),
  },
  { kind: "cumsum", name: "cumsum of the first axis", inputs: [real([4, 2])], apply: (x) => x!.cumsum(0) },
  // contraction
  {
    kind: "dot",
    name: "dot",
    inputs: [real([3, 4]), real([4, 2])],
    apply: (a, b) => op({ kind: "dot" }, a!, b!),
  },
  {
    kind: "dot",
    name: "dot of batches",
    inputs: [real([2, 3, 4]), real([2, 4, 2])],
    apply: (a, b) => op({ kind: "dot" }, a!, b!),
  },
  {
    kind: "dot",
    name: "matmul with a shared right side",
    inputs: [real([2, 3, 4]), real([4, 2])],
    apply: (a, b) => a!.matmul(b!),
  },
  {
    kind: "dot",
    name: "matmul of transposes",
    inputs: [real([4, 3]), real([2, 4])],
    apply: (a, b) => a!.transpose().matmul(b!.transpose()),
  },
  { kind: "dot", name: "Gram matrix", inputs: [real([3, 4])], apply: (a) => a!.matmul(a!.transpose()) },
  { kind: "patches", name: "patches", inputs: [real([2, 4, 3, 2])], apply: (x) => x!.patches(window) },
  {
    kind: "patches",
    name: "patches, strided",
    inputs: [real([1, 6, 7, 2])],
    apply: (x) => x!.patches(strided),
  },
  {
    kind: "fold",
    name: "fold",
    inputs: [real([2, 4, 3, 12])],
    apply: (c) => op({ kind: "fold", window, height: 4, width: 3 }, c!),
  },
  {
    kind: "fold",
    name: "fold, strided",
    inputs: [real([1, 3, 3, 8])],
    apply: (c) => op({ kind: "fold", window: strided, height: 6, width: 7 }, c!),
  },
  // indexing
  { kind: "gather", name: "gather", inputs: [real([5, 3]), rows([2, 4], 5)], apply: (t, i) => t!.gather(i!) },
  {
    kind: "gather",
    name: "gather of numbers",
    inputs: [real([5]), rows([7], 5)],
    apply: (t, i) => t!.gather(i!),
  },
  {
    kind: "gather",
    name: "gather outside the table",
    inputs: [real([4, 2]), rows([6], 9)],
    apply: (t, i) => t!.gather(i!.sub(3)),
  },
  {
    kind: "scatterAdd",
    name: "scatterAdd",
    inputs: [rows([2, 4], 3), real([2, 4, 2])],
    apply: (i, u) => scatterAdd(i!, u!, 3),
  },
  {
    kind: "scatterAdd",
    name: "scatterAdd outside the table",
    inputs: [rows([6], 9), real([6])],
    apply: (i, u) => scatterAdd(i!.sub(3), u!, 4),
  },
  // identities
  { kind: "identity", name: "identity", inputs: [real([2, 3])], apply: (x) => op({ kind: "identity" }, x!) },
  {
    kind: "mark",
    name: "mark of a dense layer",
    inputs: [real([3, 4]), real([4, 2]), real([2])],
    apply: (x, w, b) => x!.matmul(w!).add(b!).marked(dense, x!, w!, b!),
  },
  {
    kind: "mark",
    name: "mark of a convolution",
    inputs: [real([2, 4, 3, 2]), real([3, 2, 2, 3])],
    apply: (x, w) =>
      x!
        .patches(window)
        .matmul(w!.reshape([12, 3]))
        .marked({ layer: "conv2d", name: "conv", bias: false, window }, x!, w!),
  },
  {
    kind: "mark",
    name: "mark of an embedding",
    inputs: [rows([5], 4), real([4, 3])],
    apply: (i, table) => table!.gather(i!).marked({ layer: "embedding", name: "embedding" }, i!, table!),
  },
  {
    kind: "mark",
    name: "mark of a scale and shift",
    inputs: [real([3, 4]), real([4]), real([4])],
    apply: (x, a, b) => x!.mul(a!).add(b!).marked({ layer: "scaleShift", name: "norm" }, x!, a!, b!),
  },
  {
    kind: "stopGradient",
    name: "stopGradient",
    inputs: [real([2, 3])],
    // What is behind the wall must not depend on x, or central differences would see it.
    apply: (x) => x!.mul(x!.sign().stopGradient()),
  },
];

const isReal = (argument: Argument): argument is Extract<Argument, { low: number }> => "low" in argument;

/** Whether derivatives with respect to the argument exist. */
export const differentiable = isReal;

export function specsOf({ inputs }: Case, dtype: "f32" | "f64"): Spec[] {
  return inputs.map((argument) => ({
    shape: argument.shape,
    dtype: isReal(argument) ? dtype : "dtype" in argument ? argument.dtype : "i32",
  }));
}

/** Numbers in [0, 1) from a seed (mulberry32). */
export function uniform(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z ^= z + Math.imul(z ^ (z >>> 7), 61 | z);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A value for the argument; the floats of one array differ by at least a quarter of (high − low)/size. */
export function sampleArgument(argument: Argument, spec: Spec, random: () => number): NDArray {
  const size = sizeOf(spec.shape);
  const data = allocate(spec.dtype, size);
  if (isReal(argument)) {
    const order = Array.from({ length: size }, (_, i) => ({ i, key: random() })).sort(
      (a, b) => a.key - b.key,
    );
    order.forEach(({ i }, rank) => {
      const place = (rank + 0.5 + 0.75 * (random() - 0.5)) / size;
      data[i] = argument.low + (argument.high - argument.low) * place;
    });
  } else
    for (let i = 0; i < size; i++)
      data[i] =
        "below" in argument
          ? Math.floor(random() * argument.below)
          : spec.dtype === "bool"
            ? Number(random() < 0.5)
            : Math.floor((random() - 0.5) * 2 ** 32);
  return array(data, spec.shape, spec.dtype);
}

/** Values for all inputs of a case, the same for the same seed. */
export function sample(row: Case, dtype: "f32" | "f64", seed = 1): NDArray[] {
  const random = uniform(seed);
  return specsOf(row, dtype).map((spec, k) => sampleArgument(row.inputs[k]!, spec, random));
}

export const programOf = (row: Case, dtype: "f32" | "f64"): Program =>
  trace(row.apply, ...specsOf(row, dtype));
