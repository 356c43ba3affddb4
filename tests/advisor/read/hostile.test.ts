import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, it } from "vitest";
import { AdvisorError } from "../../../src/advisor/error.js";
import { readModel, readSource } from "../../../src/advisor/read/model-file.js";
import { sourceOf } from "../../../src/advisor/read/source.js";
import { folder, gpt2Arrays, headerOf } from "./files.js";
import { functional, kerasTensor, layer } from "./keras-file.js";
import { input, model, node, tensor } from "./onnx-file.js";

const at = folder();
afterAll(() => rmSync(at, { recursive: true }));

const file = (name: string, content: string | Uint8Array): string => {
  writeFileSync(join(at, name), content);
  return join(at, name);
};

it("says in one line what a file is that cannot be read", () => {
  const files: [string, string | Uint8Array, string][] = [
    ["a.pt", "PK\u0003\u0004", "is a zip archive"],
    ["a.gz", Uint8Array.of(0x1f, 0x8b, 8), "is compressed by gzip; unpack it first"],
    ["a.bin", Uint8Array.of(0x80, 2), "is a Python pickle"],
    ["a.h5", Uint8Array.of(0x89, 0x48, 0x44, 0x46), "is HDF5; save the model"],
    ["a.gguf", "GGUF", "is GGUF"],
    ["a.txt", "hello", "is of no kind that can be read"],
    ["empty", "", "is empty"],
    ["a.json", '{"a": NaN}', "is no JSON"],
    ["b.json", '{"a": 1}', "is JSON of another kind"],
    ["c.json", '{"a": {"b": 1, "b": 2}}', 'has the name "b" twice'],
    ["d.json", "[".repeat(1e6), "is nested more than 100 deep"],
    ["e.json", '{"weight_map": {}}', "has no weight_map"],
  ];
  for (const [name, content, message] of files) {
    expect(() => readModel(file(name, content))).toThrow(message);
    expect(() => readModel(join(at, name))).toThrow(/^[^\n]*$/);
  }
  expect(() => readModel("nothing.onnx")).toThrow("there is no such file");
  expect(() => readModel("/dev/zero")).toThrow('"/dev/zero" is no file');
  expect(() => readModel("a\0b")).toThrow("there is no such file");
});

const gpt2 = headerOf(gpt2Arrays(1, 8, 20, 4));
const valid: [string, Uint8Array][] = [
  ["model.safetensors", Uint8Array.from([...gpt2.bytes, ...new Uint8Array(gpt2.size)])],
  [
    "model.onnx",
    model(
      input("x", ["batch", 3, 8, 8]),
      tensor("k", [4, 3, 3, 3]),
      tensor("w", [4, 10]),
      node("Conv", ["x", "k"], "a", { strides: [2, 2], group: 1 }),
      node("GlobalAveragePool", ["a"], "b"),
      node("Flatten", ["b"], "c"),
      node("Gemm", ["c", "w"], "y"),
      node("Transpose", ["w"], "z", { perm: [1, 0] }),
    ),
  ],
  [
    "config.json",
    new TextEncoder().encode(
      '{"model_type": "gpt2", "vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12}',
    ),
  ],
];

const keras = functional(
  [
    layer("InputLayer", { name: "x", batch_shape: [null, 8, 8, 3] }),
    layer("Conv2D", { name: "c", filters: 4, kernel_size: [3, 3] }, [[["x", 0, 0, {}]]]),
    layer("Reshape", { name: "r", target_shape: [9, -1] }, [{ args: [kerasTensor("c")], kwargs: {} }]),
    layer("LSTM", { name: "l", units: 5 }, [[["r", 0, 0, {}]]]),
    layer("Concatenate", { name: "j", axis: -1 }, [
      { args: [[kerasTensor("l"), kerasTensor("l")]], kwargs: {} },
    ]),
    layer("Dense", { name: "d", units: 3 }, [[["j", 0, 0, {}]]]),
  ],
  [["x", 0, 0]],
  [["d", 0, 0]],
);
valid.push(["keras.json", new TextEncoder().encode(JSON.stringify(keras))]);

const exported = new URL("exported/transformer.onnx", import.meta.url).pathname;
valid.push(["exported.onnx", new Uint8Array(readFileSync(exported))]);

it.each(valid)("%s with random damage is read, or refused in one line", (name, bytes) => {
  expect(() => readSource(sourceOf(bytes, name))).not.toThrow();
  const place = fc.nat(Math.min(bytes.length, 4000) - 1);
  const damage = fc.array(
    fc.oneof(
      fc.record({ at: place, remove: fc.constant(1), insert: fc.uint8Array({ minLength: 1, maxLength: 1 }) }),
      fc.record({ at: place, remove: fc.nat(20), insert: fc.uint8Array({ maxLength: 20 }) }),
      fc.record({ at: place, remove: fc.constant(bytes.length), insert: fc.constant(new Uint8Array(0)) }),
    ),
    { minLength: 1, maxLength: 4 },
  );
  fc.assert(
    fc.property(damage, (edits) => {
      let damaged = bytes;
      for (const { at, remove, insert } of edits)
        damaged = new Uint8Array(
          Buffer.concat([damaged.subarray(0, at), insert, damaged.subarray(at + remove)]),
        );
      try {
        const { layers, activations } = readSource(sourceOf(damaged, name));
        expect(layers.length).toBeGreaterThan(0);
        expect(Number.isFinite(activations)).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(AdvisorError);
        expect((error as Error).message.length).toBeLessThan(600);
      }
    }),
    { seed: 1, numRuns: 300 },
  );
});
