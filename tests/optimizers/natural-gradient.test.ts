import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createObjective, curvatureOf, type Objective } from "../../src/curvature/index.js";
import { binaryCrossEntropyWithLogits } from "../../src/nn/losses/binary-cross-entropy.js";
import { gaussianNLL } from "../../src/nn/losses/gaussian-nll.js";
import type { Loss } from "../../src/nn/losses/loss.js";
import { meanSquared } from "../../src/nn/losses/mean-squared.js";
import { softmaxCrossEntropy } from "../../src/nn/losses/softmax-cross-entropy.js";
import { layoutOf } from "../../src/nn/parameters.js";
import { random } from "../../src/nn/random.js";
import { compileDivergence } from "../../src/optimizers/divergence.js";
import { naturalGradient } from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { fillSpirals, network, untilStop } from "./curved.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const [examples, features, n] = [40, 3, 7];

/** Outputs tanh(x·V)·w + c of a small regression or logistic model whose θ = C φ + c₀; φ is what is trained. */
function reparametrised(loss: Loss, C: number[][], offset: number[], phi: number[]): Objective {
  const rng = random(9);
  const objective = createObjective(runtime, {
    layout: layoutOf({ phi: { dtype: "f64", shape: [n] } }),
    parameters: phi,
    batch: [
      { dtype: "f64", shape: [examples, features] },
      { dtype: "f64", shape: [examples, 1] },
      { dtype: "f64", shape: [n, n] },
      { dtype: "f64", shape: [n] },
    ],
    trace(parameters, [x, y, matrix, shift]) {
      const theta = matrix!.matmul(parameters).add(shift!);
      const hidden = x!.matmul(theta.slice(0, 0, 3).reshape([features, 1])).tanh();
      const outputs = hidden
        .mul(theta.slice(0, 3, 4))
        .add(x!.matmul(theta.slice(0, 4, 7).reshape([features, 1])));
      return {
        loss: loss.value(outputs, y!),
        state: undefined,
        outputCurvature: curvatureOf(loss, outputs, y!),
      };
    },
  });
  objective.batch[0]!.set(Array.from({ length: examples * features }, () => rng.normal()));
  objective.batch[1]!.set(Array.from({ length: examples }, () => rng.integer(2)));
  objective.batch[2]!.set(C.flat());
  objective.batch[3]!.set(offset);
  return objective;
}

describe("a change of parameters changes nothing", () => {
  const identity = Array.from({ length: n }, (_, i) =>
    Array.from({ length: n }, (_, j) => (i === j ? 1 : 0)),
  );
  const cases = {
    dense: { solver: "dense" },
    "conjugate gradients": { solver: "cg", iterations: 200, residual: 1e-13 },
    "dense, bare": { solver: "dense", globalization: "none", learningRate: 0.1 },
    "empirical Fisher": { solver: "dense", curvature: "empiricalFisher" },
    "sampled Fisher": { solver: "dense", curvature: "sampledFisher" },
  } as const;
  const losses = { logistic: binaryCrossEntropyWithLogits(), regression: meanSquared() };
  /** Two steps in φ and in θ = C φ + c₀ lead to the same points. */
  const compare = (loss: Loss, which: keyof typeof cases, seed: number, tolerance: number) => {
    const rng = random(seed);
    // Neither orthogonal nor diagonal; condition about 100.
    const C = identity.map((row, i) => row.map((x) => (x + 0.5 * rng.normal()) * (i < 3 ? 4 : 0.5)));
    const offset = identity.map(() => rng.normal());
    const phi = identity.map(() => rng.normal(0, 0.5));
    const image = (at: ArrayLike<number>) =>
      C.map((row, i) => row.reduce((sum, c, j) => sum + c * at[j]!, offset[i]!));
    const optimizer = naturalGradient.create({ damping: 0, divergence: 0.02, ...cases[which] });
    const inPhi = reparametrised(loss, C, offset, phi);
    const inTheta = reparametrised(loss, identity, Array<number>(n).fill(0), image(phi));
    const trainings = [inPhi, inTheta].map((objective) => optimizer.start(objective));
    for (let step = 0; step < 2; step++) {
      const [a, b] = trainings.map((training) => training.step());
      expect(Math.abs(b!.loss / a!.loss - 1)).toBeLessThan(tolerance);
      const expected = image(inPhi.parameters.data);
      const size = Math.hypot(...expected);
      expected.forEach((value, k) => {
        expect(Math.abs(inTheta.parameters.data[k]! - value) / size).toBeLessThan(tolerance);
      });
    }
    for (const part of [...trainings, inPhi, inTheta]) part.release();
  };
  for (const [name, loss] of Object.entries(losses))
    test.each(Object.keys(cases) as (keyof typeof cases)[])(`${name}: %s`, (which) => {
      compare(loss, which, 1, 1e-7);
    });

  test("whatever the affine map", () => {
    const chosen = fc.constantFrom(...Object.values(losses));
    const ways = fc.constantFrom<keyof typeof cases>("dense", "dense, bare", "empirical Fisher");
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 1e6 }), chosen, ways, (seed, loss, which) => {
        // Maps that are nearly singular leave fewer digits.
        compare(loss, which, seed, 1e-5);
      }),
      { numRuns: 8, seed: 5 },
    );
  });
});

