import fc from "fast-check";
import { EigenvalueDecomposition } from "ml-matrix";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type CurvatureKind,
  type CurvatureOptions,
  createObjective,
  curvatureOf,
  curvatureOperator,
  denseCurvature,
  type Objective,
} from "../../src/curvature/index.js";
import {
  batchNorm,
  binaryCrossEntropyWithLogits,
  dense,
  dropout,
  gaussianNLL,
  huber,
  type Loss,
  meanSquared,
  random,
  sequential,
  softmaxCrossEntropy,
  tanh,
} from "../../src/nn/index.js";
import { layoutOf } from "../../src/nn/parameters.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import {
  deviation,
  differences,
  hessianByDifferences,
  type Matrix,
  mlp,
  type Network,
  networks,
  objectiveOf,
  readerOf,
  rowsOf,
  sandwiched,
  softmaxHessian,
} from "./networks.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const kinds: readonly CurvatureKind[] = [
  "hessian",
  "gaussNewton",
  "fisher",
  "sampledFisher",
  "empiricalFisher",
];

function matrixOf(
  objective: Objective,
  kind: CurvatureKind,
  options: CurvatureOptions = {},
  draw = 0,
): Matrix {
  const computed = denseCurvature(objective, kind, options);
  computed.compute(draw);
  const rows = rowsOf(computed.matrix.data, objective.layout.size);
  computed.release();
  return rows;
}

/** The objective of a network, given back after use together with everything else. */
function using<T>(network: Network, use: (objective: Objective) => T, seed = 1): T {
  const before = runtime.used;
  const objective = objectiveOf(runtime, network, seed);
  const result = use(objective);
  objective.release();
  expect(runtime.used).toBe(before);
  return result;
}

const randomVector = (n: number, seed: number) => {
  const rng = random(seed);
  return Float64Array.from({ length: n }, () => rng.normal());
};
const inner = (u: Float64Array, v: Float64Array) => u.reduce((sum, x, k) => sum + x * v[k]!, 0);
const symmetricPart = (matrix: Matrix) =>
  matrix.map((row, i) => Array.from(row, (x, j) => (x + matrix[j]![i]!) / 2));

describe.each(Object.entries(networks))("%s", (_name, network) => {
  test("the Hessian agrees with differences of gradients", () => {
    using(network, (objective) => {
      expect(deviation(matrixOf(objective, "hessian"), hessianByDifferences(objective))).toBeLessThan(1e-6);
    });
  });

  test("Gauss–Newton and empirical Fisher agree with their definitions on Jacobians by differences", () => {
    using(network, (objective) => {
      const outputs = readerOf(objective, (traced) => traced.outputCurvature!.outputs);
      const losses = readerOf(objective, (traced) => traced.outputCurvature!.perExample!());
      const classes = network.tokens ?? 3;
      const gaussNewton = sandwiched(differences(objective, outputs), softmaxHessian(outputs(), classes));
      const examples = losses().length;
      const empirical = sandwiched(differences(objective, losses), (a, b) => (a === b ? 1 / examples : 0));
      expect(deviation(matrixOf(objective, "gaussNewton"), gaussNewton)).toBeLessThan(1e-6);
      expect(deviation(matrixOf(objective, "fisher"), gaussNewton)).toBeLessThan(1e-6);
      expect(deviation(matrixOf(objective, "empiricalFisher"), empirical)).toBeLessThan(1e-6);
      outputs.release();
      losses.release();
    });
  });

  test("symmetric, semidefinite but for the Hessian, and the same by unit vectors", () => {
    using(network, (objective) => {
      const n = objective.layout.size;
      const [u, v] = [randomVector(n, 1), randomVector(n, 2)];
      const [Au, Av] = [new Float64Array(n), new Float64Array(n)];
      for (const kind of kinds) {
        const A = curvatureOperator(objective, kind);
        A.linearize(3);
        A.apply(u, Au);
        A.apply(v, Av);
        const scale = Math.sqrt(inner(Au, Au) * inner(v, v));
        expect(Math.abs(inner(u, Av) - inner(v, Au))).toBeLessThan(1e-12 * scale);
        if (kind !== "hessian")
          for (const w of [Au, Av]) expect(inner(w === Au ? u : v, w)).toBeGreaterThan(0);
        const matrix = matrixOf(objective, kind, {}, 3);
        const unit = new Float64Array(n);
        const columns = matrix.map((_, k) => {
          unit.fill(0)[k] = 1;
          const column = new Float64Array(n);
          A.apply(unit, column);
          return column;
        });
        expect(deviation(columns, matrix)).toBeLessThan(1e-12);
        A.release();
      }
    });
  });
});

