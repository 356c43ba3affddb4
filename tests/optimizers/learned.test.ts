import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createObjective, type Objective } from "../../src/curvature/index.js";
import { initialPhi } from "../../src/lab/meta-train/meta-train.js";
import { layoutOf } from "../../src/nn/parameters.js";
import { constant as constantRate, createOptimizer, firstOrder } from "../../src/optimizers/index.js";
import { phiLayout } from "../../src/optimizers/learned/network.js";
import { shippedWeights } from "../../src/optimizers/learned/weights.js";
import { learnedStep } from "../../src/optimizers/learned.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { constant } from "../../src/tensor/tensor.js";
import { numbers, smallObjective, trajectory } from "./small.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const withPhi = (phi: ArrayLike<number>) =>
  firstOrder(
    "learned",
    learnedStep((dtype) => constant(Array.from(phi), dtype)),
    constantRate(1),
  );

const shapes = { scalar: [], vector: [5], matrix: [4, 3], cube: [2, 4, 3] } as const;
/** Σ cᵢ sin(θᵢ + i) + ½ (Σ θ)²/n: gradients of all signs and sizes, that differ from step to step. */
function wavy(): Objective {
  const layout = layoutOf(
    Object.fromEntries(
      Object.entries(shapes).map(([name, shape]) => [name, { dtype: "f64", shape: [...shape] } as const]),
    ),
  );
  const size = layout.size;
  return createObjective(runtime, {
    layout,
    parameters: numbers(size, 4),
    batch: [],
    trace(theta) {
      const phase = constant(
        Array.from({ length: size }, (_, i) => i),
        "f64",
      );
      const weights = constant(numbers(size, 6), "f64");
      const sum = theta.sum();
      return {
        loss: theta
          .add(phase)
          .sin()
          .mul(weights)
          .sum()
          .add(sum.square().mul(0.5 / size)),
        state: undefined,
      };
    },
  });
}

/** One array's averages and step in plain loops: the formulas of features.ts and network.ts, element by element. */
function plainLearned(phi: readonly number[], shape: readonly number[]) {
  const part = (name: string) => {
    const { offset, size } = phiLayout.entry(name);
    return phi.slice(offset, offset + size);
  };
  const decays = (name: string, initial: readonly number[]) =>
    initial.map((beta, i) => Math.max(0.001, 1 - (1 - beta) * Math.exp(10 * part(name)[i]!)));
  const [betas, [beta2], factorBetas] = [
    decays("meanDecays", [0.9, 0.99, 0.999]),
    decays("squareDecay", [0.999]),
    decays("factorDecays", [0.9, 0.99, 0.999]),
  ] as const;
  const n = shape.reduce((a, b) => a * b, 1);
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const indexOf = (at: number, axis: number) => Math.floor(at / strides[axis]!) % shape[axis]!;
  // [2, 4, 3]: longest 4, second 3. [4, 3]: longest 4, second 3.
  const byLength = shape.map((_, axis) => axis).sort((a, b) => shape[b]! - shape[a]!);
  const [longest, second] = byLength as [number, number];
  /** For each element, the mean of x over the elements that differ from it along the axis only. */
  const meanAlong = (x: readonly number[], axis: number) =>
    x.map((_, at) => {
      const start = at - indexOf(at, axis) * strides[axis]!;
      let sum = 0;
      for (let k = 0; k < shape[axis]!; k++) sum += x[start + k * strides[axis]!]!;
      return sum / shape[axis]!;
    });
  const zeros = () => new Array<number>(n).fill(0);
  const m = betas.map(zeros);
  let v = zeros();
  const rows = factorBetas.map(zeros);
  const columns = factorBetas.map(zeros);
  const mean = (x: readonly number[]) => x.reduce((a, b) => a + b, 0) / x.length;
  const rms = (x: readonly number[]) => Math.sqrt(mean(x.map((value) => value ** 2)));
  const inverseRoot = (x: readonly number[]) =>
    x.map((value) => 1 / Math.sqrt(value + 1e-6 * mean(x) + 1e-30));
  const normalized = (x: readonly number[]) =>
    x.map((value) => value / Math.sqrt(mean(x.map((y) => y * y)) + 1e-30));
  const times = (...list: (readonly number[])[]) =>
    list[0]!.map((_, at) => list.reduce((p, x) => p * x[at]!, 1));
  let t = 0;
  return (g: readonly number[], p: readonly number[]): number[] => {
    t++;
    const moved = (x: readonly number[], now: readonly number[], beta: number) =>
      x.map((value, at) => beta * value + (1 - beta) * now[at]!);
    const squares = g.map((value) => value ** 2);
    betas.forEach((beta, i) => {
      m[i] = moved(m[i]!, g, beta);
    });
    v = moved(v, squares, beta2!);
    const factored = shape.length >= 2;
    const scales = factorBetas.map((beta, i) => {
      const [alongLongest, alongSecond] = factored
        ? [meanAlong(squares, longest), meanAlong(squares, second)]
        : [squares, squares];
      rows[i] = moved(rows[i]!, alongLongest, beta);
      columns[i] = moved(columns[i]!, alongSecond, beta);
      const correction = Math.sqrt(1 - beta ** t);
      if (!factored) return inverseRoot(rows[i]!).map((value) => correction * value);
      const rowMean = meanAlong(rows[i]!, second);
      const [r, c] = [inverseRoot(rows[i]!), inverseRoot(columns[i]!)];
      return r.map((value, at) => value * Math.sqrt(rowMean[at]!) * c[at]! * correction);
    });
    const corrected = m.map((values, i) => values.map((value) => value / (1 - betas[i]! ** t)));
    const root = inverseRoot(v);
    const ratios = corrected.map((values) =>
      values.map((value, at) => value * root[at]! * Math.sqrt(1 - beta2! ** t)),
    );
    const lengths = [...shape].sort((a, b) => b - a);
    const everywhere = (value: number) => new Array<number>(n).fill(value);
    const features = [
      ...[g, p, ...m, v, root].map(normalized),
      ...rows.flatMap((row) => [normalized(row), normalized(inverseRoot(row))]),
      ...columns.flatMap((column) => [normalized(column), normalized(inverseRoot(column))]),
      ...ratios,
      ...scales.map((scale) => times(g, scale)),
      ...scales.map((scale, i) => times(corrected[i]!, scale)),
      ...ratios.map((x) => everywhere(Math.log10(Math.sqrt(rms(x) ** 2 + 1e-8)))),
      everywhere(Math.log10(Math.sqrt(rms(p) ** 2 + 1e-4))),
      everywhere(Math.log10(lengths[0] ?? 1)),
      everywhere(Math.log10(lengths[1] ?? 1)),
      ...[1, 3, 10, 30, 100, 300, 1e3, 3e3, 1e4, 3e4, 1e5].map((tau) =>
        everywhere(Math.tanh((t - 1) / tau - 1)),
      ),
    ];
    expect(features.length).toBe(45);
    const layer = (x: readonly number[], k: number) =>
      part(`bias${k}`).map((bias, j) => {
        const width = part(`bias${k}`).length;
        return x.reduce((sum, value, i) => sum + value * part(`weight${k}`)[i * width + j]!, bias);
      });
    const relu = (x: readonly number[]) => x.map((value) => Math.max(0, value));
    return p.map((value, at) => {
      const x = features.map((feature) => feature[at]!);
      const [direction, magnitude] = layer(relu(layer(relu(layer(x, 1)), 2)), 3);
      return value - 0.02 * direction! * Math.exp(0.5 * magnitude!);
    });
  };
}

