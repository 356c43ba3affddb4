import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../src/compiler/compile.js";
import { argumentsOf, curvatureOperator, type Objective } from "../../src/curvature/index.js";
import type { ProblemInstance } from "../../src/lab/problem.js";
import { openProblem } from "../../src/lab/problems/registry.js";
import { optimizerFor } from "../../src/lab/session.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import {
  deviation,
  differences,
  hessianByDifferences,
  kinds,
  matrixOf,
  randomVector,
  sandwiched,
} from "../curvature/matrices.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

function start(name: string, options: Record<string, number | string>, batch = 6): ProblemInstance {
  const instance = openProblem({ name, options: { hidden: "4", boundary: 4, ...options } }).start(runtime, {
    seed: 3,
    batch,
  });
  instance.load(0);
  return instance;
}

/** The rows of a batch's array. */
const rows = ({ data, shape }: Objective["batch"][number]): number[][] =>
  Array.from({ length: shape[0]! }, (_, i) =>
    Array.from(data.subarray((i * data.length) / shape[0]!, ((i + 1) * data.length) / shape[0]!)),
  );

/** u, ∂u/∂x₀ and the second derivatives of Σⱼ vⱼ tanh(wⱼ·x + bⱼ) + c, by the formula. */
function networkAt({ layout, parameters }: Objective) {
  const at = (name: string) => {
    const { offset, size } = layout.entry(name);
    return parameters.data.subarray(offset, offset + size);
  };
  const [W, b, v, c] = ["layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias"].map(at);
  const units = b!.length;
  return (x: readonly number[]) => {
    const second = x.map(() => 0);
    let [u, first] = [c![0]!, 0];
    for (let j = 0; j < units; j++) {
      const t = Math.tanh(x.reduce((sum, xi, i) => sum + xi * W![i * units + j]!, b![j]!));
      u += v![j]! * t;
      first += v![j]! * (1 - t * t) * W![j]!;
      x.forEach((_, i) => {
        second[i]! += -2 * v![j]! * t * (1 - t * t) * W![i * units + j]! ** 2;
      });
    }
    return { u, first, second };
  };
}

const half = (residuals: readonly number[]) =>
  residuals.reduce((sum, r) => sum + r * r, 0) / (2 * residuals.length);

/** Residuals inside, from the formulas of network and equation. */
const equations: Record<
  string,
  {
    options: Record<string, number | string>;
    residual: (net: ReturnType<typeof networkAt>, x: number[]) => number;
    u: (x: number[]) => number;
  }
> = {
  "pinn-poisson": {
    options: { dimension: 3 },
    residual: (net, x) =>
      net(x).second.reduce((a, b) => a + b) + 3 * Math.PI ** 2 * equations["pinn-poisson"]!.u(x),
    u: (x) => x.reduce((product, xi) => product * Math.sin(Math.PI * xi), 1),
  },
  "pinn-heat": {
    options: { dimension: 2 },
    residual: (net, x) => net(x).first - (net(x).second[1]! + net(x).second[2]!) / 4,
    u: ([t, ...x]) =>
      Math.exp((-2 * Math.PI ** 2 * t!) / 4) * x.reduce((product, xi) => product * Math.sin(Math.PI * xi), 1),
  },
};

