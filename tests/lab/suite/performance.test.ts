import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  benchmarkScore,
  type Cell,
  performanceRatios,
  profileAt,
  ratioTo,
  standingsOf,
  timeOf,
} from "../../../src/lab/suite/performance.js";

const never = Number.POSITIVE_INFINITY;
/** Seconds, or a miss. */
const time = fc.oneof(
  { weight: 4, arbitrary: fc.double({ min: 0.01, max: 100, noNaN: true }) },
  { weight: 1, arbitrary: fc.constant(never) },
);
const tableOf = (optimizers: number, problems: number) =>
  fc.array(fc.array(time, { minLength: problems, maxLength: problems }), {
    minLength: optimizers,
    maxLength: optimizers,
  });
const tables = fc
  .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 6 }))
  .chain(([optimizers, problems]) => tableOf(optimizers, problems));
/** Cells of one study with one trial each. */
const cellsOf = (times: readonly (readonly number[])[]): Cell[] =>
  times.flatMap((row, o) =>
    row.map((t, p) => ({ optimizer: `o${o}`, problem: `p${p}`, studies: [[t], [t], [t]] })),
  );
const scoresOf = (times: readonly (readonly number[])[]) => performanceRatios(times).map(benchmarkScore);

describe("the time of an optimizer on a problem", () => {
  it("is the median over studies of the best trial", () => {
    expect(
      timeOf([
        [9, 4, 7],
        [never, 6, 8],
        [5, never, never],
      ]),
    ).toBe(5);
  });
  it("is infinite when most studies, or all, missed the target", () => {
    expect(timeOf([[1], [never], [never]])).toBe(never);
    expect(timeOf([[1], [never]])).toBe(never);
    expect(timeOf([])).toBe(never);
  });
});

describe("performance ratios", () => {
  it("are to the fastest on each problem", () => {
    expect(
      performanceRatios([
        [1, 6, never, never],
        [3, 2, 8, never],
      ]),
    ).toEqual([
      [1, 3, never, never],
      [3, 1, 1, never],
    ]);
  });
  it("are 1 where a target that the start meets takes no time", () => {
    expect(
      performanceRatios([
        [0, 0],
        [0, 1],
      ]),
    ).toEqual([
      [1, 1],
      [1, never],
    ]);
    expect(ratioTo([0, 2], [0, 4]).ratio).toBeCloseTo(Math.SQRT2, 15);
  });
  it("do not depend on the unit of a problem's time", () => {
    fc.assert(
      fc.property(tables, fc.double({ min: 0.01, max: 100, noNaN: true }), (times, unit) => {
        const other = times.map(([first, ...rest]) => [first! * unit, ...rest]);
        scoresOf(times).forEach((score, o) => {
          expect(scoresOf(other)[o]).toBeCloseTo(score, 9);
        });
      }),
    );
  });
});

describe("the score B", () => {
  it("by hand: twice as slow is 2/3, four times or a miss 0", () => {
    expect(benchmarkScore([1, 2, 4, never])).toBeCloseTo((1 + 2 / 3) / 4, 15);
  });
  it("is the area under the profile from 1 to 4, divided by 3", () => {
    fc.assert(
      fc.property(tables, (times) => {
        for (const ratios of performanceRatios(times)) {
          // The profile is a step function: between two neighbouring ratios it is what it is at the lower one.
          const edges = [1, ...ratios.filter((r) => r > 1 && r < 4).sort((a, b) => a - b), 4];
          const area = edges
            .slice(1)
            .reduce((sum, edge, k) => sum + (edge - edges[k]!) * profileAt(ratios, edges[k]!), 0);
          expect(benchmarkScore(ratios)).toBeCloseTo(area / 3, 12);
        }
      }),
    );
  });
  it("is 1 for whoever is fastest everywhere, 0 for whoever never arrives, and between otherwise", () => {
    fc.assert(
      fc.property(tables, (times) => {
        const problems = times[0]!.length;
        const all = scoresOf([Array(problems).fill(0.001), ...times, Array(problems).fill(never)]);
        expect(all[0]).toBe(1);
        expect(all.at(-1)).toBe(0);
        for (const score of all) expect(score >= 0 && score <= 1).toBe(true);
      }),
    );
  });
  it("never rises when the optimizer gets slower, nor falls when another does", () => {
    fc.assert(
      fc.property(tables, fc.double({ min: 1, max: 10, noNaN: true }), (times, factor) => {
        const before = scoresOf(times);
        const after = scoresOf(times.map((row, o) => (o === 0 ? row.map((t) => t * factor) : row)));
        expect(after[0]!).toBeLessThanOrEqual(before[0]! + 1e-12);
        for (let o = 1; o < times.length; o++) expect(after[o]!).toBeGreaterThanOrEqual(before[o]! - 1e-12);
      }),
    );
  });
});

