/** Patches of images and their sums back, and convolutions made of them, for any window. */
import fc from "fast-check";
import { afterAll, describe, it } from "vitest";
import { grad } from "../../src/autodiff/index.js";
import { createRuntime } from "../../src/runtime/runtime.js";
import { evaluate } from "../../src/tensor/evaluate.js";
import { windowPositions } from "../../src/tensor/infer.js";
import type { Window } from "../../src/tensor/op.js";
import { type Program, trace } from "../../src/tensor/program.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { expectClose, random, run } from "./run.js";

const runtime = await createRuntime({ threads: 1 });
afterAll(() => runtime.close());

const pair = (from: number, to: number) =>
  fc.tuple(fc.integer({ min: from, max: to }), fc.integer({ min: from, max: to }));
const cases = fc
  .record({
    dtype: fc.constantFrom("f32" as const, "f64" as const),
    examples: fc.integer({ min: 1, max: 3 }),
    extents: pair(1, 9),
    channels: fc.constantFrom(1, 2, 3, 4, 5, 8, 37),
    kernel: pair(1, 5),
    stride: pair(1, 3),
    dilation: pair(1, 3),
    padding: fc.tuple(pair(0, 3), pair(0, 3)),
    filters: fc.integer({ min: 1, max: 5 }),
    seed: fc.integer({ min: 0, max: 1000 }),
  })
  .filter(({ extents, ...window }) =>
    ([0, 1] as const).every((axis) => windowPositions(extents[axis], window, axis) >= 1),
  );

const compare = (program: Program, seed: number, dtype: "f32" | "f64") => {
  const inputs = program.inputs.map((x, k) => random(x.dtype, x.shape, seed + k));
  expectClose(run(runtime, program, inputs), evaluate(program, inputs), dtype === "f64" ? 1e-12 : 1e-5);
};

describe("windows of every kind", () => {
  it("are copied and summed back as defined, and so are convolutions and their gradients", () => {
    fc.assert(
      fc.property(cases, ({ dtype, examples, extents, channels, filters, seed, ...window }) => {
        const shape = [examples, ...extents, channels];
        const size = window.kernel[0] * window.kernel[1] * channels;
        const image = { dtype, shape };
        const patches = (x: Tensor) => x.patches(window as Window);
        compare(
          trace((x) => patches(x!), image),
          seed,
          dtype,
        );
        // The derivative of a sum of weighted patches is the fold of the weights.
        const like = trace((x) => patches(x!), image).outputs[0]!.shape;
        compare(
          trace((x, w) => grad((y: Tensor) => patches(y).mul(w!).sum())(x!), image, { dtype, shape: like }),
          seed,
          dtype,
        );
        const loss = (x: Tensor, w: Tensor) => patches(x).matmul(w).tanh().sum();
        compare(
          trace(
            (x, w) => [
              loss(x!, w!),
              grad((y: Tensor) => loss(y, w!))(x!),
              grad((v: Tensor) => loss(x!, v))(w!),
            ],
            image,
            { dtype, shape: [size, filters] },
          ),
          seed,
          dtype,
        );
      }),
      { numRuns: 150, seed: 1 },
    );
  });
});
