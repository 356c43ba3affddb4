/** Random programs of all kinds of operations over f32, f64, i32 and bool, with their gradients, by definition. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pullback } from "../../src/autodiff/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { evaluate } from "../../src/tensor/evaluate.js";
import { trace } from "../../src/tensor/program.js";
import { concat, full, iota, scatterAdd, type Tensor } from "../../src/tensor/tensor.js";
import { expectClose, random, run } from "./run.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const isFloat = (x: Tensor) => x.dtype === "f32" || x.dtype === "f64";
const square = (stride: number, low: number, high: number) =>
  ({
    kernel: [2, 2],
    stride: [stride, 1],
    padding: [
      [low, 0],
      [0, high],
    ],
    dilation: [1, 1],
  }) as const;

/** x: any tensor; a: x as floats; b: another tensor with the dtype and shape of a; axis: one of x; k: a number. */
interface Given {
  readonly x: Tensor;
  readonly a: Tensor;
  readonly b: Tensor;
  readonly other: Tensor;
  readonly axis: number;
  readonly k: number;
}
// Bounds of comparisons and roundings are numbers that nothing hits, or rounding would decide.
const operations: readonly ((given: Given) => Tensor | undefined)[] = [
  ({ a }) => a.tanh(),
  ({ a, k }) => a.cast(k % 2 ? "f32" : "f64"),
  ({ a, b }) => a.mul(b),
  ({ a }) => a.gt(0.1234567),
  ({ a, b }) => a.gt(0.1234567).select(a, b),
  ({ x, a, axis, k }) => (x.rank > 0 ? a.sum(axis, k % 3 === 0) : undefined),
  ({ x, a, axis, k }) => (x.rank > 0 ? a.maximum(axis, k % 3 === 0) : undefined),
  ({ x, a, axis }) =>
    x.rank > 0 ? a.mul(0.01).add(iota(x.shape, axis).cast(a.dtype).mul(0.371).sin()).argMax(axis) : undefined,
  ({ x, a, axis }) => (x.rank > 0 ? a.cumsum(axis) : undefined),
  ({ x, k }) => (x.rank > 1 ? x.permute(x.shape.map((_, i) => (i + 1 + k) % x.rank)) : undefined),
  ({ x, axis, k }) =>
    x.rank > 0 && x.shape[axis]! > 1 ? x.slice(axis, k % 2, x.shape[axis]!, 1 + (k % 2)) : undefined,
  ({ x, a, k }) => (x.rank > 0 ? a.pad(x.shape.map((_, i) => [(i + k) % 2, k % 3])) : undefined),
  ({ x, axis }) => (x.rank > 0 ? x.reverse(axis) : undefined),
  ({ x, a, other, axis }) => {
    if (x.rank === 0) return undefined;
    const fits = other.rank === x.rank && other.shape.every((n, i) => i === axis || n === x.shape[i]);
    return concat([a, fits ? other.cast(a.dtype) : a.mul(2)], axis);
  },
  ({ x, k }) =>
    x.rank > 0 && x.dtype !== "bool"
      ? x.gather(
          iota([(k % 4) + 1])
            .mul(k % 3)
            .min(x.shape[0]! - 1),
        )
      : undefined,
  ({ x, a, k }) => (x.rank > 0 ? scatterAdd(iota([x.shape[0]!]).mul(k).min(3), a, 4) : undefined),
  ({ a }) => (a.rank > 1 ? a.matmul(a.transpose()).mul(0.1) : undefined),
  ({ a, other, axis }) =>
    a.rank === 2 && other.rank === 2 && a.shape[1] === other.shape[0]
      ? a.matmul(other.cast(a.dtype)).mul(0.2)
      : a.rank > 1
        ? a.softmax(axis)
        : undefined,
  ({ x }) => x.reshape([x.size]),
  ({ x }) =>
    x.size % 2 === 0 ? x.reshape([2, x.size / 2]) : x.size % 3 === 0 ? x.reshape([x.size / 3, 3]) : undefined,
  ({ x }) =>
    x.rank === 2 ? x.reshape([x.shape[0]!, 1, x.shape[1]!]).expand([x.shape[0]!, 3, x.shape[1]!]) : undefined,
  ({ x, a }) => (x.rank > 2 ? a.mean([0, x.rank - 1]) : a.mean()),
  ({ a, k }) =>
    a.rank === 2 && a.shape.every((n) => n > 1)
      ? a.reshape([1, ...a.shape, 1]).patches(square(1 + (k % 2), k % 2, 1))
      : undefined,
  ({ a }) => {
    if (a.rank !== 2 || a.shape.some((n) => n < 2)) return undefined;
    const weights = iota([4, 3], 1)
      .cast(a.dtype)
      .mul(0.1)
      .add(iota([4, 3], 0).cast(a.dtype));
    return a
      .reshape([1, ...a.shape, 1])
      .patches(square(1, 0, 0))
      .reshape([-1, 4])
      .matmul(weights)
      .tanh();
  },
  ({ a, b }) => a.add(full(a, 0.25)).div(b.square().add(1)),
  ({ x }) => (x.dtype === "bool" ? x.not() : x.dtype === "i32" ? x.add(3).neg() : x.abs().sqrt()),
  ({ a }) => a.mul(1.93713).add(0.217137).cast("i32"),
  ({ a }) => a.mul(a).sub(1),
];

