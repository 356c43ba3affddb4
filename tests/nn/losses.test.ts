import { describe, expect, test } from "vitest";
import { grad, hessian } from "../../src/autodiff/index.js";
import {
  binaryCrossEntropyWithLogits,
  gaussianNLL,
  huber,
  type Loss,
  meanSquared,
  random,
  softmaxCrossEntropy,
} from "../../src/nn/index.js";
import { array, type NDArray } from "../../src/tensor/array.js";
import { evaluate } from "../../src/tensor/evaluate.js";
import { trace } from "../../src/tensor/program.js";
import { constant, type Tensor } from "../../src/tensor/tensor.js";
import { expectClose, expectGradient, gaussian, integers, numbers, run } from "./numeric.js";

const outputs = gaussian([3, 4], random(1));
const sequence = gaussian([3, 2, 4], random(2));
const like = (x: NDArray) => gaussian(x.shape, random(3));
const unit = (x: NDArray): NDArray => ({ ...x, data: like(x).data.map((v) => 1 / (1 + Math.exp(-v))) });
const probabilities = (x: NDArray) => run((t) => t.softmax(-1), like(x));
const labels = array(Int32Array.of(2, 0, 3));
const tokens = array(Int32Array.of(2, -1, 3, 0, -1, -1), [3, 2]);

const exact: [string, Loss, NDArray, NDArray][] = [
  ["meanSquared", meanSquared(), outputs, like(outputs)],
  ["meanSquared, elements", meanSquared({ reduction: "elements" }), sequence, like(sequence)],
  ["meanSquared, sum", meanSquared({ reduction: "sum" }), outputs, like(outputs)],
  ["softmax, labels", softmaxCrossEntropy(), outputs, labels],
  ["softmax, positions", softmaxCrossEntropy(), sequence, integers([3, 2], 4)],
  ["softmax, ignoring", softmaxCrossEntropy({ ignore: -1 }), sequence, tokens],
  ["softmax, soft targets", softmaxCrossEntropy(), sequence, probabilities(sequence)],
  ["binary cross-entropy", binaryCrossEntropyWithLogits(), sequence, unit(sequence)],
  ["huber", huber({ delta: 0.8 }), outputs, like(outputs)],
];

/** Multiplies every example's outputs by the dense [m, m] blocks of `matrix` [batch·m, batch·m]. */
const dense = (matrix: NDArray, vector: NDArray): number[] => {
  const n = vector.data.length;
  return numbers(vector).map((_, i) =>
    numbers(vector).reduce((sum, v, j) => sum + matrix.data[i * n + j]! * v, 0),
  );
};

/** S as a dense matrix, by its products with unit vectors. */
function factorMatrix(loss: Loss, o: NDArray, targets: NDArray): number[][] {
  const program = trace((x, v) => loss.curvatureFactor(x!, constant(targets), v!), o, o);
  return numbers(o).map((_, column) => {
    const data = new Float64Array(o.data.length);
    data[column] = 1;
    return numbers(evaluate(program, [o, { ...o, data }])[0]!);
  }); // columns
}

