import { describe, expect, it } from "vitest";
import { benefits, fitBatches, readBatch } from "../../../src/lab/studies/batch-reading.js";
import { boundOf } from "../../../src/lab/studies/condition.js";
import { fitConditions, methodNames, readCondition } from "../../../src/lab/studies/condition-reading.js";
import { goodRanges, readDamping, wayNames } from "../../../src/lab/studies/damping-reading.js";
import {
  crossingOf,
  fitInversions,
  intervalOf,
  operations,
  readInversion,
} from "../../../src/lab/studies/inversion-reading.js";
import { timeOf } from "../../../src/lab/studies/staleness.js";
import { readStaleness, schemeNames, spreadWithin } from "../../../src/lab/studies/staleness-reading.js";
import { divide } from "../../../src/lab/studies/switch.js";
import { bestShares, pairNames, readSwitch } from "../../../src/lab/studies/switch-reading.js";

describe("condition", () => {
  const kappas = [10, 100, 1000, 10_000];
  const exponents = {
    "gradient descent": 1,
    "heavy ball": 0.5,
    "conjugate gradients": 0.5,
    "L-BFGS": 0.4,
    Newton: 0,
  };
  const points = (change: Partial<typeof exponents> = {}) =>
    kappas.flatMap((condition) =>
      methodNames.map((method) => ({
        method,
        condition,
        iterations: 8 * condition ** { ...exponents, ...change }[method],
        bound: null,
      })),
    );
  it("finds the exponents, and where gradient descent is as dear as a Newton step", () => {
    for (const { method, law, last, agrees } of fitConditions(points())) {
      expect(law.exponent).toBeCloseTo(exponents[method], 10);
      expect(last).toBeCloseTo(exponents[method], 10);
      expect(agrees).toBe(method === "L-BFGS" ? undefined : true);
    }
    const { verdict, paragraph } = readCondition(points());
    expect(verdict).toBe("holds");
    expect(paragraph).toContain("gradient descent as κ^1.00 (theory 1: holds)");
    // 8κ = 1000 and 8√κ = 1000
    expect(paragraph).toMatch(
      /gradient descent is dearer from κ ≈ 1[23]0 on, the heavy ball from κ ≈ 16,000/,
    );
  });
  it("says what does not hold, what bends, and what did not arrive", () => {
    const bent = points({ Newton: 0.6 }).map((point) =>
      point.method === "conjugate gradients" && point.condition === 10_000
        ? { ...point, iterations: 8 * 1000 ** 0.5 }
        : point.method === "heavy ball" && point.condition === 10
          ? { ...point, iterations: null }
          : point,
    );
    const { verdict, paragraph } = readCondition(bent);
    expect(verdict).toBe("holds in part");
    expect(paragraph).toContain("Newton as κ^0.60 (theory 0: does not hold)");
    expect(paragraph).toContain(
      "conjugate gradients flattens: between the last two conditions the exponent is 0.00",
    );
    expect(paragraph).toContain("Not reached: heavy ball at κ = 10");
    const rounded = readCondition([
      { method: "conjugate gradients", condition: 1e6, iterations: 6927, bound: 1000 },
      ...points(),
    ]);
    expect(rounded.paragraph).toContain("end after n = 1,000; rounding makes them 6,927 at κ = 1e6");
    expect(readCondition(points().slice(0, 3)).verdict).toBe("undecided");
  });
  it("has theory's iterations: as many as a plain loop with the contraction takes", () => {
    const count = (rho: number, distance: number) => {
      let k = 0;
      for (; distance > 1e-6; k++) distance *= rho;
      return k;
    };
    expect(Math.ceil(boundOf("gradient descent", 500, 3)!)).toBe(count(499 / 501, 3));
    expect(Math.ceil(boundOf("heavy ball", 900, 3)!)).toBe(count(29 / 31, 3));
    expect(boundOf("conjugate gradients", 1e9, 3)).toBe(1000);
  });
});

