import { Matrix, solve as solveExactly } from "ml-matrix";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createObjective, curvatureOperator, perExampleGradients } from "../../src/curvature/index.js";
import { layoutOf } from "../../src/nn/parameters.js";
import { random } from "../../src/nn/random.js";
import { compileEmpiricalDiagonal } from "../../src/optimizers/empirical-diagonal.js";
import { hessianFree } from "../../src/optimizers/index.js";
import { keepIterates } from "../../src/optimizers/iterates.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { matrixOf } from "../curvature/matrices.js";
import { networks, using } from "../curvature/networks.js";
import { doubleWell, fillSpirals, logistic, network, quadratic, symmetric, untilStop } from "./curved.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

test("a convex quadratic is minimised in one step", () => {
  const eigenvalues = [0.1, 1, 2, 5, 20];
  const A = symmetric(eigenvalues, 1);
  const rng = random(2);
  const minimum = eigenvalues.map(() => rng.normal());
  const b = A.map((row) => row.reduce((sum, a, j) => sum + a * minimum[j]!, 0));
  const objective = quadratic(runtime, A, { b, x: eigenvalues.map(() => rng.normal()) });
  const settings = { curvature: "hessian", preconditioner: "none", damping: 1e-14 } as const;
  const training = hessianFree.create(settings).start(objective);
  const report = training.step();
  objective.parameters.data.forEach((x, k) => {
    expect(x).toBeCloseTo(minimum[k]!, 8);
  });
  expect(report.diagnostics).toMatchObject({ accepted: true, stepLength: 1 });
  expect(report.diagnostics!.trustRatio).toBeCloseTo(1, 8);
  expect(report.evaluations.hessianVectorProducts).toBe(report.diagnostics!.iterations);
  training.release();
  objective.release();
});

describe("a network", () => {
  test("is trained to the end of its loss", () => {
    const objective = network(runtime);
    const reports = untilStop(objective, hessianFree.create({ tolerance: 1e-5 }), 300);
    expect(reports.at(-1)).toMatchObject({ stop: "converged" });
    expect(reports.at(-1)!.loss).toBeLessThan(1e-4);
    for (let k = 1; k < reports.length; k++) expect(reports[k]!.loss).toBeLessThan(reports[k - 1]!.loss);
    expect(reports.length).toBeLessThan(100);
    objective.release();
  });
  test("the preconditioner saves iterations where scales differ", () => {
    const iterations = (["none", "empiricalFisher"] as const).map((preconditioner) => {
      const objective = scaled();
      const settings = { preconditioner, damping: 1e-6, preconditionerDraws: 1000, tolerance: 1e-7 };
      const reports = untilStop(objective, hessianFree.create(settings), 200);
      objective.release();
      expect(reports.at(-1)!.stop).toBeDefined();
      // A step's mean, over the last twenty: how many steps it takes depends on the rounding of the first ones, and
      // while λ is large it hides the scales.
      const counts = reports.flatMap(
        ({ diagnostics }) => (diagnostics?.iterations as number | undefined) ?? [],
      );
      const last = counts.slice(-20);
      return last.reduce((sum, count) => sum + count, 0) / last.length;
    });
    expect(iterations[1]!).toBeLessThan(0.8 * iterations[0]!);
  });
  /** Logistic regression whose features have sizes from 1 to 1000. */
  const scaled = () => {
    const objective = logistic(runtime, "f64", 120, 20);
    const x = objective.batch[0]!.data;
    for (let k = 0; k < x.length; k++) x[k]! *= 10 ** ((3 * (k % 20)) / 19) / (1 + (k % 20));
    return objective;
  };
  test("damping falls while the model is right, and rises when it is not", () => {
    const objective = network(runtime);
    const training = hessianFree.create().start(objective);
    for (let k = 0; k < 15; k++) {
      const before = training.state.damping!.data[0]!;
      const { trustRatio, damping } = training.step().diagnostics!;
      expect(damping).toBe(before);
      const factor = trustRatio! > 0.75 ? 2 / 3 : trustRatio! < 0.25 ? 1.5 : 1;
      expect(training.state.damping!.data[0]! / before).toBeCloseTo(factor, 12);
    }
    training.release();
    objective.release();
  });
  test("damping does not fall below what is set", () => {
    const objective = network(runtime);
    const training = hessianFree.create({ damping: 0.3, leastDamping: 0.25 }).start(objective);
    const lambda = training.state.damping!.data;
    expect(training.step().diagnostics!.trustRatio).toBeGreaterThan(0.75);
    expect(lambda[0]).toBe(0.25);
    training.release();
    objective.release();
  });
  test("counts the products on part of the batch, and its gradients on all of it", () => {
    const objective = network(runtime);
    const training = hessianFree.create({ curvatureExamples: 12, preconditionerDraws: 5 }).start(objective);
    const { evaluations, diagnostics } = training.step();
    expect(evaluations).toMatchObject({ gradients: 1, preconditionerGradients: 5 });
    expect(evaluations.gaussNewtonVectorProducts).toBe(diagnostics!.iterations);
    expect(evaluations.losses).toBeGreaterThanOrEqual(1);
    training.release();
    expect(() => hessianFree.create({ curvatureExamples: 49 }).start(objective)).toThrow(
      "hessianFree: 49 examples of a batch of 48; use at most as many",
    );
    objective.release();
  });
});