describe.each(exact)("%s", (_name, loss, o, targets) => {
  const value = (x: Tensor) => loss.value(x, constant(targets));

  test("the value is the mean of the examples; the gradient agrees with finite differences", () => {
    const each = numbers(run((x) => loss.perExample(x, constant(targets)), o));
    expect(each).toHaveLength(3);
    expectClose(run(value, o), [each.reduce((a, b) => a + b) / 3], 1e-12);
    expectGradient(value, o);
  });

  test("curvatureProduct is the dense Hessian times the tangent", () => {
    const tangent = gaussian(o.shape, random(4));
    const product = run((x, t) => loss.curvatureProduct(x!, constant(targets), t!), o, tangent);
    const flat = { ...o, shape: [o.data.length] };
    const matrix = run(
      hessian((x) => value(x.reshape(o.shape))),
      flat,
    );
    expectClose(product, dense(matrix, tangent), 1e-10);
  });

  test("S·Sᵀ is the Hessian of the sum over examples", () => {
    const columns = factorMatrix(loss, o, targets);
    const n = o.data.length;
    const tangent = gaussian(o.shape, random(5));
    const transposed = columns.map((column) => column.reduce((sum, v, i) => sum + v * tangent.data[i]!, 0));
    const product = Array.from({ length: n }, (_, i) =>
      columns.reduce((sum, column, j) => sum + column[i]! * transposed[j]!, 0),
    );
    const hessianProduct = run((x, t) => loss.curvatureProduct(x!, constant(targets), t!), o, tangent);
    expectClose(
      hessianProduct,
      product.map((v) => v / 3),
      1e-10,
    );
  });
});

describe("values by hand", () => {
  const valueAt = (loss: Loss, o: NDArray, t: NDArray) => run((x) => loss.value(x, constant(t)), o).data[0]!;
  const metric = (loss: Loss, name: string, o: NDArray, t: NDArray) =>
    run((x) => loss.metrics[name]!(x, constant(t)), o).data[0]!;
  const f64 = (values: number[][]) => array(values, undefined, "f64");

  test("meanSquared: ½‖r‖², ‖r‖², mean of r²", () => {
    const [o, t] = [
      f64([
        [1, 2],
        [3, 4],
      ]),
      f64([
        [0, 0],
        [0, 0],
      ]),
    ];
    expect(valueAt(meanSquared(), o, t)).toBe(7.5);
    expect(valueAt(meanSquared({ reduction: "sum" }), o, t)).toBe(15);
    expect(valueAt(meanSquared({ reduction: "elements" }), o, t)).toBe(7.5);
    expect(metric(meanSquared(), "squaredError", o, t)).toBe(7.5);
  });

  test("softmax: −log p of the target, stable for large logits; ignored positions do not count", () => {
    const o = f64([
      [1, 2, 3],
      [1000, 0, -1000],
    ]);
    const total = Math.exp(1) + Math.exp(2) + Math.exp(3);
    expect(valueAt(softmaxCrossEntropy(), o, array(Int32Array.of(1, 0)))).toBeCloseTo(
      (Math.log(total) - 2) / 2,
      12,
    );
    expect(valueAt(softmaxCrossEntropy(), o, array(Int32Array.of(1, 1)))).toBeCloseTo(
      (Math.log(total) - 2 + 1000) / 2,
      9,
    );
    const ignoring = softmaxCrossEntropy({ ignore: -100 });
    expect(valueAt(ignoring, o, array(Int32Array.of(1, -100)))).toBeCloseTo(Math.log(total) - 2, 12);
    expect(valueAt(ignoring, o, array(Int32Array.of(-100, -100)))).toBe(0);
    expect(metric(ignoring, "accuracy", o, array(Int32Array.of(-100, 0)))).toBe(1);
    expect(metric(softmaxCrossEntropy(), "accuracy", o, array(Int32Array.of(1, 0)))).toBe(0.5);
    expect(
      metric(
        softmaxCrossEntropy(),
        "accuracy",
        o,
        f64([
          [0, 0.1, 0.9],
          [0.2, 0.8, 0],
        ]),
      ),
    ).toBe(0.5);
  });

  test("binary cross-entropy: sum over outputs, mean over the batch, stable", () => {
    const o = f64([
      [0, 2],
      [800, -800],
    ]);
    const t = f64([
      [1, 0],
      [1, 1],
    ]);
    const expected = (Math.log(2) + Math.log(1 + Math.exp(2)) + 800) / 2;
    expect(valueAt(binaryCrossEntropyWithLogits(), o, t)).toBeCloseTo(expected, 9);
    expect(metric(binaryCrossEntropyWithLogits(), "accuracy", o, t)).toBe(0.25);
    const p = 1 / (1 + Math.exp(-2));
    expect(metric(binaryCrossEntropyWithLogits(), "squaredError", o, t)).toBeCloseTo(
      (0.25 + p * p + 1) / 2,
      12,
    );
  });

  test("huber: quadratic near, linear far", () => {
    expect(valueAt(huber({ delta: 2 }), f64([[1, -5]]), f64([[0, 0]]))).toBe(0.5 + 2 * (5 - 1));
    expect(metric(huber(), "absoluteError", f64([[1, -5]]), f64([[0, 0]]))).toBe(3);
    expect(huber().sampleTargets).toBeUndefined();
  });

  test("gaussianNLL: minus the log density", () => {
    const [mean, variance, target] = [1, 4, 2.5];
    const density = Math.exp(-((target - mean) ** 2) / (2 * variance)) / Math.sqrt(2 * Math.PI * variance);
    const o = f64([[mean, Math.log(variance)]]);
    expect(valueAt(gaussianNLL(), o, f64([[target]]))).toBeCloseTo(-Math.log(density), 12);
    expect(metric(gaussianNLL(), "squaredError", o, f64([[target]]))).toBe(2.25);
    const t = gaussian([3, 2], random(6));
    expectGradient((x) => gaussianNLL().value(x, constant(t)), outputs);
  });

  test("targets that do not fit are refused, never broadcast", () => {
    expect(() => valueAt(meanSquared(), f64([[1], [2]]), array(Float64Array.of(1, 2)))).toThrow(
      "outputs are [2, 1], targets [2]",
    );
    expect(() => valueAt(meanSquared(), f64([[1]]), array([[1]]))).toThrow("outputs are f64, targets f32");
    expect(() => valueAt(softmaxCrossEntropy(), outputs, array(Int32Array.of(1, 2)))).toThrow(
      "i32 targets [batch, ...]",
    );
    expect(() => valueAt(gaussianNLL(), f64([[1, 2, 3]]), f64([[1]]))).toThrow("[batch, ..., 2d]");
    expect(() => valueAt(gaussianNLL(), f64([[1, 2]]), f64([[1, 2]]))).toThrow("targets must be [1, 1]");
  });
});

