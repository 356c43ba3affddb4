import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  createObjective,
  curvatureOf,
  kroneckerFactors,
  type Objective,
  type TracedLoss,
} from "../../src/curvature/index.js";
import {
  batchNorm,
  conv2d,
  dense,
  embedding,
  flatten,
  type Layer,
  type Loss,
  layerNorm,
  meanSquared,
  model,
  random,
  relu,
  rnn,
  sequential,
  softmaxCrossEntropy,
  tanh,
} from "../../src/nn/index.js";
import { layoutOf } from "../../src/nn/parameters.js";
import { createOptimizer, kfac, type Optimizer, SettingsError } from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { matrixOf } from "../curvature/matrices.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

/** Every update from fresh, exact factors; nothing holds it back. */
const bare = {
  learningRate: 1,
  momentum: 0,
  klClip: 0,
  estimator: "exact",
  factorDecay: 0,
  factorInterval: 1,
  inverseInterval: 1,
} as const;

interface Given {
  readonly layer: Layer;
  readonly input: readonly number[];
  readonly loss?: Loss;
  readonly tokens?: number;
  readonly examples?: number;
  readonly dtype?: "f32" | "f64";
  readonly regulariser?: number;
}

/** An objective with θ and a batch at random, and a second batch to change to. */
function problem({ layer, input, loss = softmaxCrossEntropy(), ...given }: Given, seed = 1, on = runtime) {
  const { dtype = "f64", examples = 8, tokens } = given;
  const net = model(layer, input, dtype);
  const rng = random(seed);
  const { parameters, state } = net.init(rng);
  const stateLayout = layoutOf(state, dtype);
  const classes = net.outputShape[0]!;
  const isClassifier = loss.name === "softmaxCrossEntropy";
  const objective = createObjective(on, {
    layout: net.layout,
    parameters: net.layout.flatten(parameters).data,
    ...(stateLayout.size > 0 && { state: stateLayout.flatten(state).data }),
    batch: [
      { dtype: tokens ? "i32" : dtype, shape: [examples, ...input] },
      isClassifier ? { dtype: "i32", shape: [examples] } : { dtype, shape: [examples, ...net.outputShape] },
    ],
    trace(theta, [x, y], before, key): TracedLoss {
      const { outputs, state: after } = net.forward(net.layout.views(theta), x!, {
        training: true,
        key,
        ...(before && { state: stateLayout.views(before) }),
      });
      const value = loss.value(outputs, y!);
      const penalty = given.regulariser
        ? theta
            .square()
            .sum()
            .mul(0.5 * given.regulariser)
        : undefined;
      return {
        loss: penalty ? value.add(penalty) : value,
        state: before && stateLayout.flattenTensors(after),
        outputCurvature: curvatureOf(loss, outputs, y!),
        ...(penalty && { regulariser: penalty }),
      };
    },
  });
  const load = (step: number) => {
    const draw = random(100 * seed + step);
    const [x, y] = objective.batch;
    x!.set(Array.from({ length: x!.size }, () => (tokens ? draw.integer(tokens) : draw.normal())));
    y!.set(Array.from({ length: y!.size }, () => (isClassifier ? draw.integer(classes) : draw.normal())));
  };
  load(0);
  return { objective, load };
}

/** θ after one step, and what the step reports. */
function oneStep(optimizer: Optimizer, objective: Objective) {
  const before = Float64Array.from(objective.parameters.data);
  const training = optimizer.start(objective);
  const report = training.step();
  training.release();
  const after = Float64Array.from(objective.parameters.data);
  objective.parameters.set(before);
  return { report, update: after.map((x, k) => x - before[k]!) };
}

/** x with A x = b, by elimination with pivots. */
function solve(matrix: readonly (readonly number[] | Float64Array)[], b: ArrayLike<number>): number[] {
  const n = b.length;
  const rows = matrix.map((row, i) => [...row, b[i]!]);
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let i = k; i < n; i++) if (Math.abs(rows[i]![k]!) > Math.abs(rows[pivot]![k]!)) pivot = i;
    [rows[k], rows[pivot]] = [rows[pivot]!, rows[k]!];
    for (let i = k + 1; i < n; i++) {
      const factor = rows[i]![k]! / rows[k]![k]!;
      for (let j = k; j <= n; j++) rows[i]![j]! -= factor * rows[k]![j]!;
    }
  }
  const x = new Array<number>(n).fill(0);
  for (let i = n - 1; i >= 0; i--)
    x[i] =
      (rows[i]![n]! - x.slice(i + 1).reduce((s, value, j) => s + value * rows[i]![i + 1 + j]!, 0)) /
      rows[i]![i]!;
  return x;
}

