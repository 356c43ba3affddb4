import { expect, test } from "vitest";
import { conv2d, dense, flatten, layoutOf, model, sequential } from "../../src/nn/index.js";
import { isNDArray } from "../../src/nn/parameters.js";
import { array, type NDArray } from "../../src/tensor/array.js";
import { evaluate } from "../../src/tensor/evaluate.js";
import { trace } from "../../src/tensor/program.js";
import { leavesOf } from "../../src/tensor/tree.js";
import { numbers, run } from "./numeric.js";

const net = model(sequential(conv2d(2, 2), flatten(), dense(3)), [3, 3, 1]);
const { parameters } = net.init(1);
const { layout } = net;

test("entries lie one after the other, named by path", () => {
  expect(layout.entries).toEqual([
    { name: "layers.0.weight", shape: [2, 2, 1, 2], offset: 0, size: 8 },
    { name: "layers.0.bias", shape: [2], offset: 8, size: 2 },
    { name: "layers.2.weight", shape: [8, 3], offset: 10, size: 24 },
    { name: "layers.2.bias", shape: [3], offset: 34, size: 3 },
  ]);
  expect(layout.size).toBe(37);
  expect(layout.entry("layers.2.bias").offset).toBe(34);
  expect(() => layout.entry("layers.9.bias")).toThrow('no parameter "layers.9.bias"');
});

test("flatten and unflatten are inverse; the leaves share the vector's memory", () => {
  const theta = layout.flatten(parameters);
  expect(theta.shape).toEqual([37]);
  const tree = layout.unflatten(theta);
  expect(tree).toEqual(parameters);
  theta.data[34] = 5;
  const bias = leavesOf<NDArray>(tree, isNDArray).find((leaf) => leaf.name === "layers.2.bias");
  expect(bias!.value.data[0]).toBe(5);
});

test("symbolic views and joining are inverse, and views have the values of the tree", () => {
  const theta = layout.flatten(parameters);
  expect(run((t) => layout.flattenTensors(layout.views(t)), theta)).toEqual(theta);
  const views = evaluate(
    trace((t) => layout.views(t), theta),
    [theta],
  );
  expect(views).toEqual(leavesOf<NDArray>(parameters, isNDArray).map((leaf) => leaf.value));
});

test("a layout of arrays equals that of their specs; an empty tree has size 0", () => {
  expect(layoutOf(parameters).entries).toEqual(layout.entries);
  expect(model(flatten(), [2], "f64").layout).toMatchObject({ size: 0, dtype: "f64", entries: [] });
  expect(numbers(layoutOf({}).flatten({}))).toEqual([]);
});

test("trees that do not fit are refused with the name", () => {
  const pair = layoutOf({ a: array([1, 2]), b: array([[3]]) });
  expect(() => pair.flatten({ a: array([1, 2]), b: array([3]) })).toThrow(
    'expected "b" f32[1, 1], found "b" f32[1]',
  );
  expect(() => pair.flatten({ a: array([1, 2]) })).toThrow("1 leaves, the layout 2");
  expect(() => pair.flatten({ b: array([1, 2]), a: array([[3]]) })).toThrow('expected "a"');
  expect(() => pair.unflatten(array([1, 2]))).toThrow("f32[3], not f32[2]");
  expect(() => layoutOf({ a: array([1]), b: array([1], undefined, "f64") })).toThrow(
    '"b" is f64, "a" is f32',
  );
});
