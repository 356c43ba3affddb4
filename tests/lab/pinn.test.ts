import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../src/compiler/compile.js";
import { argumentsOf, curvatureOperator, type Objective } from "../../src/curvature/index.js";
import type { ProblemInstance } from "../../src/lab/problem.js";
import { burgers } from "../../src/lab/problems/pinn-burgers.js";
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

/** u and its first and second derivatives by each coordinate. */
interface Derivatives {
  readonly u: number;
  readonly first: readonly number[];
  readonly second: readonly number[];
}

/** Those of Σⱼ vⱼ tanh(wⱼ·x + bⱼ) + c, by the formula. */
function networkAt({ layout, parameters }: Objective) {
  const at = (name: string) => {
    const { offset, size } = layout.entry(name);
    return parameters.data.subarray(offset, offset + size);
  };
  const [W, b, v, c] = ["layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias"].map(at);
  const units = b!.length;
  return (x: readonly number[]): Derivatives => {
    const [first, second] = [x.map(() => 0), x.map(() => 0)];
    let u = c![0]!;
    for (let j = 0; j < units; j++) {
      const t = Math.tanh(x.reduce((sum, xi, i) => sum + xi * W![i * units + j]!, b![j]!));
      u += v![j]! * t;
      x.forEach((_, i) => {
        const w = W![i * units + j]!;
        first[i]! += v![j]! * (1 - t * t) * w;
        second[i]! += -2 * v![j]! * t * (1 - t * t) * w ** 2;
      });
    }
    return { u, first, second };
  };
}

/** Those of a function, by central differences. */
function differencesOf(u: (x: readonly number[]) => number, x: readonly number[], h = 1e-4): Derivatives {
  const moved = (i: number, by: number) => u(x.map((xi, j) => (i === j ? xi + by : xi)));
  return {
    u: u(x),
    first: x.map((_, i) => (moved(i, h) - moved(i, -h)) / (2 * h)),
    second: x.map((_, i) => (moved(i, h) - 2 * u(x) + moved(i, -h)) / h ** 2),
  };
}

const half = (residuals: readonly number[]) =>
  residuals.reduce((sum, r) => sum + r * r, 0) / (2 * residuals.length);

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b);
const sines = (x: readonly number[]) => x.reduce((product, xi) => product * Math.sin(Math.PI * xi), 1);
const c = Math.PI ** 2;

/** D u − f by the formula of the equation; its solution u; the mean of u² over the box; whether the first coordinate is time. */
const equations: Record<
  string,
  {
    options: Record<string, number | string>;
    residual: (u: Derivatives, x: readonly number[]) => number;
    solution: (x: readonly number[]) => number;
    square: number;
    edges: readonly number[];
    timed: boolean;
  }
> = {
  "pinn-poisson": {
    options: { dimension: 3 },
    residual: ({ second }, x) => -sum(second) - 3 * c * sines(x),
    solution: sines,
    square: 1 / 8,
    edges: [0, 1],
    timed: false,
  },
  "pinn-heat": {
    options: { dimension: 2 },
    residual: ({ first, second }) => first[0]! - (second[1]! + second[2]!) / 4,
    solution: ([t, ...x]) => Math.exp((-c / 2) * t!) * sines(x),
    square: (1 - Math.exp(-c)) / c / 4,
    edges: [0, 1],
    timed: true,
  },
  "pinn-burgers": {
    options: { viscosity: 0.1, sampling: "uniform", redraw: 0 },
    residual: ({ u, first, second }) => first[0]! + u * first[1]! - 0.1 * second[1]!,
    solution: ([t, x]) => burgers(0.1, t!, x!),

    square: meanOn(40, (t, x) => burgers(0.1, t, 2 * x - 1) ** 2),
    edges: [-1, 1],
    timed: true,
  },
  "pinn-helmholtz": {
    options: { waveNumber: 3, firstFrequency: 2, secondFrequency: 3 },
    residual: ({ u, second }, x) =>
      sum(second) + 9 * u - (9 - 13 * c) * Math.sin(2 * Math.PI * x[0]!) * Math.sin(3 * Math.PI * x[1]!),
    solution: (x) => Math.sin(2 * Math.PI * x[0]!) * Math.sin(3 * Math.PI * x[1]!),
    square: 1 / 4,
    edges: [-1, 1],
    timed: false,
  },
};