describe("losses", () => {
  const matching: Readonly<Record<string, Network>> = {
    "softmax cross-entropy": mlp(softmaxCrossEntropy(), "classes"),
    "softmax cross-entropy with soft targets": mlp(softmaxCrossEntropy(), "distributions"),
    "half the squared error": mlp(meanSquared(), "numbers"),
    "sum of squares": mlp(meanSquared({ reduction: "sum" }), "numbers"),
    "mean of squares": mlp(meanSquared({ reduction: "elements" }), "numbers"),
    "binary cross-entropy": mlp(binaryCrossEntropyWithLogits(), "probabilities"),
  };
  for (const [name, network] of Object.entries(matching))
    test(`${name}: Gauss–Newton is the Fisher, semidefinite, and the Hessian of a linear model`, () => {
      using(network, (objective) => {
        const gaussNewton = matrixOf(objective, "gaussNewton");
        expect(deviation(matrixOf(objective, "fisher"), gaussNewton)).toBe(0);
        const { realEigenvalues } = new EigenvalueDecomposition(symmetricPart(gaussNewton));
        expect(Math.min(...realEigenvalues)).toBeGreaterThan(-1e-12 * Math.max(...realEigenvalues));
      });
      using({ ...network, layer: dense(3) }, (objective) => {
        const hessian = matrixOf(objective, "hessian");
        expect(deviation(matrixOf(objective, "gaussNewton"), hessian)).toBeLessThan(1e-12);
      });
    });

  test("the mean over many draws of the sampled Fisher is the Fisher, within its standard error", () => {
    const cases: [Loss, Network["targets"]][] = [
      [softmaxCrossEntropy(), "classes"],
      [meanSquared({ reduction: "elements" }), "numbers"],
      [binaryCrossEntropyWithLogits(), "probabilities"],
    ];
    for (const [loss, targets] of cases)
      using(mlp(loss, targets), (objective) => {
        const n = objective.layout.size;
        const v = randomVector(n, 5);
        const product = new Float64Array(n);
        const F = curvatureOperator(objective, "fisher");
        F.linearize();
        F.apply(v, product);
        const expected = inner(v, product);
        const sampled = curvatureOperator(objective, "sampledFisher", { seed: 4 });
        const values = Array.from({ length: 2000 }, (_, draw) => {
          sampled.linearize(draw);
          sampled.apply(v, product);
          return inner(v, product);
        });
        const mean = values.reduce((a, b) => a + b) / values.length;
        const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (values.length - 1);
        expect(Math.abs(mean - expected)).toBeLessThan(4 * Math.sqrt(variance / values.length));
        expect(Math.sqrt(variance / values.length)).toBeLessThan(0.05 * expected);

        // Several samples at once are the mean of as many draws.
        const several = curvatureOperator(objective, "sampledFisher", { seed: 4, samples: 5 });
        several.linearize(7);
        several.apply(v, product);
        const mean5 = values.slice(35, 40).reduce((a, b) => a + b) / 5;
        expect(inner(v, product)).toBeCloseTo(mean5, 10);
        for (const operator of [F, sampled, several]) operator.release();
      });
  });

  test("gaussianNLL: Fisher by differences; its Hessian is another matrix", () => {
    using(
      { ...mlp(gaussianNLL(), "numbers"), layer: sequential(dense(4), tanh(), dense(2)), target: [1] },
      (objective) => {
        const outputs = readerOf(objective, (traced) => traced.outputCurvature!.outputs);
        const values = outputs();
        const fisher = sandwiched(differences(objective, outputs), (a, b) =>
          a !== b ? 0 : (a % 2 === 0 ? Math.exp(-values[a + 1]!) : 0.5) / 6,
        );
        expect(deviation(matrixOf(objective, "fisher"), fisher)).toBeLessThan(1e-6);
        expect(deviation(matrixOf(objective, "hessian"), fisher)).toBeGreaterThan(0.01);
        outputs.release();
      },
    );
  });

  test("a loss that is no log-likelihood has a Gauss–Newton matrix but no Fisher", () => {
    using(mlp(huber(), "numbers"), (objective) => {
      expect(matrixOf(objective, "gaussNewton").length).toBe(objective.layout.size);
      for (const kind of ["fisher", "sampledFisher"] as const)
        expect(() => curvatureOperator(objective, kind)).toThrow(
          `curvature: "${kind}" needs outputCurvature.sampleGradient, the mark of a loss that is a negative log-likelihood; use "gaussNewton"`,
        );
    });
  });
});

