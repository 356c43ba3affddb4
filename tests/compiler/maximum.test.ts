/** Largest elements of rows that are walked by several vectors at once: wherever they lie, NaN and zeros included. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { trace } from "../../src/tensor/program.js";
import { run } from "./run.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

describe.each(["f32", "f64"] as const)("the maximum of rows, %s", (dtype) => {
  it.each([65, 66, 68, 71, 72, 75, 79])("of %i elements", (extent) => {
    for (const [common, odd] of [
      [-3, 5],
      [-Infinity, -1],
      [-0, 0],
      [2, Number.NaN],
    ] as const) {
      const shape = [extent, extent];
      // Row k has the odd one at k.
      const data = Array.from({ length: extent ** 2 }, (_, i) => (i % (extent + 1) === 0 ? odd : common));
      const array = {
        dtype,
        shape,
        data: dtype === "f32" ? Float32Array.from(data) : Float64Array.from(data),
      };
      const program = trace((x) => [x!.maximum(1), x!.sub(1).maximum(1), x!.sum(1), x!.maximum()], array);
      const [rows, shifted, sums, all] = run(runtime, program, [array]);
      for (const value of rows!.data) expect(value).toBe(odd);
      for (const value of shifted!.data) expect(value).toBe(odd - 1);
      for (const value of sums!.data) expect(value).toBe((extent - 1) * common + odd);
      expect(all!.data[0]).toBe(odd);
    }
  });
});
