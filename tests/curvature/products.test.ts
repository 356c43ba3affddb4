import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { curvatureOperator } from "../../src/curvature/index.js";
import { softmaxCrossEntropy } from "../../src/nn/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { deviation, hessianByDifferences, inner, kinds, matrixOf, randomVector } from "./matrices.js";
import { mlp, networks, using } from "./networks.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

describe.each(Object.entries(networks))("%s", (_name, network) => {
  test("symmetric, semidefinite but for the Hessian, and the same by unit vectors", () => {
    using(runtime, network, (objective) => {
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

test("the Hessian of a regulariser is a summand of all", () => {
  const network = mlp(softmaxCrossEntropy(), "classes");

  using(runtime, network, (objective) => {
    using(runtime, { ...network, decay: 0.3 }, (regularised) => {
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