test("the Hessian's negative curvature is left behind", () => {
  for (const [x, y] of [
    [0.1, 1],
    [0.4, 0],
    [-1e-3, 0.2],
  ] as const) {
    const objective = doubleWell(runtime, x, y);
    const reports = untilStop(
      objective,
      hessianFree.create({ curvature: "hessian", preconditioner: "none" }),
      100,
    );
    expect(reports.at(-1)).toMatchObject({ stop: "converged" });
    expect(reports.at(-1)!.loss).toBeCloseTo(-0.25, 12);
    objective.release();
  }
});

describe("the diagonal of the empirical Fisher", () => {
  const byExample = (objective: ReturnType<typeof network>) => {
    const each = perExampleGradients(objective);
    each.compute();
    const n = objective.layout.size;
    const mean = Array.from({ length: n }, (_, j) => {
      let sum = 0;
      for (let i = 0; i < 48; i++) sum += each.gradients.data[i * n + j]! ** 2 / 48;
      return sum;
    });
    each.release();
    return mean;
  };
  const compileFor = (objective: ReturnType<typeof network>, draws: number) => {
    const scaling = runtime.buffer("f64", [objective.layout.size]);
    const diagonal = compileEmpiricalDiagonal("test", objective, { draws, exponent: 0.75, scaling });
    const release = () => {
      diagonal.release();
      scaling.release();
    };
    return { ...diagonal, scaling, release };
  };
  test("is exact with a draw an example", () => {
    const objective = network(runtime);
    const { diagonal, scaling, compute, scale, release } = compileFor(objective, 48);
    expect(compute(0)).toBe(48);
    scale(0.1);
    byExample(objective).forEach((value, k) => {
      expect(diagonal.data[k]! / value).toBeCloseTo(1, 11);
      expect(scaling.data[k]! / (value + 0.1) ** -0.75).toBeCloseTo(1, 11);
    });
    release();
    objective.release();
  });
  test("is right on average with random signs, which depend on the number alone", () => {
    const objective = network(runtime);
    const { diagonal, compute, release } = compileFor(objective, 8);
    compute(3);
    const once = diagonal.copy();
    const sums = once.map(() => 0);
    const rounds = 400;
    for (let number = 0; number < rounds; number++) {
      compute(number);
      diagonal.data.forEach((value, k) => {
        sums[k]! += value / rounds;
      });
    }
    // Each draw has a standard deviation of √2 of its mean, or less: 3200 draws leave 2.5 %.
    byExample(objective).forEach((value, k) => {
      expect(Math.abs(sums[k]! / value - 1)).toBeLessThan(0.15);
    });
    compute(3);
    expect(diagonal.copy()).toEqual(once);
    release();
    objective.release();
  });
  test("says what is missing", () => {
    const objective = createObjective(runtime, {
      layout: layoutOf({ x: { dtype: "f64", shape: [2] } }),
      batch: [],
      trace: (x) => ({
        loss: x.square().sum(),
        state: undefined,
        outputCurvature: { outputs: x, product: (t) => t, factor: (t) => t },
      }),
    });
    expect(() => hessianFree.create().start(objective)).toThrow(
      "hessianFree: preconditioner=empiricalFisher needs outputCurvature.perExample of the objective",
    );
    objective.release();
  });
});

