import fc from "fast-check";
import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { describe, expect, test } from "vitest";
import {
  condition,
  extremeEigenpairs,
  hutchinson,
  type LinearOperator,
  lanczosProcess,
  magnitudeQuantile,
  spectralDensity,
  tridiagonalEigen,
} from "../../src/curvature/index.js";
import { random } from "../../src/nn/index.js";
import { ascending, expectClose, operatorOf, spread, withSpectrum } from "./spectra.js";

describe("tridiagonalEigen", () => {
  const number = fc.double({ min: -10, max: 10, noNaN: true });
  test("agrees with a dense decomposition", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(number, number), { minLength: 1, maxLength: 20 }), (rows) => {
        const [d, e] = [rows.map(([x]) => x), rows.map(([, y]) => (Math.abs(y) < 1 ? 0 : y))];
        const n = rows.length;
        const T = Matrix.diag(d);
        for (let k = 0; k + 1 < n; k++) {
          T.set(k, k + 1, e[k]!);
          T.set(k + 1, k, e[k]!);
        }
        const { values, vectors } = tridiagonalEigen(d, e);
        expectClose(values, ascending(new EigenvalueDecomposition(T).realEigenvalues), 1e-11);
        vectors.forEach((vector, k) => {
          const image = T.mmul(Matrix.columnVector(Array.from(vector))).to1DArray();
          expectClose(
            image,
            Array.from(vector, (x) => x * values[k]!),
            1e-11,
          );
          expect(vector.reduce((sum, x) => sum + x * x, 0)).toBeCloseTo(1, 12);
        });
      }),
      { numRuns: 100, seed: 1 },
    );
  });
  test("refuses what is not finite", () => {
    expect(() => tridiagonalEigen([1, NaN, 2], [1, 1])).toThrow("tridiagonalEigen: elements are not finite");
  });
});

describe("Lanczos", () => {
  const start = (n: number, seed = 2) => {
    const rng = random(seed);
    return Float64Array.from({ length: n }, () => rng.normal());
  };
  test("the basis stays orthonormal, and all of the steps give the whole spectrum", () => {
    const process = lanczosProcess(operatorOf(withSpectrum(spread)), start(40));
    process.extend(15);
    expect(process.exhausted).toBe(false);
    process.extend(100);
    expect(process.basis.length).toBe(40);
    process.basis.forEach((u, i) => {
      process.basis.forEach((v, j) => {
        expect(u.reduce((sum, x, k) => sum + x * v[k]!, 0)).toBeCloseTo(i === j ? 1 : 0, 13);
      });
    });
    const { values } = tridiagonalEigen(process.diagonal, process.offDiagonal);
    expectClose(values, ascending(spread), 1e-12);
  });
  test("ends where the start's space is invariant", () => {
    const process = lanczosProcess(operatorOf(withSpectrum([3, 3, 3, 1, 1, 0, 0, 0])), start(8));
    process.extend(8);
    expect(process.exhausted).toBe(true);
    expect(process.basis.length).toBe(3);
    expectClose(tridiagonalEigen(process.diagonal, process.offDiagonal).values, [0, 1, 3], 1e-12);
  });
  test("refuses a start without direction and products that are not finite", () => {
    expect(() => lanczosProcess(operatorOf(withSpectrum([1, 2])), new Float64Array(2))).toThrow(
      "lanczos: the start has length 0; it needs a direction",
    );
    const broken: LinearOperator = { size: 2, apply: (_, out) => void out.fill(NaN) };
    expect(() => lanczosProcess(broken, start(2)).extend(1)).toThrow(
      "lanczos: a product of the operator is not finite",
    );
  });
  test("extreme eigenpairs, with residuals that are true", () => {
    const matrix = withSpectrum(spread);
    const operator = operatorOf(matrix);
    const found = extremeEigenpairs(operator, { largest: 4, smallest: 3, tolerance: 1e-9 });
    expect(found.converged).toBe(true);
    expect(operator.products).toBe(found.steps);
    const order = ascending(spread);
    expectClose(
      found.smallest.map((pair) => pair.value),
      order.slice(0, 3),
      1e-7,
    );
    expectClose(
      found.largest.map((pair) => pair.value),
      order.slice(-4).reverse(),
      1e-7,
    );
    for (const { value, vector, residual } of [...found.largest, ...found.smallest]) {
      const image = matrix.mmul(Matrix.columnVector(Array.from(vector))).to1DArray();
      expect(Math.hypot(...image.map((x, k) => x - value * vector[k]!))).toBeCloseTo(residual, 10);
    }
    const early = extremeEigenpairs(operator, { largest: 4, smallest: 3, steps: 8 });
    expect(early.converged).toBe(false);
    expect(early.steps).toBe(8);
  });
});

