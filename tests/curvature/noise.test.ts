import fc from "fast-check";
import { EVD, Matrix } from "ml-matrix";
import { describe, expect, it } from "vitest";
import {
  batchSpread,
  bestDecay,
  exampleNoise,
  gradientNoise,
  rowsNeeded,
  staleness,
  twoBatchNoise,
} from "../../src/curvature/noise.js";
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

/** Statistics of single examples: x + a normal of variance σ² an element. */
function examples(size: number, count: number, sigma: number): Float64Array[] {
  const next = random(3);
  return Array.from({ length: count }, (_, k) => {
    const noise = next.stream(`example ${k}`);
    return Float64Array.from({ length: size }, (_, i) => Math.cos(i) / 4 + sigma * noise.normal());
  });
}
const squaredNorm = (v: ArrayLike<number>) => Array.from(v).reduce((sum, x) => sum + x * x, 0);
const meanOf = (vectors: readonly Float64Array[]) =>
  vectors[0]!.map((_, i) => vectors.reduce((sum, v) => sum + v[i]!, 0) / vectors.length);

describe("three estimators of the noise scale", () => {
  const all = examples(50, 512, 0.7);
  const rows = Float64Array.from(all.flatMap((v) => [...v]));
  it("by examples is that of batches of one", () => {
    const byExamples = exampleNoise(rows, all.length);
    const byBatches = gradientNoise(all, 1);
    expect(byExamples.variance).toBeCloseTo(byBatches.variance, 9);
    expect(byExamples.squaredNorm).toBeCloseTo(byBatches.squaredNorm, 9);
    expect(byExamples.variance / (50 * 0.49)).toBeCloseTo(1, 1);
  });
  it("by two sizes of batches solves the two equations", () => {
    const of = (batch: number) => {
      const means = Array.from({ length: 512 / batch }, (_, k) =>
        meanOf(all.slice(k * batch, (k + 1) * batch)),
      );
      return { batch, squaredNorm: means.reduce((sum, m) => sum + squaredNorm(m), 0) / means.length };
    };
    const [small, big] = [of(4), of(64)];
    const { variance, squaredNorm: signal, scale } = twoBatchNoise(small, big);
    expect(signal + variance / 4).toBeCloseTo(small.squaredNorm, 12);
    expect(signal + variance / 64).toBeCloseTo(big.squaredNorm, 12);
    expect(scale).toBe(variance / signal);
    expect(() => twoBatchNoise(small, small)).toThrow("both batches have 4 examples; they must differ");
  });
  it("one example has no spread", () => {
    expect(() => exampleNoise([1, 2], 1)).toThrow("1 examples; at least two have a spread");
    expect(() => batchSpread(2, 8).noise()).toThrow("0 batches; at least two have a spread");
  });
});

describe("the spread over batches of B, 2B, 4B, …", () => {
  it("is that of a plain loop at every size", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 6 }), (size, levels) => {
        const batches = examples(size, 2 ** levels, 1);
        const spread = batchSpread(size, 8);
        for (const batch of batches) spread.add(batch);
        const mean = meanOf(batches);
        spread.mean.forEach((x, i) => {
          expect(x).toBeCloseTo(mean[i]!, 12);
        });
        const sizes = spread.sizes();
        expect(sizes.map(({ batch }) => batch)).toEqual(Array.from({ length: levels }, (_, k) => 8 * 2 ** k));
        sizes.forEach(({ variance, batches: groups }, k) => {
          const means = Array.from({ length: groups }, (_, g) =>
            meanOf(batches.slice(g * 2 ** k, (g + 1) * 2 ** k)),
          );
          const squares = means.reduce((sum, m) => sum + squaredNorm(m.map((x, i) => x - mean[i]!)), 0);
          expect(variance).toBeCloseTo(squares / (groups - 1), 9);
        });
      }),
      { seed: 1, numRuns: 30 },
    );
  });
  it("falls as 1/B for independent examples", () => {
    const spread = batchSpread(200, 1);
    for (const example of examples(200, 1024, 1)) spread.add(example);
    for (const { batch, batches, variance } of spread.sizes())
      if (batches >= 8) expect((variance * batch) / 200).toBeCloseTo(1, 0.5);
  });
});

