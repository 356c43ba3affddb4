/** What derivatives are where they are a choice, and where a careless formula gives 0·∞. */
import { describe, expect, test } from "vitest";
import { grad, hessian, jvp } from "../../src/autodiff/index.js";
import { array } from "../../src/tensor/array.js";
import { constant, type Tensor } from "../../src/tensor/tensor.js";
import { f64, run } from "../tensor/numbers.js";

const gradientAt = (f: (x: Tensor) => Tensor, at: number[]): number[] => [
  ...run((x) => grad((y: Tensor) => f(y).sum())(x!), f64(at))[0]!.data.map((g) => g + 0), // −0 is 0
];
const curvatureAt = (f: (x: Tensor) => Tensor, at: number): number =>
  run((x) => hessian((y: Tensor) => f(y).sum())(x!), f64([at]))[0]!.data[0]!;
const of = (x: Tensor, value: number) => constant([value], x.dtype).expand(x.shape);

describe("ties", () => {
  test("|x|′ = 0 at 0", () => {
    expect(gradientAt((x) => x.abs(), [-2, 0, 3])).toEqual([-1, 0, 1]);
  });
  test("relu′ = 0 at 0", () => {
    expect(gradientAt((x) => x.relu(), [-1, 0, 2])).toEqual([0, 0, 1]);
  });
  test("max and min give half to each side", () => {
    expect(gradientAt((x) => x.max(1), [0, 1, 2])).toEqual([0, 0.5, 1]);
    expect(gradientAt((x) => x.min(1), [0, 1, 2])).toEqual([1, 0.5, 0]);
    expect(gradientAt((x) => of(x, 1).max(x), [0, 1, 2])).toEqual([0, 0.5, 1]);
    expect(gradientAt((x) => x.max(x), [3])).toEqual([1]);
  });
  test("a maximum's derivative is shared by all that attain it", () => {
    expect(gradientAt((x) => x.maximum(), [1, 2, 2, 0])).toEqual([0, 0.5, 0.5, 0]);
    expect(gradientAt((x) => x.minimum(), [3, 3, 3, 4])).toEqual([1 / 3, 1 / 3, 1 / 3, 0]);
  });
  test("softplus is smooth at 0", () => {
    expect(gradientAt((x) => x.softplus(), [0])).toEqual([0.5]);
    expect(curvatureAt((x) => x.softplus(), 0)).toBe(0.25);
    const far = [-1000, 39.9, 40, 40.1, 1000];
    expect(gradientAt((x) => x.softplus(), far)).toEqual([0, 1, 1, 1, 1]);
    for (const x of far) expect(curvatureAt((y) => y.softplus(), x)).toBeCloseTo(0, 15);
  });
});

describe("no NaN from 0·∞", () => {
  test("powers with a known exponent", () => {
    expect(gradientAt((x) => x.pow(0), [0, 2])).toEqual([0, 0]);
    expect(gradientAt((x) => x.pow(1), [0, 2])).toEqual([1, 1]);
    expect(gradientAt((x) => x.pow(2), [0, -2])).toEqual([0, -4]);
    expect(gradientAt((x) => x.pow(3), [0, -2])).toEqual([0, 12]);
    expect(curvatureAt((x) => x.pow(3), 0)).toBe(0);
    expect(curvatureAt((x) => x.pow(2), 0)).toBe(2);
  });
  test("powers with exponents that are tensors", () => {
    const b = [0, 1, 2, 3];
    expect(gradientAt((x) => x.pow(constant(b, "f64")), [0, 0, 0, 0])).toEqual([0, 1, 0, 0]);
    expect(gradientAt((x) => x.pow(constant(b, "f64")), [2, 2, 2, 2])).toEqual([0, 1, 4, 12]);
    const [curvature] = run(
      (x) => hessian((y: Tensor) => y.pow(constant(2, "f64").expand([1])).sum())(x!),
      f64([0]),
    );
    expect(curvature!.data[0]).toBe(2);
  });
  test("0ᵇ by b is 0", () => {
    expect(gradientAt((b) => of(b, 0).pow(b), [2])).toEqual([0]);
    expect(gradientAt((b) => b.mul(0).pow(b), [2])).toEqual([0]);
    expect(gradientAt((b) => of(b, 2).pow(b), [3])).toEqual([8 * Math.LN2]);
  });
  test("a branch that is not chosen adds nothing, even where it is infinite", () => {
    expect(gradientAt((x) => x.gt(0).select(x, x.mul(2)), [-1, 1])).toEqual([2, 1]);
    expect(gradientAt((x) => x.gt(0).select(x.gt(0).select(x, 1).log(), 0), [0, 2])).toEqual([0, 0.5]);
  });
  test("√x has an infinite derivative at 0", () => {
    expect(gradientAt((x) => x.sqrt(), [0, 4])).toEqual([Infinity, 0.25]);
  });
  test("log-softmax of large numbers", () => {
    const [g] = run((x) => grad((y: Tensor) => y.logSoftmax().at(0))(x!), f64([1000, 0, -1000]));
    expect([...g!.data]).toEqual([0, 0, 0]);
  });
});

describe("dtypes", () => {
  test("a derivative has the dtype of its variable, through casts", () => {
    const f = (x: Tensor) => x.cast("f64").square().sum().cast("f32");
    const [g] = run((x) => grad(f)(x!), array([1.5, -2]));
    expect(g!.dtype).toBe("f32");
    expect([...g!.data]).toEqual([3, -4]);
    const [, t] = run((x) => jvp((y: Tensor) => y.cast("f64").square(), [x!], [x!]), array([1.5, -2]));
    expect(t!.dtype).toBe("f64");
    expect([...t!.data]).toEqual([4.5, 8]);
  });
  test("nothing flows through integers, truth values, floor and stopGradient", () => {
    expect(gradientAt((x) => x.cast("i32").cast("f64").mul(x), [2.5])).toEqual([2]);
    expect(gradientAt((x) => x.gt(0).cast("f64").add(x.floor()).add(x.sign()), [2.5])).toEqual([0]);
    expect(gradientAt((x) => x.stopGradient().mul(x), [2.5])).toEqual([2.5]);
  });
});
