import { describe, expect, it } from "vitest";
import { batchLaw, decadesOf, powerLaw, rangeWithin, solveFor, valueAt, type XY } from "../../src/lab/fit.js";
import { random } from "../../src/nn/random.js";

describe("powerLaw", () => {
  it("finds the exponent and the coefficient of points on a power law, and leaves out what has no logarithm", () => {
    const points: XY[] = [1, 3, 10, 50].map((x) => [x, 0.7 * x ** -1.3]);
    const law = powerLaw([...points, [7, 0], [0, 5], [9, Number.POSITIVE_INFINITY]]);
    expect(law.points).toBe(4);
    expect(law.exponent).toBeCloseTo(-1.3, 12);
    expect(law.coefficient).toBeCloseTo(0.7, 12);
    expect(law.error).toBeLessThan(1e-12);
    expect(valueAt(law, 20)).toBeCloseTo(0.7 * 20 ** -1.3, 12);
    expect(solveFor(law, valueAt(law, 20))).toBeCloseTo(20, 10);
  });
  it("covers the true exponent by two standard errors in about 19 of 20 noisy samples", () => {
    const rng = random(3);
    let covered = 0;
    for (let trial = 0; trial < 400; trial++) {
      const points = Array.from(
        { length: 30 },
        (_, k): XY => [2 ** (k / 3), 2 ** k * 0 + 5 * 2 ** (k / 6) * Math.exp(rng.normal(0, 0.2))],
      );
      const { exponent, error } = powerLaw(points);
      if (Math.abs(exponent - 0.5) <= 2 * error) covered++;
    }
    expect(covered / 400).toBeGreaterThan(0.91);
    expect(covered / 400).toBeLessThan(0.98);
  });
  it("of one point, or of none, has no exponent", () => {
    for (const points of [
      [],
      [[2, 3]],
      [
        [2, 3],
        [2, 4],
      ],
    ] as XY[][])
      expect(powerLaw(points).exponent).toBeNaN();
  });
});

describe("batchLaw", () => {
  it("finds the floor and the critical batch of points on S₀ (1 + B₀/B)", () => {
    const law = batchLaw([16, 64, 256, 1024].map((b) => [b, 40 * (1 + 300 / b)]));
    expect(law.leastSteps).toBeCloseTo(40, 8);
    expect(law.criticalBatch).toBeCloseTo(300, 7);
    expect(law.leastExamples).toBeCloseTo(12_000, 5);
  });
  it("says that there is no floor where steps fall faster than 1/B", () => {
    expect(batchLaw([16, 64, 256].map((b) => [b, 1000 * b ** -1.2])).criticalBatch).toBe(
      Number.POSITIVE_INFINITY,
    );
  });
});

describe("rangeWithin", () => {
  const points: XY[] = [
    [0.001, 5],
    [0.01, 1],
    [0.1, 0.5],
    [1, 2],
    [10, 0.9],
    [100, Number.POSITIVE_INFINITY],
  ];
  it("ends where the line between neighbours meets the bound, and does not jump over worse points", () => {
    const range = rangeWithin(points, 1.25)!;
    expect(range.best).toEqual([0.1, 0.5]);
    // From 1 at 0.01 to 5 at 0.001 in log x: 1.25 is a sixteenth of the way.
    expect(range.low).toBeCloseTo(0.01 * 10 ** (-0.25 / 4), 12);
    // From 0.5 at 0.1 to 2 at 1: half of the way.
    expect(range.high).toBeCloseTo(0.1 * 10 ** 0.5, 12);
    expect(decadesOf(range)).toBeCloseTo(1.5 + 1 / 16 - 0.0, 12);
    expect([range.openLow, range.openHigh]).toEqual([false, false]);
  });
  it("is open where the points end, and stops at a neighbour that diverged", () => {
    expect(rangeWithin(points.slice(1, 3), 3)).toMatchObject({
      low: 0.01,
      high: 0.1,
      openLow: true,
      openHigh: true,
    });
    expect(rangeWithin(points.slice(4), 3)).toMatchObject({
      low: 10,
      high: 10,
      openLow: true,
      openHigh: false,
    });
    expect(rangeWithin(points, 0.1)).toBeUndefined();
  });
});