describe("spectral density", () => {
  test("weights are those of the start: equal for a diagonal matrix with distinct eigenvalues", () => {
    const values = [-2, 0.5, 1, 3, 8];
    const { nodes, weights } = spectralDensity(operatorOf(Matrix.diag(values)), { probes: 1, steps: 5 });
    expectClose(nodes, values, 1e-12);
    expectClose(weights, Array<number>(5).fill(0.2), 1e-12);
  });
  test("weights and density integrate to 1, the first moment is the trace over n", () => {
    const matrix = withSpectrum(spread);
    const result = spectralDensity(operatorOf(matrix), { probes: 200, steps: 20 });
    const { nodes, weights, grid, density, bandwidth } = result;
    expect(weights.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    const integral = density.reduce((a, b) => a + b) * (grid[1]! - grid[0]!);
    expect(integral).toBeCloseTo(1, 2);
    expect(bandwidth).toBeCloseTo(0.01 * (nodes.at(-1)! - nodes[0]!), 10);
    const mean = nodes.reduce((sum, node, k) => sum + node * weights[k]!, 0);
    const error = hutchinson(operatorOf(matrix), { samples: 200 }).trace.standardError / 40;
    expect(Math.abs(mean - matrix.trace() / 40)).toBeLessThan(4 * error);
  });
  test("quantiles of magnitudes", () => {
    const spectrum = { nodes: Float64Array.of(-4, -1, 0.5, 2), weights: Float64Array.of(0.1, 0.4, 0.3, 0.2) };
    const at = (q: number) => magnitudeQuantile(spectrum, q);
    expect([0, 0.3, 0.31, 0.7, 0.9, 0.91, 1].map(at)).toEqual([0.5, 0.5, 1, 1, 2, 4, 4]);
  });
  test("settings out of range", () => {
    expect(() => spectralDensity(operatorOf(Matrix.eye(2)), { probes: 0 })).toThrow(
      "spectralDensity: probes is 0; use a whole number, at least 1",
    );
  });
});

describe("condition", () => {
  const values = Array.from({ length: 100 }, (_, k) => k + 1);
  test("λmax/λmin, damped, and against quantiles", () => {
    const operator = operatorOf(Matrix.diag(values));
    const plain = condition(operator, { steps: 100, probeSteps: 100, probes: 1, quantiles: [0.5, 0.9] });
    expect(plain.number).toBeCloseTo(100, 6);
    expect(plain.converged).toBe(true);
    expect(plain.effective[0]!.magnitude).toBeCloseTo(50, 6);
    expect(plain.effective.map(({ number }) => number)).toEqual([
      expect.closeTo(2, 6),
      expect.closeTo(100 / 90, 6),
    ]);
    const damped = condition(operator, { damping: 10, steps: 100, probeSteps: 100, probes: 1 });
    expect(damped.number).toBeCloseTo(10, 6);
    expect(damped.effective[0]!.number).toBeCloseTo(110 / 60, 6);
  });
  test("an indefinite or singular matrix has none, unless damping lifts it", () => {
    const indefinite = operatorOf(withSpectrum([-1, 2, 3, 4]));
    expect(condition(indefinite).number).toBe(Infinity);
    expect(condition(indefinite, { damping: 2 }).number).toBeCloseTo(6, 8);
    expect(condition(operatorOf(withSpectrum([0, 2, 3, 4]))).number).toBe(Infinity);
    expect(() => condition(indefinite, { damping: -1 })).toThrow("condition: damping is -1");
    expect(() => condition(indefinite, { quantiles: [2] })).toThrow("condition: quantile 2");
  });
});
