/** Methods that divide by an estimate of the curvature's diagonal. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createObjective, curvatureOperator, type Objective } from "../../src/curvature/index.js";
import { layoutOf } from "../../src/nn/parameters.js";
import { adahessian, type Optimizer, sophia } from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { constant } from "../../src/tensor/tensor.js";
import { numbers, smallObjective } from "./small.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const curvatures = numbers(24, 4).map((x) => 3 * x);
/** ½ Σ cₖ θₖ²: what random signs say of its Hessian is exact. The array has the axes of a convolution's weights. */
const separable = () => {
  const c = constant(curvatures, "f64");
  return createObjective(runtime, {
    layout: layoutOf({ K: { dtype: "f64", shape: [2, 3, 2, 2] } }),
    parameters: numbers(24),
    batch: [],
    trace: (theta) => ({ loss: theta.square().inner(c).mul(0.5), state: undefined }),
  });
};

/** θ after some updates, ours and by a plain loop over one objective. */
function compare(
  objective: Objective,
  optimizer: Optimizer,
  steps: number,
  update: (theta: number[], g: number[], t: number) => number[],
): void {
  let theta = [...objective.parameters.data];
  const training = optimizer.start(objective);
  for (let t = 1; t <= steps; t++) training.step();
  const ours = [...objective.parameters.data];
  for (let t = 1; t <= steps; t++) {
    objective.parameters.set(theta);
    theta = update(theta, [...objective.gradient().gradient.data], t);
  }
  theta.forEach((value, k) => {
    expect(ours[k]).toBeCloseTo(value, 13);
  });
  training.release();
  objective.release();
}

describe("sophia", () => {
  test("with a constant Hessian is clipped momentum", () => {
    let m = new Array<number>(24).fill(0);
    const settings = { learningRate: 0.1, gamma: 0.5, beta1: 0.8, beta2: 0, clip: 0.7, weightDecay: 0.3 };
    let clipped = 0;
    compare(separable(), sophia.create(settings), 12, (theta, g) => {
      m = m.map((value, k) => 0.8 * value + 0.2 * g[k]!);
      return theta.map((value, k) => {
        const step = m[k]! / Math.max(0.5 * curvatures[k]!, 1e-12);
        if (Math.abs(step) > 0.7) clipped++;
        return (1 - 0.1 * 0.3) * value - 0.1 * Math.max(-0.7, Math.min(0.7, step));
      });
    });
    expect(clipped).toBeGreaterThan(20);
    expect(clipped).toBeLessThan(12 * 24 - 20);
  });
  test("estimates at updates 1, k + 1, 2k + 1, … and averages them", () => {
    const objective = smallObjective(runtime);
    const training = sophia.create({ every: 3, learningRate: 0.01 }).start(objective);
    const { "sophia.diagonal": diagonal, probe } = training.state;
    for (let t = 1; t <= 8; t++) {
      const [before, z] = [diagonal!.copy(), probe!.copy()];
      const H = curvatureOperator(objective, "hessian");
      H.linearize();
      const Hz = new Float64Array(24);
      H.apply(z, Hz);
      H.release();
      const { evaluations } = training.step();
      const due = t % 3 === 1;
      expect(evaluations).toEqual(due ? { gradients: 1, hessianVectorProducts: 1 } : { gradients: 1 });
      expect([...z].every((sign) => Math.abs(sign) === 1)).toBe(true);
      if (due) expect(probe!.copy()).not.toEqual(z);
      else expect(probe!.copy()).toEqual(z);
      before.forEach((value, k) => {
        const expected = due ? 0.99 * value + 0.01 * z[k]! * Hz[k]! : value;
        expect(diagonal!.data[k]).toBeCloseTo(expected, 14);
      });
    }
    training.release();
    objective.release();
  });
  test("the mean of several probes", () => {
    const objective = smallObjective(runtime);
    const H = curvatureOperator(objective, "hessian");
    H.linearize();
    const training = sophia.create({ probes: 3, beta2: 0 }).start(objective);
    const z = training.state.probe!.copy();
    expect(z).toHaveLength(72);
    const expected = new Float64Array(24);
    for (let sample = 0; sample < 3; sample++) {
      const own = z.slice(24 * sample, 24 * (sample + 1));
      const Hz = new Float64Array(24);
      H.apply(own, Hz);
      Hz.forEach((value, k) => {
        expected[k]! += (own[k]! * value) / 3;
      });
    }
    training.step();
    expected.forEach((value, k) => {
      expect(training.state["sophia.diagonal"]!.data[k]).toBeCloseTo(value, 14);
    });
    for (const part of [H, training, objective]) part.release();
  });
  test.each([
    ["hutchinson", "hessian"],
    ["gaussNewtonBartlett", "gaussNewton"],
  ] as const)("%s is right on average about the diagonal: %s", (estimator, kind) => {
    const objective = smallObjective(runtime);
    const A = curvatureOperator(objective, kind);
    A.linearize();
    const exact = Array.from({ length: 24 }, (_, k) => {
      const [unit, column] = [new Float64Array(24), new Float64Array(24)];
      unit[k] = 1;
      A.apply(unit, column);
      return column[k]!;
    });
    // θ all but stays.
    const training = sophia
      .create({ estimator, every: 1, beta2: 0, learningRate: 1e-14, weightDecay: 0, seed: 3 })
      .start(objective);
    const draws = 4000;
    const [sum, squares] = [new Float64Array(24), new Float64Array(24)];
    for (let draw = 0; draw < draws; draw++) {
      training.step();
      training.state["sophia.diagonal"]!.data.forEach((value, k) => {
        sum[k]! += value;
        squares[k]! += value ** 2;
      });
    }
    exact.forEach((value, k) => {
      const mean = sum[k]! / draws;
      const error = Math.sqrt(Math.max(squares[k]! / draws - mean ** 2, 0) / draws);
      expect(Math.abs(mean - value)).toBeLessThan(5 * error + 1e-9);
    });
    for (const part of [A, training, objective]) part.release();
  });
  test("gaussNewtonBartlett draws anew by seed and update", () => {
    const estimates = (seed: number) => {
      const objective = smallObjective(runtime);
      const settings = {
        estimator: "gaussNewtonBartlett",
        every: 1,
        beta2: 0,
        learningRate: 1e-14,
        seed,
      } as const;
      const training = sophia.create(settings).start(objective);
      const all = [1, 2].map(() => {
        expect(training.step().evaluations).toEqual({ gradients: 1, sampledGradients: 1 });
        return [...training.state["sophia.diagonal"]!.data];
      });
      training.release();
      objective.release();
      return all;
    };
    const [a, again, other] = [estimates(1), estimates(1), estimates(2)];
    expect(a).toEqual(again);
    expect(a[0]).not.toEqual(a[1]);
    expect(a[0]).not.toEqual(other[0]);
    expect(a.flat().every((value) => value >= 0)).toBe(true);
  });
  test("says when a loss has no distribution, and keeps nothing", () => {
    const objective = separable();
    const before = runtime.used;
    expect(() => sophia.create({ estimator: "gaussNewtonBartlett" }).start(objective)).toThrow(
      "sophia: estimator=gaussNewtonBartlett needs outputCurvature.sampleGradient, the mark of a loss that is a negative log-likelihood; use estimator=hutchinson",
    );
    expect(runtime.used).toBe(before);
    objective.release();
  });
});

