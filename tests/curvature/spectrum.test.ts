/** Estimates of a network's spectrum against its dense one: of the Hessian at n = 2,003, of Gauss–Newton at 503. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  broadened,
  type CurvatureKind,
  condition,
  curvatureOperator,
  denseCurvature,
  diagonalBlock,
  extremeEigenpairs,
  hutchinson,
  type Objective,
  spectralDensity,
} from "../../src/curvature/index.js";
import { dense, sequential, softmaxCrossEntropy, tanh } from "../../src/nn/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { objectiveOf } from "./networks.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

/** Eigenvalues by LAPACK, ascending; the dense matrix. */
function decomposed(objective: Objective, kind: CurvatureKind) {
  const n = objective.layout.size;
  const computed = denseCurvature(objective, kind);
  computed.compute();
  const matrix = Float64Array.from(computed.matrix.data);
  const w = runtime.buffer("f64", [n]);
  expect(runtime.blas.functions.dsyevd(n, computed.matrix.address, n, w.address)).toBe(0);
  const values = Float64Array.from(w.data);
  w.release();
  computed.release();
  return { n, values, matrix };
}

describe.each([
  ["hessian", 88, 2003],
  ["gaussNewton", 13, 503],
] as const)("%s of a network", (kind, width, size) => {
  test("top ten eigenvalues, density, condition, traces of layers", () => {
    const objective = objectiveOf(runtime, {
      layer: sequential(dense(16), tanh(), dense(width), tanh(), dense(3)),
      input: [14],
      loss: softmaxCrossEntropy(),
      targets: "classes",
      examples: 40,
    });
    expect(objective.layout.size).toBe(size);
    const { n, values, matrix } = decomposed(objective, kind);
    const A = curvatureOperator(objective, kind);
    A.linearize();

    const top = extremeEigenpairs(A, { largest: 10, smallest: 1, tolerance: 1e-8, seed: 1 });
    expect(top.converged).toBe(true);
    const largest = values[n - 1]!;
    top.largest.forEach(({ value }, k) => {
      expect(Math.abs(value - values[n - 1 - k]!)).toBeLessThan(1e-8 * largest);
    });
    expect(Math.abs(top.smallest[0]!.value - values[0]!)).toBeLessThan(1e-8 * largest);

    // The density, with the same broadening, in the mean over all of the axis.
    const bandwidth = 0.02 * (largest - values[0]!);
    const estimate = spectralDensity(A, { probes: 8, steps: 60, seed: 2, bandwidth });
    const expected = broadened(
      { nodes: values, weights: new Float64Array(n).fill(1 / n) },
      estimate.grid,
      bandwidth,
    );
    const step = estimate.grid[1]! - estimate.grid[0]!;
    const difference = estimate.density.reduce((sum, d, k) => sum + Math.abs(d - expected[k]!) * step, 0);
    expect(difference).toBeLessThan(0.05);

    const lifted = condition(A, {
      damping: largest,
      probes: 8,
      probeSteps: 60,
      quantiles: [0.95],
      seed: 3,
    });
    expect(lifted.number).toBeCloseTo((2 * largest) / (values[0]! + largest), 4);
    const magnitudes = values.map(Math.abs).sort();
    const share = magnitudes.filter((x) => x < lifted.effective[0]!.magnitude).length / n;
    expect(Math.abs(share - 0.95)).toBeLessThan(0.02);

    const { entries } = objective.layout;
    const estimated = hutchinson(A, { samples: 400, seed: 4, blocks: entries });
    const traceOf = (offset: number, size: number) =>
      Array.from({ length: size }, (_, k) => matrix[(offset + k) * (n + 1)]!).reduce((a, b) => a + b);
    expect(Math.abs(estimated.trace.value - traceOf(0, n))).toBeLessThan(4 * estimated.trace.standardError);
    expect(estimated.blocks.reduce((sum, { trace }) => sum + trace.value, 0)).toBeCloseTo(
      estimated.trace.value,
      10,
    );
    entries.forEach((entry, k) => {
      const exact = traceOf(entry.offset, entry.size);
      const { trace } = estimated.blocks[k]!;
      expect(Math.abs(trace.value - exact)).toBeLessThan(4 * trace.standardError);
      // A block by itself has no noise of the others.
      const alone = hutchinson(diagonalBlock(A, entry), { samples: 100, seed: 5 }).trace;
      expect(Math.abs(alone.value - exact)).toBeLessThan(4 * alone.standardError);
    });
    A.release();
    objective.release();
  });
});