const relative = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  const scale = Math.max(...Array.from(b, Math.abs));
  return Math.max(...Array.from(a, (x, k) => Math.abs(x - b[k]!))) / scale;
};

const layers: Readonly<Record<string, Given>> = {
  mlp: { layer: sequential(dense(5), tanh(), dense(3)), input: [4] },
  cnn: { layer: sequential(conv2d(3, 3), batchNorm(), relu(), flatten(), dense(3)), input: [5, 5, 1] },
  deep: { layer: sequential(dense(5), tanh(), dense(5), tanh(), dense(4), tanh(), dense(3)), input: [4] },
  rnn: { layer: sequential(rnn(4, { output: "last" }), layerNorm(), dense(3)), input: [5, 2] },
  tokens: { layer: sequential(embedding(6, 4), flatten(), dense(3)), input: [3], tokens: 6 },
};

describe("exact special cases", () => {
  test.each(["kfac", "ekfac"])(
    "%s of one linear layer with Gaussian outputs is the natural gradient",
    (name) => {
      // A ⊗ G is exact, G = I; with little damping the damped inverses agree too.
      const { objective } = problem({ layer: dense(3), input: [4], loss: meanSquared(), examples: 30 });
      const F = matrixOf(objective, "gaussNewton");
      const { gradient } = objective.gradient();
      const natural = solve(F, gradient.data).map((x) => -x);
      const { update } = oneStep(createOptimizer(name, { ...bare, damping: 1e-14 }), objective);
      expect(relative(update, natural)).toBeLessThan(1e-6);
      objective.release();
    },
  );

  test.each([
    ["kfac", {}],
    ["ekfac", {}],
  ] as const)("%s of a linear network that sees one direction of gradients", (name, settings) => {
    // Orthogonal layers pass Gaussian gradients on as they are: each block is A ⊗ G exactly.
    const { objective } = problem({
      layer: sequential(dense(3, { bias: false }), dense(3, { bias: false })),
      input: [3],
      loss: meanSquared(),
      examples: 20,
    });
    const F = matrixOf(objective, "gaussNewton");
    const { gradient } = objective.gradient();
    const damping = 1e-10;
    const { update } = oneStep(createOptimizer(name, { ...bare, ...settings, damping }), objective);
    for (const { offset, size } of objective.layout.entries) {
      const block = F.slice(offset, offset + size).map((row) => row.slice(offset, offset + size));
      const natural = solve(block, gradient.data.subarray(offset, offset + size)).map((x) => -x);
      expect(relative(update.subarray(offset, offset + size), natural)).toBeLessThan(1e-3);
    }
    objective.release();
  });

  test("ekfac with one example: the block's own eigenvectors and moments, (F + λI)⁻¹ to the digit", () => {
    const { objective } = problem({ layer: dense(3), input: [4], examples: 1 });
    const damping = 0.1;
    const F = matrixOf(objective, "empiricalFisher").map((row, i) =>
      row.map((x, j) => (i === j ? x + damping : x)),
    );
    const { gradient } = objective.gradient();
    const natural = solve(F, gradient.data).map((x) => -x);
    const { update } = oneStep(
      createOptimizer("ekfac", { ...bare, estimator: "empirical", damping }),
      objective,
    );
    expect(relative(update, natural)).toBeLessThan(1e-10);
    objective.release();
  });

  test("the three inverses agree, whatever the layers", () => {
    for (const given of Object.values(layers)) {
      const { objective } = problem(given);
      const updates = ["cholesky", "eigen", "newtonSchulz"].map(
        (inverse) => oneStep(createOptimizer("kfac", { ...bare, inverse, damping: 1e-3 }), objective).update,
      );
      expect(relative(updates[1]!, updates[0]!)).toBeLessThan(1e-9);
      expect(relative(updates[2]!, updates[0]!)).toBeLessThan(1e-7);
      objective.release();
    }
  });

  test("the average of factors has weights ρᵗ⁻ˢ that sum to 1", () => {
    const { objective, load } = problem(layers.mlp!);
    const optimizer = createOptimizer("kfac", {
      estimator: "exact",
      factorDecay: 0.6,
      factorInterval: 1,
      learningRate: 1e-9,
    });
    const training = optimizer.start(objective);
    const alone = kroneckerFactors(objective, { estimator: "exact" });
    const each: Float64Array[] = [];
    for (let step = 0; step < 4; step++) {
      load(step);
      alone.compute();
      each.push(Float64Array.from(alone.factors[1]![1]!.data));
      training.step();
    }
    const weights = each.map((_, s) => 0.6 ** (3 - s));
    const total = weights.reduce((a, b) => a + b);
    const expected = each[0]!.map((_, k) =>
      weights.reduce((sum, w, s) => sum + (w / total) * each[s]![k]!, 0),
    );
    expect(relative(training.state["factor.layers.2.weight.G"]!.data, expected)).toBeLessThan(1e-6);
    training.release();
    alone.release();
    objective.release();
  });
});

