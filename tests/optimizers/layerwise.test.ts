import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { layoutOf } from "../../src/nn/parameters.js";
import {
  chain,
  constant,
  createOptimizer,
  decoupledDecay,
  firstOrder,
  masks,
  type OptimizerName,
  scaleByAdam,
  trustRatio,
} from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { numbers, shapes, smallObjective, trajectory } from "./small.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

type Settings = Readonly<Record<string, unknown>>;
const run = (name: OptimizerName, settings: Settings, steps = 12) =>
  trajectory(runtime, createOptimizer(name, settings), steps).parameters;
const norm = (x: readonly number[]) => Math.hypot(...x);
const layout = layoutOf(
  Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, { dtype: "f64", shape }])),
);

describe("special cases are the same to the bit", () => {
  const rate = { learningRate: 0.05 };
  test.each<[string, [OptimizerName, Settings], [OptimizerName, Settings]]>([
    [
      "lars without ratio = momentum",
      ["lars", { ...rate, trustCoefficient: 0 }],
      ["momentum", { ...rate, momentum: 0.9 }],
    ],
    [
      "lars without ratio, decay of all = momentum with l2",
      ["lars", { ...rate, trustCoefficient: 0, weightDecay: 0.1, layers: "all" }],
      ["momentum", { ...rate, momentum: 0.9, l2: 0.1 }],
    ],
    [
      "lars without ratio, looking ahead = nesterov",
      ["lars", { ...rate, trustCoefficient: 0, nesterov: true, momentum: 0.7 }],
      ["nesterov", { ...rate, momentum: 0.7 }],
    ],
    [
      "lamb without ratio = adamw",
      ["lamb", { ...rate, layers: "none", weightDecay: 0.3 }],
      ["adamw", { ...rate, epsilon: 1e-6, weightDecay: 0.3 }],
    ],
    [
      "lamb without decay, in either place",
      ["lamb", { ...rate, weightDecay: 0 }],
      ["lamb", { ...rate, weightDecay: 0, decayPlace: "before" }],
    ],
  ])("%s", (_name, one, other) => {
    expect(run(...one)).toEqual(run(...other));
  });
  test("lamb is a chain of adam, decay and trust ratio", () => {
    const parts = chain(
      scaleByAdam({ epsilon: 1e-6 }),
      decoupledDecay(0.01, masks.matrices),
      trustRatio({ mask: masks.matrices }),
    );
    expect(trajectory(runtime, firstOrder("chain", parts, constant(0.02)), 12).parameters).toEqual(
      run("lamb", { learningRate: 0.02, layers: "matrices" }),
    );
  });
});

/** θ by a plain loop: `part` gives the direction of an array from p, g and its name. */
function plainLoop(
  steps: number,
  part: (p: readonly number[], g: readonly number[], t: number, name: string) => number[],
): number[] {
  const objective = smallObjective(runtime);
  let theta = [...objective.parameters.data];
  for (let t = 1; t <= steps; t++) {
    objective.parameters.set(theta);
    const g = [...objective.gradient().gradient.data];
    theta = layout.entries.flatMap(({ name, offset, size }) => {
      const p = theta.slice(offset, offset + size);
      const d = part(p, g.slice(offset, offset + size), t, name);
      return p.map((value, k) => value - d[k]!);
    });
  }
  objective.release();
  return theta;
}
const expectClose = (ours: readonly number[], reference: readonly number[]) => {
  reference.forEach((value, k) => {
    expect(ours[k]).toBeCloseTo(value, 13);
  });
};

describe("updates by their formulas", () => {
  test.each(["matrices", "all"] as const)("lars of the paper, ratios for %s", (layers) => {
    const [rate, mu, c, lambda] = [0.5, 0.8, 0.02, 0.3];
    const buffers: Record<string, number[]> = {};
    const reference = plainLoop(8, (p, g, _t, name) => {
      const part = layers === "all" || shapes[name as keyof typeof shapes].length > 1;
      const r = part ? (c * norm(p)) / (norm(g) + lambda * norm(p)) : 1;
      const before = buffers[name] ?? g.map(() => 0);
      const b = p.map((value, k) => mu * before[k]! + r * (g[k]! + (part ? lambda * value : 0)));
      buffers[name] = b;
      return b.map((value) => rate * value);
    });
    const settings = { learningRate: rate, momentum: mu, trustCoefficient: c, weightDecay: lambda, layers };
    expectClose(run("lars", settings, 8).at(-1)!, reference);
  });
  test("lamb leaves out of decay and ratio what it is told to", () => {
    const [rate, lambda] = [0.03, 0.2];
    const moments: Record<string, [number[], number[]]> = {};
    const reference = plainLoop(8, (p, g, t, name) => {
      const [m0, v0] = moments[name] ?? [g.map(() => 0), g.map(() => 0)];
      const m = g.map((value, k) => 0.9 * m0[k]! + 0.1 * value);
      const v = g.map((value, k) => 0.99 * v0[k]! + 0.01 * value ** 2);
      moments[name] = [m, v];
      const matrix = name !== "b";
      const u = p.map(
        (value, k) =>
          m[k]! / (1 - 0.9 ** t) / (Math.sqrt(v[k]! / (1 - 0.99 ** t)) + 1e-6) +
          (matrix ? lambda * value : 0),
      );
      const ratio = matrix ? Math.min(norm(p), 1.5) / norm(u) : 1;
      return u.map((value) => rate * ratio * value);
    });
    const settings = {
      learningRate: rate,
      beta2: 0.99,
      weightDecay: lambda,
      layers: "matrices",
      mostNorm: 1.5,
    };
    expectClose(run("lamb", settings, 8).at(-1)!, reference);
  });
  test("decay before all else follows the schedule", () => {
    const settings = {
      learningRate: 0.1,
      weightDecay: 0.5,
      decay: "all",
      decayPlace: "before",
      schedule: "step",
      decaySteps: 1,
      decayFactor: 0.5,
    };
    const objective = smallObjective(runtime);
    const training = createOptimizer("lamb", settings).start(objective);
    for (const rate of [0.1, 0.05, 0.025]) {
      const before = [...objective.parameters.data];
      training.step();
      for (const { offset, size } of layout.entries) {
        const shrunk = before.slice(offset, offset + size).map((value) => (1 - rate * 0.5) * value);
        const moved = shrunk.map((value, k) => value - objective.parameters.data[offset + k]!);
        expect(norm(moved) / norm(shrunk)).toBeCloseTo(rate, 12);
      }
    }
    training.release();
    objective.release();
  });
  test("arrays of zeros have ratio 1, and so do gradients of zeros", () => {
    for (const name of ["lars", "lamb"] as const) {
      const objective = smallObjective(runtime);
      objective.parameters.set(numbers(24).map((value, k) => (k < 12 ? 0 : value)));
      const gradient = [...objective.gradient().gradient.data];
      const training = createOptimizer(name, { learningRate: 0.1, layers: "all", weightDecay: 0 }).start(
        objective,
      );
      training.step();
      for (let k = 0; k < 12; k++) {
        const step = name === "lars" ? gradient[k]! : gradient[k]! / (Math.abs(gradient[k]!) + 1e-6);
        expect(objective.parameters.data[k]).toBeCloseTo(-0.1 * step, 12);
      }
      // Inputs of zeros: no gradient by W.
      objective.batch[0]!.data.fill(0);
      const state = training.step();
      expect(state.finite).toBe(true);
      expect(objective.parameters.data.every(Number.isFinite)).toBe(true);
      training.release();
      objective.release();
    }
  });
});
