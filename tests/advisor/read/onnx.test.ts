import { describe, expect, it } from "vitest";
import { forwardFlops } from "../../../src/advisor/model.js";
import { readModel } from "../../../src/advisor/read/model-file.js";
import { readOnnx } from "../../../src/advisor/read/onnx.js";
import { sourceOf } from "../../../src/advisor/read/source.js";
import { parameterCount } from "../../../src/curvature/index.js";
import { input, model, node, tensor } from "./onnx-file.js";

const read = (...graph: Uint8Array[]) => readOnnx(sourceOf(model(...graph), "model.onnx"));

it("reads a convolutional network, places from strides and padding", () => {
  const net = read(
    input("x", ["batch", 1, 28, 28]),
    tensor("c.weight", [8, 1, 5, 5], 800),
    tensor("c.bias", [8]),
    tensor("bn.weight", [8]),
    tensor("bn.bias", [8]),
    tensor("bn.mean", [8]),
    tensor("bn.var", [8]),
    tensor("fc.weight", [10, 392]),
    tensor("fc.bias", [10]),
    node("Conv", ["x", "c.weight", "c.bias"], "a", { pads: [2, 2, 2, 2], strides: [2, 2] }),
    node("BatchNormalization", ["a", "bn.weight", "bn.bias", "bn.mean", "bn.var"], "b"),
    node("Relu", ["b"], "c"),
    node("MaxPool", ["c"], "d", { kernel_shape: [2, 2], strides: [2, 2] }),
    node("Flatten", ["d"], "e"),
    node("Gemm", ["e", "fc.weight", "fc.bias"], "y", { transB: 1 }),
  );
  expect(net.layers).toMatchObject([
    { name: "c.weight", kind: "conv2d", inputs: 26, outputs: 8, positions: 196 },
    { name: "bn.weight", kind: "scaleShift", inputs: 16, positions: 196 },
    { name: "fc.weight", kind: "dense", inputs: 393, outputs: 10, positions: 1 },
  ]);
  expect(parameterCount(net)).toBe(208 + 16 + 3930);
  expect(forwardFlops(net)).toBe(2 * (25 * 8 * 196 + 3920));
  expect(net.kind).toBe("convolutional");
});

it("reads shared weights, a bias added later, tables and products of activations", () => {
  const net = read(
    input("ids", ["batch", 16]),
    tensor("words", [100, 8]),
    tensor("w", [8, 8]),
    tensor("b", [8]),
    node("Gather", ["words", "ids"], "x"),
    node("MatMul", ["x", "w"], "h0"),
    node("Add", ["b", "h0"], "h1"),
    node("MatMul", ["h1", "w"], "h2"),
    node("Transpose", ["h1"], "t", { perm: [0, 2, 1] }),
    node("MatMul", ["h2", "t"], "scores"),
    node("Transpose", ["words"], "turned"),
    node("MatMul", ["h2", "turned"], "logits"),
  );
  expect(net.layers).toMatchObject([
    { name: "words", kind: "embedding", inputs: 100, outputs: 8, uses: 2, positions: 32 },
    { name: "w", kind: "dense", inputs: 9, outputs: 8, uses: 2, positions: 32 },
  ]);
  expect(parameterCount(net)).toBe(872);
  // Scores are 16×16 products of 8; the head is a product by the table.
  expect(net.otherForwardFlops).toBe(2 * 16 * 16 * 8 + 2 * 16 * 8 * 100);
});

it("reads recurrent layers", () => {
  const net = read(
    input("x", [20, "batch", 4]),
    tensor("W", [1, 24, 4]),
    tensor("R", [1, 24, 6]),
    tensor("B", [1, 48]),
    node("LSTM", ["x", "W", "R", "B"], "y"),
  );
  expect(net.kind).toBe("recurrent");
  expect(net.layers).toMatchObject([
    { inputs: 5, outputs: 24, positions: 20, uses: 1 },
    { inputs: 7, outputs: 24, positions: 20, uses: 20 },
  ]);
  expect(parameterCount(net)).toBe(24 * (4 + 6) + 48);
});