describe("kept iterates", () => {
  /** Iterates x = (number) of one element; the losses of some of them. */
  const choose = (count: number, iterations: number, lossOf: (x: number) => number) => {
    const [solution, direction] = [runtime.buffer("f64", [1]), runtime.buffer("f64", [1])];
    const iterates = keepIterates(runtime, solution, count);
    const about = (iteration: number) => ({ iteration, model: -iteration, square: iteration ** 2 });
    for (let k = 1; k <= iterations; k++) {
      solution.data[0] = k;
      iterates.visit(about(k));
    }
    const tried: number[] = [];
    const chosen = iterates.choose({ ...about(iterations), products: 0, ended: "" }, direction, () => {
      tried.push(direction.data[0]!);
      return lossOf(direction.data[0]!);
    });
    const at = direction.data[0]!;
    for (const part of [iterates, solution, direction]) part.release();
    return { tried, at, chosen };
  };
  test("are tried from the last one back, while the loss falls", () => {
    const { tried, at, chosen } = choose(12, 40, (x) => (x - 14) ** 2);
    expect(tried).toEqual([40, 31, 24, 18, 14, 11]);
    expect(at).toBe(14);
    expect(chosen).toMatchObject({ iteration: 14, model: -14, square: 196, after: 0 });
  });
  test("only the last ones, as many as there is room for", () => {
    expect(choose(3, 40, (x) => x).tried).toEqual([40, 31, 24]);
    expect(choose(3, 40, (x) => x).at).toBe(24);
    expect(choose(1, 40, (x) => x).tried).toEqual([40]);
  });
  test("stay with the last one where going back helps nothing", () => {
    expect(choose(12, 40, (x) => -x)).toMatchObject({ tried: [40, 31], at: 40 });
  });
  test("losses that are no numbers are left for earlier iterates", () => {
    expect(choose(12, 40, (x) => (x > 25 ? Number.POSITIVE_INFINITY : (x - 18) ** 2)).at).toBe(18);
  });
});

test("a batch that changes is learned from", () => {
  const objective = network(runtime, { examples: 200 });
  const training = hessianFree.create({ curvatureExamples: 100, iterations: 30 }).start(objective);
  for (let step = 0; step < 30; step++) {
    fillSpirals(objective, step);
    expect(training.step().finite).toBe(true);
  }
  fillSpirals(objective, 1000);
  expect(objective.loss()).toBeLessThan(0.2);
  training.release();
  objective.release();
});

describe("structural damping", () => {
  const settings = {
    structuralDamping: 0.3,
    damping: 0.5,
    preconditioner: "none",
    progress: 1e-30,
    backtracking: false,
  } as const;
  test("steps to −(A + λ(I + μS))⁻¹g, and judges by the model without damping", () => {
    using(runtime, networks.rnn!, (objective) => {
      const n = objective.layout.size;
      const A = new Matrix([...matrixOf(objective, "gaussNewton")].map((row) => [...row]));
      const operator = curvatureOperator(objective, "gaussNewton", { structure: true });
      operator.linearize();
      operator.structure!.data[0] = 0.5 * 0.3;
      const damped = Matrix.eye(n).mul(0.5);
      for (let k = 0; k < n; k++) {
        operator.tangent.data.fill(0)[k] = 1;
        operator.run();
        damped.setRow(k, operator.product.data as Float64Array);
      }
      operator.release();
      damped.add(Matrix.eye(n).mul(0.5));
      const { loss, gradient } = objective.gradient();
      const g = Matrix.columnVector([...gradient.data]);
      const d = solveExactly(damped, g).mul(-1);
      const before = Float64Array.from(objective.parameters.data);

      const training = hessianFree.create(settings).start(objective);
      const { diagnostics, evaluations } = training.step();
      d.to1DArray().forEach((value, k) => {
        expect(objective.parameters.data[k]! - before[k]!).toBeCloseTo(value, 9);
      });
      const predicted = -g.dot(d) - 0.5 * d.dot(A.mmul(d));
      expect(diagnostics).toMatchObject({ accepted: true, stepLength: 1 });
      expect(diagnostics!.trustRatio).toBeCloseTo((loss - objective.loss()) / predicted, 9);
      expect(evaluations.gaussNewtonVectorProducts).toBe(diagnostics!.iterations! + 1);
      training.release();
    });
  });
  test("needs hidden states", () => {
    const objective = network(runtime);
    expect(() => hessianFree.create(settings).start(objective)).toThrow(
      "hessianFree: structuralDamping is 0.3, and no layer of the model has hidden states",
    );
    objective.release();
  });
});