describe("adahessian", () => {
  const window = (h: readonly number[], of: (x: number) => number) =>
    h.map((_, k) => {
      let mean = 0;
      for (let place = 0; place < 6; place++) mean += of(h[place * 4 + (k % 4)]!) / 6;
      return mean;
    });
  test.each([
    ["window", window(curvatures, (x) => x)],
    ["windowOfMagnitudes", window(curvatures, Math.abs)],
    ["none", curvatures],
  ] as const)("with a constant Hessian, averaging %s", (averaging, h) => {
    let m = new Array<number>(24).fill(0);
    const settings = { learningRate: 0.05, averaging, hessianPower: 0.7, weightDecay: 0.2 };
    compare(separable(), adahessian.create(settings), 10, (theta, g, t) => {
      m = m.map((value, k) => 0.9 * value + 0.1 * g[k]!);
      // The average of equal squares, corrected, is the square.
      return theta.map(
        (value, k) =>
          (1 - 0.05 * 0.2) * value - (0.05 * m[k]!) / (1 - 0.9 ** t) / (Math.abs(h[k]!) ** 0.7 + 1e-4),
      );
    });
  });
  test("an estimate every k updates is corrected by the number of estimates", () => {
    let m = new Array<number>(24).fill(0);
    const settings = { learningRate: 0.05, averaging: "none", every: 4, beta2: 0.9 } as const;
    compare(separable(), adahessian.create(settings), 10, (theta, g, t) => {
      m = m.map((value, k) => 0.9 * value + 0.1 * g[k]!);
      return theta.map(
        (value, k) => value - (0.05 * m[k]!) / (1 - 0.9 ** t) / (Math.abs(curvatures[k]!) + 1e-4),
      );
    });
  });
  test("with power 0 is the mean gradient", () => {
    let m = new Array<number>(24).fill(0);
    compare(smallObjective(runtime), adahessian.create({ hessianPower: 0 }), 6, (theta, g, t) => {
      m = m.map((value, k) => 0.9 * value + 0.1 * g[k]!);
      return theta.map((value, k) => value - (0.1 * m[k]!) / (1 - 0.9 ** t) / (1 + 1e-4));
    });
  });
});

test.each([
  adahessian.create({ every: 2 }),
  sophia.create({ every: 3, clipNorm: 1 }),
  sophia.create({ estimator: "gaussNewtonBartlett", every: 1 }),
])("memory stays the same over steps, and all of it is given back: $name", (optimizer) => {
  const before = runtime.used;
  const objective = smallObjective(runtime, "f32");
  const training = optimizer.start(objective);
  for (let k = 0; k < 4; k++) training.step();
  const used = runtime.used;
  for (let k = 0; k < 100; k++) training.step();
  expect(runtime.used).toBe(used);
  training.release();
  objective.release();
  expect(runtime.used).toBe(before);
});