describe("means over the batch", () => {
  const network = mlp(softmaxCrossEntropy(), "classes");

  test("a loss times c has c times the curvature; the empirical Fisher c² times", () => {
    fc.assert(
      fc.property(fc.double({ min: 0.1, max: 10, noNaN: true }), (c) => {
        using(network, (objective) => {
          using({ ...network, scale: c }, (scaled) => {
            for (const kind of kinds) {
              const factor = kind === "empiricalFisher" ? c * c : c;
              const expected = matrixOf(objective, kind).map((row) => row.map((x) => x * factor));
              expect(deviation(matrixOf(scaled, kind), expected)).toBeLessThan(1e-12);
            }
          });
        });
      }),
      { numRuns: 3 },
    );
  });

  test("the same examples twice have the same curvature", () => {
    using(network, (objective) => {
      using({ ...network, examples: 12 }, (doubled) => {
        doubled.parameters.set(objective.parameters.data);
        doubled.batch.forEach((buffer, k) => {
          buffer.set([...objective.batch[k]!.data, ...objective.batch[k]!.data]);
        });
        for (const kind of kinds.filter((name) => name !== "sampledFisher"))
          expect(deviation(matrixOf(doubled, kind), matrixOf(objective, kind))).toBeLessThan(1e-12);
      });
    });
  });

  test("the Hessian of a regulariser is a summand of all", () => {
    using(network, (objective) => {
      using({ ...network, decay: 0.3 }, (regularised) => {
        for (const kind of kinds) {
          const expected = matrixOf(objective, kind).map((row, i) =>
            row.map((x, j) => (i === j ? x + 0.3 : x)),
          );
          expect(deviation(matrixOf(regularised, kind), expected)).toBeLessThan(1e-12);
        }
        expect(deviation(matrixOf(regularised, "hessian"), hessianByDifferences(regularised))).toBeLessThan(
          1e-6,
        );
      });
    });
  });
});

describe("what is held fixed", () => {
  const noisy: Network = {
    ...mlp(softmaxCrossEntropy(), "classes"),
    layer: sequential(dense(5), batchNorm(), tanh(), dropout(0.3), dense(3)),
  };

  test("statistics of the batch and dropout: the function differentiated is the training loss as it stands", () => {
    using(noisy, (objective) => {
      objective.key.set([3, 4]);
      const state = [...objective.state!.data];
      expect(deviation(matrixOf(objective, "hessian"), hessianByDifferences(objective))).toBeLessThan(1e-6);
      const losses = readerOf(objective, (traced) => traced.outputCurvature!.perExample!());
      const empirical = sandwiched(differences(objective, losses), (a, b) => (a === b ? 1 / 6 : 0));
      expect(deviation(matrixOf(objective, "empiricalFisher"), empirical)).toBeLessThan(1e-6);
      losses.release();
      expect([...objective.state!.data]).toEqual(state);
      expect([...objective.key.data]).toEqual([3, 4]);
    });
  });

  test("products refer to θ and the batch of the last linearize", () => {
    using(noisy, (objective) => {
      const n = objective.layout.size;
      const v = randomVector(n, 1);
      for (const kind of kinds) {
        const A = curvatureOperator(objective, kind);
        const product = () => {
          const out = new Float64Array(n);
          A.apply(v, out);
          return [...out];
        };
        A.linearize();
        const first = product();
        objective.parameters.data[0]! += 1;
        objective.batch[0]!.data[0]! += 1;
        expect(product()).toEqual(first);
        A.linearize();
        expect(product()).not.toEqual(first);
        A.release();
      }
    });
  });

  test("bound buffers: run writes what apply copies", () => {
    using(noisy, (objective) => {
      const A = curvatureOperator(objective, "hessian");
      expect(() => A.run()).toThrow("curvatureOperator: call linearize() before the first product");
      A.linearize();
      const v = randomVector(A.size, 3);
      const out = new Float64Array(A.size);
      A.apply(v, out);
      A.tangent.set(v);
      A.run();
      expect(A.product.data).toEqual(out);
      A.apply(A.tangent.data, A.product.data);
      expect(A.product.data).toEqual(out);
      expect(A.heldBytes).toBeGreaterThan(0);
      expect(() => A.apply(v.subarray(1), out)).toThrow(/vectors of \d+ and \d+ elements where θ has \d+/);
      A.release();
    });
  });
});