for (const [name, { options, residual, u }] of Object.entries(equations))
  describe(name, () => {
    it("has the loss of its equation", () => {
      const { objective, release } = start(name, options);
      const net = networkAt(objective);
      const [x, , y] = objective.batch;
      const expected =
        half(rows(x!).map((point) => residual(net, point))) +
        half(rows(y!).map((point) => net(point).u - u(point)));
      expect(objective.loss() / expected).toBeCloseTo(1, 12);
      release();
    });

    it("has a solution that solves its equation", () => {
      // D u − f by central differences of the solution, with the f that the batch holds.
      const { objective, release } = start(name, options);
      const [x, f] = objective.batch;
      const h = 1e-4;
      rows(x!).forEach((point, k) => {
        const moved = (i: number, by: number) => u(point.map((xi, j) => (i === j ? xi + by : xi)));
        const second = point.map((_, i) => (moved(i, h) - 2 * u(point) + moved(i, -h)) / h ** 2);
        const Du =
          name === "pinn-poisson"
            ? -second.reduce((a, b) => a + b)
            : (moved(0, h) - moved(0, -h)) / (2 * h) - (second[1]! + second[2]!) / 4;
        expect(Math.abs(Du - f!.data[k]!)).toBeLessThan(1e-5);
      });
      release();
    });

    it("has its boundary points on the boundary", () => {
      const { objective, release } = start(name, { ...options, boundary: 40 });
      for (const point of rows(objective.batch[2]!)) {
        const space = name === "pinn-heat" ? point.slice(1) : point;
        const initial = name === "pinn-heat" && point[0] === 0;
        expect(initial || space.some((xi) => xi === 0 || xi === 1)).toBe(true);
      }
      release();
    });

    it("has the curvature of a sum of means, by finite differences", () => {
      const { objective, release } = start(name, options);
      const given = argumentsOf(objective);
      const { outputCurvature } = objective.trace(given.parameters, given.batch, given.state, given.key);
      const outputs = compile(
        runtime,
        { inputs: given.inputs, outputs: [outputCurvature!.outputs] },
        { inputs: given.buffers },
      );
      const J = differences(objective, () => {
        outputs.run();
        return outputs.outputs[0]!.data;
      });
      const [inside, boundary] = [objective.batch[0]!.shape[0]!, objective.batch[2]!.shape[0]!];
      const G = sandwiched(J, (a, b) => (a === b ? 1 / (a < inside ? inside : boundary) : 0));
      expect(deviation(matrixOf(objective, "gaussNewton"), G)).toBeLessThan(1e-8);
      expect(deviation(matrixOf(objective, "fisher"), G)).toBeLessThan(1e-8);
      expect(deviation(matrixOf(objective, "hessian"), hessianByDifferences(objective))).toBeLessThan(1e-7);
      const sampled = matrixOf(objective, "sampledFisher", { samples: 400 });
      expect(deviation(sampled, G)).toBeLessThan(0.3);
      // Every product is symmetric.
      const [v, w] = [randomVector(objective.layout.size, 1), randomVector(objective.layout.size, 2)];
      for (const kind of kinds) {
        const A = curvatureOperator(objective, kind);
        A.linearize();
        const [Av, Aw] = [new Float64Array(v.length), new Float64Array(v.length)];
        A.apply(v, Av);
        A.apply(w, Aw);
        const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, ai, i) => sum + ai * b[i]!, 0);
        expect(dot(w, Av)).toBeCloseTo(dot(v, Aw), 8);
        A.release();
      }
      outputs.release();
      release();
    });

    it("draws its points by seed and step: fixed, or anew every so many", () => {
      const fixed = start(name, options);
      const points = () => fixed.objective.batch[0]!.copy();
      const first = points();
      fixed.load(7);
      expect(points()).toEqual(first);
      fixed.release();
      const moving = start(name, { ...options, redraw: 5 });
      const at = (step: number) => {
        moving.load(step);
        return moving.objective.batch[0]!.copy();
      };
      const [p0, p4, p5, again] = [at(0), at(4), at(5), at(3)];
      expect(p4).toEqual(p0);
      expect(p5).not.toEqual(p0);
      expect(again).toEqual(p0);
      expect(p0).toEqual(first);
      moving.release();
    });

    it("measures the distance to the solution", () => {
      const { objective, evaluate, release } = start(name, options);
      objective.parameters.data.fill(0);
      // u = 0: the error is the norm of the solution, ½ᵈ for the square of a product of d sines, and of e^(−ct) with c = dπ²/2.
      const c = Math.PI ** 2;
      const square = name === "pinn-poisson" ? 1 / 8 : ((1 - Math.exp(-c)) / c) * (1 / 4);
      expect(evaluate().l2Error! / Math.sqrt(square)).toBeGreaterThan(0.9);
      expect(evaluate().l2Error! / Math.sqrt(square)).toBeLessThan(1.1);
      release();
    });
  });

describe("energy natural gradient", () => {
  it("goes where first-order methods do not: an error below 1e-4 in few steps, the same each time", () => {
    const problem = openProblem({ name: "pinn-poisson", options: { hidden: "24", boundary: 40 } });
    const errors = [0, 1].map(() => {
      const instance = problem.start(runtime, { seed: 0, batch: 150 });
      const training = optimizerFor(problem, { name: "newton", settings: {} }).start(instance.objective);
      for (let step = 0; step < 150; step++) {
        instance.load(step);
        training.step();
      }
      const { l2Error } = instance.evaluate();
      training.release();
      instance.release();
      return l2Error!;
    });
    expect(errors[0]).toBeLessThan(1e-4);
    expect(errors[1]).toBe(errors[0]);
  });
});
