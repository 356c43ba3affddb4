import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compile } from "../../src/compiler/compile.js";
import { blocksOf, cut, join } from "../../src/optimizers/blocking.js";
import { adam, momentum, optimizers, shampoo } from "../../src/optimizers/index.js";
import { createRooter, type RootMethod } from "../../src/optimizers/matrix-root.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { input } from "../../src/tensor/tensor.js";
import { numbers, smallObjective, trajectory } from "./small.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

/** A^power of a symmetric matrix, by its eigenvectors. */
function power(A: Matrix, exponent: number): Matrix {
  const { eigenvectorMatrix: E, realEigenvalues: w } = new EigenvalueDecomposition(A, {
    assumeSymmetric: true,
  });
  return E.mmul(Matrix.diag(w.map((value) => value ** exponent))).mmul(E.transpose());
}
const relative = (ours: Matrix, theirs: Matrix) =>
  Matrix.sub(ours, theirs).norm("frobenius") / theirs.norm("frobenius");

describe("inverse roots", () => {
  const n = 6;
  const random = Matrix.from1DArray(n, n, numbers(n * n, 6));
  const E = new EigenvalueDecomposition(random.mmul(random.transpose())).eigenvectorMatrix;
  const S = E.mmul(Matrix.diag([1e4, 300, 20, 1, 1e-2, 1e-4])).mmul(E.transpose());
  const cases = (["eigen", "newton"] as const).flatMap((method) =>
    [1, 2, 3, 4, 6].map((p): [RootMethod, number] => [method, p]),
  );
  test.each(cases)("%s, p = %i, of an ill-conditioned matrix", (method, p) => {
    const [source, target] = [0, 1].map(() => runtime.buffer("f64", [n, n])) as [
      ReturnType<Runtime["buffer"]>,
      ReturnType<Runtime["buffer"]>,
    ];
    const rooter = createRooter(runtime, "f64", method, n + 1);
    source.set(S.to1DArray());
    expect(rooter.root(source, 0.5, 1e-3, p, target)).toBe(true);
    const root = Matrix.from1DArray(n, n, [...target.data]);
    const shifted = S.clone().mul(0.5).add(Matrix.eye(n).mul(1e-3));
    expect(relative(root, power(shifted, -1 / p))).toBeLessThan(1e-8);
    const kept = [...target.data];
    source.data[1] = Number.NaN;
    source.data[n] = Number.NaN;
    expect(rooter.root(source, 1, 1e-3, p, target)).toBe(false);
    expect([...target.data]).toEqual(kept);
    for (const part of [rooter, source, target]) part.release();
  });
});

describe("blocks", () => {
  test.each([[[5]], [[4, 7]], [[3, 5, 2]]])("of %j joined again are the array", (shape) => {
    const x = input("x", { dtype: "f64", shape });
    const blocks = blocksOf(shape, 3);
    expect(blocks.length).toBe(shape.reduce((product, extent) => product * Math.ceil(extent / 3), 1));
    const parts = blocks.map((block) => cut(x, block));
    for (const part of parts) expect(Math.max(...part.shape)).toBeLessThanOrEqual(3);
    const executable = compile(runtime, { inputs: [x], outputs: [join(parts, shape, 3).mul(1)] });
    executable.inputs[0]!.set(numbers(x.size));
    executable.run();
    expect([...executable.outputs[0]!.data]).toEqual(numbers(x.size));
    executable.release();
  });
});

