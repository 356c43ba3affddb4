import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readLimits } from "../../src/cli/options.js";
import {
  bestOf,
  describeFinished,
  describeReached,
  median,
  type Outcome,
  outcomeOf,
  qualityOf,
  rank,
  scoreOf,
} from "../../src/lab/score.js";

const reached = (seconds: number): Outcome => ({
  kind: "reached",
  seconds,
  steps: 10 * seconds,
  gradients: 10,
});
const missed: Outcome = { kind: "missed", steps: 5, seconds: 1 };
const diverged: Outcome = { kind: "diverged", step: 3 };
const unfinished: Outcome = { kind: "unfinished" };
const smaller = { metric: "loss", goal: "min" } as const;

describe("median", () => {
  it("is the middle, or the mean of two", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(median([])).toBeNaN();
  });
  it("lies between the extremes and does not depend on the order", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ noNaN: true, min: -1e6, max: 1e6 }), { minLength: 1 }), (values) => {
        const m = median(values);
        expect(m).toBeGreaterThanOrEqual(Math.min(...values));
        expect(m).toBeLessThanOrEqual(Math.max(...values));
        // 0 and −0 are equal, and may stand in either order.
        expect(median([...values].reverse()) === m).toBe(true);
      }),
    );
  });
});

describe("what is compared", () => {
  it("is the target's metric; without a target the loss, or what stands for it", () => {
    const quality = { metric: "averageReturn", goal: "max" } as const;
    expect(qualityOf({ steps: 1, target: { ...smaller, value: 1 }, quality })).toMatchObject(smaller);
    expect(qualityOf({ steps: 1 })).toEqual(smaller);
    expect(qualityOf({ steps: 1, quality })).toEqual(quality);
    expect(readLimits({ target: "none" }, { averageReturn: "max" }, { steps: 1, target: undefined })).toEqual(
      {
        steps: 1,
        quality,
      },
    );
    expect(readLimits({}, { l2Error: "min", loss: "min" }, { steps: 1, target: undefined })).toEqual({
      steps: 1,
    });
  });
});

describe("the best of a run's measurements", () => {
  const measured = (losses: readonly number[]) =>
    losses.map((loss, step) => ({ step, seconds: 0, evaluations: {}, test: { loss } }));
  it("is the least or the largest finite value, or NaN", () => {
    expect(bestOf(measured([3, Number.NaN, 1, 2]), smaller)).toBe(1);
    expect(bestOf(measured([3, Number.POSITIVE_INFINITY, 1]), { metric: "loss", goal: "max" })).toBe(3);
    expect(bestOf([], smaller)).toBeNaN();
  });
  it("is found among more measurements than a call may have arguments", () => {
    expect(bestOf(measured(Array.from({ length: 400_000 }, (_, k) => Math.abs(k - 9))), smaller)).toBe(0);
  });
});

describe("scores", () => {
  it("count a run that never arrived as infinitely slow", () => {
    const score = scoreOf("a", [reached(1), missed, diverged], [0.5, 0.1, Number.NaN]);
    expect(score.seconds.median).toBe(Number.POSITIVE_INFINITY);
    expect([score.seconds.low, score.seconds.high]).toEqual([1, 1]);
    expect(scoreOf("a", [reached(1), reached(3), missed], []).seconds.median).toBe(3);
    expect(score.best).toBe(0.3);
  });
  it("do not count what has not ended", () => {
    expect(scoreOf("a", [reached(1), unfinished], []).seconds.median).toBe(1);
    expect(scoreOf("a", [unfinished], []).seconds.median).toBeNaN();
  });
  it("rank by time, then arrivals, then the best value, unfinished last", () => {
    const scores = [
      scoreOf("never, worse", [missed], [0.4]),
      scoreOf("unfinished", [unfinished], [0.01]),
      scoreOf("slow", [reached(5)], [0.1]),
      scoreOf("never", [missed], [0.2]),
      scoreOf("one of three", [reached(1), missed, missed], [0.3]),
      scoreOf("fast", [reached(2)], [0.2]),
      scoreOf("diverged", [diverged], [Number.NaN]),
    ];
    expect(rank(scores, smaller).map(({ label }) => label)).toEqual([
      "fast",
      "slow",
      "one of three",
      "never",
      "never, worse",
      "diverged",
      "unfinished",
    ]);
    expect(rank(scores, { metric: "accuracy", goal: "max" }).map(({ label }) => label)[3]).toBe(
      "never, worse",
    );
  });
  it("are told in words", () => {
    const score = scoreOf("a", [reached(1), missed, diverged, unfinished], []);
    expect(describeReached(score)).toBe("1 of 4, 1 diverged, 1 not reached, 1 unfinished");
    expect(describeFinished(score)).toBe("2 of 4, 1 diverged, 1 unfinished");
  });
  it("take a run that reached its target and diverged later as one that arrived", () => {
    const measurement = { step: 7, seconds: 0.5, evaluations: { gradients: 7 }, test: { loss: 1 } };
    const result = {
      reason: "target" as const,
      message: "",
      steps: 7,
      seconds: 0.5,
      compileSeconds: 0,
      evaluations: { gradients: 7 },
      reached: measurement,
    };
    expect(outcomeOf(result)).toEqual({ kind: "reached", seconds: 0.5, steps: 7, gradients: 7 });
    expect(outcomeOf({ ...result, reason: "interrupted" })).toEqual({ kind: "unfinished" });
    expect(outcomeOf(undefined)).toEqual({ kind: "unfinished" });
  });
});
