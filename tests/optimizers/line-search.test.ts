import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { backtrack, bestOfGrid, cubicMinimum, strongWolfe } from "../../src/optimizers/line-search.js";

type Curve = readonly [value: (t: number) => number, slope: (t: number) => number];
const options = { decrease: 1e-4, flatness: 0.9, evaluations: 50, shortest: 1e-12 };
const search = ([value, slope]: Curve, first: number, given: Partial<typeof options> = {}) => {
  const tried: number[] = [];
  const evaluate = (t: number) => {
    tried.push(t);
    return { t, value: value(t), slope: slope(t) };
  };
  const result = strongWolfe(evaluate, { value: value(0), slope: slope(0) }, first, { ...options, ...given });
  return { ...result, tried };
};

// The functions of Moré & Thuente 1994, "Line search algorithms with guaranteed sufficient decrease", section 5.
const beta = 2;
const rational: Curve = [(t) => -t / (t * t + beta), (t) => (t * t - beta) / (t * t + beta) ** 2];
const quintic: Curve = [
  (t) => (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4,
  (t) => 5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3,
];
const oscillating: Curve = (() => {
  const [b, l] = [0.01, 39];
  const phi = (t: number) => (t <= 1 - b ? 1 - t : t >= 1 + b ? t - 1 : (t - 1) ** 2 / (2 * b) + b / 2);
  const slope = (t: number) => (t <= 1 - b ? -1 : t >= 1 + b ? 1 : (t - 1) / b);
  const c = (2 * (1 - b)) / (l * Math.PI);
  return [
    (t: number) => phi(t) + c * Math.sin((l * Math.PI * t) / 2),
    (t: number) => slope(t) + (1 - b) * Math.cos((l * Math.PI * t) / 2),
  ] as const;
})();
const smooth = (b1: number, b2: number): Curve => {
  const gamma = (b: number) => Math.sqrt(1 + b * b) - b;
  const [g1, g2] = [gamma(b1), gamma(b2)];
  return [
    (t) => g1 * Math.hypot(1 - t, b2) + g2 * Math.hypot(t, b1),
    (t) => (g1 * (t - 1)) / Math.hypot(1 - t, b2) + (g2 * t) / Math.hypot(t, b1),
  ];
};
const curves: Record<string, Curve> = {
  rational,
  quintic,
  oscillating,
  "smooth 1": smooth(0.001, 0.001),
  "smooth 2": smooth(0.01, 0.001),
  "smooth 3": smooth(0.001, 0.01),
};

describe("strong Wolfe", () => {
  test.each(Object.keys(curves))("holds on Moré and Thuente's functions: %s", (name) => {
    const [value, slope] = curves[name]!;
    for (const first of [1e-3, 0.1, 10, 1000])
      for (const flatness of [0.9, 0.1]) {
        const { t, outcome, evaluations, tried } = search([value, slope], first, { flatness });
        expect(outcome, `${name} from ${first}`).toBe("wolfe");
        expect(evaluations).toBe(tried.length);
        expect(value(t)).toBeLessThanOrEqual(value(0) + options.decrease * t * slope(0));
        expect(Math.abs(slope(t))).toBeLessThanOrEqual(-flatness * slope(0));
        expect(evaluations).toBeLessThan(25);
      }
  });
  test("holds on random quartics", () => {
    const number = fc.double({ min: -3, max: 3, noNaN: true });
    fc.assert(
      fc.property(number, number, fc.double({ min: 1e-3, max: 100, noNaN: true }), (a, b, first) => {
        // Falls at 0, and rises in the end.
        const curve: Curve = [
          (t) => t ** 4 + a * t ** 3 + b * t * t - t,
          (t) => 4 * t ** 3 + 3 * a * t * t + 2 * b * t - 1,
        ];
        expect(search(curve, first).outcome).toBe("wolfe");
      }),
      { numRuns: 300, seed: 11 },
    );
  });
  test("values that are not finite are too high", () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const curve: Curve = [
        (t) => (t > 1 ? bad : (t - 0.5) ** 2),
        (t) => (t > 1 ? Number.NaN : 2 * (t - 0.5)),
      ];
      expect(search(curve, 100, { flatness: 0.1 })).toMatchObject({ outcome: "wolfe" });
    }
  });
  test("fails where nothing is lower, and says so", () => {
    const uphill = search([(t) => t, () => -1], 1, { evaluations: 12 });
    expect(uphill).toMatchObject({ outcome: "failed", t: 0 });
    expect(uphill.evaluations).toBeLessThanOrEqual(12);
    expect(search([() => Number.NaN, (t) => (t === 0 ? -1 : Number.NaN)], 1).outcome).toBe("failed");
  });
  test("an unbounded descent ends with the evaluations", () => {
    const { outcome, evaluations } = search([(t) => -t, () => -1], 1, { evaluations: 7 });
    expect({ outcome, evaluations }).toEqual({ outcome: "decrease", evaluations: 7 });
  });
});

test("the cubic of two points has its minimum there, in either order", () => {
  const at = (t: number) => ({ t, value: t ** 3 - 3 * t, slope: 3 * t * t - 3 });
  expect(cubicMinimum(at(0), at(3), 0, 3)).toBeCloseTo(1, 14);
  expect(cubicMinimum(at(3), at(0.5), 0.5, 3)).toBeCloseTo(1, 14);
  expect(cubicMinimum(at(0), at(3), 0, 0.5)).toBe(0.5);
  expect(cubicMinimum({ t: 0, value: 0, slope: 1 }, { t: 2, value: Number.NaN, slope: 1 }, 0, 2)).toBe(1);
});

test("backtracking takes the first length with sufficient decrease", () => {
  const settings = { decrease: 0.1, factor: 0.5, evaluations: 10 };
  const curve = (t: number) => (t > 0.3 ? Number.POSITIVE_INFINITY : (t - 1) ** 2);
  expect(backtrack(curve, { value: 1, slope: -2 }, settings)).toEqual({
    t: 0.25,
    value: 0.5625,
    evaluations: 3,
  });
  expect(backtrack(() => Number.NaN, { value: 1, slope: -2 }, settings)).toEqual({
    t: 0,
    value: 1,
    evaluations: 10,
  });
});

describe("the best of a grid", () => {
  test("is the lowest of 1, ½, …", () => {
    expect(bestOfGrid((t) => (t - 0.3) ** 2, 0.09)).toEqual({
      t: 0.25,
      value: (0.25 - 0.3) ** 2,
      evaluations: 6,
    });
    expect(bestOfGrid((t) => (t - 2 ** -20) ** 2 + (t > 0.1 ? Number.NaN : 0), 2 ** -40).t).toBe(2 ** -20);
  });
  test("is 0 where nothing is lower, after all 31 lengths", () => {
    const tried: number[] = [];
    const uphill = (t: number) => {
      tried.push(t);
      return 1 + t;
    };
    expect(bestOfGrid(uphill, 1)).toEqual({ t: 0, value: 1, evaluations: 31 });
    expect(tried[0]).toBe(1);
    expect(tried.at(-1)).toBe(2 ** -30);
    expect(bestOfGrid(() => Number.POSITIVE_INFINITY, 1).t).toBe(0);
  });
});
