import { describe, expect, it } from "vitest";
import { type Outcome, rank, scoreOf } from "../../src/lab/score.js";
import { verdictOf } from "../../src/lab/verdict.js";

const target = { metric: "loss", value: 0.1, goal: "min" } as const;
const reached = (seconds: number): Outcome => ({ kind: "reached", seconds, steps: 1, gradients: 1 });
const missed: Outcome = { kind: "missed", steps: 5, seconds: 9 };

/** What is said of a race whose optimizers ended so on their seeds. */
const sayOf = (runs: Readonly<Record<string, readonly Outcome[]>>) =>
  verdictOf({
    scores: rank(
      Object.entries(runs).map(([label, outcomes]) => scoreOf(label, outcomes, [])),
      target,
    ),
    settings: { limits: { target, steps: 10 } } as unknown as Parameters<typeof verdictOf>[0]["settings"],
  });

describe("the verdict on a race", () => {
  it("says who arrived first, and whether on every seed", () => {
    expect(sayOf({ a: [reached(1), reached(2)], b: [reached(3), reached(6)] })).toBe(
      "a reached test loss 0.1 first, in 1.5 s of training (median of 2 runs). b took 3 times as long, on every seed longer than a on any.",
    );
    expect(sayOf({ a: [reached(1), reached(4)], b: [reached(3), reached(6)] })).toMatch(
      /order is not certain/,
    );
    expect(sayOf({ a: [reached(1)], b: [reached(3)] })).toMatch(/on one seed: others may give another/);
    expect(sayOf({ a: [reached(1)], b: [missed] })).toMatch(/No other reached it on most seeds\.$/);
    expect(sayOf({ a: [missed], b: [missed] })).toBe("No optimizer reached test loss 0.1 on most seeds.");
  });
  it("claims no lead on every seed where the winner missed one", () => {
    const said = sayOf({
      a: [reached(1), reached(2), missed],
      b: [reached(4), reached(5), reached(6)],
    });
    expect(said).toMatch(/^a reached .* b took 2\.5 times as long, but .* the order is not certain\.$/);
  });
  it("of a target that the start meets says that it tells nothing apart", () => {
    const said = sayOf({ a: [reached(0)], b: [reached(0)] });
    expect(said).toMatch(/The start meets the target already/);
    expect(said).not.toContain("NaN");
  });
});