describe("how many rows a covariance needs", () => {
  it("solves √(r/M) + r/M = error", () => {
    for (const rank of [1, 7.5, 300])
      for (const error of [0.1, 0.5, 2]) {
        const rows = rowsNeeded(rank, error);
        const at = (m: number) => Math.sqrt(rank / m) + rank / m;
        expect(at(rows)).toBeLessThanOrEqual(error * (1 + 1e-12));
        if (rows > 1) expect(at(rows - 1)).toBeGreaterThan(error);
      }
  });
  it("and they are enough: a sample covariance of normal rows is that near", () => {
    // A = diag(1, ½, ¼, …) in ten dimensions.
    const scales = Array.from({ length: 10 }, (_, i) => 0.5 ** i);
    const rank = scales.reduce((a, b) => a + b) / scales[0]!;
    const rows = rowsNeeded(rank, 0.5);
    const next = random(5);
    let total = 0;
    for (let trial = 0; trial < 20; trial++) {
      const rng = next.stream(`trial ${trial}`);
      const sample = Array.from({ length: rows }, () => scales.map((a) => Math.sqrt(a) * rng.normal()));
      const difference = Matrix.diag(scales.map((a) => -a));
      for (const row of sample)
        for (let i = 0; i < 10; i++)
          for (let j = 0; j < 10; j++)
            difference.set(i, j, difference.get(i, j) + (row[i]! * row[j]!) / rows);
      total += Math.max(...new EVD(difference).realEigenvalues.map(Math.abs)) / 20;
    }
    expect(total).toBeLessThan(0.5);
  });
});

describe("averages over time", () => {
  const steady = (speed: number) => (updates: number) => speed * updates;
  it("with decay β are worth (1 + β)/(1 − β) batches and lag by β/(1 − β)", () => {
    const { lag, batches, error, sampling, drift } = staleness({ noise: 0.3, moved: steady(0.001) }, 0.95);
    expect(lag).toBeCloseTo(19, 9);
    expect(batches).toBeCloseTo(39, 9);
    expect(error).toBeCloseTo(Math.hypot(sampling, drift), 12);
    expect(staleness({ noise: 1, moved: steady(0) }, 0.99, { interval: 10, refresh: 100 }).lag).toBeCloseTo(
      990 + 49.5,
      6,
    );
  });
  it("agree with an average that is run", () => {
    // x moves by v an update; estimates have noise σ.
    const [sigma, speed, beta] = [0.5, 0.02, 0.9];
    const rng = random(7);
    let [average, squares] = [0, 0];
    const steps = 200_000;
    for (let t = 0; t < steps; t++) {
      average = beta * average + (1 - beta) * (speed * t + sigma * rng.normal());
      if (t > 1000) squares += (average - speed * t) ** 2 / (steps - 1001);
    }
    expect(Math.sqrt(squares) / staleness({ noise: sigma, moved: steady(speed) }, beta).error).toBeCloseTo(
      1,
      1,
    );
  });
  it("the best decay is better than its neighbours, and 0 where nothing is noisy", () => {
    const drift = { noise: 0.3, moved: steady(0.001) };
    const best = bestDecay(drift);
    const error = (beta: number) => staleness(drift, beta).error;
    for (const factor of [0.8, 1.25]) expect(error(best)).toBeLessThan(error(1 - (1 - best) * factor));
    expect(bestDecay({ noise: 0, moved: steady(1) })).toBe(0);
    expect(bestDecay({ noise: 1, moved: steady(0) })).toBeGreaterThan(0.99999);
    expect(() => staleness(drift, 1)).toThrow("the decay is 1; use a number from 0 to below 1");
  });
});
