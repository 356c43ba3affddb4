import { EigenvalueDecomposition } from "ml-matrix";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { curvatureOperator } from "../../src/curvature/index.js";
import {
  binaryCrossEntropyWithLogits,
  dense,
  gaussianNLL,
  huber,
  type Loss,
  meanSquared,
  sequential,
  softmaxCrossEntropy,
  tanh,
} from "../../src/nn/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import {
  deviation,
  differences,
  inner,
  type Matrix,
  matrixOf,
  randomVector,
  sandwiched,
} from "./matrices.js";
import { mlp, type Network, readerOf, using } from "./networks.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const symmetricPart = (matrix: Matrix) =>
  matrix.map((row, i) => Array.from(row, (x, j) => (x + matrix[j]![i]!) / 2));

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
      using(runtime, network, (objective) => {
        const gaussNewton = matrixOf(objective, "gaussNewton");
        expect(deviation(matrixOf(objective, "fisher"), gaussNewton)).toBe(0);
        const { realEigenvalues } = new EigenvalueDecomposition(symmetricPart(gaussNewton));
        expect(Math.min(...realEigenvalues)).toBeGreaterThan(-1e-12 * Math.max(...realEigenvalues));
      });
      using(runtime, { ...network, layer: dense(3) }, (objective) => {
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
      using(runtime, mlp(loss, targets), (objective) => {
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
      runtime,
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
    using(runtime, mlp(huber(), "numbers"), (objective) => {
      expect(matrixOf(objective, "gaussNewton").length).toBe(objective.layout.size);
      for (const kind of ["fisher", "sampledFisher"] as const)
        expect(() => curvatureOperator(objective, kind)).toThrow(
          `curvature: "${kind}" needs outputCurvature.sampleGradient, the mark of a loss that is a negative log-likelihood; use "gaussNewton"`,
        );
    });
  });
});