describe("invariance", () => {
  test("an affine map of the inputs, undone by the first layer, changes no step of the function", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), (seed) => {
        const rng = random(seed);
        const width = 3;
        const given = { layer: sequential(dense(4), tanh(), dense(3)), input: [width], examples: 40 };
        const plain = problem(given, 7);
        const mapped = problem(given, 7);
        // x' = M x + c; W' = M⁻ᵀ W, b' = b − W'ᵀ c.
        const M = Array.from({ length: width }, (_, i) =>
          Array.from({ length: width }, (__, j) => (i === j ? 1.5 : 0) + 0.4 * rng.normal()),
        );
        const c = Array.from({ length: width }, () => rng.normal());
        const x = plain.objective.batch[0]!.data;
        mapped.objective.batch[0]!.set(
          Array.from(x, (_, k) => {
            const [n, i] = [Math.floor(k / width), k % width];
            return M[i]!.reduce((s, m, j) => s + m * x[n * width + j]!, c[i]!);
          }),
        );
        const transposed = M.map((_, i) => M.map((row) => row[i]!));
        const reparameterise = (theta: ArrayLike<number>): number[] => {
          const result = Array.from(theta);
          for (let o = 0; o < 4; o++) {
            const column = solve(
              transposed,
              [0, 1, 2].map((i) => theta[i * 4 + o]!),
            );
            for (let i = 0; i < width; i++) result[i * 4 + o] = column[i]!;
            result[12 + o] = theta[12 + o]! - column.reduce((s, w, i) => s + w * c[i]!, 0);
          }
          return result;
        };
        mapped.objective.parameters.set(reparameterise(plain.objective.parameters.data));
        const settings = { ...bare, learningRate: 0.3, damping: 1e-14 };
        for (const { objective } of [plain, mapped]) {
          const training = createOptimizer("kfac", settings).start(objective);
          for (let step = 0; step < 2; step++) training.step();
          training.release();
        }
        const off = relative(
          mapped.objective.parameters.data,
          reparameterise(plain.objective.parameters.data),
        );
        plain.objective.release();
        mapped.objective.release();
        expect(off).toBeLessThan(1e-3);
      }),
      { numRuns: 10, seed: 4 },
    );
  });

  test("c times the loss with c times the damping: the same step", () => {
    const { objective } = problem(layers.mlp!);
    const scaled = createObjective(runtime, {
      layout: objective.layout,
      parameters: objective.parameters.data,
      batch: objective.batch,
      trace(theta, batch, state, key) {
        const traced = objective.trace(theta, batch, state, key);
        const curvature = traced.outputCurvature!;
        return {
          ...traced,
          loss: traced.loss.mul(5),
          outputCurvature: { ...curvature, factor: (v) => curvature.factor(v).mul(Math.sqrt(5)) },
        };
      },
    });
    objective.batch.forEach((buffer, k) => {
      scaled.batch[k]!.set(buffer.data);
    });
    for (const name of ["kfac", "ekfac"]) {
      const one = oneStep(createOptimizer(name, { ...bare, damping: 0.02 }), objective).update;
      const five = oneStep(createOptimizer(name, { ...bare, damping: 0.1 }), scaled).update;
      expect(relative(five, one)).toBeLessThan(1e-10);
    }
    objective.release();
    scaled.release();
  });
});

const variants = [
  ["kfac", {}],
  [
    "kfac",
    { estimator: "empirical", sharing: "reduce", weightDecay: 0.1, schedule: "cosine", decaySteps: 20 },
  ],
  ["kfac", { step: "quadratic", dampingInterval: 2, gammaInterval: 4, inverse: "eigen" }],
  ["kfac", { structure: "blockTridiagonal" }],
  ["ekfac", { clipNorm: 1 }],
  ["ekfac", { step: "quadratic", estimator: "exact", sharing: "reduce" }],
] as const;
const brisk = { factorInterval: 2, inverseInterval: 3, damping: 0.1 };

