/** Tensors without elements: compiled as defined, or refused while tracing. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pullback } from "../../src/autodiff/index.js";
import { cost } from "../../src/compiler/cost.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import type { Spec } from "../../src/tensor/array.js";
import { evaluate } from "../../src/tensor/evaluate.js";
import { trace } from "../../src/tensor/program.js";
import { ShapeError } from "../../src/tensor/shape.js";
import { concat, full, iota, scatterAdd, type Tensor } from "../../src/tensor/tensor.js";
import type { Tree } from "../../src/tensor/tree.js";
import { expectClose, random, run } from "./run.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const f32 = (...shape: number[]): Spec => ({ dtype: "f32", shape });
const i32 = (...shape: number[]): Spec => ({ dtype: "i32", shape });
const window = {
  kernel: [2, 2],
  stride: [1, 1],
  padding: [
    [0, 0],
    [0, 0],
  ],
  dilation: [1, 1],
} as const;

const rows: readonly (readonly [string, readonly Spec[], (...inputs: Tensor[]) => Tree<Tensor>])[] = [
  [
    "elementwise",
    [f32(0), f32(3, 0)],
    (a, b) => [a!.exp().add(1), b!.tanh().mul(b!), a!.gt(0).select(a!, 2)],
  ],
  ["the input itself", [f32(0)], (a) => [a!, a!]],
  ["a row stretched over no rows", [f32(0, 4), f32(4)], (a, b) => a!.add(b!)],
  ["sums over everything", [f32(0), f32(3, 0)], (a, b) => [a!.sum(), b!.square().sum(), b!.maximum()]],
  [
    "sums over empty axes",
    [f32(3, 0), f32(0, 3)],
    (a, b) => [a!.sum(1), a!.exp().sum(0), b!.sum(0), b!.mul(2).sum(1)],
  ],
  ["maxima over empty axes", [f32(3, 0), f32(0, 3)], (a, b) => [a!.maximum(1), b!.maximum(0), b!.maximum(1)]],
  [
    "sums over an empty middle axis",
    [f32(2, 0, 3), f32(2, 3, 0)],
    (a, b) => [a!.sum(1), b!.sum(1), a!.sum([0, 2])],
  ],
  ["a sum that other values use", [f32(3, 0), f32(3)], (a, b) => a!.sum(1).add(b!).exp()],
  ["softmax", [f32(3, 0), f32(0, 3)], (a, b) => [a!.softmax(), b!.softmax(), b!.logSoftmax()]],
  ["mean", [f32(0, 3)], (a) => a!.mean(0)],
  [
    "products",
    [f32(3, 0), f32(0, 4), f32(4, 2)],
    (a, b, c) => [a!.matmul(b!), b!.matmul(c!), a!.transpose().matmul(a!), a!.matmul(b!).matmul(c!).tanh()],
  ],
  [
    "sums of products",
    [f32(3, 0), f32(0, 4), f32(3, 2), f32(2, 4)],
    (a, b, c, d) => [c!.matmul(d!).add(a!.matmul(b!)), a!.matmul(b!.add(1)).add(c!.matmul(d!.mul(2)))],
  ],
  [
    "batched products",
    [f32(2, 3, 0), f32(2, 0, 4), f32(0, 3, 5), f32(0, 5, 2)],
    (a, b, c, d) => [a!.matmul(b!), c!.matmul(d!)],
  ],
  [
    "concatenations",
    [f32(0), f32(3), f32(2, 0), f32(2, 3)],
    (a, b, c, d) => [
      concat([a!, b!]),
      concat([b!, a!, b!.exp()]),
      concat([a!, a!]),
      concat([a!.exp(), a!]),
      concat([c!, d!, c!], 1),
      concat([c!, c!], 0),
    ],
  ],
  ["slices", [f32(5, 3)], (a) => [a!.slice(0, 2, 2), a!.slice(1, 3).exp(), a!.slice(0, 5).sum(0)]],
  [
    "padding",
    [f32(0), f32(2, 0)],
    (a, b) => [
      a!.pad([[1, 2]]),
      b!.pad([
        [0, 1],
        [2, 0],
      ]),
    ],
  ],
  [
    "views",
    [f32(3, 0), f32(0)],
    (a, b) => [
      a!.transpose().exp(),
      a!.reshape([0, 7]),
      a!.reverse(1),
      b!.reverse(0),
      a!.reshape([0]).expand([2, 0]),
    ],
  ],
  ["a transposition that is output", [f32(3, 0, 2)], (a) => a!.permute([2, 0, 1])],
  [
    "gather",
    [f32(4, 3), i32(0), i32(2, 0), f32(4, 0), i32(5)],
    (t, i, j, u, k) => [t!.gather(i!), t!.gather(j!), u!.gather(k!)],
  ],
  [
    "scatter",
    [i32(0), f32(0, 3), i32(2), f32(2, 0)],
    (i, u, j, v) => [scatterAdd(i!, u!, 4), scatterAdd(j!, v!, 4)],
  ],
  ["scatter into no rows, of nothing", [i32(0), f32(0, 3)], (i, u) => scatterAdd(i!, u!, 0)],
  ["running sums", [f32(3, 0), f32(0)], (a, b) => [a!.cumsum(0), a!.cumsum(1), b!.cumsum(0)]],
  ["arg max", [f32(0, 3), f32(3, 0)], (a, b) => [a!.argMax(1), b!.argMax(0)]],
  [
    "patches of no images",
    [f32(0, 4, 4, 2), f32(8, 3)],
    (x, w) => [x!.patches(window), x!.patches(window).reshape([-1, 8]).matmul(w!)],
  ],
  [
    "patches of no channels",
    [f32(2, 4, 4, 0), f32(0, 3)],
    (x, w) => [x!.patches(window), x!.patches(window).reshape([18, 0]).matmul(w!)],
  ],
  [
    "counting",
    [f32(2)],
    (x) => [iota([0]).cast("f32").sum().add(x!), iota([0, 3], 1), full({ dtype: "f32", shape: [0, 2] }, 3)],
  ],
  ["comparison and casts", [f32(0, 2)], (x) => [x!.gt(0), x!.cast("i32"), x!.lt(1).cast("f64")]],
];

describe("empty tensors", () => {
  it.each(rows)("%s", (_name, specs, apply) => {
    const program = trace(apply, ...specs);
    const inputs = specs.map((spec, k) => random(spec.dtype, spec.shape, k));
    expectClose(run(runtime, program, inputs), evaluate(program, inputs), 1e-6);
    expect(cost(program).steps).toBeGreaterThanOrEqual(0);
  });

  it.each(rows.filter(([, specs]) => specs.every((spec) => spec.dtype === "f32")))(
    "derivatives of %s",
    (_name, specs, apply) => {
      const program = trace(
        (...inputs) => {
          const outputs = [apply(...inputs)].flat(3).filter((t) => (t as Tensor).dtype === "f32") as Tensor[];
          return pullback(
            outputs,
            inputs,
            outputs.map((t) => full(t, 0.5)),
          ).map((g, k) => g ?? full(inputs[k]!, 0));
        },
        ...specs,
      );
      const inputs = specs.map((spec, k) => random(spec.dtype, spec.shape, k));
      expectClose(run(runtime, program, inputs), evaluate(program, inputs), 1e-5);
    },
  );

  it.each([
    [
      "gather: a table [0, 3] has no rows for 2 indices",
      () => trace((t, i) => t!.gather(i!), f32(0, 3), i32(2)),
    ],
    [
      "scatterAdd: a result of no rows has no place for 2 updates",
      () => trace((i, u) => scatterAdd(i!, u!, 0), i32(2), f32(2, 3)),
    ],
    ["argMax: axis 1 of [3, 0] has no largest element", () => trace((a) => a!.argMax(1), f32(3, 0))],
  ])("refuses what has no answer: %s", (message, make) => {
    expect(make).toThrow(ShapeError);
    expect(make).toThrow(message);
  });
});
