/** Costs against counts by hand, and against what compiled programs take. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../src/compiler/compile.js";
import { type Cost, cost } from "../../src/compiler/cost.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import type { Spec } from "../../src/tensor/array.js";
import { bytesOf } from "../../src/tensor/dtype.js";
import { trace } from "../../src/tensor/program.js";
import { sizeOf } from "../../src/tensor/shape.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import type { Tree } from "../../src/tensor/tree.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const f32 = (...shape: number[]): Spec => ({ dtype: "f32", shape });
const f64 = (...shape: number[]): Spec => ({ dtype: "f64", shape });
const window = (padding: number) =>
  ({
    kernel: [3, 3],
    stride: [1, 1],
    padding: [
      [padding, padding],
      [padding, padding],
    ],
    dilation: [1, 1],
  }) as const;

interface Row {
  readonly name: string;
  readonly specs: readonly Spec[];
  readonly apply: (...inputs: Tensor[]) => Tree<Tensor>;
  readonly cost: Partial<Cost>;
  /** Outputs that take the buffers of inputs: [output, input]. */
  readonly inPlace?: readonly (readonly [number, number])[];
}

const rows: readonly Row[] = [
  {
    name: "product",
    specs: [f32(5, 7), f32(7, 3)],
    apply: (a, b) => a!.matmul(b!),
    cost: {
      matmulFlops: 2 * 5 * 7 * 3,
      elementwiseFlops: 0,
      transcendentals: 0,
      bytes: 4 * (35 + 21 + 15),
      boundBytes: 4 * (35 + 21 + 15),
      arenaBytes: 0,
      steps: 1,
    },
  },
  {
    name: "batched product, in f64",
    specs: [f64(4, 5, 7), f64(4, 7, 3)],
    apply: (a, b) => a!.matmul(b!),
    cost: { matmulFlops: 4 * 2 * 5 * 7 * 3, bytes: 8 * 4 * (35 + 21 + 15), arenaBytes: 0, steps: 1 },
  },
  {
    name: "product of transposed matrices, which costs no copy",
    specs: [f32(7, 5), f32(3, 7)],
    apply: (a, b) => a!.transpose().matmul(b!.transpose()),
    cost: { matmulFlops: 2 * 5 * 7 * 3, elementwiseFlops: 0, bytes: 4 * (35 + 21 + 15), arenaBytes: 0 },
  },
  {
    // Maximum, difference, sum, quotient; the exponentials are kept from one stage to the next.
    name: "softmax",
    specs: [f32(6, 10)],
    apply: (x) => x!.softmax(),
    cost: {
      matmulFlops: 0,
      elementwiseFlops: 4 * 60,
      transcendentals: 60,
      bytes: 2 * 4 * 60,
      boundBytes: 2 * 4 * 60,
      arenaBytes: 0,
      steps: 1,
    },
  },
  {
    name: "an operation on a row's value, once a row",
    specs: [f32(6, 10)],
    // a sum, a product a row, a difference a point
    apply: (x) => x!.sub(x!.sum(1, true).mul(0.1)),
    cost: { elementwiseFlops: 60 + 6 + 60, bytes: 2 * 4 * 60 },
  },
  {
    name: "a shared expression, once",
    specs: [f32(20)],
    // The same tanh twice: one transcendental, one product.
    apply: (x) => x!.tanh().mul(x!.tanh()),
    cost: { elementwiseFlops: 20, transcendentals: 20 },
  },
  {
    name: "a part of an array, no more than is read",
    specs: [f32(100, 8)],
    apply: (x) => x!.slice(0, 10, 15).exp(),
    cost: { transcendentals: 40, bytes: 4 * (40 + 40), elementwiseBytes: 4 * (40 + 40), steps: 1 },
  },
  {
    name: "sum of rows",
    specs: [f32(100, 8)],
    apply: (x) => x!.sum(0),
    cost: { elementwiseFlops: 800, bytes: 4 * (800 + 8), arenaBytes: 0, steps: 1 },
  },
  {
    name: "maxima of windows",
    specs: [f32(4, 2, 10)],
    apply: (x) => x!.maximum(1),
    cost: { elementwiseFlops: 80, bytes: 4 * (80 + 40), arenaBytes: 0, steps: 1 },
  },
  {
    // m ← 0.9m + 0.1g (3), v ← 0.99v + 0.01g² (4), θ ← θ − η·m/(√v + ε) (5)
    name: "Adam in place",
    specs: [f32(1000), f32(1000), f32(1000), f32(1000)],
    apply: (theta, m, v, g) => {
      const first = m!.mul(0.9).add(g!.mul(0.1));
      const second = v!.mul(0.99).add(g!.square().mul(0.01));
      return [theta!.sub(first.div(second.sqrt().add(1e-8)).mul(0.001)), first, second];
    },
    cost: {
      elementwiseFlops: 12 * 1000,
      transcendentals: 0,
      bytes: 7 * 4 * 1000,
      arenaBytes: 0,
      steps: 1,
    },
    inPlace: [
      [0, 0],
      [1, 1],
      [2, 2],
    ],
  },
  {
    name: "convolution",
    specs: [f32(2, 6, 5, 3), f32(27, 4)],
    apply: (x, w) => x!.patches(window(1)).reshape([-1, 27]).matmul(w!),
    cost: {
      matmulFlops: 2 * (2 * 6 * 5) * 27 * 4,
      elementwiseFlops: 0,
      bytes: 4 * (2 * 6 * 5 * 3 + 27 * 4 + 2 * 6 * 5 * 4),
      arenaBytes: 0,
      steps: 1,
    },
  },
  {
    // The product is in memory while its tanh is written; each takes (256·4 + 16) bytes on a grid of 64.
    name: "two layers",
    specs: [f32(8, 16), f32(16, 32), f32(32, 4)],
    apply: (x, w, u) => x!.matmul(w!).tanh().matmul(u!),
    cost: {
      matmulFlops: 2 * 8 * 16 * 32 + 2 * 8 * 32 * 4,
      transcendentals: 8 * 32,
      bytes: 4 * (8 * 16 + 16 * 32 + 8 * 32 + 2 * 8 * 32 + 8 * 32 + 32 * 4 + 8 * 4),
      elementwiseBytes: 4 * 2 * 8 * 32,
      boundBytes: 4 * (8 * 16 + 16 * 32 + 32 * 4 + 8 * 4),
      arenaBytes: 2 * 64 * Math.ceil((4 * 256 + 16) / 64),
      steps: 3,
    },
  },
  {
    name: "gather and a running sum",
    specs: [f32(10, 4), { dtype: "i32", shape: [6] }],
    apply: (table, rows) => table!.gather(rows!).cumsum(0),
    cost: {
      elementwiseFlops: 24,
      bytes: 4 * (40 + 6 + 24 + 24 + 24),
      arenaBytes: 64 * Math.ceil((4 * 24 + 16) / 64),
      steps: 2,
    },
  },
];

