/** Trajectories of second-order methods in the references' conventions, against plain loops and dense solves. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Matrix, solve } from "ml-matrix";
import { afterAll, beforeAll, expect, test } from "vitest";
import { compareFolder } from "../../scripts/conformance/compare.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { logisticL2, mlpRegression, type PlainProblem, problemEntry, quadraticIll } from "./oracle.js";

let runtime: Runtime;
const folders: string[] = [];
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(async () => {
  await runtime.close();
  for (const folder of folders) rmSync(folder, { recursive: true });
});

type Vectors = Record<string, number[]>;
type CurvatureOf = (params: Vectors) => Matrix;

/** The file of θ ← θ − η (A + λI)⁻¹ g, with the arrays of θ in the problem's order. */
function damped(
  problem: PlainProblem,
  name: string,
  curvatureOf: CurvatureOf,
  { lr = 1, damping = 0.1, steps = 6, l2 = false } = {},
) {
  const names = Object.keys(problem.params);
  let params = problem.params;
  const loss: number[] = [];
  for (let step = 0; step < steps; step++) {
    const { loss: now, gradient } = problem.lossAndGradient(params);
    loss.push(now);
    const g = names.flatMap((key) => gradient[key]!);
    const A = Matrix.add(curvatureOf(params), Matrix.eye(g.length).mul(damping));
    const d = solve(A, Matrix.columnVector(g)).to1DArray();
    let at = 0;
    params = Object.fromEntries(names.map((key) => [key, params[key]!.map((x) => x - lr * d[at++]!)]));
  }
  loss.push(problem.lossAndGradient(params).loss);
  const hyperparameters = { lr, damping, l2_added_to_curvature: l2 };
  const file = {
    problem: problem.name,
    optimizer: name,
    dtype: "float64",
    hyperparameters,
    steps,
    loss,
    params,
  };
  return { ...file, reference: "plain loops", amplification: 1 };
}

function compare(problem: PlainProblem, files: readonly ReturnType<typeof damped>[]) {
  const folder = mkdtempSync(join(tmpdir(), "conformance-"));
  folders.push(folder);
  const write = (name: string, content: unknown) =>
    writeFileSync(join(folder, name), JSON.stringify(content));
  write("problems.json", { [problem.name]: problemEntry(problem) });
  for (const file of files) write(`${problem.name}.${file.optimizer}.json`, file);
  const table = compareFolder(runtime, folder);
  expect(table.problems).toHaveLength(1);
  expect(table.files).toHaveLength(files.length);
  for (const row of table.files) expect(row, row.file).toMatchObject({ status: "ok", note: "" });
}

test("natural gradients of logistic regression, with and without the regulariser in the curvature", () => {
  const problem = logisticL2(3, 20);
  const X = problem.data.inputs as number[][];
  const fisher =
    (l2: number): CurvatureOf =>
    ({ w, b }) => {
      const F = Matrix.zeros(4, 4);
      for (const x of X) {
        const row = Matrix.rowVector([...x, 1]);
        const p = 1 / (1 + Math.exp(-row.mmul(Matrix.columnVector([...w!, ...b!])).get(0, 0)));
        F.add(
          row
            .transpose()
            .mmul(row)
            .mul((p * (1 - p)) / X.length),
        );
      }
      return F.add(Matrix.diag([l2, l2, l2, 0]));
    };
  compare(problem, [
    damped(problem, "natural-gradient", fisher(0)),
    damped(problem, "natural-gradient-lr0.1", fisher(0), { lr: 0.1 }),
    damped(problem, "natural-gradient-l2-in-curvature", fisher(0.01), { l2: true, damping: 0.001 }),
    damped(problem, "gauss-newton", fisher(0)),
    // The Hessian is the Fisher matrix and the regulariser's.
    damped(problem, "newton-damped", fisher(0.01)),
  ]);
});

test("Gauss–Newton of a regression, from differences of its gradient by the targets", () => {
  // With ½‖f − y‖², the gradient at targets y is J ᵀ(f − y)/N: that at y minus that at y + e is Jᵀe/N, a row of J.
  const shape: [number, number, number, number] = [2, 4, 3, 2];
  const examples = 6;
  const problem = mlpRegression(shape, examples);
  const Y = problem.data.targets as number[][];
  const jacobian: CurvatureOf = (params) => {
    const gradientNow = () => Object.values(problem.lossAndGradient(params).gradient).flat();
    const base = gradientNow();
    const sum = Matrix.zeros(base.length, base.length);
    for (const row of Y)
      for (let k = 0; k < row.length; k++) {
        row[k]! += 1;
        const column = Matrix.columnVector(gradientNow().map((g, i) => (base[i]! - g) * examples));
        row[k]! -= 1;
        sum.add(column.mmul(column.transpose()).mul(1 / examples));
      }
    return sum;
  };
  compare(problem, [
    damped(problem, "gauss-newton", jacobian, { steps: 4 }),
    damped(problem, "natural-gradient-lambda1", jacobian, { damping: 1 }),
  ]);
});

test("Newton on a quadratic", () => {
  const problem = quadraticIll();
  const H = new Matrix(problem.data.H as number[][]);
  compare(problem, [damped(problem, "newton-damped", () => H.clone(), { damping: 0.001, lr: 0.7 })]);
});
