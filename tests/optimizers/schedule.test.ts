import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  constant,
  cosine,
  createOptimizer,
  exponential,
  linear,
  type Schedule,
  scheduleValues,
  stepwise,
  warmUp,
} from "../../src/optimizers/index.js";

function expectValues(schedule: Schedule, wanted: readonly number[]): void {
  const values = scheduleValues(schedule, wanted.length);
  wanted.forEach((value, k) => {
    expect(values[k]).toBeCloseTo(value, 14);
  });
}

describe("schedules", () => {
  test("constant", () => expectValues(constant(0.3), [0.3, 0.3, 0.3]));
  test("linear ends where it should and stays there", () =>
    expectValues(linear({ from: 1, to: 0.2, steps: 4 }), [1, 0.8, 0.6, 0.4, 0.2, 0.2]));
  test("cosine", () => expectValues(cosine({ from: 1, to: 0.1, steps: 2 }), [1, 0.55, 0.1, 0.1]));
  test("step changes exactly at multiples", () => {
    for (const every of [1, 3, 7, 49, 1000]) {
      const values = scheduleValues(stepwise({ rate: 1, factor: 0.5, every }), 3 * every + 1);
      for (const [k, wanted] of [
        [0, 1],
        [every - 1, 1],
        [every, 0.5],
        [2 * every - 1, 0.5],
        [2 * every, 0.25],
        [3 * every, 0.125],
      ] as const)
        expect(values[k]).toBeCloseTo(wanted, 14);
    }
  });
  test("exponential", () =>
    expectValues(exponential({ rate: 2, factor: 0.25, every: 2 }), [2, 1, 0.5, 0.25]));
  test("warm-up: the first rate is one part of the peak, the last of the warm-up the peak itself", () =>
    expectValues(warmUp(4, constant(1)), [0.25, 0.5, 0.75, 1, 1, 1]));
  test("what follows the warm-up starts from its beginning", () => {
    const main = cosine({ from: 0.7, steps: 5 });
    expectValues(warmUp(2, main), [0.35, 0.7, ...scheduleValues(main, 7)]);
  });

  test("stay between their ends and never rise after the warm-up", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("cosine", "linear"),
        fc.double({ min: 1e-6, max: 10, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 0, max: 50 }),
        (kind, from, fraction, steps, warm) => {
          const to = from * fraction;
          const main = kind === "cosine" ? cosine({ from, to, steps }) : linear({ from, to, steps });
          const values = scheduleValues(warm > 0 ? warmUp(warm, main) : main, warm + steps + 3);
          expect(Math.max(...values)).toBeLessThanOrEqual(from * (1 + 1e-14));
          for (let k = warm; k < values.length; k++) {
            expect(values[k]).toBeGreaterThanOrEqual(to - 1e-15 * from);
            if (k > warm) expect(values[k]!).toBeLessThanOrEqual(values[k - 1]! + 1e-15 * from);
          }
          expect(values[warm + steps]).toBe(to);
        },
      ),
    );
  });

  test("values out of range are refused by name", () => {
    expect(() => constant(-1)).toThrow("constant schedule: rate is -1; use a number above 0");
    expect(() => cosine({ from: 1, steps: 0 })).toThrow(
      "cosine schedule: steps is 0; use a whole number of at least 1",
    );
    expect(() => warmUp(1.5, constant(1))).toThrow("warm-up: steps is 1.5");
    expect(() => createOptimizer("sgd", { schedule: "linear" })).toThrow(
      "sgd: schedule linear needs decaySteps, its length in updates; for example decaySteps=1000",
    );
  });
});