describe("the ratio to a baseline", () => {
  it("is a geometric mean over what both solved, and counts the rest", () => {
    const { ratio, ...counts } = ratioTo([1, 2, never, 4, never], [2, 1, 3, never, never]);
    expect(ratio).toBeCloseTo(1, 15);
    expect(counts).toEqual({ both: 2, alone: 1, baselineAlone: 1 });
    expect(ratioTo([8, 2], [1, 1]).ratio).toBeCloseTo(1 / 4, 15);
    expect(ratioTo([never], [1]).ratio).toBeNaN();
  });
  it("of two optimizers to each other multiplies to 1", () => {
    fc.assert(
      fc.property(tableOf(2, 4), ([a, b]) => {
        const product = ratioTo(a!, b!).ratio * ratioTo(b!, a!).ratio;
        if (!Number.isNaN(product)) expect(product).toBeCloseTo(1, 9);
      }),
    );
  });
});

describe("standings", () => {
  const options = { baseline: "o0", seed: 3, samples: 200 };
  it("are the same for the same seed, and name the best first", () => {
    fc.assert(
      fc.property(tables, (times) => {
        const standings = standingsOf(cellsOf(times), options);
        expect(standingsOf(cellsOf(times), options)).toEqual(standings);
        const scores = standings.optimizers.map(({ score }) => score);
        expect(scores).toEqual(scores.toSorted((a, b) => b - a));
        for (const { interval, places } of standings.optimizers) {
          expect(interval[0]).toBeLessThanOrEqual(interval[1]);
          expect(places[0]).toBeLessThanOrEqual(places[1]);
        }
      }),
      { numRuns: 25 },
    );
  });
  it("claim no place where intervals overlap", () => {
    // o0 and o1 win one problem each; o2 never arrives.
    const mixed = standingsOf(
      cellsOf([
        [1, 2],
        [2, 1],
        [never, never],
      ]),
      options,
    );
    expect(mixed.optimizers.map(({ optimizer, places }) => [optimizer, ...places])).toEqual([
      ["o0", 1, 2],
      ["o1", 1, 2],
      ["o2", 3, 3],
    ]);
    expect(mixed.optimizers[0]!.interval).toEqual([2 / 3, 1]);
    const clear = standingsOf(
      cellsOf([
        [1, 1],
        [2, 2],
      ]),
      options,
    );
    expect(clear.optimizers.map(({ places }) => places)).toEqual([
      [1, 1],
      [2, 2],
    ]);
  });
  it("claim no order where there are few ways to draw anew", () => {
    const placesOf = (problems: number, studies: number) => {
      const cells = [1, 2].flatMap((t, o) =>
        Array.from({ length: problems }, (_, p) => ({
          optimizer: `o${o}`,
          problem: `p${p}`,
          studies: Array.from({ length: studies }, () => [t]),
        })),
      );
      return standingsOf(cells, options).optimizers.map(({ score, places }) => [score, places]);
    };
    for (const [problems, studies] of [
      [1, 1],
      [1, 2],
      [2, 1],
    ] as const)
      expect(placesOf(problems, studies)).toEqual([
        [1, [1, 2]],
        [2 / 3, [1, 2]],
      ]);
    for (const [problems, studies] of [
      [1, 3],
      [3, 1],
      [2, 2],
    ] as const)
      expect(placesOf(problems, studies)).toEqual([
        [1, [1, 1]],
        [2 / 3, [2, 2]],
      ]);
  });
  it("draw studies too: their spread widens the interval", () => {
    const steady = { optimizer: "steady", problem: "p", studies: [[1], [1], [1]] };
    const spread = { optimizer: "spread", problem: "p", studies: [[1.5], [2], [3]] };
    const [, second] = standingsOf([steady, spread], { ...options, baseline: "steady" }).optimizers;
    expect(second!.interval[0]).toBeCloseTo(1 / 3, 12);
    expect(second!.interval[1]).toBeCloseTo(2.5 / 3, 12);
  });
  it("refuse a missing cell, and a baseline that does not take part", () => {
    expect(() =>
      standingsOf(
        cellsOf([
          [1, 1],
          [1, 1],
        ]).slice(1),
        options,
      ),
    ).toThrow("there are 0 cells");
    expect(() => standingsOf(cellsOf([[1]]), { ...options, baseline: "x" })).toThrow("does not take part");
  });
});