describe("refusals", () => {
  const bare = (extra: object = {}) =>
    createObjective(runtime, {
      layout: layoutOf({ x: { dtype: "f64", shape: [3] } }),
      batch: [],
      trace: (x) => ({ loss: x.square().sum(), state: undefined, ...extra }),
    });

  test("a loss without outputs has a Hessian only", () => {
    const objective = bare();
    expect(matrixOf(objective, "hessian").map((row) => [...row])).toEqual([
      [2, 0, 0],
      [0, 2, 0],
      [0, 0, 2],
    ]);
    expect(() => curvatureOperator(objective, "gaussNewton")).toThrow(
      'curvature: "gaussNewton" needs outputCurvature; return it from the objective\'s trace (curvatureOf makes it from an nn loss)',
    );
    expect(() => curvatureOperator(objective, "sampledFisher", { samples: 0 })).toThrow(
      "curvature: 0 samples; use a whole number, at least 1",
    );
    objective.release();
  });

  test("a regulariser that is no number", () => {
    const objective = createObjective(runtime, {
      layout: layoutOf({ x: { dtype: "f64", shape: [3] } }),
      batch: [],
      trace: (x) => ({ loss: x.sum(), state: undefined, regulariser: x }),
    });
    expect(() => objective.loss()).toThrow("objective: the regulariser must be one f64 number, not f64[3]");
    objective.release();
  });

  test("a dense matrix beyond the limit, with what it would take", () => {
    const objective = createObjective(runtime, {
      layout: layoutOf({ x: { dtype: "f32", shape: [20_000] } }),
      batch: [],
      trace: (x) => ({ loss: x.square().sum(), state: undefined }),
    });
    expect(() => denseCurvature(objective, "hessian")).toThrow(
      "denseCurvature: the matrix of 20,000 parameters would need 1,525.9 MiB, the limit is 512 MiB",
    );
    objective.release();
  });

  test("f32 agrees with f64", () => {
    const make = (dtype: "f32" | "f64") => {
      const objective = createObjective(runtime, {
        layout: layoutOf({ w: { dtype, shape: [3, 2] } }),
        parameters: [0.1, -0.2, 0.3, 0.4, -0.5, 0.6],
        batch: [
          { dtype, shape: [4, 3] },
          { dtype: "i32", shape: [4] },
        ],
        trace(theta, [x, y]) {
          const outputs = x!.matmul(theta.reshape([3, 2]).tanh());
          const loss = softmaxCrossEntropy();
          return {
            loss: loss.value(outputs, y!),
            state: undefined,
            outputCurvature: curvatureOf(loss, outputs, y!),
          };
        },
      });
      objective.batch[0]!.set(randomVector(12, 1));
      objective.batch[1]!.set([0, 1, 1, 0]);
      const matrices = kinds
        .filter((kind) => kind !== "sampledFisher")
        .map((kind) => matrixOf(objective, kind));
      objective.release();
      return matrices;
    };
    const [single, double] = [make("f32"), make("f64")];
    double.forEach((matrix, k) => {
      expect(deviation(single[k]!, matrix)).toBeLessThan(1e-5);
    });
  });
});
