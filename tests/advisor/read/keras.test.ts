import { expect, it } from "vitest";
import { readKeras } from "../../../src/advisor/read/keras.js";
import { parameterCount } from "../../../src/curvature/index.js";

const read = (weights: Readonly<Record<string, readonly number[]>>, tokens?: number) =>
  readKeras(
    {
      modelTopology: {},
      weightsManifest: [{ weights: Object.entries(weights).map(([name, shape]) => ({ name, shape })) }],
    },
    "model.json",
    tokens,
  );

it("reads convolutions, norms and dense layers", () => {
  const model = read({
    "conv2d/kernel": [3, 3, 1, 8],
    "conv2d/bias": [8],
    "bn/gamma": [8],
    "bn/beta": [8],
    "bn/moving_mean": [8],
    "bn/moving_variance": [8],
    "sep/depthwise_kernel": [3, 3, 8, 1],
    "sep/pointwise_kernel": [1, 1, 8, 16],
    "sep/bias": [16],
    "dense/kernel": [400, 10],
    "dense/bias": [10],
  });
  expect(model.layers).toMatchObject([
    { name: "conv2d", kind: "conv2d", inputs: 10, outputs: 8 },
    { name: "bn", kind: "scaleShift", inputs: 16 },
    { name: "sep", kind: "conv2d", inputs: 9, outputs: 16 },
    { name: "sep/depthwise_kernel", kind: "other" },
    { name: "dense", kind: "dense", inputs: 401, outputs: 10, positions: 1 },
  ]);
  expect(parameterCount(model)).toBe(80 + 16 + 72 + 144 + 4010);
});

it("reads tables and recurrent layers", () => {
  const model = read(
    {
      "embedding/embeddings": [50, 8],
      "lstm/kernel": [8, 64],
      "lstm/recurrent_kernel": [16, 64],
      "lstm/bias": [64],
    },
    20,
  );
  expect(model.kind).toBe("recurrent");
  expect(model.layers).toMatchObject([
    { kind: "embedding", positions: 20 },
    { kind: "dense", inputs: 9, outputs: 64 },
    { name: "lstm/recurrent", kind: "dense", inputs: 16, outputs: 64, uses: 20 },
  ]);
});

it("refuses what tells no shapes", () => {
  expect(() => readKeras({ modelTopology: {} }, "m.json")).toThrow("has no weightsManifest and no topology");
  expect(() => read({ "a/kernel": [-1] })).toThrow("has a weight without name or shape");
  expect(() => read({})).toThrow("has no parameters");
  expect(() => read({ "a/kernel": [2 ** 40, 2 ** 40] })).toThrow("its shapes are damaged");
});
