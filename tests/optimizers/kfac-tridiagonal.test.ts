/** The block-tridiagonal inverse against what defines it, on dense matrices. */
import { inverse, Matrix } from "ml-matrix";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compile } from "../../src/compiler/compile.js";
import type { Objective } from "../../src/curvature/index.js";
import { linksOf } from "../../src/curvature/kronecker/index.js";
import {
  conv2d,
  dense,
  flatten,
  type Layer,
  layerNorm,
  meanSquared,
  sequential,
  softmaxCrossEntropy,
  tanh,
} from "../../src/nn/index.js";
import { createOptimizer } from "../../src/optimizers/index.js";
import { compileFactorEvaluation } from "../../src/optimizers/kfac/evaluation.js";
import { dampingOf, invertedFactors } from "../../src/optimizers/kfac/inverted-factors.js";
import { runningFactors } from "../../src/optimizers/kfac/running.js";
import { tridiagonalInverse } from "../../src/optimizers/kfac/tridiagonal.js";
import type { Buffer } from "../../src/runtime/memory.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { input } from "../../src/tensor/tensor.js";
import { matrixOf } from "../curvature/matrices.js";
import { mlp, type Network, objectiveOf, using } from "../curvature/networks.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
  // What portable factorizations keep for themselves is allocated by the first one.
  const objective = objectiveOf(runtime, network(chain));
  inverted(objective, 0.1, "blockTridiagonal");
  objective.release();
});
afterAll(() => runtime.close());

const network = (layer: Layer, changes: Partial<Network> = {}): Network => ({
  ...mlp(softmaxCrossEntropy(), "classes"),
  layer,
  examples: 12,
  ...changes,
});
const chain = sequential(dense(4), tanh(), dense(3), tanh(), dense(2));

/** Exact factors at θ, the inverse for γ, and F⁻¹ as a matrix. */
function inverted(objective: Objective, gamma: number, structure: "blockDiagonal" | "blockTridiagonal") {
  const running = runningFactors(objective, structure);
  const make = structure === "blockTridiagonal" ? tridiagonalInverse : invertedFactors;
  const preconditioner = make(runtime, "f64", running, "cholesky");
  const evaluation = compileFactorEvaluation(objective, running, preconditioner, {
    estimator: "exact",
    structure,
  });
  evaluation.estimate(0);
  preconditioner.invert(gamma);
  const n = objective.layout.size;
  const gradient = input("gradient", { dtype: "f64", shape: [n] });
  const g = input("gamma", { dtype: "f64", shape: [] });
  const symbols = preconditioner.symbols();
  const executable = compile(
    runtime,
    { inputs: [gradient, g, ...symbols], outputs: [preconditioner.direction(symbols, gradient, g)] },
    { inputs: [undefined, undefined, ...Object.values(preconditioner.state)] },
  );
  executable.inputs[1]!.data[0] = gamma;
  const columns = Array.from({ length: n }, (_, k) => {
    executable.inputs[0]!.data.fill(0);
    executable.inputs[0]!.data[k] = 1;
    executable.run();
    return [...executable.outputs[0]!.data];
  });
  const { blocks, links } = running;
  const factors = running.factors.map((list) => list.map(matrix));
  const cross = running.cross.map((list) => list.map(matrix));
  const dampings = running.factors.map((list) => dampingOf(list, gamma));
  for (const part of [executable, evaluation, preconditioner, running]) part.release();
  return { P: new Matrix(columns), blocks, links, factors, cross, dampings };
}
const matrix = ({ data, shape }: Buffer) => Matrix.from1DArray(shape[0]!, shape[1] ?? 1, [...data]);
type Pair = [A: Matrix, G: Matrix];
const kronecker = (A: Matrix, G: Matrix): Matrix => Matrix.checkMatrix(A.kroneckerProduct(G));
const damped = (F: Matrix, shift: number) => Matrix.add(F, Matrix.eye(F.rows).mul(shift));
const deviation = (actual: Matrix, expected: Matrix) =>
  Matrix.sub(actual, expected).abs().max() / expected.clone().abs().max();
/** The block of a matrix that belongs to the parameters of blocks i and j: here weight and bias are one piece. */
const part = (M: Matrix, blocks: ReturnType<typeof inverted>["blocks"], i: number, j: number) => {
  const [from, to] = [i, j].map((k) => {
    const { parameters, inputs, outputs } = blocks[k]!;
    return [parameters[0]!.offset, parameters[0]!.offset + inputs * outputs - 1] as const;
  }) as [readonly [number, number], readonly [number, number]];
  return M.subMatrix(...from, ...to);
};

