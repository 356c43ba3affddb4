/** Hessian-free with K-FAC's factors as the preconditioner of its conjugate gradients. */
import { Matrix, solve as solveExactly } from "ml-matrix";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compile } from "../../src/compiler/compile.js";
import {
  createObjective,
  curvatureOf,
  curvatureOperator,
  modelShapeOf,
  type Objective,
} from "../../src/curvature/index.js";
import { dense, meanSquared, random, sequential, softmaxCrossEntropy, tanh } from "../../src/nn/index.js";
import { layoutOf } from "../../src/nn/parameters.js";
import { compileConjugateGradient, residualBelow } from "../../src/optimizers/conjugate-gradient.js";
import { total } from "../../src/optimizers/costs.js";
import { preconditioning } from "../../src/optimizers/hessian-free/preconditioning.js";
import { hessianFree } from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import type { Data } from "../../src/tensor/dtype.js";
import { input } from "../../src/tensor/tensor.js";
import { matrixOf } from "../curvature/matrices.js";
import { type Network, networks, using } from "../curvature/networks.js";
import { fillSpirals, network as spirals } from "./curved.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const f64 = (...shape: number[]) => ({ dtype: "f64", shape }) as const;
const linear: Network = {
  layer: dense(4),
  input: [6],
  loss: meanSquared(),
  targets: "numbers",
  examples: 40,
};
const settings = { ...hessianFree.defaults, preconditioner: "kfac", estimator: "exact" } as const;

/** x from (A + λI) x = −g, preconditioned or not, and the iterations it took. */
function solution(objective: Objective, kind: "none" | "kfac", damping: number, tolerance: number) {
  const made = preconditioning(objective, { ...settings, preconditioner: kind });
  const operator = curvatureOperator(objective, "gaussNewton");
  const cg = compileConjugateGradient(runtime, operator, { preconditioner: made?.inverse });
  cg.rightSide.set(Array.from(objective.gradient().gradient.data, (g) => -g));
  operator.linearize();
  made?.refresh(0, damping);
  const models = [0];
  const { iteration } = cg.solve({
    damping,
    iterations: 200,
    until: residualBelow(tolerance),
    visit: ({ model }) => models.push(model),
  });
  const x = Float64Array.from(cg.solution.data);
  for (const part of [cg, operator, ...(made ? [made] : [])]) part.release();
  return { iteration, models, x };
}

describe("conjugate gradients", () => {
  test.each(["mlp", "cnn", "rnn"])("find the solution of the damped system: %s", (name) => {
    using(runtime, networks[name]!, (objective) => {
      const damping = 1e-2;
      const A = new Matrix([...matrixOf(objective, "gaussNewton")].map((row) => [...row]));
      const g = Matrix.columnVector([...objective.gradient().gradient.data]);
      const exact = solveExactly(A.add(Matrix.eye(A.rows).mul(damping)), g).mul(-1);
      const { x } = solution(objective, "kfac", damping, 1e-10);
      exact.to1DArray().forEach((value, k) => {
        expect(x[k]).toBeCloseTo(value, 7);
      });
    });
  });

  test("take a fraction of the iterations where inputs are alike", () => {
    const deep: Network = {
      layer: sequential(dense(12), tanh(), dense(8), tanh(), dense(3)),
      input: [15],
      loss: meanSquared(),
      targets: "numbers",
      examples: 300,
    };
    using(runtime, deep, (objective) => {
      const { data } = objective.batch[0]!;
      // All but a part in 2ᵏ is the same in every input.
      for (let k = 0; k < data.length; k++)
        data[k] = data[k - (k % 15)]! + (k % 15 === 0 ? 0 : data[k]! / 2 ** (k % 15));
      const best = solution(objective, "kfac", 1e-4, 1e-8).models.at(-1)!;
      // Iterations to nine tenths of what the model can promise.
      const [plain, factored] = (["none", "kfac"] as const).map((kind) =>
        solution(objective, kind, 1e-4, 1e-8).models.findIndex((model) => model < 0.9 * best),
      );
      expect(factored!).toBeLessThan(0.5 * plain!);
    });
  });

  test("of a linear layer with Gaussian outputs end at once: there K-FAC is exact", () => {
    using(runtime, linear, (objective) => {
      expect(solution(objective, "none", 1e-12, 1e-8).iteration).toBeGreaterThan(4);
      expect(solution(objective, "kfac", 1e-12, 1e-8).iteration).toBeLessThanOrEqual(2);
    });
  });
});

