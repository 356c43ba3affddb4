import { Matrix } from "ml-matrix";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  createInverter,
  factoredDamping,
  type InverseMethod,
  meanDiagonal,
} from "../../src/curvature/kronecker/index.js";
import { random } from "../../src/nn/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

/** Q diag(λ) Qᵀ with a random basis: eigenvalues from 1 down to 1/condition, and `zeros` of them 0. */
function symmetric(n: number, condition: number, zeros = 0): Matrix {
  const rng = random(n);
  const columns: number[][] = [];
  for (let k = 0; k < n; k++) {
    let v = Array.from({ length: n }, () => rng.normal());
    for (let pass = 0; pass < 2; pass++)
      for (const q of columns) {
        const along = v.reduce((s, x, i) => s + x * q[i]!, 0);
        v = v.map((x, i) => x - along * q[i]!);
      }
    const length = Math.hypot(...v);
    columns.push(v.map((x) => x / length));
  }
  const Q = new Matrix(columns).transpose();
  const values = columns.map((_, k) => (k < zeros ? 0 : condition ** -(k / Math.max(1, n - 1))));
  return Q.mmul(Matrix.diag(values)).mmul(Q.transpose());
}

const methods: readonly InverseMethod[] = ["cholesky", "eigen", "newtonSchulz"];
const sizes = [1, 2, 7, 40];

describe.each(methods)("%s", (method) => {
  test.each(["f64", "f32"] as const)(
    "(F + εI)·(F + εI)⁻¹ = I in %s, ill-conditioned and singular",
    (dtype) => {
      const inverter = createInverter(runtime, dtype, method, 40);
      for (const n of sizes)
        for (const [condition, zeros] of [
          [1e3, 0],
          [1e6, n > 2 ? 2 : 0],
        ] as const) {
          const shift = 1e-3;
          const given = symmetric(n, condition, zeros);
          const [source, target] = [runtime.buffer(dtype, [n, n]), runtime.buffer(dtype, [n, n])];
          source.set(given.to1DArray());
          expect(inverter.invert(source, shift, target)).toBe(true);
          const damped = given.clone().add(Matrix.eye(n).mul(shift));
          const product = damped.mmul(Matrix.from1DArray(n, n, Array.from(target.data)));
          const off = product.sub(Matrix.eye(n)).abs().max();
          expect(off).toBeLessThan(dtype === "f64" ? 1e-10 : 5e-3);
          // The factor itself is as it was.
          const kept = Array.from(source.data);
          expect(kept).toEqual(Array.from(given.to1DArray(), (x) => (dtype === "f32" ? Math.fround(x) : x)));
          for (const buffer of [source, target]) buffer.release();
        }
      inverter.release();
    },
  );

  test("what has no inverse is refused, not returned", () => {
    const inverter = createInverter(runtime, "f64", method, 2);
    const [source, target] = [runtime.buffer("f64", [2, 2]), runtime.buffer("f64", [2, 2])];
    const refused = (values: number[], shift: number) => {
      source.set(values);
      return !inverter.invert(source, shift, target);
    };
    expect(refused([Number.NaN, 0, 0, 1], 0.1)).toBe(true);
    expect(refused([0, 0, 0, 0], 0)).toBe(true);
    if (method !== "eigen") expect(refused([1, 2, 2, 1], 0)).toBe(true);
    for (const part of [source, target, inverter]) part.release();
  });
});

test("eigenvectors in rows, eigenvalues that are not negative", () => {
  const n = 7;
  const inverter = createInverter(runtime, "f64", "eigen", n);
  const given = symmetric(n, 100, 2);
  const [source, basis, values] = [
    runtime.buffer("f64", [n, n]),
    runtime.buffer("f64", [n, n]),
    runtime.buffer("f64", [n]),
  ];
  source.set(given.to1DArray());
  expect(inverter.decompose(source, basis, values)).toBe(true);
  const E = Matrix.from1DArray(n, n, Array.from(basis.data));
  const rebuilt = E.transpose()
    .mmul(Matrix.diag(Array.from(values.data)))
    .mmul(E);
  expect(rebuilt.sub(given).abs().max()).toBeLessThan(1e-12);
  expect(values.data.every((x) => x >= 0)).toBe(true);
  for (const part of [source, basis, values, inverter]) part.release();
});

describe("factored damping", () => {
  test("π balances the traces, and the product of both dampings is γ²", () => {
    const { a, g } = factoredDamping(8, 0.5, 0.3);
    expect(a / g).toBeCloseTo(16, 12);
    expect(a * g).toBeCloseTo(0.09, 12);
  });
  test("scaling A by c and G by 1/c scales their dampings so", () => {
    const [one, other] = [factoredDamping(2, 3, 0.1), factoredDamping(20, 0.3, 0.1)];
    expect(other.a).toBeCloseTo(10 * one.a, 12);
    expect(other.g).toBeCloseTo(one.g / 10, 12);
  });
  test.each([
    [0, 1],
    [1, 0],
    [0, 0],
    [Number.NaN, 1],
  ])("traces %d and %d: π = 1", (a, g) => {
    expect(factoredDamping(a, g, 0.1)).toEqual({ a: 0.1, g: 0.1 });
  });
  test("the mean of a diagonal, of a matrix or by itself", () => {
    expect(meanDiagonal({ shape: [2, 2], data: [1, 9, 9, 4] })).toBe(2.5);
    expect(meanDiagonal({ shape: [2], data: [1, 4] })).toBe(2.5);
  });
});
