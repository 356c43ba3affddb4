import { describe, expect, it } from "vitest";
import { frechetDistance, principalComponents } from "../../src/lab/frechet.js";
import { halved } from "../../src/lab/problems/gan-digits.js";
import { openProblem } from "../../src/lab/problems/registry.js";
import { optimizerFor } from "../../src/lab/session.js";
import { random } from "../../src/nn/index.js";
import { createRuntime } from "../../src/runtime/runtime.js";

const runtime = await createRuntime({ threads: 1 });

/** Normal samples [count, 3] with covariance M Mᵀ. */
function drawn(count: number, M: readonly (readonly number[])[], shift: number, seed: number): Float64Array {
  const rng = random(seed);
  const samples = new Float64Array(3 * count);
  for (let k = 0; k < count; k++) {
    const z = [rng.normal(), rng.normal(), rng.normal()];
    for (let i = 0; i < 3; i++)
      samples[3 * k + i] = M[i]!.reduce((sum, m, j) => sum + m * z[j]!, i === 1 ? shift : 0);
  }
  return samples;
}

describe("the Fréchet distance", () => {
  it("is that of the normal distributions", () => {
    const M = [
      [2, 0, 0],
      [1, 1, 0],
      [0, 0.5, 0.2],
    ];
    const samples = drawn(500, M, 0, 1);
    const components = principalComponents(runtime, samples, 3, 3);
    expect(frechetDistance(runtime, components, samples)).toBeCloseTo(0, 8);
    // The same, moved by 3 along one axis.
    const moved = samples.map((value, k) => (k % 3 === 1 ? value + 3 : value));
    expect(frechetDistance(runtime, components, moved)).toBeCloseTo(9, 8);
    // All distances from the mean doubled: tr(C + 4C − 2·2C) = tr C.
    const mean = [0, 1, 2].map((i) => samples.reduce((s, x, k) => s + (k % 3 === i ? x / 500 : 0), 0));
    const wider = samples.map((value, k) => 2 * value - mean[k % 3]!);
    const total = components.variances.reduce((a, b) => a + b);
    expect(frechetDistance(runtime, components, wider)).toBeCloseTo(total, 8);
    // Covariances that do not commute: the eigenvalues of C Ĉ, not symmetric, by their characteristic polynomial.
    const plane = drawn(
      400,
      [
        [1, 0.9, 0],
        [0, 0.1, 0],
        [0, 0, 0],
      ],
      0,
      2,
    );
    const other = drawn(
      400,
      [
        [0.3, 0, 0],
        [0.8, 1, 0],
        [0, 0, 0],
      ],
      0,
      3,
    );
    const [C, D] = [plane, other].map(covariance2) as [number[], number[]];
    const trace = C[0]! * D[0]! + 2 * C[1]! * D[1]! + C[2]! * D[2]!;
    const det = (C[0]! * C[2]! - C[1]! ** 2) * (D[0]! * D[2]! - D[1]! ** 2);
    const expected =
      C[0]! + C[2]! + D[0]! + D[2]! - 2 * Math.sqrt(trace + 2 * Math.sqrt(det)) + squaredShift(plane, other);
    const two = principalComponents(runtime, plane, 3, 2);
    expect(frechetDistance(runtime, two, other)).toBeCloseTo(expected, 8);
    expect(frechetDistance(runtime, two, other.with(5, Number.NaN))).toBeNaN();
  });
});

const means = (x: Float64Array) =>
  [0, 1].map((i) => x.reduce((s, value, k) => s + (k % 3 === i ? value : 0), 0) / (x.length / 3));
const squaredShift = (x: Float64Array, y: Float64Array) =>
  means(x).reduce((s, m, i) => s + (m - means(y)[i]!) ** 2, 0);
/** [xx, xy, yy] */
function covariance2(x: Float64Array): number[] {
  const [a, b] = means(x) as [number, number];
  const sums = [0, 0, 0];
  for (let k = 0; k < x.length; k += 3) {
    sums[0]! += (x[k]! - a) ** 2;
    sums[1]! += (x[k]! - a) * (x[k + 1]! - b);
    sums[2]! += (x[k + 1]! - b) ** 2;
  }
  return sums.map((sum) => sum / (x.length / 3));
}

describe("digits by a generative adversarial network", () => {
  it("are means of 2×2 pixels", () => {
    const inputs = Float32Array.from({ length: 784 * 2 }, (_, k) => Math.floor((k % 784) / 28) % 2);
    expect(halved({ inputs, size: 2 }).every((pixel) => pixel === 0.5)).toBe(true);
    const spot = new Float32Array(784).fill(0);
    spot[28 * 7 + 10] = 1;
    const small = halved({ inputs: spot, size: 1 });
    expect([small.indexOf(0.25), small.lastIndexOf(0.25)]).toEqual([14 * 3 + 5, 14 * 3 + 5]);
  });
  it("are trained, and measured against the test digits", () => {
    const problem = openProblem({ name: "gan-digits", options: { generator: "8", discriminator: "8" } });
    expect(problem.summary).toMatch(/^generator 32-8-196 against discriminator 196-8-1, 3,613 parameters/);
    const instance = problem.start(runtime, { seed: 0, batch: 8 });
    const before = instance.evaluate().frechetDistance!;
    const training = optimizerFor(problem, { name: "adam", settings: {} }).start(instance.objective);
    for (let step = 0; step < 60; step++) {
      instance.load(step);
      expect(training.step().finite).toBe(true);
    }
    const after = instance.evaluate().frechetDistance!;
    expect(before).toBeGreaterThan(0);
    expect(after).not.toBe(before);
    expect(after).toBeLessThan(1.5 * before);
    training.release();
    instance.release();
  });
});
