import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compile } from "../../src/compiler/compile.js";
import { createObjective } from "../../src/curvature/index.js";
import { layoutOf } from "../../src/nn/parameters.js";
import { gramAlong, multiplyAlong } from "../../src/optimizers/axis-products.js";
import { createEigenbasisRefresher } from "../../src/optimizers/eigenbasis.js";
import { adam, soap } from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { input } from "../../src/tensor/tensor.js";
import { numbers, smallObjective, trajectory } from "./small.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

describe("products along an axis", () => {
  const shape = [2, 3, 4] as const;
  const values = numbers(24, 9);
  const at = (i: number, j: number, k: number) => values[(i * 3 + j) * 4 + k]!;
  const index = [0, 1, 2].flatMap((_, axis) => [axis]);
  test.each(index)("axis %i of three, against loops", (axis) => {
    const n = shape[axis]!;
    const columns = n + 1;
    const p = numbers(n * columns, 4);
    const x = input("x", { dtype: "f64", shape: [...shape] });
    const P = input("P", { dtype: "f64", shape: [n, columns] });
    const executable = compile(runtime, {
      inputs: [x, P],
      outputs: [multiplyAlong(x, axis, P), gramAlong(x, axis)],
    });
    executable.inputs[0]!.set(values);
    executable.inputs[1]!.set(p);
    executable.run();
    const [product, gram] = executable.outputs as [
      (typeof executable.outputs)[0],
      (typeof executable.outputs)[0],
    ];
    const resultShape = shape.map((extent, k) => (k === axis ? columns : extent)) as [number, number, number];
    expect(product.shape).toEqual(resultShape);
    const expected = new Array<number>(product.size).fill(0);
    const expectedGram = new Array<number>(n * n).fill(0);
    for (let i = 0; i < 2; i++)
      for (let j = 0; j < 3; j++)
        for (let k = 0; k < 4; k++) {
          const own = [i, j, k];
          for (let c = 0; c < columns; c++) {
            const [a, b, d] = own.map((value, m) => (m === axis ? c : value)) as [number, number, number];
            expected[(a * resultShape[1] + b) * resultShape[2] + d]! +=
              at(i, j, k) * p[own[axis]! * columns + c]!;
          }
          for (let c = 0; c < n; c++) {
            const [a, b, d] = own.map((value, m) => (m === axis ? c : value)) as [number, number, number];
            expectedGram[own[axis]! * n + c]! += at(i, j, k) * at(a, b, d);
          }
        }
    expected.forEach((value, k) => {
      expect(product.data[k]).toBeCloseTo(value, 13);
    });
    expectedGram.forEach((value, k) => {
      expect(gram.data[k]).toBeCloseTo(value, 13);
    });
    executable.release();
  });
});

describe("eigenbases", () => {
  const n = 5;
  const random = Matrix.from1DArray(n, n, numbers(n * n, 6));
  const basis = new EigenvalueDecomposition(random.mmul(random.transpose())).eigenvectorMatrix;
  const spectrum = [1e4, 1e2, 1, 1e-2, 1e-4];
  const S = basis.mmul(Matrix.diag(spectrum)).mmul(basis.transpose());

  const prepared = () => {
    const statistics = runtime.buffer("f64", [n, n]);
    statistics.set(S.to1DArray());
    const Q = runtime.buffer("f64", [n, n]);
    const refresher = createEigenbasisRefresher(runtime, "f64", n + 2);
    const matrix = () => Matrix.from1DArray(n, n, [...Q.data]);
    const release = () => {
      for (const part of [statistics, Q, refresher]) part.release();
    };
    return { statistics, Q, refresher, matrix, release };
  };
  const expectEigenvectors = (Q: Matrix) => {
    const overlap = basis.transpose().mmul(Q).abs();
    // Eigenvalues of `basis` are in the order of `spectrum`.
    expect(Matrix.sub(overlap, Matrix.eye(n)).norm("frobenius")).toBeLessThan(1e-7);
  };

  test("decompose sorts by descending eigenvalue, in columns", () => {
    const { statistics, Q, refresher, matrix, release } = prepared();
    expect(refresher.decompose(statistics, Q)).toBe(true);
    expectEigenvectors(matrix());
    release();
  });
  test("orthogonal iteration finds the eigenvectors of an ill-conditioned matrix, from any start", () => {
    const { statistics, Q, refresher, matrix, release } = prepared();
    // Columns in the wrong order are sorted, and `order` says how.
    Q.set(
      Matrix.from1DArray(n, n, basis.to1DArray())
        .to2DArray()
        .flatMap((row) => [row[2]!, row[0]!, row[4]!, row[1]!, row[3]!]),
    );
    const order = new Uint32Array(n + 2);
    expect(refresher.iterate(statistics, Q, order)).toBe(true);
    expect([...order.subarray(0, n)]).toEqual([1, 3, 0, 4, 2]);
    expectEigenvectors(matrix());
    Q.set(new EigenvalueDecomposition(Matrix.add(random, random.transpose())).eigenvectorMatrix.to1DArray());
    for (let k = 0; k < 12; k++) refresher.iterate(statistics, Q, order);
    expectEigenvectors(matrix());
    const Qt = matrix();
    expect(Matrix.sub(Qt.transpose().mmul(Qt), Matrix.eye(n)).norm("frobenius")).toBeLessThan(1e-13);
    release();
  });
  test("what is not finite leaves the basis, or gives the identity", () => {
    const { statistics, Q, refresher, matrix, release } = prepared();
    refresher.decompose(statistics, Q);
    const before = [...Q.data];
    statistics.data[3] = Number.NaN;
    expect(refresher.iterate(statistics, Q, new Uint32Array(n))).toBe(false);
    expect([...Q.data]).toEqual(before);
    expect(refresher.decompose(statistics, Q)).toBe(false);
    expect(matrix().to2DArray()).toEqual(Matrix.eye(n).to2DArray());
    release();
  });
});

