import { expect, it } from "vitest";
import { factorEntries, forwardFlops } from "../../../src/advisor/model.js";
import { readLayerList } from "../../../src/advisor/read/layer-list.js";
import { parameterCount } from "../../../src/curvature/index.js";

it("reads dense layers with biases", () => {
  const model = readLayerList("784-128-10");
  expect(parameterCount(model)).toBe(101_770);
  expect(factorEntries(model)).toBe(785 ** 2 + 128 ** 2 + 129 ** 2 + 10 ** 2);
  expect(forwardFlops(model)).toBe(2 * (784 * 128 + 128 * 10));
  expect(model.activations).toBe(2 * (128 + 10));
});

it("reads an image with convolutions", () => {
  const model = readLayerList("28x28x1-conv3x3:16-pool2-conv5x5:8-pool3-10");
  expect(model.kind).toBe("convolutional");
  expect(model.layers).toMatchObject([
    { kind: "conv2d", inputs: 10, outputs: 16, positions: 784 },
    { kind: "conv2d", inputs: 401, outputs: 8, positions: 196 },
    { kind: "dense", inputs: 4 * 4 * 8 + 1, outputs: 10, positions: 1 },
  ]);
  expect(parameterCount(model)).toBe(160 + 3208 + 1290);
  expect(forwardFlops(model)).toBe(2 * (9 * 16 * 784 + 400 * 8 * 196 + 1280));
  for (const text of ["784-conv3x3:8-10", "4x4x1-pool5-10", "4x4x1-10-conv3x3:2", "8x8-10", "4x4x1"])
    expect(() => readLayerList(text)).toThrow("or an image and layers, such as 28x28x1-conv3x3:16-pool2-10");
});

it("refuses what is no list of widths", () => {
  for (const text of ["784", "784-0-10", "784-x", "", "1-2000000000", "-5-3"])
    expect(() => readLayerList(text)).toThrow(
      `"${text}" is no list of widths; write at least two whole numbers`,
    );
});
