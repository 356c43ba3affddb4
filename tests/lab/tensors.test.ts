import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeTensors, encodeTensors } from "../../src/lab/tensors.js";

const weights = {
  name: "a.weight",
  dtype: "f32",
  shape: [2, 2],
  data: Float32Array.of(1, 2, 3, Number.NaN),
} as const;
const count = { name: "t", dtype: "i32", shape: [], data: Int32Array.of(-7) } as const;
const double = { name: "d", dtype: "f64", shape: [1], data: Float64Array.of(Math.PI) } as const;

describe("checkpoints as safetensors", () => {
  it("keep every bit, the names, shapes and metadata", () => {
    const file = encodeTensors([weights, count, double], { format: "test", note: "é\n" });
    const { metadata, arrays } = decodeTensors(file, "x");
    expect(metadata).toEqual({ format: "test", note: "é\n" });
    expect(arrays).toEqual([weights, count, double]);
  });
  it("have the published layout: length, JSON, data", () => {
    const file = encodeTensors([count], {});
    const length = Number(new DataView(file.buffer).getBigUint64(0, true));
    expect(length % 8).toBe(0);
    const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
    expect(header.t).toEqual({ dtype: "I32", shape: [], data_offsets: [0, 4] });
    expect(new DataView(file.buffer).getInt32(8 + length, true)).toBe(-7);
  });
  it("refuse what was cut short, at every length", () => {
    const file = encodeTensors([weights, double], {});
    for (let length = 0; length < file.length; length++)
      expect(() => decodeTensors(file.subarray(0, length), "x")).toThrow(/"x" is damaged/);
  });
  it("refuse hostile bytes with a sentence, never with another error", () => {
    const file = encodeTensors([weights, count], { a: "b" });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(file.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        (changes) => {
          const copy = file.slice();
          for (const [at, byte] of changes) copy[at] = byte;
          try {
            decodeTensors(copy, "x");
          } catch (error) {
            expect((error as Error).name).toBe("UserError");
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
