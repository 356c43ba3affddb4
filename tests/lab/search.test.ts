import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decadesOf, type Range, searchPoints, valueAt } from "../../src/lab/search.js";

const rate: Range = { from: 1e-4, to: 1e-1, scale: "log" };
const decay: Range = { from: 0.9, to: 0.999, scale: "complement" };
const interval: Range = { from: 5, to: 100, scale: "log", whole: true };

describe("a range", () => {
  it("begins, ends and has its middle on its own scale", () => {
    expect([0, 0.5, 1].map((share) => valueAt(rate, share))).toEqual([1e-4, 0.003162, 0.1]);
    expect([0, 0.5, 1].map((share) => valueAt(decay, share))).toEqual([0.9, 0.99, 0.999]);
    expect([0, 0.5, 1].map((share) => valueAt(interval, share))).toEqual([5, 22, 100]);
    expect(valueAt({ from: -1, to: 3, scale: "linear" }, 0.25)).toBe(0);
  });
  it("has so many decades", () => {
    expect(decadesOf(rate)).toBeCloseTo(3);
    expect(decadesOf(decay)).toBeCloseTo(2);
    expect(decadesOf({ from: 0, to: 5, scale: "linear" })).toBe(1);
  });
});

describe("points", () => {
  it("lie in their ranges, are the same for a seed, and begin longer sequences", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 1, max: 40 }), (seed, count) => {
        const ranges = { rate, decay, interval };
        const points = searchPoints(ranges, count, seed);
        expect(searchPoints(ranges, count + 5, seed).slice(0, count)).toEqual(points);
        for (const point of points)
          for (const [name, { from, to }] of Object.entries(ranges)) {
            expect(point[name]).toBeGreaterThanOrEqual(from * (1 - 1e-3));
            expect(point[name]).toBeLessThanOrEqual(to * (1 + 1e-3));
          }
      }),
      { seed: 1, numRuns: 50 },
    );
  });
  it("fill the box more evenly than chance: every quarter of a range gets a quarter of the points", () => {
    const shares = searchPoints(
      { x: { from: 0, to: 1, scale: "linear" }, y: { from: 0, to: 1, scale: "linear" } },
      64,
      3,
    );
    for (const name of ["x", "y"])
      for (let quarter = 0; quarter < 4; quarter++) {
        const inside = shares.filter((point) => Math.floor(point[name]! * 4) === quarter).length;
        expect(Math.abs(inside - 16)).toBeLessThanOrEqual(2);
      }
  });
  it("other seeds, other points", () => {
    expect(searchPoints({ rate }, 1, 1)).not.toEqual(searchPoints({ rate }, 1, 2));
  });
  it("of too many settings are refused", () => {
    const ranges = Object.fromEntries(Array.from({ length: 13 }, (_, k) => [`s${k}`, rate]));
    expect(() => searchPoints(ranges, 1, 0)).toThrow("13 settings at once; use at most 12");
  });
});