test("what no layer marks is divided by its damped diagonal", () => {
  // The gain is of the first layer's outputs, as many as there are.
  const objective = createObjective(runtime, {
    layout: layoutOf({ weight: f64(2, 3), gain: f64(3) }),
    parameters: [0.3, -0.2, 0.5, 0.1, 0.7, -0.4, 1, 2, 3],
    batch: [f64(5, 2), f64(5, 3)],
    trace(theta, [x, y]) {
      const W = theta.slice(0, 0, 6).reshape([2, 3]);
      const preactivation = x!.matmul(W).marked({ layer: "dense", name: "dense", bias: false }, x!, W);
      const outputs = preactivation.tanh().mul(theta.slice(0, 6));
      const loss = meanSquared();
      return {
        loss: loss.value(outputs, y!),
        state: undefined,
        outputCurvature: curvatureOf(loss, outputs, y!),
      };
    },
  });
  const rng = random(4);
  for (const { data } of objective.batch) for (let k = 0; k < data.length; k++) data[k] = rng.normal();
  const made = preconditioning(objective, settings)!;
  expect(made.coverage!.map(({ name, treatment }) => [name, treatment])).toEqual([
    ["dense", "A ⊗ G"],
    ["gain", "diagonal"],
  ]);
  expect(made.refresh(0, 0.25)).toEqual({ factors: 1 });
  const r = input("residual", objective.parameters);
  const symbols = made.inverse.buffers.map((buffer) => input("inverse", buffer));
  const product = compile(
    runtime,
    { inputs: [r, ...symbols], outputs: [made.inverse.apply(symbols, r)] },
    { inputs: [undefined, ...made.inverse.buffers] },
  );
  product.inputs[0]!.data.fill(1);
  product.run();
  const diagonal = made.state["factor.gain.A"]!.data;
  for (let k = 0; k < 3; k++) {
    expect(diagonal[k]).toBeGreaterThan(0);
    expect(product.outputs[0]!.data[6 + k]! * (diagonal[k]! + 0.25)).toBeCloseTo(1, 12);
  }
  for (const part of [product, made, objective]) part.release();
});

describe("training", () => {
  test("a batch that changes is learned from, and a resumed run is the same to the bit", () => {
    const options = {
      preconditioner: "kfac",
      curvatureExamples: 100,
      iterations: 5,
      factorInterval: 2,
    } as const;
    const optimizer = hessianFree.create({ ...options, inverseInterval: 4 });
    const go = (
      objective: Objective,
      from: number,
      to: number,
      state: Readonly<Record<string, Data>> = {},
    ) => {
      const training = optimizer.start(objective);
      for (const [name, data] of Object.entries(state)) training.state[name]!.set(data);
      for (let step = from; step < to; step++) {
        fillSpirals(objective, step);
        expect(training.step().finite).toBe(true);
      }
      const saved = Object.entries(training.state).map(([name, { data }]) => [name, data.slice()] as const);
      training.release();
      return Object.fromEntries(saved);
    };
    const [whole, parts] = [spirals(runtime, { examples: 200 }), spirals(runtime, { examples: 200 })];
    const state = go(whole, 0, 30);
    const resumed = go(parts, 13, 30, go(parts, 0, 13));
    expect(parts.parameters.data).toEqual(whole.parameters.data);
    expect(resumed).toEqual(state);
    fillSpirals(whole, 1000);
    expect(whole.loss()).toBeLessThan(0.2);
    for (const objective of [whole, parts]) objective.release();
  });

  test("tells what it asked and which parameters are in which block", () => {
    using(runtime, networks.mlp!, (objective) => {
      const training = hessianFree.create({ preconditioner: "kfac", iterations: 3 }).start(objective);
      expect(training.coverage!.map(({ treatment }) => treatment)).toEqual(["A ⊗ G", "A ⊗ G", "A ⊗ G"]);
      const asked = [0, 1, 2].map(() => training.step().evaluations);
      // At first, and then every second step.
      expect(asked.map(({ factors }) => factors)).toEqual([1, undefined, 1]);
      expect(asked[0]!.gaussNewtonVectorProducts).toBe(3);
      expect(asked[1]!.gaussNewtonVectorProducts).toBe(4);
      training.release();
    });
  });

  test("takes the memory that its costs say, beside the activations of an estimate", () => {
    const wide: Network = {
      layer: sequential(dense(200), tanh(), dense(150), tanh(), dense(10)),
      input: [200],
      loss: softmaxCrossEntropy(),
      targets: "classes",
      dtype: "f32",
      examples: 16,
    };
    using(runtime, wide, (objective) => {
      const shape = modelShapeOf(objective);
      const [plain, factored] = (["none", "kfac"] as const).map((preconditioner) => {
        const before = runtime.used;
        const training = hessianFree.create({ preconditioner }).start(objective);
        const used = runtime.used - before;
        training.release();
        const { state, workspace } = hessianFree.costs(shape, { preconditioner }, 16);
        return { used, elements: total(state) + total(workspace) };
      });
      const predicted = 4 * (factored!.elements - plain!.elements);
      const used = factored!.used - plain!.used;
      expect(Math.abs(predicted / used - 1), `${predicted} predicted, ${used} used`).toBeLessThan(0.05);
    });
  });
});
