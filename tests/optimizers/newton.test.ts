import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createObjective } from "../../src/curvature/index.js";
import { layoutOf } from "../../src/nn/parameters.js";
import { random } from "../../src/nn/random.js";
import { newton } from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { doubleWell, logistic, network, quadratic, rosenbrock, symmetric, untilStop } from "./curved.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const globalizations = ["none", "gridSearch", "levenbergMarquardt", "trustRegion"] as const;

describe("a convex quadratic", () => {
  test.each(globalizations)("is minimised in one step: %s", (globalization) => {
    const cases = fc.record({
      logs: fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: 1, maxLength: 8 }),
      seed: fc.integer({ min: 0, max: 1000 }),
    });
    fc.assert(
      fc.property(cases, ({ logs, seed }) => {
        const A = symmetric(
          logs.map((log) => 10 ** log),
          seed,
        );
        const rng = random(seed);
        const minimum = logs.map(() => rng.normal());
        const b = A.map((row) => row.reduce((sum, a, j) => sum + a * minimum[j]!, 0));
        const objective = quadratic(runtime, A, { b, x: logs.map(() => rng.normal()) });
        const training = newton
          .create({ globalization, damping: 0, radius: 1e6, mostRadius: 1e6 })
          .start(objective);
        training.step();
        objective.parameters.data.forEach((x, k) => {
          // The condition number, up to 1e6, times rounding.
          expect(Math.abs(x - minimum[k]!)).toBeLessThan(1e-8);
        });
        training.release();
        objective.release();
      }),
      { numRuns: 30, seed: 3 },
    );
  });
});

describe("logistic regression", () => {
  test.each(["hessian", "gaussNewton"] as const)("digits double with each step: %s", (curvature) => {
    const objective = logistic(runtime);
    const reports = untilStop(objective, newton.create({ curvature, tolerance: 1e-12 }), 30);
    expect(reports.at(-1)!.stop).toBe("converged");
    const norms = reports.map((report) => report.gradientNorm!);
    // Until rounding: log‖gₖ₊₁‖ ≤ 2·log‖gₖ‖ + constant.
    const late = norms.filter((norm) => norm < 1e-2 && norm > 1e-13);
    expect(late.length).toBeGreaterThanOrEqual(2);
    for (let k = 1; k < late.length; k++) expect(late[k]! / late[k - 1]! ** 2).toBeLessThan(10);
    expect(reports.length).toBeLessThan(12);
    objective.release();
  });
  test("all ways of stepping find the same minimum", () => {
    const ends = globalizations.map((globalization) => {
      const objective = logistic(runtime);
      const damping = globalization === "none" || globalization === "gridSearch" ? 0 : 1;
      const reports = untilStop(objective, newton.create({ globalization, damping, tolerance: 1e-10 }), 60);
      expect(reports.at(-1)!.stop).toBe("converged");
      objective.release();
      return reports.at(-1)!.loss;
    });
    for (const end of ends) expect(end).toBeCloseTo(ends[0]!, 13);
  });
  test("f32 goes to the limit of its precision and says so", () => {
    const objective = logistic(runtime, "f32");
    const reports = untilStop(objective, newton.create({ tolerance: 0 }), 60);
    expect(reports.at(-1)!.stop).toBe("stalled");
    expect(reports.at(-1)!.gradientNorm).toBeLessThan(1e-3);
    objective.release();
  });
});

describe("where curvature is negative", () => {
  test.each([
    [0, 0],
    [0, 1],
    [1e-9, 0.3],
  ])("the trust region leaves the saddle from (%d, %d)", (x, y) => {
    const objective = doubleWell(runtime, x, y);
    const reports = untilStop(objective, newton.create({}), 50);
    expect(reports.at(-1)).toMatchObject({ stop: "converged" });
    expect(reports.at(-1)!.loss).toBeCloseTo(-0.25, 14);
    objective.release();
  });
  test("damping rises until the matrix is positive definite", () => {
    const objective = doubleWell(runtime, 0.1, 1);
    const reports = untilStop(objective, newton.create({ globalization: "levenbergMarquardt" }), 80);
    expect(reports.at(-1)!.loss).toBeCloseTo(-0.25, 12);
    expect(reports[0]!.diagnostics!.damping).toBeGreaterThan(0.9);
    objective.release();
  });
  test.each(["levenbergMarquardt", "trustRegion"] as const)("Rosenbrock's valley: %s", (globalization) => {
    const objective = rosenbrock(runtime, 2);
    const reports = untilStop(objective, newton.create({ globalization }), 100);
    expect(reports.at(-1)).toMatchObject({ stop: "converged" });
    expect(reports.at(-1)!.loss).toBeLessThan(1e-16);
    for (let k = 1; k < reports.length; k++)
      expect(reports[k]!.loss).toBeLessThanOrEqual(reports[k - 1]!.loss);
    objective.release();
  });
});

test("Gauss–Newton trains a network to the end", () => {
  const objective = network(runtime);
  const reports = untilStop(objective, newton.create({ curvature: "gaussNewton", tolerance: 1e-6 }), 200);
  expect(reports.at(-1)!.loss).toBeLessThan(0.05 * reports[0]!.loss);
  expect(reports[0]!.evaluations).toMatchObject({ gradients: 1, gaussNewtonVectorProducts: 51 });
  objective.release();
});