describe("sampling", () => {
  const draws = 4000;
  /** Many draws of f(outputs, targets, key), evaluated one key after the other. */
  function sample(f: (o: Tensor, k: Tensor) => Tensor, o: NDArray): number[][] {
    const rng = random(20);
    const program = trace((x, k) => f(x!, k!), o, rng.key());
    return Array.from({ length: draws }, () => numbers(evaluate(program, [o, rng.key()])[0]!));
  }
  const average = (rows: number[][], f: (row: number[]) => number) =>
    rows.reduce((sum, row) => sum + f(row), 0) / rows.length;

  const one = { ...outputs, shape: [2, 2, 3] };
  const sampled: [string, Loss, NDArray, NDArray][] = [
    ["meanSquared", meanSquared({ reduction: "elements" }), one, one],
    ["softmax", softmaxCrossEntropy(), one, integers([2, 2], 3)],
    [
      "softmax, ignoring",
      softmaxCrossEntropy({ ignore: -1 }),
      one,
      array(Int32Array.of(1, -1, 2, 0), [2, 2]),
    ],
    ["binary cross-entropy", binaryCrossEntropyWithLogits(), one, unit(one)],
    ["gaussianNLL", gaussianNLL(), outputs, gaussian([3, 2], random(7))],
  ];

  test.each(sampled)(
    "%s: sampled gradients have mean 0 and the curvature as covariance",
    (_name, loss, o, t) => {
      const rows = sample((x, k) => loss.sampleGradient!(x, constant(t), k), o);
      const columns = factorMatrix(loss, o, t);
      const n = o.data.length;
      for (let i = 0; i < n; i++) {
        const scale = Math.sqrt(columns.reduce((sum, c) => sum + c[i]! ** 2, 0));
        expect(Math.abs(average(rows, (g) => g[i]!))).toBeLessThan(5 * (scale / Math.sqrt(draws)) + 1e-12);
        for (let j = 0; j <= i; j++) {
          const expected = columns.reduce((sum, c) => sum + c[i]! * c[j]!, 0);
          expect(Math.abs(average(rows, (g) => g[i]! * g[j]!) - expected), `${i}, ${j}`).toBeLessThan(0.15);
        }
      }
    },
  );

  test.each(sampled)(
    "%s: the sampled gradient is that at the sampled targets, up to the weight's root",
    (_n, loss, o, t) => {
      const k = random(21).key();
      const direct = numbers(run((x) => loss.sampleGradient!(x, constant(t), constant(k)), o));
      const throughTargets = numbers(
        run((x) => {
          const drawn = loss.sampleTargets!(x, constant(k), constant(t)).stopGradient();
          return grad((u: Tensor) => loss.perExample(u, drawn).sum())(x);
        }, o),
      );
      const ratios = new Set(
        direct.flatMap((g, i) => (Math.abs(g) < 1e-12 ? [] : [(throughTargets[i]! / g).toFixed(9)])),
      );
      expect(ratios.size).toBe(1);
    },
  );

  test("targets of normal distributions: mean and variance", () => {
    for (const [reduction, variance] of [
      ["half", 1],
      ["sum", 0.5],
      ["elements", 2],
    ] as const) {
      const rows = sample((o, k) => meanSquared({ reduction }).sampleTargets!(o, k), outputs);
      const residuals = rows.flatMap((row) => row.map((v, i) => v - outputs.data[i]!));
      expect(Math.abs(residuals.reduce((a, b) => a + b) / residuals.length)).toBeLessThan(0.03);
      expect(residuals.reduce((a, b) => a + b * b, 0) / residuals.length / variance).toBeCloseTo(1, 1);
    }
    const rows = sample((o, k) => gaussianNLL().sampleTargets!(o, k), outputs);
    for (let n = 0; n < 3; n++)
      for (let j = 0; j < 2; j++) {
        const [mean, variance] = [outputs.data[n * 4 + j]!, Math.exp(outputs.data[n * 4 + 2 + j]!)];
        expect(Math.abs(average(rows, (r) => r[n * 2 + j]!) - mean)).toBeLessThan(
          5 * Math.sqrt(variance / draws),
        );
        expect(average(rows, (r) => (r[n * 2 + j]! - mean) ** 2) / variance).toBeGreaterThan(0.88);
        expect(average(rows, (r) => (r[n * 2 + j]! - mean) ** 2) / variance).toBeLessThan(1.12);
      }
  });

  test("classes and bits are drawn with their probabilities; ignored positions stay", () => {
    const p = numbers(run((o) => o.softmax(-1), outputs));
    const classes = sample((o, k) => softmaxCrossEntropy().sampleTargets!(o, k), outputs);
    for (let n = 0; n < 3; n++)
      for (let c = 0; c < 4; c++)
        expect(Math.abs(average(classes, (row) => (row[n] === c ? 1 : 0)) - p[n * 4 + c]!)).toBeLessThan(
          0.04,
        );
    const bits = sample((o, k) => binaryCrossEntropyWithLogits().sampleTargets!(o, k), outputs);
    numbers(outputs).forEach((o, i) => {
      expect(Math.abs(average(bits, (row) => row[i]!) - 1 / (1 + Math.exp(-o)))).toBeLessThan(0.04);
    });
    const kept = sample(
      (o, k) => softmaxCrossEntropy({ ignore: -1 }).sampleTargets!(o, k, constant(tokens)),
      sequence,
    );
    expect(kept.every((row) => row[1] === -1 && row[4] === -1 && row[5] === -1 && row[0]! >= 0)).toBe(true);
  });
});
