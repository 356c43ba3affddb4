import { describe, expect, it } from "vitest";
import { gradientNoise } from "../../src/lab/probe.js";
import { random } from "../../src/nn/random.js";

describe("the noise scale", () => {
  it("is variance over squared norm, without bias: many batches of known noise", () => {
    // Gradients of single examples are g + noise of variance σ² an element; those of a batch have σ²/B.
    const [n, batch, batches, sigma] = [400, 8, 300, 0.5];
    const g = Float64Array.from({ length: n }, (_, i) => Math.sin(i) / 10);
    const next = random(1);
    const gradients = Array.from({ length: batches }, (_, k) => {
      const noise = next.stream(`batch ${k}`);
      return g.map((value) => value + (sigma / Math.sqrt(batch)) * noise.normal());
    });
    const squared = g.reduce((sum, value) => sum + value ** 2, 0);
    const { variance, squaredNorm, scale } = gradientNoise(gradients, batch);
    expect(variance / (n * sigma ** 2)).toBeCloseTo(1, 1);
    expect(squaredNorm / squared).toBeCloseTo(1, 1);
    expect(scale).toBe(variance / squaredNorm);
  });
  it("is infinite where the batches disagree entirely, and 0 where they agree", () => {
    expect(
      gradientNoise(
        [
          [1, 0],
          [0, 1],
        ],
        8,
      ),
    ).toEqual({ variance: 8, squaredNorm: 0, scale: Number.POSITIVE_INFINITY });
    expect(
      gradientNoise(
        [
          [3, 4],
          [3, 4],
        ],
        8,
      ),
    ).toEqual({ variance: 0, squaredNorm: 25, scale: 0 });
  });
});