describe("shampoo", () => {
  const near = (ours: readonly (readonly number[])[], theirs: readonly (readonly number[])[]) => {
    theirs.forEach((theta, t) => {
      theta.forEach((value, k) => {
        expect(ours[t]![k]).toBeCloseTo(value, 12);
      });
    });
  };
  const run = (settings: Parameters<typeof shampoo.create>[0], steps = 8) =>
    trajectory(runtime, shampoo.create({ learningRate: 0.05, ...settings }), steps).parameters;
  test("before its first roots is the grafted method", () => {
    near(run({ start: 100 }), trajectory(runtime, adam.create({ learningRate: 0.05 }), 8).parameters);
    const plain = { start: 100, beta1: 0 } as const;
    const descent = trajectory(runtime, optimizers.sgd.create({ learningRate: 0.05 }), 8).parameters;
    near(run({ ...plain, graft: "none" }), descent);
    near(run({ ...plain, graft: "sgd" }), descent);
    near(
      run({ ...plain, graft: "sgd", momentum: 0.9 }),
      trajectory(runtime, momentum.create({ learningRate: 0.05, momentum: 0.9 }), 8).parameters,
    );
  });
  test("one step by its formula: sides that differ, blocks, and the exponent of each rank", () => {
    const objective = smallObjective(runtime);
    const before = [...objective.parameters.data];
    const gradient = [...objective.gradient().gradient.data];
    for (const blockSize of [2, 256])
      for (const exponent of [0, 3])
        for (const graft of ["none", "sgd", "adagrad", "rmsprop"] as const) {
          objective.parameters.set(before);
          const settings = {
            beta1: 0,
            beta2: 1,
            epsilon: 1e-3,
            graftBeta2: 0.75,
            graftEpsilon: 1e-20,
            blockSize,
            exponent,
            graft,
            vectors: true,
          };
          const training = shampoo.create({ ...settings, learningRate: 0.1 }).start(objective);
          training.step();
          for (const { shape, offset, size } of objective.layout.entries) {
            const [rows, columns] = shape.length === 2 ? (shape as [number, number]) : [size, 1];
            const g = Matrix.from1DArray(rows, columns, gradient.slice(offset, offset + size));
            const d = Matrix.zeros(rows, columns);
            const p = exponent || 2 * shape.length;
            for (const [[top, bottom], [left, right]] of blocksOf([rows, columns], blockSize) as [
              [number, number],
              [number, number],
            ][]) {
              const G = g.subMatrix(top, bottom - 1, left, right - 1);
              const root = (A: Matrix) => power(A.add(Matrix.eye(A.rows).mul(1e-3)), -1 / p);
              let D = root(G.mmul(G.transpose())).mmul(G);
              if (shape.length === 2) D = D.mmul(root(G.transpose().mmul(G)));
              d.setSubMatrix(D, top, left);
            }
            // |g|/(√v + ε) after the first gradient: 1 where v = g², 2 where v = g²/4.
            const norm = {
              none: d.norm(),
              sgd: g.norm(),
              adagrad: Math.sqrt(size),
              rmsprop: 2 * Math.sqrt(size),
            }[graft];
            d.mul(norm / d.norm())
              .to1DArray()
              .forEach((value, k) => {
                expect(before[offset + k]! - objective.parameters.data[offset + k]!).toBeCloseTo(
                  0.1 * value,
                  10,
                );
              });
          }
          training.release();
        }
    objective.release();
  });
  test("arrays of one axis take the grafted method's step; where there is none, they have a root", () => {
    const objective = smallObjective(runtime);
    const { offset, size } = objective.layout.entries.find(({ shape }) => shape.length === 1)!;
    const vectorOf = (theta: readonly number[]) => theta.slice(offset, offset + size);
    objective.release();
    // The first step of Adam is η in every element; that of a root of one axis, with its length, is along the gradient.
    const first = (settings: Parameters<typeof shampoo.create>[0]) => vectorOf(run(settings, 1)[0]!);
    const adams = vectorOf(trajectory(runtime, adam.create({ learningRate: 0.05 }), 1).parameters[0]!);
    near([first({})], [adams]);
    const rooted = first({ vectors: true });
    expect(Math.max(...rooted.map((value, k) => Math.abs(value - adams[k]!)))).toBeGreaterThan(1e-3);
    expect(first({ graft: "none" })).toEqual(first({ graft: "none", vectors: true }));
  });
  test("sequential: the second axis sees what the first has preconditioned, block by block", () => {
    const objective = smallObjective(runtime);
    const before = [...objective.parameters.data];
    const gradient = [...objective.gradient().gradient.data];
    const settings = { variant: "sequential", beta1: 0, beta2: 1, epsilon: 1e-3, graft: "none" } as const;
    for (const blockSize of [2, 256]) {
      objective.parameters.set(before);
      const training = shampoo.create({ ...settings, blockSize, learningRate: 0.1 }).start(objective);
      training.step();
      const { offset, shape } = objective.layout.entry("W");
      const g = Matrix.from1DArray(shape[0]!, shape[1]!, gradient.slice(offset, offset + 12));
      const root = (A: Matrix) => power(A.add(Matrix.eye(A.rows).mul(1e-3)), -1 / 2);
      for (const block of blocksOf(shape, blockSize)) {
        const [[top, bottom], [left, right]] = block as [[number, number], [number, number]];
        const G = g.subMatrix(top, bottom - 1, left, right - 1);
        const Y = root(G.mmul(G.transpose())).mmul(G);
        const D = Y.mmul(root(Y.transpose().mmul(Y)));
        for (let i = top; i < bottom; i++)
          for (let j = left; j < right; j++) {
            const at = offset + i * shape[1]! + j;
            const moved = before[at]! - objective.parameters.data[at]!;
            expect(moved).toBeCloseTo(0.1 * D.get(i - top, j - left), 10);
          }
      }
      training.release();
    }
    objective.release();
  });
  test("roots by products are those by eigenvectors", () => {
    const settings = { epsilon: 1e-4, interval: 2, beta2: 0.9 };
    const [eigen, newton] = [run({ ...settings, root: "eigen" }), run({ ...settings, root: "newton" })];
    eigen.at(-1)!.forEach((value, k) => {
      expect(newton.at(-1)![k]).toBeCloseTo(value, 8);
    });
  });
  test("roots are renewed every interval after the start", () => {
    const { reports } = trajectory(runtime, shampoo.create({ start: 2, interval: 3 }), 7);
    expect(reports.map((report) => report.diagnostics!.refreshed)).toEqual([
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
    const training = shampoo.create({ interval: 1, momentum: 0.9, clipNorm: 1 }).start(objective);
    for (let k = 0; k < 3; k++) training.step();
    const used = runtime.used;
    const all = () =>
      [objective.parameters, ...Object.values(training.state)].map((buffer) => [...buffer.data]);
    const kept = all();
    const value = objective.batch[0]!.data[0]!;
    objective.batch[0]!.data[0] = Number.NaN;
    expect(training.step().finite).toBe(false);
    expect(all()).toEqual(kept);
    objective.batch[0]!.data[0] = value;
    expect(training.step().finite).toBe(true);
    expect(runtime.used).toBe(used);
    training.release();
    objective.release();
    expect(runtime.used).toBe(before);
  });
});