describe("soap", () => {
  const rates = { learningRate: 0.05, beta1: 0.9, beta2: 0.95, epsilon: 1e-20 };
  const near = (ours: readonly (readonly number[])[], theirs: readonly (readonly number[])[]) => {
    theirs.forEach((theta, t) => {
      theta.forEach((value, k) => {
        expect(ours[t]![k]).toBeCloseTo(value, 11);
      });
    });
  };
  test("with no axis rotated is Adam, one update later", () => {
    const { parameters } = trajectory(runtime, soap.create({ ...rates, weightDecay: 0, largestAxis: 1 }), 12);
    expect(parameters[0]).toEqual(numbers(24));
    near(parameters.slice(1), trajectory(runtime, adam.create(rates), 11).parameters);
  });
  test("with Q = I is Adam, whatever the statistics", () => {
    const objective = smallObjective(runtime);
    const training = soap
      .create({ ...rates, weightDecay: 0, interval: 1000, vectors: true })
      .start(objective);
    training.step();
    const bases = Object.entries(training.state).filter(([name]) => name.startsWith("basis."));
    expect(bases.map(([name]) => name)).toEqual([
      "basis.W.0",
      "basis.W.1",
      "basis.b.0",
      "basis.V.0",
      "basis.V.1",
    ]);
    for (const [, { data, shape }] of bases)
      data.forEach((_, k) => {
        data[k] = k % (shape[0]! + 1) === 0 ? 1 : 0;
      });
    const ours = Array.from({ length: 11 }, () => {
      training.step();
      return [...objective.parameters.data];
    });
    near(ours, trajectory(runtime, adam.create(rates), 11).parameters);
    training.release();
    objective.release();
  });
  test("an array of three axes: turning its axes turns the trajectory", () => {
    // L(X) = Σ C ∘ (X ×₀ P ×₁ R ×₂ S − Y)²: for orthogonal P, R, S the gradient turns along, and SOAP with it.
    const shape = [2, 3, 4];
    const run = (turned: boolean) => {
      const turns = shape.map((n, axis) => {
        const m = Matrix.from1DArray(n, n, numbers(n * n, 20 + axis));
        return turned
          ? new EigenvalueDecomposition(Matrix.add(m, m.transpose())).eigenvectorMatrix
          : Matrix.eye(n);
      });
      const objective = createObjective(runtime, {
        layout: layoutOf({ X: { dtype: "f64", shape } }),
        batch: [
          { dtype: "f64", shape: [24] },
          { dtype: "f64", shape: [24, 24] },
          ...shape.map((n) => ({ dtype: "f64" as const, shape: [n, n] })),
        ],
        trace(theta, [y, c, ...matrices]) {
          const X = matrices.reduce(
            (array, matrix, axis) => multiplyAlong(array, axis, matrix),
            theta.reshape(shape),
          );
          return {
            loss: c!
              .matmul(X.reshape([24]).sub(y!))
              .square()
              .sum(),
            state: undefined,
          };
        },
      });
      objective.batch[0]!.set(numbers(24, 7));
      objective.batch[1]!.set(numbers(24 * 24, 8));
      turns.forEach((turn, k) => {
        objective.batch[2 + k]!.set(turn.to1DArray());
      });
      const training = soap
        .create({ learningRate: 0.02, weightDecay: 0, interval: 2, beta2: 0.9 })
        .start(objective);
      const losses = Array.from({ length: 20 }, () => training.step().loss);
      training.release();
      objective.release();
      return losses;
    };
    const [plain, turned] = [run(false), run(true)];
    expect(plain.at(-1)).toBeLessThan(0.5 * plain[0]!);
    plain.forEach((loss, t) => {
      expect(turned[t]! / loss).toBeCloseTo(1, 7);
    });
  });
  test("refreshes at the first update and every interval after it", () => {
    const { reports } = trajectory(runtime, soap.create({ interval: 3 }), 8);
    expect(reports.map((report) => report.diagnostics!.refreshed)).toEqual([
      true,
      false,
      false,
      true,
      false,
      false,
      true,
      false,
    ]);
  });
  test("a gradient that is not finite changes nothing and is reported", () => {
    const before = runtime.used;
    const objective = smallObjective(runtime);
    const training = soap.create({ interval: 1, clipNorm: 1 }).start(objective);
    for (let k = 0; k < 3; k++) training.step();
    const used = runtime.used;
    const all = () =>
      [objective.parameters, ...Object.values(training.state)].map((buffer) => [...buffer.data]);
    const kept = all();
    const value = objective.batch[0]!.data[0]!;
    for (const wrong of [Number.NaN, 1e300]) {
      objective.batch[0]!.data[0] = wrong;
      objective.batch[1]!.data[0] = wrong;
      expect(training.step().finite).toBe(false);
      expect(all()).toEqual(kept);
    }
    objective.batch[0]!.data[0] = value;
    objective.batch[1]!.data[0] = value;
    expect(training.step().finite).toBe(true);
    expect(runtime.used).toBe(used);
    training.release();
    objective.release();
    expect(runtime.used).toBe(before);
  });
  test("settings out of range", () => {
    expect(() => soap.create({ interval: 0 })).toThrow(
      "soap: interval is 0; use a whole number of at least 1",
    );
    expect(() => soap.create({ schedule: "linear" })).toThrow("soap: schedule linear needs decaySteps");
  });
});
