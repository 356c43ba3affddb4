/** The estimator against gradients of a recurrence that are known exactly. */
import { expect, test } from "vitest";
import { type Pair, persistentGradient } from "../../../src/lab/meta-train/persistent-es.js";
import { random } from "../../../src/nn/index.js";

const [stretches, stretch] = [4, 2];
const curvatures = [0.4, 1.5];

/** Gradient descent with momentum on ½ Σ hᵢ xᵢ²: φ = (rate, momentum). Losses are those before each step. */
function trajectory(offset = 0) {
  const x = [1, -0.7];
  const velocity = [0, 0];
  return (phi: ArrayLike<number>): number => {
    let sum = 0;
    for (let k = 0; k < stretch; k++) {
      sum += offset + 0.5 * curvatures.reduce((total, h, i) => total + h * x[i]! ** 2, 0);
      curvatures.forEach((h, i) => {
        velocity[i] = phi[1]! * velocity[i]! + h * x[i]!;
        x[i]! -= phi[0]! * velocity[i]!;
      });
    }
    return sum / stretch;
  };
}

const phi = Float64Array.of(0.15, 0.3);
/** The mean loss of a whole trajectory, and its gradient by central differences. */
const meanLoss = (at: ArrayLike<number>): number => {
  const go = trajectory();
  let sum = 0;
  for (let k = 0; k < stretches; k++) sum += go(at);
  return sum / stretches;
};
const exact = [0, 1].map((i) => {
  const moved = (by: number) => meanLoss(phi.map((value, j) => (j === i ? value + by : value)));
  return (moved(1e-6) - moved(-1e-6)) / 2e-6;
});

/** Mean estimates of `count` trajectories, each the mean over its stretches, with their standard errors. */
function estimate(count: number, persistent: boolean, offset = 0) {
  const rng = random(5);
  const normals = (epsilon: Float64Array) => {
    for (let i = 0; i < epsilon.length; i++) epsilon[i] = rng.normal();
  };
  const samples: number[][] = [];
  for (let n = 0; n < count; n++) {
    const pair: Pair = {
      plus: trajectory(offset),
      minus: trajectory(offset),
      perturbations: new Float64Array(2),
    };
    const sum = [0, 0];
    const gradient = new Float64Array(2);
    for (let k = 0; k < stretches; k++) {
      if (!persistent) pair.perturbations.fill(0);
      persistentGradient(phi, [pair], 0.01, (_, epsilon) => normals(epsilon), gradient);
      gradient.forEach((value, i) => {
        sum[i]! += value / stretches;
      });
    }
    samples.push(sum);
  }
  return [0, 1].map((i) => {
    const values = samples.map((sample) => sample[i]!);
    const mean = values.reduce((a, b) => a + b, 0) / count;
    const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / (count - 1);
    return { mean, error: Math.sqrt(variance / count) };
  });
}

test("the mean estimate over the stretches of a trajectory is the gradient of its mean loss", () => {
  estimate(20_000, true).forEach(({ mean, error }, i) => {
    expect(error).toBeLessThan(0.1 * Math.abs(exact[i]!));
    expect(Math.abs(mean - exact[i]!)).toBeLessThan(4 * error);
  });
});

test("without the sum of perturbations the estimate is another one", () => {
  const [{ mean, error }] = estimate(20_000, false) as [{ mean: number; error: number }, unknown];
  expect(Math.abs(mean - exact[0]!)).toBeGreaterThan(20 * error);
});

test("opposite perturbations: what both losses share makes no noise", () => {
  const [plain, shifted] = [estimate(50, true), estimate(50, true, 1000)];
  plain.forEach(({ mean }, i) => {
    expect(shifted[i]!.mean).toBeCloseTo(mean, 6);
  });
});

test("pairs are averaged, each with its own perturbations", () => {
  const one = (seed: number): Pair => ({
    plus: (at) => seed * at[0]!,
    minus: (at) => seed * at[0]!,
    perturbations: new Float64Array(1),
  });
  const gradient = new Float64Array(1);
  const pairs = [one(1), one(3)];
  const loss = persistentGradient(
    Float64Array.of(2),
    pairs,
    0.1,
    (pair, epsilon) => epsilon.fill(pair === 0 ? 1 : -2),
    gradient,
  );
  // ξ (L⁺ − L⁻)/2σ² = slope · ε²/σ²: 1·1 and 3·4.
  expect(gradient[0]).toBeCloseTo((1 + 12) / 2, 10);
  expect(loss).toBeCloseTo((2 + 6) / 2, 10);
  expect(pairs.map(({ perturbations }) => perturbations[0])).toEqual([0.1, -0.2]);
});
