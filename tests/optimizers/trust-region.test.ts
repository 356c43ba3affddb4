import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { adaptDamping, isExhausted, trustRatio } from "../../src/optimizers/damping.js";
import { adaptRadius, trustRegionStep } from "../../src/optimizers/trust-region.js";

const solve = (eigenvalues: number[], gradient: number[], radius: number) => {
  const d = new Float64Array(eigenvalues.length);
  return { d: [...d], ...trustRegionStep(eigenvalues, gradient, radius, d), step: d };
};

describe("the minimum of a quadratic in a ball", () => {
  test("satisfies its conditions, for any eigenvalues, gradient and radius", () => {
    const element = fc.integer({ min: -10_000, max: 10_000 }).map((x) => x / 1000);
    const problem = fc
      .array(fc.tuple(element, element), { minLength: 1, maxLength: 6 })
      .chain((pairs) =>
        fc.record({ pairs: fc.constant(pairs), radius: fc.double({ min: 1e-3, max: 1e3, noNaN: true }) }),
      );
    fc.assert(
      fc.property(problem, ({ pairs, radius }) => {
        const sorted = pairs.toSorted((a, b) => a[0] - b[0]);
        const eigenvalues = sorted.map(([value]) => value);
        const gradient = sorted.map(([, g]) => g);
        const { step, shift, length, predicted, bounded } = solve(eigenvalues, gradient, radius);
        const scale = Math.max(...eigenvalues.map(Math.abs), 1e-300);
        const size = Math.max(scale * radius, Math.hypot(...gradient));
        expect(length).toBeLessThanOrEqual(radius * (1 + 1e-9));
        expect(shift).toBeGreaterThanOrEqual(Math.max(0, -eigenvalues[0]!) - 1e-13 * scale);
        expect(predicted).toBeGreaterThanOrEqual(-1e-12 * size * radius);
        if (bounded) expect(length / radius).toBeCloseTo(1, 8);
        else expect(shift).toBe(0);
        // (Λ + νI) d = −g
        step.forEach((d, i) => {
          expect(Math.abs((eigenvalues[i]! + shift) * d + gradient[i]!) / size).toBeLessThan(1e-7);
        });
        // No point of a sample of the ball is lower.
        const q = (x: ArrayLike<number>) =>
          eigenvalues.reduce((sum, l, i) => sum + x[i]! * (gradient[i]! + 0.5 * l * x[i]!), 0);
        for (let k = 0; k < 20; k++) {
          const x = eigenvalues.map((_, i) => Math.sin(7 * k + 3 * i + 1));
          const norm = Math.hypot(...x);
          const other = x.map((value) => (value * radius * (k % 3 === 0 ? 0.5 : 1)) / norm);
          expect(q(step)).toBeLessThanOrEqual(q(other) + 1e-9 * size * radius);
        }
      }),
      { numRuns: 500, seed: 7 },
    );
  });
  test("inside the ball it is Newton's step", () => {
    const { step, bounded, predicted } = solve([1, 4], [2, -8], 10);
    expect([...step]).toEqual([-2, 2]);
    expect(bounded).toBe(false);
    expect(predicted).toBe(10);
  });
  test("the hard case goes along the lowest eigenvector", () => {
    const { step, shift } = solve([-1, 2], [0, 1], 1);
    expect(shift).toBe(1);
    expect(step[1]).toBeCloseTo(-1 / 3, 14);
    expect(Math.abs(step[0]!)).toBeCloseTo(Math.sqrt(8) / 3, 14);
  });
  test("nearly the hard case too", () => {
    const { step, length } = solve([-1, 2], [1e-30, 1], 1);
    expect(length).toBeCloseTo(1, 9);
    expect(step[0]).toBeLessThan(0);
    expect(step[1]).toBeCloseTo(-1 / 3, 9);
  });
  test("a saddle without gradient is left", () => {
    const { predicted, length } = solve([-2, 1], [0, 0], 0.5);
    expect(length).toBe(0.5);
    expect(predicted).toBeCloseTo(0.25, 15);
  });
  test("flat directions that the gradient does not see are left alone", () => {
    const { step, bounded } = solve([0, 2], [0, 1], 5);
    expect([Math.abs(step[0]!), step[1]]).toEqual([0, -0.5]);
    expect(bounded).toBe(false);
  });
  test("a flat direction with gradient is followed to the boundary", () => {
    const { step, bounded } = solve([0, 2], [1e-3, 0], 5);
    expect(step[0]).toBeCloseTo(-5, 9);
    expect(bounded).toBe(true);
  });
});

describe("trust", () => {
  test("the ratio of reductions", () => {
    expect(trustRatio({ before: 3, after: 2, predicted: 2, dtype: "f64" })).toBeCloseTo(0.5, 12);
    expect(trustRatio({ before: 3, after: 4, predicted: 2, dtype: "f64" })).toBeCloseTo(-0.5, 12);
  });
  test("losses that are no numbers have none", () => {
    for (const after of [Number.NaN, Number.POSITIVE_INFINITY])
      expect(trustRatio({ before: 3, after, predicted: 2, dtype: "f64" })).toBe(Number.NEGATIVE_INFINITY);
    expect(trustRatio({ before: 0, after: 0, predicted: 0, dtype: "f64" })).toBe(Number.NEGATIVE_INFINITY);
  });
  test("differences within rounding do not refuse a step", () => {
    expect(trustRatio({ before: 1, after: 1 + 2 ** -52, predicted: 1e-18, dtype: "f64" })).toBeGreaterThan(
      0.8,
    );
    expect(isExhausted({ before: 1, predicted: 1e-18, dtype: "f64" })).toBe(true);
    expect(isExhausted({ before: 1, predicted: 1e-15, dtype: "f64" })).toBe(false);
  });
  test("the damping follows the ratio within its limits", () => {
    const rule = { increase: 2, decrease: 0.5, least: 0.1, most: 8 };
    expect([0.9, 0.5, 0.1, -1, Number.NaN].map((ratio) => adaptDamping(1, ratio, rule))).toEqual([
      0.5, 1, 2, 2, 2,
    ]);
    expect(adaptDamping(0.15, 1, rule)).toBe(0.1);
    expect(adaptDamping(7, Number.NEGATIVE_INFINITY, rule)).toBe(8);
  });
  test("the radius follows the ratio", () => {
    expect(adaptRadius(1, 0.9, { length: 1, bounded: true }, 1.5)).toBe(1.5);
    expect(adaptRadius(1, 0.9, { length: 0.5, bounded: false }, 9)).toBe(1);
    expect(adaptRadius(1, 0.5, { length: 1, bounded: true }, 9)).toBe(1);
    expect(adaptRadius(1, 0.1, { length: 0.4, bounded: false }, 9)).toBe(0.1);
  });
});