describe.each(variants)("%s %o", (name, settings) => {
  const optimizer = () => createOptimizer(name, { ...brisk, ...settings });

  test("learns on every kind of layer, and gives its memory back", () => {
    for (const given of Object.values(layers))
      for (const dtype of ["f64", "f32"] as const) {
        const before = runtime.used;
        const { objective } = problem({ ...given, dtype });
        const training = optimizer().start(objective);
        const first = objective.loss();
        for (let step = 0; step < 12; step++) expect(training.step().finite).toBe(true);
        expect(objective.loss()).toBeLessThan(first);
        training.release();
        objective.release();
        expect(runtime.used).toBe(before);
      }
  });

  test("a step in f32 is one in f64", () => {
    for (const given of Object.values(layers)) {
      const [double, single] = (["f64", "f32"] as const).map((dtype) => {
        const { objective } = problem({ ...given, dtype });
        const exact = createOptimizer(name, { ...brisk, ...settings, estimator: "exact" });
        const { update } = oneStep(exact, objective);
        objective.release();
        return update;
      });
      expect(relative(single!, double!)).toBeLessThan(2e-4);
    }
  });

  test("a resumed training is bit-identical, wherever it was cut", () => {
    const run = (cut: number | undefined) => {
      const { objective, load } = problem(layers.cnn!);
      let training = optimizer().start(objective);
      for (let step = 0; step < 14; step++) {
        if (step === cut) {
          const saved = Object.entries(training.state).map(([key, buffer]) => [key, buffer.copy()] as const);
          training.release();
          training = optimizer().start(objective);
          for (const [key, data] of saved) training.state[key]!.set(data);
        }
        load(step);
        training.step();
      }
      const end = [...objective.parameters.copy(), ...objective.state!.copy()];
      training.release();
      objective.release();
      return end;
    };
    const whole = run(undefined);
    for (const cut of [1, 5, 9]) expect(run(cut)).toEqual(whole);
  });
});

describe("quadratic steps", () => {
  test("on a quadratic, along the whole plane: λ falls, and the loss is where Newton's is", () => {
    const { objective } = problem({ layer: dense(2), input: [3], loss: meanSquared(), examples: 20 });
    const training = createOptimizer("kfac", {
      step: "quadratic",
      damping: 1,
      leastDamping: 1e-6,
      estimator: "exact",
    }).start(objective);
    const first = training.step();
    expect(first.diagnostics!.trustRatio).toBeCloseTo(1, 6);
    for (let step = 0; step < 100; step++) training.step();
    const F = matrixOf(objective, "gaussNewton");
    const { loss, gradient } = objective.gradient();
    const left = solve(F, gradient.data).reduce((s, x, k) => s + 0.5 * x * gradient.data[k]!, 0);
    expect(left).toBeLessThan(1e-3 * loss);
    expect(training.state.damping!.data[0]).toBeLessThan(0.1);
    training.release();
    objective.release();
  });
  test("the regulariser is in the model", () => {
    const { objective } = problem({
      layer: dense(2),
      input: [3],
      loss: meanSquared(),
      examples: 20,
      regulariser: 3,
    });
    const training = createOptimizer("kfac", { step: "quadratic", damping: 1e-6, leastDamping: 1e-9 }).start(
      objective,
    );
    expect(training.step().diagnostics!.trustRatio).toBeCloseTo(1, 6);
    training.release();
    objective.release();
  });
});