describe("learned", () => {
  test("steps are those of the formulas in plain loops, for arrays of no to three axes", () => {
    const phi = numbers(phiLayout.size, 11).map((x) => 0.4 * x);
    // Decays move by factors near e^±0.4.
    for (const name of ["meanDecays", "squareDecay", "factorDecays"]) {
      const { offset, size } = phiLayout.entry(name);
      for (let i = offset; i < offset + size; i++) phi[i] = phi[i]! * 0.1;
    }
    const objective = wavy();
    const training = withPhi(phi).start(objective);
    const oracles = objective.layout.entries.map(({ shape }) => plainLearned(phi, shape));
    for (let step = 0; step < 6; step++) {
      const before = [...objective.parameters.data];
      const gradient = [...objective.gradient().gradient.data];
      training.step();
      objective.layout.entries.forEach(({ name, offset, size }, k) => {
        const own = (x: readonly number[]) => x.slice(offset, offset + size);
        const expected = oracles[k]!(own(gradient), own(before));
        expected.forEach((value, i) => {
          expect(objective.parameters.data[offset + i], `${name} ${i} step ${step}`).toBeCloseTo(value, 10);
        });
      });
    }
    training.release();
    objective.release();
  });

  // But for what keeps the root finite, which shows where an element's v is far below the array's mean.
  test("with two units that carry m/√v and no others it is Adam", () => {
    const phi = initialPhi(0);
    // The other units have no way out.
    const { offset } = phiLayout.entry("weight3");
    for (let i = offset + 4; i < offset + 8; i++) phi[i] = 0;
    const own = trajectory(runtime, withPhi(phi), 20).parameters;
    const adam = trajectory(runtime, createOptimizer("adam", { learningRate: 0.02 }), 20).parameters;
    own.forEach((theta, step) => {
      theta.forEach((value, i) => {
        expect(Math.abs(value - adam[step]![i]!)).toBeLessThan(2e-3);
      });
    });
  });

  test("the scale of the loss does not matter", () => {
    const steps = [1, 1e-3].map((scale) => {
      const objective = smallObjective(runtime);
      const scaled: Objective = {
        ...objective,
        trace: (...given) => {
          const traced = objective.trace(...given);
          return { ...traced, loss: traced.loss.mul(scale) };
        },
      };
      const training = withPhi(shippedWeights()).start(scaled);
      for (let k = 0; k < 5; k++) training.step();
      const theta = [...objective.parameters.data];
      training.release();
      objective.release();
      return theta;
    });
    steps[0]!.forEach((value, i) => {
      expect(steps[1]![i]).toBeCloseTo(value, 8);
    });
  });

  test("the weights of the package lower a loss as they are", () => {
    const { reports } = trajectory(runtime, createOptimizer("learned"), 100, "f32");
    expect(reports.at(-1)!.loss).toBeLessThan(0.2 * reports[0]!.loss);
  });
});
