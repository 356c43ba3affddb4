import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  createObjective,
  curvatureOf,
  curvatureOperator,
  denseCurvature,
} from "../../src/curvature/index.js";
import { batchNorm, dense, dropout, sequential, softmaxCrossEntropy, tanh } from "../../src/nn/index.js";
import { layoutOf } from "../../src/nn/parameters.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import {
  deviation,
  differences,
  hessianByDifferences,
  kinds,
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

describe("what is held fixed", () => {
  const noisy: Network = {
    ...mlp(softmaxCrossEntropy(), "classes"),
    layer: sequential(dense(5), batchNorm(), tanh(), dropout(0.3), dense(3)),
  };

  test("statistics of the batch and dropout: the function differentiated is the training loss as it stands", () => {
    using(runtime, noisy, (objective) => {
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
    using(runtime, noisy, (objective) => {
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
    using(runtime, noisy, (objective) => {
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
      const [used, reserved] = [runtime.used, runtime.reserved];
      for (let k = 0; k < 100; k++) {
        A.linearize();
        A.apply(v, out);
      }
      expect([runtime.used, runtime.reserved]).toEqual([used, reserved]);
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