describe("what PyTorch exports", () => {
  // Parameters, widths and places as in export.py.
  const exported = (name: string) => readModel(new URL(`exported/${name}.onnx`, import.meta.url).pathname);
  const summary = (name: string) =>
    exported(name).layers.map(
      ({ name, kind, inputs, outputs, positions, uses }) =>
        `${name} ${kind} ${inputs}→${outputs} ×${positions}${uses > 1 ? ` in ${uses} uses` : ""}`,
    );
  it("dense layers", () => {
    const model = exported("mlp");
    expect(parameterCount(model)).toBe(203);
    expect(model.kind).toBe("dense");
    expect(forwardFlops(model)).toBe(2 * (12 * 8 + 8 * 8 + 8 * 3));
    expect(summary("mlp")).toEqual([
      "0.weight dense 13→8 ×1",
      "2.weight dense 9→8 ×1",
      "4.weight dense 9→3 ×1",
    ]);
  });
  it("convolutions with norms and pooling", () => {
    const model = exported("cnn");
    expect(parameterCount(model)).toBe(287);
    expect(model.kind).toBe("convolutional");
    // 12×12 with padding, halved, then every second place of 4.
    expect(summary("cnn")).toEqual([
      "0.weight conv2d 9→4 ×144",
      "1.weight scaleShift 8→1 ×144",
      "4.weight conv2d 37→6 ×4",
      "8.weight dense 7→3 ×1",
    ]);
  });
  it("attention whose shapes are computed in the graph, and norms written out", () => {
    const model = exported("transformer");
    expect(parameterCount(model)).toBe(1304);
    expect(model.kind).toBe("transformer");
    expect(summary("transformer")).toEqual([
      "words.weight embedding 24→8 ×6",
      "norm1.weight scaleShift 16→1 ×6",
      "qkv dense 9→24 ×6",
      "out dense 9→8 ×6",
      "norm2.weight scaleShift 16→1 ×6",
      "up dense 9→32 ×6",
      "down dense 33→8 ×6",
      "head dense 8→24 ×6",
      "places other 48→1 ×1",
    ]);
    // Scores and sums of 6 places, 8 wide in all.
    expect(model.otherForwardFlops).toBe(2 * 2 * 6 * 6 * 8);
    expect(model.notes.join()).not.toContain("unknown");
  });
  it("recurrence", () => {
    expect(parameterCount(exported("lstm"))).toBe(212);
    expect(summary("lstm")).toEqual([
      "lstm dense 4→20 ×7",
      "lstm.recurrent dense 6→20 ×7 in 7 uses",
      "head.weight dense 6→2 ×1",
    ]);
  });
});

it("counts equal arrays that are stored once, and says so", () => {
  const net = read(
    input("x", ["batch", 4]),
    tensor("w", [4, 4]),
    node("Identity", ["w"], "w2"),
    node("MatMul", ["x", "w"], "h"),
    node("MatMul", ["h", "w2"], "y"),
  );
  expect(net.layers).toMatchObject([{ name: "w", kind: "dense", uses: 2 }]);
  expect(net.notes.join()).toContain("stored once");
});

it("refuses cycles, values made twice, damaged shapes and what is no graph", () => {
  const weights = [input("x", [1, 4]), tensor("w", [4, 4])];
  expect(() => read(...weights, node("Add", ["x", "b"], "a"), node("Relu", ["a"], "b"))).toThrow(
    'Add reads "b" before it is made: the graph has a cycle',
  );
  expect(() => read(...weights, node("Relu", ["x"], "a"), node("Relu", ["x"], "a"))).toThrow("made twice");
  expect(() => read(tensor("w", [4, 2 ** 60]))).toThrow('the shape of "w" is damaged');
  expect(() => read(tensor("w", [2 ** 40, 2 ** 40]))).toThrow("its shapes are damaged");
  expect(() => read(...weights, tensor("w", [4, 4]))).toThrow('two initialisers named "w"');
  expect(() => read(input("x", [1]))).toThrow("has no parameters");
  expect(() => readOnnx(sourceOf(Uint8Array.of(8, 8), "m.onnx"))).toThrow("it has no graph");
  const whole = model(...weights, node("MatMul", ["x", "w"], "y"));
  for (let length = 3; length < whole.length; length++)
    expect(() => readOnnx(sourceOf(whole.subarray(0, length), "m.onnx"))).toThrow("ends behind its message");
});