describe("what can go wrong", () => {
  const settle = (name: string, given: Given, spoil: (objective: Objective) => void, settings = {}) => {
    const { objective, load } = problem(given);
    const training = createOptimizer(name, { ...brisk, ...settings }).start(objective);
    const reports = [];
    for (let step = 0; step < 6; step++) {
      load(step);
      if (step === 2) spoil(objective);
      const before = objective.parameters.copy();
      const report = training.step();
      reports.push(report);
      expect(objective.parameters.data.every(Number.isFinite)).toBe(true);
      if (!report.diagnostics!.accepted) expect(objective.parameters.data).toEqual(before);
    }
    const state = Object.values(training.state).every(({ data }) => data.every(Number.isFinite));
    training.release();
    objective.release();
    return { reports, state };
  };

  test.each(["kfac", "ekfac"])("%s leaves a batch with NaN alone and goes on", (name) => {
    for (const settings of [{}, { step: "quadratic" }]) {
      const { reports, state } = settle(
        name,
        layers.cnn!,
        ({ batch }) => batch[0]!.data.fill(Number.NaN),
        settings,
      );
      expect(reports.map(({ finite }) => finite)).toEqual([true, true, false, true, true, true]);
      expect(reports.map(({ diagnostics }) => diagnostics!.accepted)).toEqual([
        true,
        true,
        false,
        true,
        true,
        true,
      ]);
      expect(reports[2]!.diagnostics!.fallback).toBe("factors were not finite and stay as they were");
      expect(state).toBe(true);
    }
  });
  test.each(["kfac", "ekfac"])(
    "%s: inputs of zero, dead units, one example, singular factors without damping",
    (name) => {
      const { layer, input } = layers.mlp!;
      const dead = sequential(
        dense(5, { bias: () => ({ dtype: "f64", shape: [5], data: new Float64Array(5).fill(-1e3) }) }),
        relu(),
        dense(3),
      );
      const structures = name === "kfac" ? [{ structure: "blockTridiagonal", damping: 1e-12 }] : [];
      for (const settings of [
        { damping: 1e-12 },
        { damping: 1e-12, step: "quadratic" },
        { damping: 1e-300 },
        ...structures,
      ])
        for (const given of [
          { layer, input, examples: 1 },
          { layer: dead, input },
          { layer: sequential(dense(5, { bias: false }), tanh(), dense(3)), input },
        ] satisfies Given[]) {
          const { reports, state } = settle(name, given, ({ batch }) => batch[0]!.data.fill(0), {
            momentum: 0,
            ...settings,
          });
          expect(reports.every(({ finite }) => finite)).toBe(true);
          expect(state).toBe(true);
        }
    },
  );
  test("where Cholesky refuses a factor, its damping rises and the report says so", () => {
    const { objective } = problem({
      layer: dense(3),
      input: [4],
      loss: meanSquared(),
      examples: 1,
      dtype: "f32",
    });
    objective.batch[0]!.data.fill(1e6);
    const training = createOptimizer("kfac", { ...brisk, damping: 1e-9 }).start(objective);
    const { diagnostics } = training.step();
    expect(diagnostics!.factorsWithRaisedDamping).toBeGreaterThan(0);
    expect(diagnostics!.fallback).toBe("factors needed more damping to be inverted");
    expect(objective.parameters.data.every(Number.isFinite)).toBe(true);
    training.release();
    objective.release();
  });
  test("settings that do nothing together are refused", () => {
    const check = (settings: Record<string, unknown>, message: string) => {
      expect(() => kfac.create(settings)).toThrow(SettingsError);
      expect(() => kfac.create(settings)).toThrow(message);
    };
    check(
      { step: "quadratic", weightDecay: 0.1 },
      "kfac: weightDecay is 0.1, which step quadratic does not see",
    );
    check({ step: "quadratic", clipNorm: 1 }, "kfac: clipNorm is 1, which step quadratic does not use");
    check({ factorInterval: 0 }, "kfac: factorInterval is 0; use a whole number of at least 1");
    check({ damping: 0 }, "kfac: damping is 0; use a number above 0");
  });
});

test("reports tell the damping, the factors and the time by the clock of the runtime", () => {
  let time = 0;
  const clocked: Runtime = Object.create(runtime, { clock: { value: () => time++ } });
  const { objective } = problem(layers.mlp!, 1, clocked);
  const training = createOptimizer("kfac", { damping: 0.04 }).start(objective);
  const { diagnostics, seconds } = training.step();
  expect(diagnostics).toMatchObject({ damping: 0.04, gamma: 0.2, refreshed: true });
  // Loss and gradient share the pass of the factors.
  expect(seconds).toEqual({ curvature: 1, inversion: 1, update: 1 });
  expect(diagnostics!.condition).toBeGreaterThan(1);
  expect(diagnostics!.factorNorm).toBeGreaterThan(0);
  const second = training.step();
  expect(second.diagnostics!.condition).toBeUndefined();
  expect(second.seconds).toEqual({ evaluation: 1, update: 1 });
  training.release();
  objective.release();
});

test("ten steps of reports allocate no memory of the runtime", () => {
  const { objective } = problem(layers.cnn!);
  const training = createOptimizer("kfac", { ...brisk, step: "quadratic", gammaInterval: 3 }).start(
    objective,
  );
  for (let step = 0; step < 5; step++) training.step();
  const used = runtime.used;
  for (let step = 0; step < 10; step++) training.step();
  expect(runtime.used).toBe(used);
  training.release();
  objective.release();
});