describe("the trust region", () => {
  const softmax = (z: number[]) => {
    const top = Math.max(...z);
    const exps = z.map((value) => Math.exp(value - top));
    const sum = exps.reduce((a, b) => a + b);
    return exps.map((value) => value / sum);
  };
  /** Probabilities of the network in plain loops. */
  const predict = (objective: Objective): number[][] => {
    const [theta, x] = [objective.parameters.data, objective.batch[0]!.data];
    const h = (theta.length - 3) / 6;
    return Array.from({ length: 48 }, (_, i) => {
      const hidden = Array.from({ length: h }, (_, j) =>
        Math.tanh(x[2 * i]! * theta[j]! + x[2 * i + 1]! * theta[h + j]! + theta[2 * h + j]!),
      );
      return softmax(
        [0, 1, 2].map((c) =>
          hidden.reduce((sum, v, j) => sum + v * theta[3 * h + 3 * j + c]!, theta[6 * h + c]!),
        ),
      );
    });
  };
  const kl = (p: number[][], q: number[][]) =>
    p.reduce((sum, row, i) => sum + row.reduce((s, x, c) => s + x * Math.log(x / q[i]![c]!), 0), 0) /
    p.length;

  test.each([0.001, 0.01, 0.1])("holds the predictions within δ = %d, and uses it", (divergence) => {
    const objective = network(runtime);
    const training = naturalGradient.create({ divergence }).start(objective);
    let loss = Number.POSITIVE_INFINITY;
    for (let step = 0; step < 10; step++) {
      const before = predict(objective);
      const report = training.step();
      const moved = kl(before, predict(objective));
      expect(report.diagnostics).toMatchObject({ accepted: true });
      expect(report.diagnostics!.divergence).toBeCloseTo(moved, 12);
      expect(moved).toBeLessThanOrEqual(divergence * (1 + 1e-5));
      if (step < 5) expect(moved).toBeGreaterThan(0.3 * divergence);
      expect(report.loss).toBeLessThan(loss);
      loss = report.loss;
    }
    training.release();
    objective.release();
  });
  test("small regions give steps along the bare natural gradient", () => {
    const steps = [
      { globalization: "none" as const, learningRate: 1e-4 },
      { divergence: 1e-10, learningRate: 1e30 },
    ].map((settings) => {
      const objective = network(runtime);
      const before = objective.parameters.copy();
      const training = naturalGradient.create({ solver: "dense", ...settings }).start(objective);
      training.step();
      const step = Array.from(objective.parameters.data, (value, k) => value - before[k]!);
      training.release();
      objective.release();
      return step;
    });
    const [a, b] = steps as [number[], number[]];
    const dot = (u: number[], v: number[]) => u.reduce((sum, x, k) => sum + x * v[k]!, 0);
    expect(dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))).toBeCloseTo(1, 8);
  });
  test("with η = 1 training ends", () => {
    const objective = network(runtime);
    const settings = { divergence: 0.5, iterations: 100, damping: 1e-4, tolerance: 1e-4 };
    const reports = untilStop(objective, naturalGradient.create(settings), 200);
    expect(reports.at(-1)!.stop).toBe("converged");
    expect(reports.at(-1)!.loss).toBeLessThan(1e-2);
    objective.release();
  });
});

