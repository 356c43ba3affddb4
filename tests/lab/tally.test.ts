import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { observe, rangeOf, runningMedian } from "../../src/lab/median.js";
import { median } from "../../src/lab/score.js";
import { createTally } from "../../src/lab/tally.js";
import { random } from "../../src/nn/random.js";

const of = (values: readonly number[]) => {
  const running = runningMedian();
  for (const x of values) observe(running, x);
  return rangeOf(running);
};

describe("a running median", () => {
  const number = fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 });
  it("is exact up to five numbers, and so are least and most of any", () => {
    fc.assert(
      fc.property(fc.array(number, { minLength: 1, maxLength: 40 }), (values) => {
        const range = of(values);
        expect([range.least, range.most]).toEqual([Math.min(...values), Math.max(...values)]);
        if (values.length <= 5) expect(range.median).toBeCloseTo(median(values), 6);
        expect(range.median).toBeGreaterThanOrEqual(range.least);
        expect(range.median).toBeLessThanOrEqual(range.most);
      }),
    );
  });
  it("is near the true one of many, whatever their distribution", () => {
    const rng = random(1);
    const draws = {
      normal: () => rng.normal(),
      exponential: () => -Math.log(1 - rng.uniform()),
      "over decades": () => 10 ** rng.uniform(-6, 2),
    };
    for (const [name, draw] of Object.entries(draws)) {
      const values = Array.from({ length: 5000 }, draw).sort((a, b) => a - b);
      const shuffled = values.map((x) => [rng.uniform(), x] as const).sort(([a], [b]) => a - b);
      const estimate = of(shuffled.map(([, x]) => x)).median;
      const rank = values.findIndex((x) => x >= estimate) / values.length;
      expect(Math.abs(rank - 0.5), name).toBeLessThan(0.03);
    }
  });
  it("of a steady number is that number", () => {
    expect(of(Array.from({ length: 100 }, () => 0.1))).toEqual({ least: 0.1, median: 0.1, most: 0.1 });
  });
});

describe("a tally", () => {
  const report = (k: number) => ({
    loss: 1,
    finite: true,
    gradientNorm: k,
    evaluations: { gradients: 1 },
    diagnostics: {
      damping: 1 / (1 + k),
      accepted: k % 3 !== 0,
      iterationsEnded: k % 2 ? "progress" : "residual",
      trustRatio: k === 4 ? Number.NEGATIVE_INFINITY : k,
    },
    seconds: { evaluation: 1, inversion: 2 },
  });
  it("adds up seconds; what no phase tells of is the step's own", () => {
    const tally = createTally();
    for (let k = 0; k < 4; k++) tally.step(report(k), 5);
    tally.spend("test", 3);
    expect(tally.summary().phases).toEqual({ evaluation: 4, inversion: 8, step: 8, test: 3 });
  });
  it("keeps ranges of numbers, counts words and flags, and what is no number as a word", () => {
    const tally = createTally();
    for (let k = 0; k < 5; k++) tally.step(report(k), 5);
    const { numbers, words } = tally.summary();
    expect(numbers.gradientNorm).toEqual({ count: 5, least: 0, median: 2, most: 4, last: 4 });
    expect(numbers.trustRatio).toEqual({ count: 4, least: 0, median: 1.5, most: 3, last: 3 });
    expect(words).toEqual({
      accepted: { true: 3, false: 2 },
      iterationsEnded: { progress: 2, residual: 3 },
      trustRatio: { "-Infinity": 1 },
    });
  });
  it("goes on from what was saved as if nothing had happened, at any place", () => {
    const whole = createTally();
    for (let k = 0; k < 30; k++) whole.step(report(k), 5);
    for (const cut of [0, 3, 5, 17]) {
      const first = createTally();
      for (let k = 0; k < cut; k++) first.step(report(k), 5);
      const second = createTally(JSON.parse(JSON.stringify(first.state)));
      for (let k = cut; k < 30; k++) second.step(report(k), 5);
      expect(second.summary()).toEqual(whole.summary());
    }
  });
});