describe("gridSearch", () => {
  test("takes a step back from where the loss is higher, to the best of the halves", () => {
    const objective = rosenbrock(runtime, 2);
    const training = newton
      .create({ curvature: "hessian", globalization: "gridSearch", damping: 0 })
      .start(objective);
    for (let k = 0; k < 12; k++) {
      const before = objective.loss();
      const origin = Float64Array.from(objective.parameters.data);
      const { diagnostics } = training.step();
      const t = diagnostics!.stepLength as number;
      if (t === 0) break;
      const after = objective.loss();
      expect(after).toBeLessThan(before);
      const end = Float64Array.from(objective.parameters.data);
      for (const other of [t / 2, 2 * t].filter((length) => length <= 1)) {
        objective.parameters.set(origin.map((x, i) => x + (other / t) * (end[i]! - x)));
        expect(objective.loss()).toBeGreaterThanOrEqual(after);
      }
      objective.parameters.set(end);
    }
    training.release();
    objective.release();
  });
  test("raises λ until the matrix is positive definite, and stalls where nothing is lower", () => {
    const objective = doubleWell(runtime, 0.1, 1);
    const reports = untilStop(objective, newton.create({ globalization: "gridSearch", damping: 0 }), 100);
    expect(reports[0]!.diagnostics!.damping).toBeGreaterThan(0);
    expect(reports.at(-1)!.loss).toBeLessThan(reports[0]!.loss);
    objective.release();
  });
});

describe("an average of the curvature", () => {
  const A = symmetric([1, 4], 2);
  const [one, two] = [A, A.map((row) => row.map((a) => 3 * a))];
  /** (1 − β)(A₂ + βA₁) + β²·start, over the sum of the weights, applied to the second step. */
  test.each(["zero", "identity"] as const)("has weights that sum to 1: from %s", (curvatureStart) => {
    // The curvature of ½xᵀA₁x, then of ½xᵀA₂x: one objective whose batch is the matrix.
    const beta = 0.25;
    const layout = layoutOf({ x: { dtype: "f64", shape: [2] } });
    const objective = createObjective(runtime, {
      layout,
      parameters: [1, -2],
      batch: [{ dtype: "f64", shape: [2, 2] }],
      trace: (x, [M]) => ({
        loss: M!
          .matmul(x.reshape([2, 1]))
          .reshape([2])
          .mul(x)
          .sum()
          .mul(0.5),
        state: undefined,
      }),
    });
    const training = newton
      .create({ globalization: "none", damping: 0, curvatureDecay: beta, curvatureStart })
      .start(objective);
    const step = (M: readonly (readonly number[])[]) => {
      const before = Float64Array.from(objective.parameters.data);
      objective.batch[0]!.set(M.flatMap((row) => [...row]));
      training.step();
      return { before, moved: objective.parameters.data.map((x, i) => x - before[i]!) };
    };
    step(one);
    const { before, moved } = step(two);
    const weights =
      curvatureStart === "zero"
        ? [beta / (1 + beta), 1 / (1 + beta), 0]
        : [beta * (1 - beta), 1 - beta, beta ** 2];
    const average = one.map((row, i) =>
      row.map((a, j) => weights[0]! * a + weights[1]! * two[i]![j]! + weights[2]! * Number(i === j)),
    );
    const gradient = two.map((row) => row.reduce((sum, a, j) => sum + a * before[j]!, 0));
    average.forEach((row, i) => {
      expect(row.reduce((sum, a, j) => sum + a * moved[j]!, 0)).toBeCloseTo(-gradient[i]!, 12);
    });
    training.release();
    objective.release();
  });
});

test("refuses what does not fit, with the memory it would need", () => {
  const objective = network(runtime, { hidden: 2000 });
  expect(() => newton.create().start(objective)).toThrow(
    "newton: 12,003 parameters need 1.1 GiB for dense curvature, memoryLimit is 1.0 GiB; use a method that needs products only",
  );
  expect(() =>
    newton.create({ globalization: "levenbergMarquardt", memoryLimit: 1536 }).start(objective),
  ).toThrow("need 2.1 GiB");
  objective.release();
});

test("makes the products in blocks for which the memory suffices, activations of the batch included", () => {
  const moved = [1024, 6].map((memoryLimit) => {
    const objective = network(runtime, { hidden: 20, examples: 2000 });
    const before = runtime.used;
    const training = newton.create({ memoryLimit }).start(objective);
    const used = runtime.used - before;
    training.step();
    const theta = [...objective.parameters.data];
    training.release();
    objective.release();
    return { used, theta };
  });
  const [roomy, tight] = moved as [(typeof moved)[0], (typeof moved)[0]];
  expect(roomy.used).toBeGreaterThan(20 * 2 ** 20);
  // Beside the matrix and the products: the gradient's program, the search's.
  expect(tight.used).toBeLessThan(8 * 2 ** 20);
  tight.theta.forEach((x, k) => {
    expect(x).toBeCloseTo(roomy.theta[k]!, 10);
  });
  const objective = network(runtime, { hidden: 20, examples: 2000 });
  expect(() => newton.create({ memoryLimit: 2 }).start(objective)).toThrow(
    /^newton: 123 parameters need 3\.0 MiB for dense curvature and one product with it on this batch, memoryLimit is 2\.0 MiB; use .*, a smaller batch, or raise memoryLimit$/,
  );
  objective.release();
});