/** The mean over the middles of n × n cells of the unit square. */
function meanOn(n: number, f: (a: number, b: number) => number): number {
  const middles = Array.from({ length: n }, (_, k) => (k + 0.5) / n);
  return sum(middles.map((a) => sum(middles.map((b) => f(a, b))))) / n ** 2;
}

for (const [name, { options, residual, solution, square, edges, timed }] of Object.entries(equations))
  describe(name, () => {
    it("has the loss of its equation", () => {
      const { objective, release } = start(name, options);
      const net = networkAt(objective);
      const [x, , y] = objective.batch;
      const expected =
        half(rows(x!).map((point) => residual(net(point), point))) +
        half(rows(y!).map((point) => net(point).u - solution(point)));
      expect(objective.loss() / expected).toBeCloseTo(1, 12);
      release();
    });

    it("has a solution that solves its equation", () => {
      const { objective, release } = start(name, options);
      for (const point of rows(objective.batch[0]!))
        expect(Math.abs(residual(differencesOf(solution, point), point))).toBeLessThan(1e-4);
      release();
    });

    it("has its boundary points on the boundary", () => {
      const { objective, release } = start(name, { ...options, boundary: 40 });
      for (const point of rows(objective.batch[2]!)) {
        const space = timed ? point.slice(1) : point;
        expect((timed && point[0] === 0) || space.some((xi) => edges.includes(xi))).toBe(true);
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
      // u = 0: the error is the norm of the solution.
      const { l2Error, relativeError } = evaluate();
      expect(relativeError).toBeCloseTo(1, 12);
      expect(l2Error! / Math.sqrt(square)).toBeGreaterThan(0.9);
      expect(l2Error! / Math.sqrt(square)).toBeLessThan(1.1);
      release();
    });
  });

it("has the five-dimensional Poisson equation with new points each step", () => {
  const problem = openProblem({ name: "pinn-poisson-5d", options: {} });
  expect(problem.summary).toBe(
    "5d Poisson equation, 5-64-1 tanh, 449 parameters; 3,000 points inside, 500 on the boundary, drawn anew every step",
  );
  const { objective, load, release } = start("pinn-poisson-5d", {});
  const [x, f] = objective.batch;
  const first = x!.copy();
  // f = π² Σ cos πxᵢ
  rows(x!).forEach((point, k) => {
    expect(f!.data[k]! / (c * sum(point.map((xi) => Math.cos(Math.PI * xi))))).toBeCloseTo(1, 12);
  });
  load(1);
  expect(x!.copy()).not.toEqual(first);
  release();
});

it("has the heat equation with waves along each coordinate", () => {
  const { objective, release } = start("pinn-heat", { dimension: 2, solution: "sum" }, 20);
  const u = ([t, ...x]: readonly number[]) => Math.exp(-t!) * sum(x.map((xi) => Math.sin(2 * xi)));
  const [x, , y, g] = objective.batch;
  for (const point of rows(x!)) {
    const { first, second } = differencesOf(u, point);
    expect(Math.abs(first[0]! - (second[1]! + second[2]!) / 4)).toBeLessThan(1e-6);
  }
  rows(y!).forEach((point, k) => {
    expect(g!.data[k]).toBeCloseTo(u(point), 14);
  });
  release();
});

describe("points drawn by residual", () => {
  const options = { viscosity: 0.1, sampling: "residual", redraw: 5 };
  it("are where the residual is large, as often as p ∝ 1 + |r|/mean |r| says", () => {
    const { objective, load, release } = start(
      "pinn-poisson",
      { solution: "sines", sampling: "residual", redraw: 5 },
      1000,
    );
    // u = 0: |r| = 2π² sin πx sin πy, of mean 8 and mean square π⁴, so under p the mean of |r| is 4 + π⁴/16.
    objective.parameters.data.fill(0);
    load(5);
    const points = rows(objective.batch[0]!);
    const mean = sum(points.map((point) => 2 * c * sines(point))) / points.length;
    expect(mean / (4 + c ** 2 / 16)).toBeGreaterThan(0.95);
    expect(mean / (4 + c ** 2 / 16)).toBeLessThan(1.05);
    release();
  });

  it("belong to the θ of their time: a run that goes on from a checkpoint has them again", () => {
    const [one, other] = [start("pinn-burgers", options), start("pinn-burgers", options)];
    one.load(5);
    for (const instance of [one, other]) instance.objective.parameters.data.fill(0.1);
    for (const [name, buffer] of Object.entries(one.state!)) other.state![name]!.data.set(buffer.data);
    one.load(7);
    other.load(7);
    one.objective.batch.forEach(({ data }, k) => {
      expect(other.objective.batch[k]!.data).toEqual(data);
    });
    one.load(10);
    expect(other.objective.batch[0]!.data).not.toEqual(one.objective.batch[0]!.data);
    other.load(10);
    expect(other.objective.batch[0]!.data).toEqual(one.objective.batch[0]!.data);
    one.release();
    other.release();
  });

  it("need steps until they are drawn anew", () => {
    expect(() => openProblem({ name: "pinn-burgers", options: { sampling: "residual", redraw: 0 } })).toThrow(
      "sampling=residual needs redraw, the steps until points are drawn anew, and it is 0; use redraw=50",
    );
  });
});

describe("the solution of Burgers' equation", () => {
  const nu = 0.01 / Math.PI;
  it("begins as −sin πx, is 0 at the ends, and odd", () => {
    for (const x of [-0.9, -0.3, 0.05, 0.5]) {
      expect(burgers(nu, 0, x)).toBeCloseTo(-Math.sin(Math.PI * x), 14);
      expect(burgers(nu, 1e-7, x)).toBeCloseTo(-Math.sin(Math.PI * x), 5);
      expect(burgers(nu, 0.7, x)).toBeCloseTo(-burgers(nu, 0.7, -x), 12);
    }
    for (const t of [0.1, 0.5, 1]) expect(burgers(nu, t, 1)).toBeCloseTo(0, 12);
  });
  it("becomes a shock, and solves the equation on both sides of it", () => {
    // Before the shock at t = 1/π, where viscosity hardly matters, u is carried along: u(t, x₀ + u₀t) = u₀.
    const start = 0.3;
    const speed = -Math.sin(Math.PI * start);
    expect(burgers(1e-3, 0.1, start + 0.1 * speed)).toBeCloseTo(speed, 2);
    const solution = ([t, x]: readonly number[]) => burgers(nu, t!, x!);
    expect(differencesOf(solution, [0.5, 0]).first[1]).toBeLessThan(-140);
    for (const point of [
      [0.2, 0.4],
      [0.8, -0.3],
      [0.6, 0.02],
    ]) {
      const { u, first, second } = differencesOf(solution, point, 1e-5);
      expect(Math.abs(first[0]! + u * first[1]! - nu * second[1]!)).toBeLessThan(1e-3);
    }
  });
});

describe("Newton's method on Burgers' equation", () => {
  it("follows a steep wave with points that do", () => {
    const problem = openProblem({
      name: "pinn-burgers",
      options: { hidden: "8-8", boundary: 60, viscosity: 0.05 },
    });
    const instance = problem.start(runtime, { seed: 0, batch: 300 });
    const training = optimizerFor(problem, { name: "newton", settings: {} }).start(instance.objective);
    for (let step = 0; step < 100; step++) {
      instance.load(step);
      training.step();
    }
    expect(instance.evaluate().relativeError).toBeLessThan(0.02);
    training.release();
    instance.release();
  });
});

describe("K-FAC on Burgers' equation", () => {
  it("has a product for the residual, which is no linear function of u, and one for the boundary; and learns", () => {
    const problem = openProblem({
      name: "pinn-burgers",
      options: { hidden: "8", boundary: 20, viscosity: 0.1, sampling: "uniform", redraw: 0 },
    });
    const instance = problem.start(runtime, { seed: 0, batch: 60 });
    const training = optimizerFor(problem, { name: "kfac", settings: {} }).start(instance.objective);
    const before = instance.objective.loss();
    for (let step = 0; step < 60; step++) {
      instance.load(step);
      training.step();
    }
    expect(instance.objective.loss()).toBeLessThan(before / 20);
    training.release();
    instance.release();
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
