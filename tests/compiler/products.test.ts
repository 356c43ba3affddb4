/** Matrix products that are cut into pieces give what whole ones do. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { piecesOf } from "../../src/compiler/products.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { evaluate } from "../../src/tensor/evaluate.js";
import { trace } from "../../src/tensor/program.js";
import { expectClose, random, run } from "./run.js";

const runtimes: Runtime[] = [];
beforeAll(async () => {
  for (const threads of [1, 2]) runtimes.push(await createRuntime({ threads }));
});
afterAll(async () => {
  for (const runtime of runtimes) await runtime.close();
});

describe("pieces of a product", () => {
  const extent = fc.integer({ min: 1, max: 5000 });
  it("are as large as allowed, along the longest axis", () => {
    fc.assert(
      fc.property(extent, extent, extent, (m, n, k) => {
        const extents = { m, n, k };
        const pieces = piecesOf(extents, 1e6);
        if (m * n * k <= 1e6) expect(pieces).toBeUndefined();
        if (!pieces) return;
        expect(extents[pieces.axis]).toBe(Math.max(m, n, k));
        expect((m * n * k * pieces.size) / extents[pieces.axis]).toBeLessThanOrEqual(1e6);
        expect(pieces.size % 16).toBe(0);
        expect(Math.ceil(extents[pieces.axis] / pieces.size)).toBeLessThanOrEqual(130);
      }),
    );
  });
  it("do not exist where both matrices are read along k, but for few rows", () => {
    expect(piecesOf({ m: 2048, n: 128, k: 128 }, 1e6, true)).toBeUndefined();
    expect(piecesOf({ m: 64, n: 64, k: 3840 }, 1e6, true)).toBeUndefined();
    expect(piecesOf({ m: 8, n: 64, k: 3840 }, 1e6, true)).toEqual({ axis: "k", size: 1920 });
  });
  it("do not exist where they would be short", () => {
    expect(piecesOf({ m: 256, n: 1568, k: 128 }, 1e6)).toBeUndefined();
    expect(piecesOf({ m: 128, n: 1000, k: 64 }, 1e6)).toEqual({ axis: "n", size: 112 });
  });
  it("do not exist where the library has no path without packing", () => {
    expect(piecesOf({ m: 64, n: 64, k: 4000 }, 0)).toBeUndefined();
  });
});

describe("products that a library would pack", () => {
  // Long, tall and wide; one element more than whole pieces; batches.
  const shapes: [number[], number[]][] = [
    [
      [8, 3841],
      [3841, 64],
    ],
    [
      [3841, 8],
      [8, 64],
    ],
    [
      [8, 64],
      [64, 3841],
    ],
    [
      [65, 481],
      [481, 63],
    ],
    [
      [3, 33, 2000],
      [3, 2000, 33],
    ],
    [
      [2, 1500, 33],
      [2, 33, 40],
    ],
  ];
  for (const dtype of ["f32", "f64"] as const)
    for (const [a, b] of shapes)
      it(`${dtype} [${a}]·[${b}], each operand transposed or not`, () => {
        const swapped = (shape: number[]) => [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!];
        for (const [transposeA, transposeB] of [
          [false, false],
          [true, false],
          [false, true],
        ] as const) {
          const program = trace(
            (x, y) => (transposeA ? x!.transpose() : x!).matmul(transposeB ? y!.transpose() : y!),
            { dtype, shape: transposeA ? swapped(a) : a },
            { dtype, shape: transposeB ? swapped(b) : b },
          );
          const inputs = program.inputs.map((x, k) => random(dtype, x.shape, 7 + k));
          const wanted = evaluate(program, inputs);
          for (const runtime of runtimes)
            expectClose(run(runtime, program, inputs), wanted, dtype === "f64" ? 1e-13 : 1e-5);
        }
      });
  it("are whole where half of them is spared: a matrix and its own transpose", () => {
    const program = trace((x) => x!.transpose().matmul(x!), { dtype: "f32", shape: [700, 64] });
    const inputs = [random("f32", [700, 64], 7)];
    const found = run(runtimes[0]!, program, inputs);
    expectClose(found, evaluate(program, inputs), 1e-5);
    const { data } = found[0]!;
    for (let i = 0; i < 64; i++) for (let j = 0; j < i; j++) expect(data[64 * i + j]).toBe(data[64 * j + i]);
  });
});
