import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { random } from "../../src/nn/random.js";
import { newton } from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { doubleWell, logistic, network, quadratic, rosenbrock, symmetric, untilStop } from "./curved.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const globalizations = ["none", "levenbergMarquardt", "trustRegion"] as const;

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
      const damping = globalization === "none" ? 0 : 1;
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
