import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { curvatureOperator } from "../../src/curvature/index.js";
import { softmaxCrossEntropy } from "../../src/nn/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import {
  deviation,
  differences,
  hessianByDifferences,
  inner,
  kinds,
  matrixOf,
  randomVector,
  sandwiched,
  softmaxHessian,
} from "./matrices.js";
import { mlp, networks, readerOf, using } from "./networks.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

describe.each(Object.entries(networks))("%s", (_name, network) => {
  test("the Hessian agrees with differences of gradients", () => {
    using(runtime, network, (objective) => {
      expect(deviation(matrixOf(objective, "hessian"), hessianByDifferences(objective))).toBeLessThan(1e-6);
    });
  });

  test("Gauss–Newton and empirical Fisher agree with their definitions on Jacobians by differences", () => {
    using(runtime, network, (objective) => {
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

describe("means over the batch", () => {
  const network = mlp(softmaxCrossEntropy(), "classes");

  test("a loss times c has c times the curvature; the empirical Fisher c² times", () => {
    fc.assert(
      fc.property(fc.double({ min: 0.1, max: 10, noNaN: true }), (c) => {
        using(runtime, network, (objective) => {
          using(runtime, { ...network, scale: c }, (scaled) => {
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
    using(runtime, network, (objective) => {
      using(runtime, { ...network, examples: 12 }, (doubled) => {
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
});
