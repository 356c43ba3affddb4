import { EigenvalueDecomposition } from "ml-matrix";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { vjp } from "../../src/autodiff/index.js";
import { curvatureOperator, type Objective, perExampleGradients } from "../../src/curvature/index.js";
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
import { array } from "../../src/tensor/array.js";
import { constant, stack, type Tensor } from "../../src/tensor/tensor.js";
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

  /** The Fisher information by its definition, Σ over targets of probability · ∇ℓᵢ ∇ℓᵢᵀ, in the mean over examples. */
  function fisherByTargets(
    objective: Objective,
    targets: readonly { readonly at: ArrayLike<number>; readonly probability: (example: number) => number }[],
  ): Matrix {
    const n = objective.layout.size;
    const perExample = perExampleGradients(objective);
    const sum = Array.from({ length: n }, () => new Float64Array(n));
    const given = objective.batch[1]!.copy();
    for (const { at, probability } of targets) {
      objective.batch[1]!.set(at);
      perExample.compute();
      const { data, shape } = perExample.gradients;
      for (let example = 0; example < shape[0]!; example++) {
        const g = data.subarray(example * n, (example + 1) * n);
        const weight = probability(example) / shape[0]!;
        sum.forEach((row, i) => {
          for (let j = 0; j < n; j++) row[j]! += weight * g[i]! * g[j]!;
        });
      }
    }
    objective.batch[1]!.set(given);
    perExample.release();
    return sum;
  }
  const outputsOf = (objective: Objective): Float64Array => {
    const read = readerOf(objective, (traced) => traced.outputCurvature!.outputs);
    const values = read();
    read.release();
    return values;
  };

  test("softmax cross-entropy: the Fisher is the expectation over all classes", () => {
    using(runtime, matching["softmax cross-entropy"]!, (objective) => {
      const exp = outputsOf(objective).map(Math.exp);
      const total = (example: number) => exp.subarray(3 * example, 3 * example + 3).reduce((a, b) => a + b);
      const expected = fisherByTargets(
        objective,
        [0, 1, 2].map((c) => ({
          at: Array<number>(6).fill(c),
          probability: (example) => exp[3 * example + c]! / total(example),
        })),
      );
      expect(deviation(matrixOf(objective, "fisher"), expected)).toBeLessThan(1e-12);
    });
  });

  test("binary cross-entropy: the Fisher is the expectation over all bits", () => {
    using(runtime, matching["binary cross-entropy"]!, (objective) => {
      const p = outputsOf(objective).map((o) => 1 / (1 + Math.exp(-o)));
      const expected = fisherByTargets(
        objective,
        Array.from({ length: 8 }, (_, code) => {
          const bits = [code & 1, (code >> 1) & 1, (code >> 2) & 1];
          return {
            at: Array.from({ length: 18 }, (_unused, k) => bits[k % 3]!),
            probability: (example) =>
              bits.reduce(
                (product, bit, k) => product * (bit ? p[3 * example + k]! : 1 - p[3 * example + k]!),
                1,
              ),
          };
        }),
      );
      expect(deviation(matrixOf(objective, "fisher"), expected)).toBeLessThan(1e-12);
    });
  });

  test.each([
    ["half the squared error", 1],
    ["sum of squares", 2],
    ["mean of squares", 2 / 3],
  ] as const)("%s: the Fisher is the expectation over normal targets of variance 1/c", (name, c) => {
    using(runtime, matching[name]!, (objective) => {
      const o = outputsOf(objective);
      // The gradient is linear in the residual: unit residuals of length 1/√c have the covariance of the normal ones.
      const expected = fisherByTargets(
        objective,
        [0, 1, 2].map((output) => ({
          at: o.map((value, k) => (k % 3 === output ? value - 1 / Math.sqrt(c) : value)),
          probability: () => 1,
        })),
      );
      expect(deviation(matrixOf(objective, "fisher"), expected)).toBeLessThan(1e-12);
    });
  });

  test("product is factor times its transpose over the batch", () => {
    for (const [, network] of Object.entries(matching))
      using(runtime, network, (objective) => {
        const tangent = constant(array(randomVector(18, 9), [6, 3]));
        const read = readerOf(objective, ({ outputCurvature: curvature }) => {
          const [, transposed] = vjp((v: Tensor) => curvature!.factor(v), tangent);
          return stack([curvature!.product(tangent), curvature!.factor(transposed(tangent)[0]).mul(1 / 6)]);
        });
        const both = read();
        both.subarray(0, 18).forEach((value, k) => {
          expect(both[18 + k]).toBeCloseTo(value, 13);
        });
        read.release();
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
