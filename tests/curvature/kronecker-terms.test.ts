/** Factors of losses that are sums of means, and of derivatives by a network's inputs. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { kroneckerBlocks, kroneckerFactors, type Objective } from "../../src/curvature/index.js";
import { createPencil } from "../../src/curvature/kronecker/index.js";
import type { ProblemInstance } from "../../src/lab/problem.js";
import { openProblem } from "../../src/lab/problems/registry.js";
import { random } from "../../src/nn/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { deviation, type Matrix, matrixOf, rowsOf } from "./matrices.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

function start(name: string, hidden: string): ProblemInstance {
  const problem = openProblem({
    name,
    options: { hidden, boundary: 5, ...(name === "pinn-poisson" && { dimension: 2 }) },
  });
  const instance = problem.start(runtime, { seed: 4, batch: 7 });
  instance.load(0);
  return instance;
}

/** All factors of an objective as matrices, block by block. */
function factorsOf(
  objective: Objective,
  options: Parameters<typeof kroneckerFactors>[1] = { estimator: "exact" },
) {
  const computed = kroneckerFactors(objective, options);
  computed.compute();
  const factors = computed.factors.map((block) =>
    block.map(({ data, shape }) => rowsOf(Array.from(data), shape[0]!)),
  );
  computed.release();
  return factors;
}

/** Σ Aₜ ⊗ Gₜ with rows in the order of [weight; bias]. */
function kroneckerSum(factors: readonly Matrix[]): Matrix {
  const [inputs, outputs] = [factors[0]!.length, factors[1]!.length];
  return Array.from({ length: inputs * outputs }, (_, row) =>
    Float64Array.from({ length: inputs * outputs }, (_, column) => {
      let sum = 0;
      for (let t = 0; t < factors.length; t += 2)
        sum +=
          factors[t]![Math.floor(row / outputs)]![Math.floor(column / outputs)]! *
          factors[t + 1]![row % outputs]![column % outputs]!;
      return sum;
    }),
  );
}

/** The block [weight; bias] of a layer in the dense Gauss–Newton matrix. */
function exactBlock(objective: Objective, layer: string): Matrix {
  const dense = matrixOf(objective, "gaussNewton");
  const indices = ["weight", "bias"].flatMap((name) => {
    const { offset, size } = objective.layout.entry(`${layer}.${name}`);
    return Array.from({ length: size }, (_, k) => offset + k);
  });
  return indices.map((i) => Float64Array.from(indices, (j) => dense[i]![j]!));
}

describe("a residual and a boundary, each with factors of its own", () => {
  test("the blocks say how many terms and uses there are", () => {
    const { objective, release } = start("pinn-poisson", "4");
    expect(
      kroneckerBlocks(objective).map(({ name, kind, inputs, outputs, terms, uses, reason }) => [
        name,
        kind,
        inputs,
        outputs,
        terms,
        uses,
        reason,
      ]),
    ).toEqual([
      // Value and two derivatives inside, value on the boundary.
      ["layers.0", "kronecker", 3, 4, 2, 4, "dense with bias"],
      // The Laplacian inside, value on the boundary.
      ["layers.2", "kronecker", 5, 1, 2, 2, "dense with bias"],
    ]);
    release();
  });

  test("the exact block of a linear network, and of a last layer that acts once in each term", () => {
    for (const [name, hidden, layer, index] of [
      ["pinn-heat", "none", "layers.0", 0],
      ["pinn-poisson", "4", "layers.2", 1],
      ["pinn-poisson", "3-4", "layers.4", 2],
    ] as const) {
      const { objective, release } = start(name, hidden);
      for (const sharing of ["expand", "reduce"] as const) {
        const found = kroneckerSum(factorsOf(objective, { estimator: "exact", sharing })[index]!);
        expect(deviation(found, exactBlock(objective, layer))).toBeLessThan(1e-13);
      }
      release();
    }
  });

  test("the first layer of a network of one hidden layer, by the formulas", () => {
    const { objective, release } = start("pinn-poisson", "4");
    const [A1, G1, A2, G2] = factorsOf(objective)[0] as [Matrix, Matrix, Matrix, Matrix];
    const at = (name: string) => {
      const { offset, size } = objective.layout.entry(name);
      return objective.parameters.data.subarray(offset, offset + size);
    };
    const [W, b, v] = [at("layers.0.weight"), at("layers.0.bias"), at("layers.2.weight")];
    const units = [0, 1, 2, 3];
    const points = (index: number) => {
      const { data, shape } = objective.batch[index]!;
      return Array.from({ length: shape[0]! }, (_, i) => [data[2 * i]!, data[2 * i + 1]!] as const);
    };
    const outer = (rows: readonly (readonly number[])[], scale: number): Matrix =>
      rows[0]!.map((_, i) =>
        Float64Array.from(rows[0]!, (_, j) => rows.reduce((sum, row) => sum + row[i]! * row[j]!, 0) * scale),
      );
    const tanhAt = (x: readonly number[], j: number) => Math.tanh(x[0]! * W[j]! + x[1]! * W[4 + j]! + b[j]!);
    const [inside, edge] = [points(0), points(2)];
    // Inside a weight acts three times: on [x; 1] and, without the bias, on the unit vectors.
    const inputs = [
      ...inside.map(([x, y]) => [x, y, 1]),
      ...inside.flatMap(() => [
        [1, 0, 0],
        [0, 1, 0],
      ]),
    ];
    expect(deviation(A1, outer(inputs, 1 / inputs.length))).toBeLessThan(1e-14);
    expect(
      deviation(
        A2,
        outer(
          edge.map(([x, y]) => [x, y, 1]),
          1 / edge.length,
        ),
      ),
    ).toBeLessThan(1e-14);
    // −Δu = Σⱼ vⱼ 2tⱼ(1 − tⱼ²) qⱼ, qⱼ = Σᵢ Wᵢⱼ²: gradients by the value and by the derivatives of sⱼ.
    const byValue = inside.map((x) =>
      units.map((j) => {
        const t = tanhAt(x, j);
        return v[j]! * 2 * (1 - t * t) * (1 - 3 * t * t) * (W[j]! ** 2 + W[4 + j]! ** 2);
      }),
    );
    const byDerivative = [0, 1].flatMap((i) =>
      inside.map((x) => units.map((j) => v[j]! * 4 * tanhAt(x, j) * (1 - tanhAt(x, j) ** 2) * W[4 * i + j]!)),
    );
    expect(deviation(G1, outer([...byValue, ...byDerivative], 1 / inside.length))).toBeLessThan(1e-13);
    const onEdge = edge.map((x) => units.map((j) => v[j]! * (1 - tanhAt(x, j) ** 2)));
    expect(deviation(G2, outer(onEdge, 1 / edge.length))).toBeLessThan(1e-13);
    release();
  });

  test("sampled factors have the exact ones as expectations, in each term", () => {
    const { objective, release } = start("pinn-poisson", "4");
    const exact = factorsOf(objective);
    const sampled = factorsOf(objective, { estimator: "sampled", draws: 200 });
    exact.forEach((block, k) => {
      block.forEach((factor, side) => {
        expect(deviation(sampled[k]![side]!, factor)).toBeLessThan(side % 2 === 0 ? 1e-14 : 0.4);
      });
    });
    release();
  });
});