describe("the divergence", () => {
  /** Linear models x·θ with the given loss; the divergence from θ₀ = 0.3 to θ, and by the quadratic alone. */
  const between = (loss: Loss, width: number, targets: (k: number) => number, integer = false) => {
    const objective = createObjective(runtime, {
      layout: layoutOf({ w: { dtype: "f64", shape: [2, width] } }),
      parameters: Array.from({ length: 2 * width }, (_, k) => 0.2 * k - 0.1),
      batch: [
        { dtype: "f64", shape: [5, 2] },
        integer
          ? { dtype: "i32", shape: [5] }
          : { dtype: "f64", shape: [5, loss.name === "gaussianNLL" ? width / 2 : width] },
      ],
      trace(theta, [x, y]) {
        const outputs = x!.matmul(theta.reshape([2, width])) as Tensor;
        return {
          loss: loss.value(outputs, y!),
          state: undefined,
          outputCurvature: curvatureOf(loss, outputs, y!),
        };
      },
    });
    const x = [1, 2, -1, 0.5, 0.3, -2, 1.5, 1, -0.7, 0.2];
    objective.batch[0]!.set(x);
    objective.batch[1]!.set(Array.from({ length: objective.batch[1]!.size }, (_, k) => targets(k)));
    const origin = runtime.buffer("f64", [2 * width]);
    origin.data.fill(0.3);
    const divergence = compileDivergence("test", objective, origin);
    const outputs = (theta: ArrayLike<number>) =>
      Array.from({ length: 5 }, (_, i) =>
        Array.from({ length: width }, (_, j) => x[2 * i]! * theta[j]! + x[2 * i + 1]! * theta[width + j]!),
      );
    const result = {
      ...divergence.run(),
      lossThere: objective.loss(),
      before: outputs(origin.data),
      after: outputs(objective.parameters.data),
    };
    for (const part of [divergence, origin, objective]) part.release();
    return result;
  };
  const mean = (rows: number[]) => rows.reduce((a, b) => a + b) / rows.length;
  test("of normals of variance 1 is half the squared distance", () => {
    for (const target of [0, 7]) {
      const { divergence, before, after, loss, lossThere } = between(meanSquared(), 3, () => target);
      const expected = mean(
        before.map((row, i) => 0.5 * row.reduce((s, o, j) => s + (o - after[i]![j]!) ** 2, 0)),
      );
      expect(divergence).toBeCloseTo(expected, 13);
      expect(loss).toBeCloseTo(lossThere, 14);
    }
  });
  test("of Bernoulli variables is theirs, whatever the targets", () => {
    const sigma = (t: number) => 1 / (1 + Math.exp(-t));
    for (const target of [0, 1]) {
      const { divergence, before, after } = between(binaryCrossEntropyWithLogits(), 2, () => target);
      const one = (o: number, other: number) => {
        const [p, q] = [sigma(o), sigma(other)];
        return p * Math.log(p / q) + (1 - p) * Math.log((1 - p) / (1 - q));
      };
      const expected = mean(before.map((row, i) => row.reduce((s, o, j) => s + one(o, after[i]![j]!), 0)));
      expect(divergence).toBeCloseTo(expected, 13);
    }
  });
  test("where outputs are not natural parameters it is the quadratic, of the Fisher information", () => {
    // Fisher information of (μ, log σ²): diag(1/σ², ½).
    for (const target of [0, 5]) {
      const { divergence, before, after } = between(gaussianNLL(), 2, () => target);
      const expected = mean(
        before.map(([m, s], i) => {
          const [dm, ds] = [after[i]![0]! - m!, after[i]![1]! - s!];
          return 0.5 * (dm ** 2 * Math.exp(-s!) + 0.5 * ds ** 2);
        }),
      );
      expect(divergence).toBeCloseTo(expected, 13);
    }
  });
  test("needs the output curvature", () => {
    const objective = createObjective(runtime, {
      layout: layoutOf({ x: { dtype: "f64", shape: [1] } }),
      batch: [],
      trace: (x) => ({ loss: x.square().sum(), state: undefined }),
    });
    expect(() => compileDivergence("naturalGradient", objective, objective.parameters)).toThrow(
      "naturalGradient: a trust region needs outputCurvature of the objective",
    );
    objective.release();
  });
  test("softmax with ignored targets is compiled too", () => {
    const { divergence } = between(
      softmaxCrossEntropy({ ignore: -1 }),
      3,
      (k) => (k === 2 ? -1 : k % 3),
      true,
    );
    expect(divergence).toBeGreaterThan(0);
  });
});

test("curvature on a part of changing batches", () => {
  const objective = network(runtime, { examples: 120 });
  const settings = { curvatureExamples: 60, iterations: 30, divergence: 0.05, damping: 1e-2 };
  const training = naturalGradient.create(settings).start(objective);
  for (let step = 0; step < 60; step++) {
    fillSpirals(objective, step);
    expect(training.step().finite).toBe(true);
  }
  fillSpirals(objective, 1000);
  expect(objective.loss()).toBeLessThan(0.4);
  training.release();
  objective.release();
});
