/** Concrete arrays in tests: evaluation of functions at numbers, and comparison. */
import { expect } from "vitest";
import { array, type NDArray, type Nested } from "../../src/tensor/array.js";
import { evaluate } from "../../src/tensor/evaluate.js";
import { trace } from "../../src/tensor/program.js";
import type { Shape } from "../../src/tensor/shape.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import type { Tree } from "../../src/tensor/tree.js";
import { uniform } from "./cases.js";

export const f64 = (values: Nested | Float64Array, shape?: Shape): NDArray => array(values, shape, "f64");
export const i32 = (values: Nested): NDArray => array(values, undefined, "i32");

/** The function's leaves at these values. */
export const run = (f: (...inputs: Tensor[]) => Tree<Tensor>, ...values: NDArray[]): NDArray[] =>
  evaluate(trace(f, ...values), values);

/** Numbers between −1 and 1. */
export function randomArray(shape: Shape, seed: number): NDArray {
  const random = uniform(seed);
  const size = shape.reduce((a, b) => a * b, 1);
  return f64(
    Float64Array.from({ length: size }, () => 2 * random() - 1),
    shape,
  );
}

export const inner = (a: NDArray, b: NDArray): number => {
  let sum = 0;
  for (let i = 0; i < a.data.length; i++) sum += a.data[i]! * b.data[i]!;
  return sum;
};

/** |a − b| ≤ tolerance·(1 + |b|), element by element, and equal shapes. */
export function expectClose(a: NDArray, b: NDArray, tolerance: number, what = ""): void {
  expect(a.shape, what).toEqual(b.shape);
  for (let i = 0; i < a.data.length; i++) {
    const [x, y] = [a.data[i]!, b.data[i]!];
    if (!(Math.abs(x - y) <= tolerance * (1 + Math.abs(y))) && !Object.is(x, y))
      expect.fail(`${what}: element ${i} is ${x}, not ${y} (tolerance ${tolerance})`);
  }
}

/** x + h·t for each pair. */
export const moved = (
  values: readonly NDArray[],
  along: readonly (NDArray | undefined)[],
  h: number,
): NDArray[] =>
  values.map((x, k) => {
    const t = along[k];
    return t
      ? f64(
          Float64Array.from(x.data, (value, i) => value + h * t.data[i]!),
          x.shape,
        )
      : x;
  });

/** (f(x + h·t) − f(x − h·t))/2h, with one step of Richardson's extrapolation: error O(h⁴). */
export function centralDifference(
  f: (...inputs: Tensor[]) => Tree<Tensor>,
  values: readonly NDArray[],
  along: readonly (NDArray | undefined)[],
  h = 1e-3,
): NDArray[] {
  const quotient = (step: number) => {
    const [plus, minus] = [step, -step].map((s) => run(f, ...moved(values, along, s)));
    return plus!.map((p, k) =>
      Float64Array.from(p.data, (value, i) => (value - minus![k]!.data[i]!) / (2 * step)),
    );
  };
  const [coarse, fine] = [quotient(h), quotient(h / 2)];
  const outputs = run(f, ...values);
  return outputs.map((output, k) =>
    f64(
      fine[k]!.map((value, i) => (4 * value - coarse[k]![i]!) / 3),
      output.shape,
    ),
  );
}