describe("a chain of three layers", () => {
  test.each([1e-1, 1e-3])("is the Gaussian chain with the given neighbours, γ = %f", (gamma) => {
    using(runtime, network(chain), (objective) => {
      const { P, blocks, links, factors, cross, dampings } = inverted(objective, gamma, "blockTridiagonal");
      expect(links).toEqual([
        { from: 0, to: 1 },
        { from: 1, to: 2 },
      ]);
      expect(deviation(P, P.transpose())).toBeLessThan(1e-9);
      // Its inverse has the given blocks on the diagonal and beside it,
      const F = inverse(P);
      factors.forEach(([A, G], k) => {
        const { a, g } = dampings[k]!;
        const expected = kronecker(damped(A!, a), damped(G!, g));
        expect(deviation(part(F, blocks, k, k), expected)).toBeLessThan(1e-6);
      });
      cross.forEach(([A, G], k) => {
        const { from, to } = links[k]!;
        expect(deviation(part(F, blocks, from, to), kronecker(A!, G!))).toBeLessThan(1e-6);
      });
      // and layers that are no neighbours are independent given those between: P is block-tridiagonal.
      expect(part(P, blocks, 0, 2).abs().max()).toBeLessThan(1e-9 * P.clone().abs().max());
      // All three together determine it. It is positive definite.
      expect(Math.min(...new Matrix(P).diag())).toBeGreaterThan(0);
    });
  });

  test("is Ξᵀ Λ Ξ, built from dense blocks", () => {
    using(runtime, network(chain), (objective) => {
      const { P, blocks, factors, cross, dampings } = inverted(objective, 0.05, "blockTridiagonal");
      const dense = factors.map(([A, G], k) =>
        kronecker(damped(A!, dampings[k]!.a), damped(G!, dampings[k]!.g)),
      );
      const between = cross.map(([A, G]) => kronecker(A!, G!));
      const psi = between.map((B, k) => B.mmul(inverse(dense[k + 1]!)));
      const n = P.rows;
      const [Xi, Lambda] = [Matrix.eye(n), Matrix.zeros(n, n)];
      const at = (k: number) => blocks[k]!.parameters[0]!.offset;
      dense.forEach((D, k) => {
        const sigma = psi[k] ? Matrix.sub(D, psi[k]!.mmul(dense[k + 1]!).mmul(psi[k]!.transpose())) : D;
        Lambda.setSubMatrix(inverse(sigma), at(k), at(k));
        if (psi[k]) Xi.setSubMatrix(Matrix.mul(psi[k]!, -1), at(k), at(k + 1));
      });
      expect(deviation(P, Xi.transpose().mmul(Lambda).mmul(Xi))).toBeLessThan(1e-8);
    });
  });

  test("with one example the blocks of neighbours are those of the Gauss–Newton matrix", () => {
    using(runtime, network(chain, { examples: 1 }), (objective) => {
      const F = new Matrix(matrixOf(objective, "gaussNewton").map((row) => [...row]));
      const { blocks, links, cross } = inverted(objective, 1, "blockTridiagonal");
      cross.forEach(([A, G], k) => {
        const { from, to } = links[k]!;
        expect(deviation(kronecker(A!, G!), part(F, blocks, from, to))).toBeLessThan(1e-12);
      });
    });
  });

  test("of linear layers with Gaussian outputs: the whole Gauss–Newton matrix, however many examples", () => {
    const linear = network(sequential(dense(3, { bias: false }), dense(2, { bias: false })), {
      loss: meanSquared(),
      targets: "numbers",
    });
    using(runtime, linear, (objective) => {
      const F = new Matrix(matrixOf(objective, "gaussNewton").map((row) => [...row]));
      const { blocks, factors, cross } = inverted(objective, 1, "blockTridiagonal");
      for (const [i, j, expected] of [
        [0, 0, kronecker(...(factors[0] as Pair))],
        [1, 1, kronecker(...(factors[1] as Pair))],
        [0, 1, kronecker(...(cross[0] as Pair))],
      ] as const)
        expect(deviation(expected, part(F, blocks, i, j))).toBeLessThan(1e-12);
    });
  });

  test("without correlation between neighbours it is block-diagonal", () => {
    using(runtime, network(chain), (objective) => {
      const { P } = inverted(objective, 1e4, "blockTridiagonal");
      // So much damping leaves nothing of them.
      const { P: diagonal } = inverted(objective, 1e4, "blockDiagonal");
      expect(deviation(P, diagonal)).toBeLessThan(1e-6);
    });
  });
});

describe("links", () => {
  const linksIn = (layer: Layer, inputShape: readonly number[] = [4]) => {
    let found: readonly { readonly from: number; readonly to: number }[] = [];
    using(runtime, network(layer, { input: inputShape }), (objective) => {
      const { blocks, release } = runningFactors(objective, "blockDiagonal");
      found = linksOf(blocks, "blockTridiagonal");
      release();
    });
    return found;
  };
  test("reach over functions without parameters, not over other layers", () => {
    expect(linksIn(sequential(dense(4), tanh(), dense(3)))).toEqual([{ from: 0, to: 1 }]);
    expect(linksIn(sequential(dense(4), layerNorm(), tanh(), dense(3)))).toEqual([]);
    expect(linksIn(sequential(conv2d(2, 3), flatten(), dense(4), dense(3)), [5, 5, 1])).toEqual([
      { from: 1, to: 2 },
    ]);
  });
  test("are said in the coverage, with what stands alone", () => {
    using(
      runtime,
      network(sequential(conv2d(2, 3), flatten(), dense(4), dense(3)), { input: [5, 5, 1] }),
      (objective) => {
        const training = createOptimizer("kfac", { structure: "blockTridiagonal" }).start(objective);
        expect(training.coverage!.map(({ treatment, reason }) => [treatment, reason])).toEqual([
          ["A ⊗ G", "conv2d with bias; in no chain of dense layers: block-diagonal"],
          ["A ⊗ G, tridiagonal", "dense with bias; before layers.3"],
          ["A ⊗ G, tridiagonal", "dense with bias; behind layers.2"],
        ]);
        const kept = Object.entries(training.state)
          .filter(([name]) => /^(factor|inverse|cross|psi|K|s)\./.test(name))
          .reduce((sum, [, { data }]) => sum + data.byteLength, 0);
        expect(training.coverage!.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(kept);
        training.release();
      },
    );
  });
});