describe("batch", () => {
  const point = (method: "adam" | "kfac", batch: number, steps: number | null) => ({
    method,
    batch,
    rate: 0.1,
    atEdge: method === "kfac" && batch === 16 && steps !== null,
    steps,
    low: steps,
    high: steps,
    examples: steps && steps * batch,
    seeds: 1,
  });
  const sizes = [16, 128, 1024];
  const points = (kfac: (batch: number) => number | null) =>
    sizes.flatMap((size) => [point("adam", size, 100 * (1 + 200 / size)), point("kfac", size, kfac(size))]);
  it("finds each critical batch and the exponent of the benefit", () => {
    const given = points((size) => (100 * (1 + 200 / size)) / (2 * size ** 0.25));
    const [adam] = fitBatches(given);
    expect(adam!.law.criticalBatch).toBeCloseTo(200, 6);
    expect(benefits(given).map(([, ratio]) => ratio)).toEqual(
      sizes.map((size) => expect.closeTo(2 * size ** 0.25, 10)),
    );
    const { verdict, paragraph } = readBatch(given);
    expect([verdict, paragraph]).toEqual([
      "holds",
      expect.stringContaining("The benefit goes as B^0.25 ± 0.00: it grows"),
    ]);
    expect(paragraph).toContain("a critical batch of 200");
    expect(paragraph).toContain("the last of those tried for kfac at B = 16");
  });
  it("does not hold where the benefit shrinks, and says what missed", () => {
    const shrinking = readBatch(points((size) => (100 * (1 + 200 / size)) / (8 * size ** -0.25)));
    expect([shrinking.verdict, shrinking.paragraph]).toEqual([
      "does not hold",
      expect.stringContaining("it shrinks"),
    ]);
    const missed = readBatch(points((size) => (size === 16 ? null : 50)));
    expect(missed.paragraph).toContain("Not reached: kfac at B = 16");
    expect(readBatch([]).verdict).toBe("undecided");
  });
});

describe("staleness", () => {
  const run = (scheme: (typeof schemeNames)[number], interval: number, steps: number | null) => ({
    what: "run" as const,
    scheme,
    interval,
    steps,
    low: steps,
    high: steps,
    estimates: steps,
    inversions: steps,
    seconds: steps && steps * (0.001 + 0.01 / interval),
    seeds: 1,
  });
  const intervals = [1, 5, 100, 500];
  it("counts the time of steps, estimates and inversions", () => {
    // 7 plain steps of 2 s, 3 of 5 s, 2 inversions of 11 s
    expect(timeOf({ plain: 2, estimate: 5, inversion: 11 }, { steps: 10, estimates: 3, inversions: 2 })).toBe(
      51,
    );
  });
  it("measures the spread within the usual intervals alone, and reads it", () => {
    const flat = schemeNames.flatMap((scheme) =>
      intervals.map((T) => run(scheme, T, T > 100 ? 900 : 100 + T / 100)),
    );
    expect(spreadWithin(flat, schemeNames[0])).toBeCloseTo(101 / 100.05, 10);
    const reading = readStaleness(flat);
    expect(reading.verdict).toBe("holds");
    expect(reading.paragraph).toContain("T = 500 takes 9 times the steps of the least T");
    const steep = flat.map((one) =>
      one.scheme === schemeNames[2] && one.interval === 100 ? { ...one, steps: null } : one,
    );
    const worse = readStaleness(steep);
    expect(worse.verdict).toBe("holds in part");
    expect(worse.paragraph).toContain("the target is missed at T = 100");
    expect(readStaleness([]).verdict).toBe("undecided");
  });
});

describe("inversion", () => {
  const widths = [64, 128, 256, 512];
  const laws = {
    "gradient step": [1e-7, 2],
    cholesky: [1e-10, 3],
    eigen: [2e-9, 3],
    newtonSchulz: [1e-8, 2.2],
  } as const;
  const points = widths.flatMap((width) =>
    operations.map((operation) => {
      const [c, p] = laws[operation];
      return { operation, width, seconds: c * width ** p, repeats: 3 };
    }),
  );
  it("finds exponents, intervals and the crossing", () => {
    const fits = fitInversions(points);
    for (const { operation, large } of fits) expect(large.exponent).toBeCloseTo(laws[operation][1], 10);
    // Two inversions of 1e-10·d³ beside a tenth of 1e-7·d²: d/50, rounded up.
    expect(widths.map((width) => intervalOf(points, "cholesky", width))).toEqual([2, 3, 6, 11]);
    const law = (name: string) => fits.find(({ operation }) => operation === name)!.large;
    expect(crossingOf(law("cholesky"), law("gradient step"), 1 / 2)).toBeCloseTo(500, 6);
    const { verdict, paragraph } = readInversion(points);
    expect(verdict).toBe("holds in part");
    expect(paragraph).toContain("by eigenvectors 20 times that");
    expect(paragraph).toContain("as dear as a step at d ≈ 500");
    expect(paragraph).toContain("6.87 s for order 4,096");
  });
});

