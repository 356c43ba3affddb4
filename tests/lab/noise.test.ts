import { afterAll, expect, it } from "vitest";
import { type FactorDrift, measureDrift } from "../../src/lab/drift.js";
import { measureNoise } from "../../src/lab/noise.js";
import { openProblem } from "../../src/lab/problems/registry.js";
import { createOptimizer } from "../../src/optimizers/registry.js";
import { createRuntime } from "../../src/runtime/runtime.js";
import { temporaryFolder, writeTable } from "./folder.js";

const table = writeTable(temporaryFolder());
const runtime = await createRuntime({ threads: 1 });
afterAll(() => runtime.close());
const problem = openProblem({ name: "table", options: { file: table, target: "y", hidden: "8" } });
const options = { batch: 4, batches: 16, error: 0.5, decay: 0.95, seed: 0 };

it("measures gradient, diagonal and factors at each size, and gives everything back", () => {
  const before = runtime.used;
  const instance = problem.start(runtime, { seed: 0, batch: 4 });
  const theta = Array.from(instance.objective.parameters.data);
  const { gradient, quantities, factors, effectiveRank, methods, activations } = measureNoise(
    instance,
    options,
  );
  expect(Array.from(instance.objective.parameters.data)).toEqual(theta);
  expect(quantities[0]!.name).toBe("gradient");
  expect(quantities[1]!.name).toBe("Hessian diagonal");
  for (const { sizes, slope } of quantities) {
    expect(sizes.map(({ batch }) => batch)).toEqual([4, 8, 16, 32]);
    expect(slope).toBeGreaterThan(-2);
    expect(slope).toBeLessThan(-0.3);
  }
  // Three estimators of one number, from the same examples.
  const { batches, twoSizes, singleExamples } = gradient;
  for (const other of [twoSizes, singleExamples!]) {
    expect(other.variance / batches.variance).toBeGreaterThan(0.4);
    expect(other.variance / batches.variance).toBeLessThan(2.5);
  }
  for (const { order, effectiveRank: rank, positions } of factors) {
    expect(rank).toBeGreaterThanOrEqual(1 - 1e-6);
    expect(rank).toBeLessThanOrEqual(order * (1 + 1e-6));
    expect(positions).toBe(1);
  }
  expect(effectiveRank).toBeGreaterThanOrEqual(1 - 1e-6);
  expect(activations.length).toBeGreaterThan(0);
  expect(methods.map(({ method }) => method)).toEqual(["sgd", "adam", "kfac", "hessianFree"]);
  instance.release();
  expect(runtime.used).toBe(before);
});

it("watches the factors move with θ, and only with θ", () => {
  const measuring = problem.start(runtime, { seed: 0, batch: 4 });
  const noise = measureNoise(measuring, options);
  const watch = (learningRate: number) => {
    const training = problem.start(runtime, { seed: 0, batch: 16 });
    const drift = measureDrift(training, measuring, createOptimizer("sgd", { learningRate }), noise, {
      batch: 16,
      every: 5,
      snapshots: 4,
      batches: 8,
      refresh: 10,
    });
    training.release();
    return drift;
  };
  for (const { changes } of watch(1e-12)) for (const { change } of changes) expect(change).toBeLessThan(1e-6);
  const drift = watch(0.1);
  const [inputs, moving] = drift.filter(({ name }) => name.endsWith(" A")) as [FactorDrift, FactorDrift];
  // The first layer's inputs are the data.
  expect(inputs.changes.every(({ change }) => change < 1e-6)).toBe(true);
  expect(moving.changes.map(({ updates }) => updates)).toEqual([5, 10, 15, 20]);
  expect(moving.changes.at(-1)!.change).toBeGreaterThan(moving.changes[0]!.change);
  const best = moving.errors.at(-1)!;
  for (const { error } of moving.errors) expect(best.error).toBeLessThanOrEqual(error * (1 + 1e-9));
  measuring.release();
});

it("needs batches that can be halved", () => {
  const instance = problem.start(runtime, { seed: 0, batch: 4 });
  expect(() => measureNoise(instance, { ...options, batches: 12 })).toThrow(
    "12 batches cannot be halved down to two; use 4, 8, 16, …",
  );
  instance.release();
});
