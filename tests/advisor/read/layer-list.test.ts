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

it("refuses what is no list of widths", () => {
  for (const text of ["784", "784-0-10", "784-x", "", "1-2000000000", "-5-3"])
    expect(() => readLayerList(text)).toThrow(
      `"${text}" is no list of widths; write at least two whole numbers`,
    );
});
