/** Traced functions as functions of numbers, and derivatives by finite differences. */
import { expect } from "vitest";
import { grad } from "../../src/autodiff/index.js";
import type { Mode, Model } from "../../src/nn/model.js";
import { isNDArray } from "../../src/nn/parameters.js";
import { type Random, random } from "../../src/nn/random.js";
import { array, type NDArray } from "../../src/tensor/array.js";
import { evaluate } from "../../src/tensor/evaluate.js";
import { trace } from "../../src/tensor/program.js";
import type { Shape } from "../../src/tensor/shape.js";
import { constant, type Tensor } from "../../src/tensor/tensor.js";
import { mapTree, type Tree } from "../../src/tensor/tree.js";

/** The value of a traced function. */
export const run = (f: (...inputs: Tensor[]) => Tensor, ...inputs: NDArray[]): NDArray =>
  evaluate(trace(f, ...inputs), inputs)[0]!;

export const numbers = (value: NDArray): number[] => Array.from(value.data);

/** f64 array of standard normals. */
export function gaussian(shape: Shape, rng: Random = random(1)): NDArray {
  const size = shape.reduce((a, b) => a * b, 1);
  return array(
    Float64Array.from({ length: size }, () => rng.normal()),
    shape,
  );
}

export const integers = (shape: Shape, limit: number, rng: Random = random(2)): NDArray =>
  array(
    Int32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.integer(limit)),
    shape,
  );

export const key = (seed: number): NDArray => random(seed).key();

export const tensors = (tree: Tree<NDArray>): Tree<Tensor> =>
  mapTree<NDArray, Tensor>(tree, isNDArray, (leaf) => constant(leaf));

/** Outputs of a model for given parameters. */
export const outputsOf = (
  net: Model,
  parameters: Tree<NDArray>,
  x: NDArray,
  mode: { training?: boolean; key?: NDArray; state?: Tree<NDArray> } = {},
): NDArray => run((inputs) => net.apply(tensors(parameters), inputs, symbolic(mode)), x);

const symbolic = (mode: { training?: boolean; key?: NDArray; state?: Tree<NDArray> }): Mode => ({
  ...(mode.training === undefined ? {} : { training: mode.training }),
  ...(mode.key && { key: constant(mode.key) }),
  ...(mode.state && { state: tensors(mode.state) }),
});

export function expectClose(actual: NDArray, expected: readonly number[], tolerance = 1e-10): void {
  expect(actual.data.length).toBe(expected.length);
  expected.forEach((value, index) => {
    expect(
      Math.abs(actual.data[index]! - value),
      `element ${index}: ${actual.data[index]} for ${value}`,
    ).toBeLessThan(tolerance * Math.max(1, Math.abs(value)));
  });
}

/** Compares grad(f) with central differences at x, both in f64. */
export function expectGradient(f: (x: Tensor) => Tensor, x: NDArray, tolerance = 1e-6): void {
  const analytic = run((t) => grad((u: Tensor) => f(u))(t), x);
  const program = trace(f, x);
  const step = 1e-5;
  const value = (index: number, change: number) => {
    const data = Float64Array.from(x.data);
    data[index]! += change;
    return evaluate(program, [{ ...x, data }])[0]!.data[0]!;
  };
  const numeric = Array.from(x.data, (_, i) => (value(i, step) - value(i, -step)) / (2 * step));
  expectClose(analytic, numeric, tolerance);
}