describe("damping", () => {
  const lambdas = [1e-4, 1e-3, 1e-2, 0.1, 1, 10];
  /** A parabola in log λ around `center`. */
  const points = (width: Readonly<Record<(typeof wayNames)[number], number>>, center = -1) =>
    lambdas.flatMap((damping) =>
      wayNames.map((way) => {
        const loss = 0.2 + 0.21 * ((Math.log10(damping) - center) / (width[way] / 2)) ** 2;
        const value = damping === 1e-4 && way === wayNames[0] ? null : loss;
        return {
          way,
          damping,
          steps: 9,
          initial: 2.3,
          loss: value,
          low: value,
          high: value,
          accuracy: 0.9,
          seeds: 1,
        };
      }),
    );
  const [fixed, adapted, free] = wayNames;
  it("measures the decades that are good", () => {
    const ranges = goodRanges(points({ [fixed]: 2, [adapted]: 4, [free]: 40 } as never));
    expect(ranges.map(({ decades }) => decades)).toEqual([expect.closeTo(2, 10), expect.closeTo(4, 10), 5]);
    expect(ranges.map(({ diverged }) => diverged)).toEqual([1, 0, 0]);
  });
  it("reads whether the best is where it is usually looked for, and whether adaptation widens the range", () => {
    const good = readDamping(points({ [fixed]: 2, [adapted]: 4, [free]: 40 } as never));
    expect([good.verdict, good.paragraph]).toEqual([
      "holds",
      expect.stringContaining("lies within the usual 0.001 to 1"),
    ]);
    expect(good.paragraph).toContain("at least 5.0 decades");
    // 0.2 + 0.21 over 0.2, to two digits
    expect(good.paragraph).toContain("Ten times of it ends at 2 times its loss");
    const bad = readDamping(points({ [fixed]: 4, [adapted]: 2, [free]: 1 } as never, 1));
    expect([bad.verdict, bad.paragraph]).toEqual([
      "does not hold",
      expect.stringContaining("has no wider range"),
    ]);
    expect(readDamping([]).verdict).toBe("undecided");
  });
});

describe("switch", () => {
  const run = (pair: (typeof pairNames)[number], share: number, value: number) => ({
    what: "run" as const,
    pair,
    share,
    firstSteps: share,
    secondSteps: 100 - share,
    value,
    low: 0.9 * value,
    high: 1.1 * value,
    seeds: 3,
  });
  it("divides a time by shares: steps cost the same time in all", () => {
    const costs = { first: 0.001, second: 0.004 };
    for (const share of [0, 10, 50, 100]) {
      const { firstSteps, secondSteps } = divide(1000, share, costs);
      expect(firstSteps * costs.first + secondSteps * costs.second).toBeCloseTo(1, 10);
    }
  });
  it("compares the best mixture with the better end", () => {
    const [pinn, digits] = pairNames;
    const points = [
      ...[run(pinn, 0, 4), run(pinn, 50, 1), run(pinn, 75, 2), run(pinn, 100, 3)],
      ...[run(digits, 0, 1), run(digits, 50, 1.5), run(digits, 100, 2)],
    ];
    const [first, second] = bestShares(points);
    expect([first!.best.share, first!.gain, first!.apart]).toEqual([50, 3, true]);
    expect([second!.best.share, second!.gain]).toEqual([50, expect.closeTo(1 / 1.5, 12)]);
    const { verdict, paragraph } = readSwitch(points);
    expect(verdict).toBe("holds in part");
    expect(paragraph).toContain("better than the better of both by a factor of 3");
    expect(paragraph).toContain("worse than the better of both by a factor of 1.5");
    expect(readSwitch([]).verdict).toBe("undecided");
  });
});
