import { describe, expect, it } from "vitest";
import { createObjective } from "../../../src/curvature/objective.js";
import { sharpness } from "../../../src/lab/generalization/sharpness.js";
import { layoutOf } from "../../../src/nn/parameters.js";
import { random } from "../../../src/nn/random.js";
import { createRuntime } from "../../../src/runtime/runtime.js";
import { constant } from "../../../src/tensor/tensor.js";

const runtime = await createRuntime({ threads: 1 });
const batches = { count: 1, load() {} };

/** ½ θᵀAθ with A = BᵀB, a full matrix. */
function quadratic(n: number) {
  const rng = random(3).stream("quadratic");
  const B = Float64Array.from({ length: n * n }, () => rng.normal());
  const theta = Float64Array.from({ length: n }, () => rng.normal());
  const objective = createObjective(runtime, {
    layout: layoutOf({ x: { dtype: "f64", shape: [n] } }),
    parameters: theta,
    batch: [],
    trace: (x) => ({
      loss: constant({ dtype: "f64", shape: [n, n], data: B })
        .matmul(x.reshape([n, 1]))
        .square()
        .sum()
        .mul(0.5),
      state: undefined,
    }),
  });
  const times = (v: Float64Array) => {
    const Bv = Float64Array.from({ length: n }, (_, i) =>
      v.reduce((sum, x, j) => sum + B[i * n + j]! * x, 0),
    );
    return Float64Array.from({ length: n }, (_, j) => Bv.reduce((sum, y, i) => sum + B[i * n + j]! * y, 0));
  };
  return { objective, theta, times };
}
const inner = (u: Float64Array, v: Float64Array) => u.reduce((sum, x, i) => sum + x * v[i]!, 0);

describe("the sharpness of a quadratic", () => {
  const n = 6;
  const radius = 0.3;
  const { objective, theta, times } = quadratic(n);
  const g = times(theta);
  /** gᵀε + ½ εᵀAε. */
  const rise = (epsilon: Float64Array) => inner(g, epsilon) + inner(epsilon, times(epsilon)) / 2;

  it("after one step is that of ε = ρ g/‖g‖, and adaptive of ε = ρ θ²g/‖θg‖", () => {
    const length = Math.sqrt(inner(g, g));
    const { first, most } = sharpness(objective, batches, { radius, adaptive: false, steps: 1 });
    expect(first).toBeCloseTo(rise(g.map((x) => (radius * x) / length)), 10);
    expect(most).toBe(first);
    const scaled = g.map((x, i) => Math.abs(theta[i]!) * x);
    const size = Math.sqrt(inner(scaled, scaled));
    const adaptive = sharpness(objective, batches, { radius, adaptive: true, steps: 1 });
    expect(adaptive.first).toBeCloseTo(rise(g.map((x, i) => (radius * theta[i]! ** 2 * x) / size)), 10);
  });
  it("after many is the largest in the ball, where (μI − A)ε = g with μ above every eigenvalue", () => {
    const { most } = sharpness(objective, batches, { radius, adaptive: false, steps: 200 });
    // ε as a function of μ, by the iteration ε ← (g + Aε)/μ; ‖ε‖ falls with μ.
    const solve = (mu: number) => {
      let epsilon = new Float64Array(n);
      for (let k = 0; k < 2000; k++) epsilon = times(epsilon).map((x, i) => (x + g[i]!) / mu);
      return epsilon;
    };
    const trace = Array.from({ length: n }, (_, i) => {
      const unit = new Float64Array(n);
      unit[i] = 1;
      return times(unit)[i]!;
    }).reduce((a, b) => a + b, 0);
    // At μ ≥ tr A + ‖g‖/ρ the solution is within the ball; towards λ₁ it leaves it.
    let [low, high] = [0, trace + Math.sqrt(inner(g, g)) / radius];
    for (let k = 0; k < 60; k++) {
      const mu = (low + high) / 2;
      const epsilon = solve(mu);
      const length = Math.sqrt(inner(epsilon, epsilon));
      if (Number.isFinite(length) && length < radius) high = mu;
      else low = mu;
    }
    const best = rise(solve(high));
    expect(most).toBeCloseTo(best, 6);
    expect(most).toBeGreaterThan(sharpness(objective, batches, { radius, adaptive: false, steps: 1 }).first);
  });
  it("leaves θ as it was, and is zero where the gradient is", () => {
    expect([...objective.parameters.data]).toEqual([...theta]);
    objective.parameters.data.fill(0);
    expect(sharpness(objective, batches, { radius, adaptive: false, steps: 5 })).toEqual({
      first: 0,
      most: 0,
    });
  });
});