type Choice = readonly [operation: number, first: number, second: number, k: number];
function build(choices: readonly Choice[], inputs: readonly Tensor[]): Tensor[] {
  const made = [...inputs];
  for (const [operation, first, second, k] of choices) {
    const x = made[first % made.length]!;
    const other = made[second % made.length]!;
    const a = isFloat(x) ? x : x.cast(k % 2 ? "f32" : "f64");
    const like = other.cast(a.dtype);
    const b =
      like.shape.join() === a.shape.join()
        ? like
        : (like.size === 1 ? like.reshape([]) : like.sum().mul(0.1)).expand(a.shape);
    const next = operations[operation]!({ x, a, b, other, axis: x.rank > 0 ? k % x.rank : 0, k });
    if (next && next.size > 0 && next.size <= 700 && next.rank <= 4) made.push(next);
  }
  return made;
}

describe("programs of several types", () => {
  it("compute what their definition says, and so do their gradients", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(operations.length - 1), fc.nat(30), fc.nat(30), fc.nat(11)), {
          minLength: 1,
          maxLength: 14,
        }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 13 }),
        (choices, m, n) => {
          const program = trace(
            (...inputs) => {
              const picked = build(choices, inputs).slice(-4);
              const total = picked
                .filter(isFloat)
                .reduce(
                  (sum, t) => sum.add(t.cast("f64").square().mean()),
                  full({ dtype: "f64", shape: [] }, 0),
                );
              const wrt = inputs.filter(isFloat);
              const gradients = pullback([total], wrt, [full(total, 1)]);
              return [...picked, total, ...gradients.map((g, k) => g ?? full(wrt[k]!, 0))];
            },
            { dtype: "f64", shape: [m, n] },
            { dtype: "f32", shape: [n, m] },
            { dtype: "f32", shape: [2, 3, n] },
            { dtype: "i32", shape: [m] },
          );
          const inputs = program.inputs.map((t, k) => random(t.dtype, t.shape, m * 100 + n + k));
          expectClose(run(runtime, program, inputs), evaluate(program, inputs), 3e-4);
        },
      ),
      { numRuns: 1500, seed: 2 },
    );
  });

  it("one operation on two types takes two kernels", () => {
    const program = trace((x) => [x!.argMax(0), x!.cast("f32").argMax(0), x!.cast("i32").argMax(0)], {
      dtype: "f64",
      shape: [5],
    });
    const data = new Float64Array([1, 4, 2, 9, 3]);
    const results = run(runtime, program, [{ dtype: "f64", shape: [5], data }]);
    expect(results.map((r) => r.data[0])).toEqual([3, 3, 3]);
  });
});