/** What a block takes of the memory. */
const block = (bytes: number) => 64 * Math.ceil((bytes + 64) / 64);

describe("cost", () => {
  it.each(rows.map((row) => [row.name, row] as const))("of %s", (_name, row) => {
    expect(cost(trace(row.apply, ...row.specs))).toMatchObject(row.cost);
  });

  it.each(rows.filter((row) => row.name !== "convolution").map((row) => [row.name, row] as const))(
    "is what the compiled program takes: %s",
    (_name, row) => {
      const program = trace(row.apply, ...row.specs);
      const counted = cost(program);
      const inputs = row.specs.map((spec) => runtime.buffer(spec.dtype, spec.shape));
      const outputs = program.outputs.map((_, k) => {
        const pair = row.inPlace?.find(([output]) => output === k);
        return pair && inputs[pair[1]];
      });
      const before = runtime.used;
      const executable = compile(runtime, program, { inputs, outputs });
      expect(executable.arenaBytes).toBe(counted.arenaBytes);
      expect(executable.steps.length).toBe(counted.steps);
      const own = program.outputs
        .filter((_, k) => !outputs[k])
        .map((t) => block(sizeOf(t.shape) * bytesOf(t.dtype)));
      // The kernel of softmax keeps a row of exponentials.
      const scratch = row.name === "softmax" ? block((10 + 4) * 8) : 0;
      expect(runtime.used - before).toBe(
        own.reduce((a, b) => a + b, 0) + (counted.arenaBytes > 0 ? block(counted.arenaBytes) : 0) + scratch,
      );
      executable.release();
      expect(runtime.used).toBe(before);
      for (const buffer of inputs) buffer.release();
    },
  );

  it("needs no memory of its own", () => {
    const n = 400_000;
    const before = process.memoryUsage();
    const counted = cost(trace((x, w) => x!.matmul(w!).tanh().matmul(w!), f32(n, n), f32(n, n)));
    const after = process.memoryUsage();
    expect(counted.matmulFlops).toBe(4 * n ** 3);
    expect(counted.boundBytes).toBe(3 * 4 * n * n);
    expect(counted.arenaBytes).toBeGreaterThanOrEqual(2 * 4 * n * n);
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(2 ** 20);
    expect(after.rss - before.rss).toBeLessThan(2 ** 27);
  });

  it("of gradients of convolutions", () => {
    const [examples, positions, k, channels] = [2, 6 * 5, 27, 4];
    const weights = cost(
      trace(
        (x, g) => x!.patches(window(1)).reshape([-1, k]).transpose().matmul(g!),
        f32(examples, 6, 5, 3),
        f32(examples * positions, channels),
      ),
    );
    expect(weights).toMatchObject({
      matmulFlops: 2 * examples * positions * k * channels,
      elementwiseFlops: 0,
      bytes: 4 * (examples * 6 * 5 * 3 + examples * positions * channels + k * channels),
      steps: 1,
    });
  });
});
