import fc from "fast-check";
import { Matrix } from "ml-matrix";
import { describe, expect, test } from "vitest";
import { diagonalBlock, hutchinson, hutchPlusPlus } from "../../src/curvature/index.js";
import { expectClose, operatorOf, spread, withSpectrum } from "./spectra.js";

describe("Hutchinson", () => {
  test("trace and diagonal within four standard errors, for many matrices", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e6 }), (seed) => {
        const matrix = withSpectrum(spread.slice(0, 12), seed);
        const { trace, diagonal, diagonalError } = hutchinson(operatorOf(matrix), { samples: 200, seed });
        expect(Math.abs(trace.value - matrix.trace())).toBeLessThan(4 * trace.standardError);
        matrix.diagonal().forEach((value, k) => {
          // Twelve elements of many matrices: some are further out than one alone would be.
          expect(Math.abs(diagonal[k]! - value)).toBeLessThan(5 * diagonalError[k]!);
        });
      }),
      { numRuns: 20, seed: 3 },
    );
  });
  test("the standard error is that of the theory: √(2 Σ_{i≠j} A²ᵢⱼ / samples)", () => {
    const matrix = withSpectrum(spread);
    const { trace } = hutchinson(operatorOf(matrix), { samples: 2000 });
    const off = matrix.clone().sub(Matrix.diag(matrix.diagonal())).norm("frobenius");
    const expected = Math.sqrt(2 / 2000) * off;
    expect(trace.standardError / expected).toBeGreaterThan(0.9);
    expect(trace.standardError / expected).toBeLessThan(1.1);
  });
  test("exact for a diagonal matrix; blocks sum to the trace; a seed repeats", () => {
    const values = [3, -1, 4, 1, -5, 9];
    const exact = hutchinson(operatorOf(Matrix.diag(values)), { samples: 3 });
    expect(exact.trace).toEqual({ value: 11, standardError: 0 });
    expect([...exact.diagonal]).toEqual(values);
    const blocks = [
      { name: "a", offset: 0, size: 15 },
      { name: "b", offset: 15, size: 25 },
    ];
    const operator = operatorOf(withSpectrum(spread));
    const estimate = hutchinson(operator, { samples: 20, seed: 5, blocks });
    expect(estimate.blocks.map(({ name }) => name)).toEqual(["a", "b"]);
    expect(estimate.blocks[0]!.trace.value + estimate.blocks[1]!.trace.value).toBeCloseTo(
      estimate.trace.value,
      11,
    );
    expect(hutchinson(operator, { samples: 20, seed: 5, blocks })).toEqual(estimate);
    expect(hutchinson(operator, { samples: 20, seed: 6 }).trace).not.toEqual(estimate.trace);
    expect(() => hutchinson(operator, { samples: 1 })).toThrow("hutchinson: 1 samples");
  });
  test("Hutch++ is exact for a low rank, and closer than Hutchinson for a decaying spectrum", () => {
    const low = operatorOf(withSpectrum([...Array<number>(36).fill(0), 1, 2, 3, 4]));
    expect(hutchPlusPlus(low, { products: 15 }).value).toBeCloseTo(10, 10);
    const values = Array.from({ length: 60 }, (_, k) => 1 / (k + 1) ** 2);
    const trace = values.reduce((a, b) => a + b);
    const operator = operatorOf(withSpectrum(values));
    const better = hutchPlusPlus(operator, { products: 48 });
    expect(operator.products).toBe(48);
    expect(Math.abs(better.value - trace)).toBeLessThan(4 * better.standardError);
    expect(better.standardError).toBeLessThan(
      0.2 * hutchinson(operator, { samples: 48 }).trace.standardError,
    );
    expect(() => hutchPlusPlus(low, { products: 5 })).toThrow("hutchPlusPlus: 5 products");
  });
});

test("a diagonal block is that part of the matrix", () => {
  const matrix = withSpectrum(spread);
  const block = diagonalBlock(operatorOf(matrix), { offset: 7, size: 5 });
  const out = new Float64Array(5);
  for (let k = 0; k < 5; k++) {
    const unit = new Float64Array(5);
    unit[k] = 1;
    block.apply(unit, out);
    expectClose(out, matrix.subMatrix(7, 11, 7, 11).getColumn(k), 1e-14);
  }
  expect(() => diagonalBlock(operatorOf(matrix), { offset: 38, size: 5 })).toThrow(
    "diagonalBlock: elements 38 to 43 are not within the 40 of the operator",
  );
});
