import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  argumentsOf,
  type CurvatureKind,
  createObjective,
  curvatureOf,
  curvatureOperator,
  denseCurvature,
  type Objective,
  sumOfMeans,
} from "../../src/curvature/index.js";
import { curvatureRows } from "../../src/curvature/rows.js";
import {
  batchNorm,
  binaryCrossEntropyWithLogits,
  conv2d,
  dense,
  flatten,
  layerNorm,
  meanSquared,
  random,
  sequential,
  softmaxCrossEntropy,
  tanh,
} from "../../src/nn/index.js";
import { layoutOf } from "../../src/nn/parameters.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { deviation, type Matrix, matrixOf } from "./matrices.js";
import { mlp, type Network, networks, using } from "./networks.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

/** Column by column, from products. */
function byProducts(objective: Objective, kind: CurvatureKind): Matrix {
  const operator = curvatureOperator(objective, kind);
  operator.linearize();
  const n = objective.layout.size;
  const columns = Array.from({ length: n }, (_, k) => {
    const [unit, column] = [new Float64Array(n), new Float64Array(n)];
    unit[k] = 1;
    operator.apply(unit, column);
    return column;
  });
  operator.release();
  return columns;
}

const hasRows = (objective: Objective): boolean => {
  const { parameters, batch, state, key } = argumentsOf(objective);
  return (
    curvatureRows(objective.trace(parameters, batch, state, key), parameters, objective.layout) !== undefined
  );
};

describe("the matrix from rows is the matrix from products", () => {
  const cases: Record<string, Network> = {
    mlp: networks.mlp!,
    cnn: networks.cnn!,
    "convolutions with ten outputs": {
      ...networks.cnn!,
      layer: sequential(conv2d(2, 3), tanh(), flatten(), dense(10)),
    },
    rnn: networks.rnn!,
    "squared error": mlp(meanSquared(), "numbers"),
    "binary cross-entropy": mlp(binaryCrossEntropyWithLogits(), "probabilities"),
    "layer norm": { ...networks.mlp!, layer: sequential(dense(5), layerNorm(), tanh(), dense(3)) },
    "without bias": { ...networks.mlp!, layer: sequential(dense(5, { bias: false }), tanh(), dense(3)) },
    "several positions": {
      ...mlp(meanSquared(), "numbers"),
      input: [2, 4],
      layer: sequential(dense(3), tanh(), dense(2)),
    },
  };
  for (const [name, network] of Object.entries(cases))
    test(name, () => {
      using(runtime, network, (objective) => {
        expect(hasRows(objective)).toBe(true);
        for (const kind of ["gaussNewton", "fisher"] as const)
          expect(deviation(matrixOf(objective, kind), byProducts(objective, kind))).toBeLessThan(1e-13);
      });
    });

  test("a weight used transposed and again, and terms of different size", () => {
    const layout = layoutOf({ w: { dtype: "f64", shape: [2, 2] }, b: { dtype: "f64", shape: [2] } });
    const rng = random(5);
    const objective = createObjective(runtime, {
      layout,
      parameters: Array.from({ length: layout.size }, () => rng.normal()),
      batch: [
        { dtype: "f64", shape: [5, 2] },
        { dtype: "f64", shape: [3, 2] },
      ],
      trace(theta, [x, y]) {
        const { w, b } = layout.views(theta) as Record<string, Tensor>;
        const affine = (t: Tensor) =>
          t.matmul(w!).add(b!).marked({ layer: "dense", name: "a", bias: true }, t, w!, b!);
        const back = (t: Tensor) =>
          t.matmul(w!.transpose()).marked({ layer: "dense", name: "t", bias: false }, t, w!.transpose());
        const loss = meanSquared();
        const one = back(affine(x!).tanh());
        const two = affine(affine(y!).tanh());
        return {
          loss: loss.value(one, x!).add(loss.value(two, y!)),
          state: undefined,
          outputCurvature: sumOfMeans([curvatureOf(loss, one, x!), curvatureOf(loss, two, y!)]),
        };
      },
    });
    for (const points of objective.batch) points.set(Array.from({ length: points.size }, () => rng.normal()));
    expect(hasRows(objective)).toBe(true);
    expect(deviation(matrixOf(objective, "gaussNewton"), byProducts(objective, "gaussNewton"))).toBeLessThan(
      1e-13,
    );
    objective.release();
  });
});

describe("where rows cannot be had", () => {
  const cases: Record<string, Network> = {
    "an embedding": networks.transformer!,
    "a regulariser": { ...networks.mlp!, decay: 0.1 },
    "many outputs": {
      ...mlp(softmaxCrossEntropy(), "classes"),
      layer: sequential(dense(1), tanh(), dense(65)),
    },
  };
  for (const [name, network] of Object.entries(cases))
    test(`the matrix is from products: ${name}`, () => {
      using(runtime, network, (objective) => {
        expect(hasRows(objective)).toBe(false);
        expect(
          deviation(matrixOf(objective, "gaussNewton"), byProducts(objective, "gaussNewton")),
        ).toBeLessThan(1e-13);
      });
    });

  test("examples that depend on each other show at the first matrix, and products are used", () => {
    const normalized = { ...networks.mlp!, layer: sequential(dense(5), batchNorm(), tanh(), dense(3)) };
    using(runtime, normalized, (objective) => {
      expect(hasRows(objective)).toBe(true);
      const expected = byProducts(objective, "gaussNewton");
      const computed = denseCurvature(objective, "gaussNewton");
      const n = objective.layout.size;
      for (let time = 0; time < 2; time++) {
        computed.compute();
        const rows = Array.from({ length: n }, (_, i) =>
          Float64Array.from(computed.matrix.data.subarray(i * n, (i + 1) * n)),
        );
        expect(deviation(rows, expected)).toBeLessThan(1e-13);
      }
      computed.release();
    });
  });
});
