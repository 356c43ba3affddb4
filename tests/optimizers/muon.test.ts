import { EigenvalueDecomposition, Matrix, SVD } from "ml-matrix";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compile } from "../../src/compiler/compile.js";
import {
  adamw,
  chain,
  constant,
  createOptimizer,
  firstOrder,
  masks,
  muon,
  onArrays,
  orthogonalize,
  scaleByAdam,
  stateless,
} from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { input } from "../../src/tensor/tensor.js";
import { numbers, smallObjective, trajectory } from "./small.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

/** The compiled iteration on one matrix. */
function orthogonal(values: Matrix, iterations: number): Matrix {
  const shape = [values.rows, values.columns];
  const x = input("x", { dtype: "f64", shape });
  const executable = compile(runtime, { inputs: [x], outputs: [orthogonalize(x, iterations)] });
  executable.inputs[0]!.set(values.to1DArray());
  executable.run();
  const result = Matrix.from1DArray(shape[0]!, shape[1]!, [...executable.outputs[0]!.data]);
  executable.release();
  return result;
}
/** The scalar polynomial that the iteration applies to each singular value. */
const polynomial = (s: number, iterations: number): number => {
  let x = s;
  for (let k = 0; k < iterations; k++) x = 3.4445 * x - 4.775 * x ** 3 + 2.0315 * x ** 5;
  return x;
};

describe("orthogonalization", () => {
  const shapes = [
    [4, 4],
    [3, 7],
    [7, 3],
    [1, 5],
  ] as const;
  test.each(shapes)(
    "of [%i, %i] moves singular values by the polynomial and turns nothing",
    (rows, columns) => {
      const matrix = Matrix.from1DArray(rows, columns, numbers(rows * columns, 5)).mul(100);
      const {
        leftSingularVectors: u,
        diagonal,
        rightSingularVectors: v,
      } = new SVD(matrix, { autoTranspose: true });
      const norm = matrix.norm("frobenius") + 1e-7;
      for (const iterations of [1, 5]) {
        const moved = Matrix.diag(diagonal.map((s) => polynomial(s / norm, iterations)));
        const rank = Math.min(rows, columns);
        const expected = u
          .subMatrix(0, rows - 1, 0, rank - 1)
          .mmul(moved.subMatrix(0, rank - 1, 0, rank - 1))
          .mmul(v.subMatrix(0, columns - 1, 0, rank - 1).transpose());
        expect(Matrix.sub(orthogonal(matrix, iterations), expected).norm("frobenius")).toBeLessThan(1e-12);
      }
    },
  );
  test("brings singular values over four orders of magnitude near 1", () => {
    const q = new EigenvalueDecomposition(
      (() => {
        const m = Matrix.from1DArray(6, 6, numbers(36, 2));
        return m.mmul(m.transpose());
      })(),
    ).eigenvectorMatrix;
    const matrix = q.mmul(Matrix.diag([1, 0.3, 0.1, 0.03, 0.02, 0.01])).mmul(q.transpose());
    for (const s of new SVD(orthogonal(matrix, 5)).diagonal) {
      expect(s).toBeGreaterThan(0.6);
      expect(s).toBeLessThan(1.3);
    }
    for (const s of new SVD(orthogonal(matrix.clone().mul(1e-2), 8)).diagonal) expect(s).toBeLessThan(1.3);
  });
  test("of zeros is zeros", () => {
    expect(orthogonal(Matrix.zeros(3, 2), 5).to1DArray()).toEqual([0, 0, 0, 0, 0, 0]);
  });
});

describe("muon", () => {
  test("with every matrix named for Adam is AdamW at Adam's rate", () => {
    const adam = { beta1: 0.8, beta2: 0.9, epsilon: 1e-8, weightDecay: 0.1 };
    const ours = trajectory(
      runtime,
      muon.create({ ...adam, learningRate: 0.5, adamRate: 0.02, adamFor: "W, V" }),
      12,
    ).parameters;
    trajectory(runtime, adamw.create({ ...adam, learningRate: 0.02 }), 12).parameters.forEach((theta, t) => {
      theta.forEach((value, k) => {
        expect(ours[t]![k]).toBeCloseTo(value, 13);
      });
    });
  });
  test("steps a matrix by the orthogonalized gradient, scaled by its sides", () => {
    const objective = smallObjective(runtime);
    const { W, V } = { W: objective.layout.entry("W"), V: objective.layout.entry("V") };
    const before = [...objective.parameters.data];
    const gradient = [...objective.gradient().gradient.data];
    for (const outputs of ["last", "first"] as const) {
      objective.parameters.set(before);
      const training = muon.create({ learningRate: 0.1, momentum: 0, outputs }).start(objective);
      training.step();
      for (const { shape, offset, size } of [W, V]) {
        const [rows, columns] = shape as [number, number];
        const g = Matrix.from1DArray(rows, columns, gradient.slice(offset, offset + size));
        const ratio = outputs === "last" ? columns / rows : rows / columns;
        const step = orthogonal(g, 5).mul(0.1 * Math.sqrt(Math.max(1, ratio)));
        step.to1DArray().forEach((value, k) => {
          expect(before[offset + k]! - objective.parameters.data[offset + k]!).toBeCloseTo(value, 13);
        });
      }
      training.release();
    }
    objective.release();
  });
  test("refuses names that no matrix has", () => {
    const objective = smallObjective(runtime);
    expect(() => createOptimizer("muon", { adamFor: "head" }).start(objective)).toThrow(
      'muon: adamFor names "head", which no matrix has in its name; there are W, V',
    );
    objective.release();
  });
  test("reports gradients that are not finite, and gives all memory back", () => {
    const before = runtime.used;
    const objective = smallObjective(runtime);
    const training = muon.create().start(objective);
    training.step();
    const used = runtime.used;
    training.step();
    expect(runtime.used).toBe(used);
    objective.batch[0]!.data[0] = Number.NaN;
    expect(training.step().finite).toBe(false);
    training.release();
    objective.release();
    expect(runtime.used).toBe(before);
  });
});

describe("onArrays", () => {
  const twice = stateless("twice", (direction) => direction.mul(2));
  test("what is not chosen passes, and two halves make a whole", () => {
    const vectors = (entry: { name: string; shape: readonly number[] }) => !masks.matrices(entry);
    const whole = trajectory(runtime, firstOrder("whole", scaleByAdam(), constant(0.1)), 5).parameters;
    const halves = chain(onArrays(masks.matrices, scaleByAdam()), onArrays(vectors, scaleByAdam()));
    expect(trajectory(runtime, firstOrder("halves", halves, constant(0.1)), 5).parameters).toEqual(whole);
    const none = onArrays(() => false, scaleByAdam());
    const plain = trajectory(runtime, firstOrder("plain", chain(), constant(0.1)), 3).parameters;
    expect(trajectory(runtime, firstOrder("none", none, constant(0.1)), 3).parameters).toEqual(plain);
    const one = trajectory(runtime, firstOrder("one", onArrays(vectors, twice), constant(0.1)), 1).parameters;
    const start = numbers(24);
    one[0]!.forEach((value, k) => {
      const isBias = k >= 12 && k < 16;
      expect(start[k]! - value).toBeCloseTo((isBias ? 2 : 1) * (start[k]! - plain[0]![k]!), 14);
    });
  });
});
