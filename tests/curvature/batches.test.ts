import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  averageGradient,
  averageOperator,
  type CurvatureKind,
  createObjective,
  curvatureOperator,
  denseCurvature,
  type PerExampleOptions,
  perExampleGradients,
} from "../../src/curvature/index.js";
import {
  batchNorm,
  dense,
  dropout,
  random,
  sequential,
  softmaxCrossEntropy,
  tanh,
} from "../../src/nn/index.js";
import { layoutOf } from "../../src/nn/parameters.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { deviation, differences, rowsOf } from "./matrices.js";
import { mlp, networks, objectiveOf, readerOf } from "./networks.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const classifier = mlp(softmaxCrossEntropy(), "classes");
const noisy = { ...classifier, layer: sequential(dense(5), batchNorm(), tanh(), dropout(0.3), dense(3)) };
const transposed = (rows: readonly Float64Array[]) =>
  Array.from(rows[0]!, (_, j) => Float64Array.from(rows, (row) => row[j]!));

describe("perExampleGradients", () => {
  const cases: [string, typeof classifier, PerExampleOptions][] = [
    ...Object.entries(networks).flatMap(([name, network]): typeof cases => [
      [`${name}, independent`, network, {}],
      [`${name}, coupled`, network, { examples: "coupled" }],
    ]),
    ["with a regulariser", { ...classifier, decay: 0.2 }, {}],
    ["with a regulariser, coupled", { ...classifier, decay: 0.2 }, { examples: "coupled" }],
    ["statistics of the batch and dropout", noisy, {}],
    ["statistics of the batch", { ...classifier, layer: sequential(dense(5), batchNorm(), dense(3)) }, {}],
    ["dropout", { ...classifier, layer: sequential(dense(5), dropout(0.3), dense(3)) }, {}],
  ];
  test.each(cases)("%s: agree with differences of the examples' losses", (_, network, options) => {
    const before = runtime.used;
    const objective = objectiveOf(runtime, network);
    const n = objective.layout.size;
    const losses = readerOf(objective, (traced) => traced.outputCurvature!.perExample!());
    const expected = transposed(differences(objective, losses));
    const perExample = perExampleGradients(objective, options);
    perExample.compute();
    const { data, shape } = perExample.gradients;
    expect(shape).toEqual([expected.length, n]);
    const rows = expected.map((_row, i) => Float64Array.from(data.subarray(i * n, (i + 1) * n)));
    expect(deviation(rows, expected)).toBeLessThan(1e-7);

    // GᵀG/batch is the empirical Fisher.
    const fisher = denseCurvature(objective, "empiricalFisher");
    fisher.compute();
    const decay = network.decay ?? 0;
    const indices = Array.from({ length: n }, (_g, i) => i);
    const product = indices.map((i) =>
      Float64Array.from(indices, (j) =>
        rows.reduce((s, g) => s + (g[i]! * g[j]!) / rows.length, i === j ? decay : 0),
      ),
    );
    expect(deviation(rowsOf(fisher.matrix.data, n), product)).toBeLessThan(1e-12);
    for (const part of [losses, perExample, fisher, objective]) part.release();
    expect(runtime.used).toBe(before);
  });

  test("examples that depend on others are refused as independent", () => {
    const ignoring = objectiveOf(runtime, {
      ...networks.transformer!,
      loss: softmaxCrossEntropy({ ignore: 0 }),
    });
    const perExample = perExampleGradients(ignoring);
    expect(() => perExample.compute()).toThrow(
      /an example's loss depends on the others; use examples: "coupled"/,
    );
    perExample.release();
    ignoring.release();
    const statistics = objectiveOf(runtime, noisy);
    const wrong = perExampleGradients(statistics, { examples: "independent" });
    expect(() => wrong.compute()).toThrow("differs from the gradient of the batch by");
    wrong.release();
    statistics.release();
  });

  test("arrays that do not have the examples first are refused, and losses that are not given", () => {
    const make = (batch: readonly (readonly number[])[]) =>
      createObjective(runtime, {
        layout: layoutOf({ x: { dtype: "f64", shape: [3] } }),
        batch: batch.map((shape) => ({ dtype: "f64", shape })),
        trace: (x) => ({ loss: x.square().sum(), state: undefined }),
      });
    for (const [batch, found] of [
      [[[4, 3], [5]], "[4, 3], [5]"],
      [[], "none"],
    ] as const) {
      const objective = make(batch);
      expect(() => perExampleGradients(objective)).toThrow(
        `perExampleGradients: the arrays of the batch are ${found}; all need the examples along their first axis`,
      );
      expect(() => perExampleGradients(objective, { examples: "coupled" })).toThrow(
        'perExampleGradients: "coupled" examples need outputCurvature.perExample',
      );
      objective.release();
    }
  });
});

describe("several batches", () => {
  const [count, size] = [4, 3];
  const setup = () => {
    const whole = objectiveOf(runtime, { ...classifier, examples: count * size, decay: 0.1 });
    const part = objectiveOf(runtime, { ...classifier, examples: size, decay: 0.1 });
    part.parameters.set(whole.parameters.data);
    const load = (k: number) => {
      part.batch.forEach((buffer, index) => {
        buffer.data.set(whole.batch[index]!.data.subarray(k * buffer.size, (k + 1) * buffer.size));
      });
    };
    return { whole, part, batches: { count, load } };
  };

  test("the mean of their gradients is the gradient of all", () => {
    const { whole, part, batches } = setup();
    const average = averageGradient(part, batches);
    const { loss, gradient } = whole.gradient();
    expect(average.loss).toBeCloseTo(loss, 13);
    average.gradient.forEach((g, k) => {
      expect(g).toBeCloseTo(gradient.data[k]!, 13);
    });
    expect(() => averageGradient(part, { ...batches, count: 0 })).toThrow(
      "batches: their count is 0; use a whole number, at least 1",
    );
    whole.release();
    part.release();
  });

  test("the mean of their curvatures is the curvature of all", () => {
    const { whole, part, batches } = setup();
    const n = whole.layout.size;
    const rng = random(3);
    const v = Float64Array.from({ length: n }, () => rng.normal());
    const [mean, expected] = [new Float64Array(n), new Float64Array(n)];
    for (const kind of ["hessian", "gaussNewton", "fisher", "empiricalFisher"] satisfies CurvatureKind[]) {
      const small = curvatureOperator(part, kind);
      averageOperator(small, batches).apply(v, mean);
      const large = curvatureOperator(whole, kind);
      large.linearize();
      large.apply(v, expected);
      expect(deviation([mean], [expected])).toBeLessThan(1e-12);
      small.release();
      large.release();
    }
    whole.release();
    part.release();
  });
});