describe("a pair of matrices in one basis", () => {
  /** Symmetric with these eigenvalues, not diagonal. */
  const matrix = (eigenvalues: readonly number[], seed: number): Matrix => {
    const rng = random(seed);
    const n = eigenvalues.length;
    const basis: Float64Array[] = [];
    while (basis.length < n) {
      const v = Float64Array.from({ length: n }, () => rng.normal());
      for (let pass = 0; pass < 2; pass++)
        for (const q of basis) {
          const along = q.reduce((sum, x, k) => sum + x * v[k]!, 0);
          v.forEach((_, k) => {
            v[k]! -= along * q[k]!;
          });
        }
      const norm = Math.hypot(...v);
      basis.push(v.map((x) => x / norm));
    }
    return basis[0]!.reduce<Float64Array[]>((rows, _, i) => {
      rows.push(
        Float64Array.from({ length: n }, (_, j) =>
          basis.reduce((sum, q, k) => sum + eigenvalues[k]! * q[i]! * q[j]!, 0),
        ),
      );
      return rows;
    }, []);
  };
  test("both are diagonal, with shares that add to 1, whatever their sizes and ranks", () => {
    const pencil = createPencil(runtime, "f64", 5);
    const cases: [number[], number[], number][] = [
      [[5, 4, 3, 2, 1], [1, 1, 2, 3, 5], 0],
      [[1e8, 1e4, 1, 0, 0], [0, 1e-3, 1e-6, 1e-6, 1e-9], 1e-12],
      [[1, 0, 0], [0, 0, 1e-6], 1e-8],
    ];
    cases.forEach(([one, two, shift], index) => {
      const n = one.length;
      const [A, B] = [matrix(one, index), matrix(two, index + 10)];
      const buffers = [A, B].map((rows) => {
        const buffer = runtime.buffer("f64", [n, n]);
        buffer.set(rows.flatMap((row) => [...row]));
        return buffer;
      });
      const basis = runtime.buffer("f64", [n, n]);
      const shares = new Float64Array(n);
      const scales = pencil.diagonalize(
        { matrix: buffers[0]!, shift },
        { matrix: buffers[1]!, shift },
        basis,
        shares,
      )!;
      const X = rowsOf(basis.data, n);
      [A, B].forEach((M, t) => {
        const rotated = X.map((x) =>
          Float64Array.from(X, (y) => {
            let sum = 0;
            for (let i = 0; i < n; i++)
              for (let j = 0; j < n; j++) sum += x[i]! * (M[i]![j]! + (i === j ? shift : 0)) * y[j]!;
            return sum / scales[t]!;
          }),
        );
        const expected = X.map((_, i) =>
          Float64Array.from(X, (_, j) => (i === j ? (t === 0 ? shares[i]! : 1 - shares[i]!) : 0)),
        );
        rotated.forEach((row, i) => {
          row.forEach((value, j) => {
            // Rounding grows with the length of the basis's vectors.
            const size = Math.hypot(...X[i]!) * Math.hypot(...X[j]!);
            expect(Math.abs(value - expected[i]![j]!)).toBeLessThan(1e-13 * Math.max(1, size));
          });
        });
      });
      for (const buffer of [...buffers, basis]) buffer.release();
    });
    pencil.release();
  });
});
