import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  createObjective,
  curvatureOf,
  type KroneckerFactors,
  kroneckerBlocks,
  kroneckerFactors,
  type Objective,
} from "../../src/curvature/index.js";
import { meanSquared, random, softmaxCrossEntropy } from "../../src/nn/index.js";
import { layoutOf } from "../../src/nn/parameters.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import type { Spec } from "../../src/tensor/array.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { affine, convolve } from "./kronecker-networks.js";
import { deviation, type Matrix, matrixOf, rowsOf } from "./matrices.js";
import { networks, using } from "./networks.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const f64 = (...shape: number[]): Spec => ({ dtype: "f64", shape });
const i32 = (...shape: number[]): Spec => ({ dtype: "i32", shape });

/** An objective of softmax cross-entropy over 3 classes, θ and batch at random, 4 examples. */
function objectiveWith(
  shapes: Readonly<Record<string, Spec>>,
  inputs: Spec,
  outputsOf: (p: Readonly<Record<string, Tensor>>, x: Tensor) => Tensor,
  examples = 4,
): Objective {
  const layout = layoutOf(shapes);
  const rng = random(3);
  const loss = softmaxCrossEntropy();
  const objective = createObjective(runtime, {
    layout,
    parameters: Array.from({ length: layout.size }, () => 0.5 * rng.normal()),
    batch: [{ ...inputs, shape: [examples, ...inputs.shape] }, i32(examples)],
    trace(theta, [x, y]) {
      const outputs = outputsOf(layout.views(theta) as Readonly<Record<string, Tensor>>, x!);
      return {
        loss: loss.value(outputs, y!),
        state: undefined,
        outputCurvature: curvatureOf(loss, outputs, y!),
      };
    },
  });
  const [x, y] = objective.batch;
  x!.set(Array.from({ length: x!.size }, () => (inputs.dtype === "i32" ? rng.integer(5) : rng.normal())));
  y!.set(Array.from({ length: y!.size }, () => rng.integer(3)));
  objective.key.set([11, 5]);
  return objective;
}

const square = (flat: ArrayLike<number>): Matrix => rowsOf(flat, Math.round(Math.sqrt(flat.length)));

/** What `read` makes of the factors, which are then given back. */
function withFactors<T>(
  objective: Objective,
  options: Parameters<typeof kroneckerFactors>[1],
  read: (factors: KroneckerFactors) => T,
): T {
  const factors = kroneckerFactors(objective, options);
  factors.compute();
  const result = read(factors);
  factors.release();
  return result;
}

/** Σ of the blocks [r, r'] of a matrix with rows (place, output): of equal places, or of all pairs. */
function overPlaces(dense: Matrix, first: number, places: number, width: number, pairs: "equal" | "all") {
  const sum = Array.from({ length: width }, () => new Float64Array(width));
  for (let r = 0; r < places; r++)
    for (let q = 0; q < places; q++)
      if (pairs === "all" || r === q)
        for (let i = 0; i < width; i++)
          for (let j = 0; j < width; j++)
            sum[i]![j]! += dense[first + r * width + i]![first + q * width + j]!;
  return sum;
}

/** 1/N Σ over groups of rows of x xᵀ, x a row (expand) or the mean of the group (reduce). */
function secondMoments(
  groups: readonly (readonly (readonly number[])[])[],
  sharing: "expand" | "reduce",
): Matrix {
  const rows =
    sharing === "expand"
      ? groups.flat()
      : groups.map((group) =>
          group[0]!.map((_, k) => group.reduce((s, row) => s + row[k]!, 0) / group.length),
        );
  return rows[0]!.map((_, i) =>
    Float64Array.from(rows[0]!, (__, j) => rows.reduce((s, row) => s + row[i]! * row[j]!, 0) / rows.length),
  );
}

describe("a layer without shared places, one example: the block of the dense matrix", () => {
  test.each(["mlp", "cnn", "rnn", "transformer"])("%s", (name) => {
    using(runtime, { ...networks[name]!, examples: 1 }, (objective) => {
      for (const [estimator, kind] of [
        ["exact", "gaussNewton"],
        ["empirical", "empiricalFisher"],
      ] as const) {
        const dense = matrixOf(objective, kind);
        withFactors(objective, { estimator }, ({ blocks, factors }) => {
          blocks.forEach((block, k) => {
            if (block.positions > 1 && block.kind !== "full") return;
            const { offset } = block.parameters[0]!;
            const size = block.inputs * block.outputs;
            const [A, G] = factors[k]!.map((buffer) => square(buffer.data));
            const row = (r: number) => [Math.floor(r / block.outputs), r % block.outputs] as const;
            const product = Array.from({ length: size }, (_, r) =>
              Float64Array.from({ length: size }, (__, c) => {
                const [[i, o], [j, p]] = [row(r), row(c)];
                return A![i]![j]! * (G ? G[o]![p]! : 1);
              }),
            );
            const part = dense.slice(offset, offset + size).map((r) => r.slice(offset, offset + size));
            expect(deviation(product, part)).toBeLessThan(1e-13);
          });
        });
      }
    });
  });
});

describe("shared places: G against the dense matrix of an offset at every place, A in plain loops", () => {
  const check = (objective: Objective, name: string, places: number, groups: number[][][]) => {
    const dense = matrixOf(objective, "gaussNewton");
    for (const sharing of ["expand", "reduce"] as const)
      withFactors(objective, { estimator: "exact", sharing }, ({ blocks, factors }) => {
        const k = blocks.findIndex((block) => block.name === name);
        expect(blocks[k]).toMatchObject({ positions: places });
        const { offset } = objective.layout.entry("offset");
        // An embedding is always expanded.
        const pairs = sharing === "expand" || name === "embedding" ? "equal" : "all";
        const G = overPlaces(dense, offset, places, blocks[k]!.outputs, pairs);
        expect(deviation(square(factors[k]![1]!.data), G)).toBeLessThan(1e-13);
        const A = secondMoments(groups, sharing);
        if (blocks[k]!.kind === "kronecker")
          expect(deviation(square(factors[k]![0]!.data), A)).toBeLessThan(1e-13);
        else
          expect([...factors[k]![0]!.data]).toEqual(
            secondMoments(groups, "expand").map((row, i) => expect.closeTo(row[i]!, 13)),
          );
      });
    objective.release();
  };

  test("convolution with stride and padding", () => {
    const geometry = { height: 5, width: 4, channels: 2 };
    const objective = objectiveWith(
      { weight: f64(3, 2, 2, 3), bias: f64(3), offset: f64(3, 3, 3), out: f64(27, 3) },
      f64(geometry.height, geometry.width, geometry.channels),
      (p, x) =>
        convolve({ weight: p.weight!, bias: p.bias! }, x)
          .add(p.offset!)
          .tanh()
          .reshape([-1, 27])
          .matmul(p.out!),
    );
    const x = objective.batch[0]!.data;
    // kernel [3, 2], stride [2, 1], padding [[1, 1], [0, 0]]
    const at = (n: number, h: number, w: number, c: number) =>
      h < 0 || h >= 5 ? 0 : x[((n * 5 + h) * 4 + w) * 2 + c]!;
    const groups = [0, 1, 2, 3].map((n) =>
      [0, 1, 2].flatMap((oh) =>
        [0, 1, 2].map((ow) => [
          ...[0, 1, 2].flatMap((kh) =>
            [0, 1].flatMap((kw) => [0, 1].map((c) => at(n, 2 * oh + kh - 1, ow + kw, c))),
          ),
          1,
        ]),
      ),
    );
    check(objective, "conv", 9, groups);
  });

  test("a dense map over positions, and an embedding under it", () => {
    const sequence = (p: Readonly<Record<string, Tensor>>, x: Tensor) =>
      affine({ weight: p.weight!, bias: p.bias! }, x, "dense")
        .add(p.offset!)
        .tanh()
        .reshape([-1, 12])
        .matmul(p.out!);
    const positions = objectiveWith(
      { weight: f64(2, 4), bias: f64(4), offset: f64(3, 4), out: f64(12, 3) },
      f64(3, 2),
      sequence,
    );
    const x = positions.batch[0]!.data;
    const groups = [0, 1, 2, 3].map((n) =>
      [0, 1, 2].map((t) => [x[(n * 3 + t) * 2]!, x[(n * 3 + t) * 2 + 1]!, 1]),
    );
    check(positions, "dense", 3, groups);

    const tokens = objectiveWith({ table: f64(5, 4), offset: f64(3, 4), out: f64(12, 3) }, i32(3), (p, i) =>
      p
        .table!.gather(i)
        .marked({ layer: "embedding", name: "embedding" }, i, p.table!)
        .add(p.offset!)
        .tanh()
        .reshape([-1, 12])
        .matmul(p.out!),
    );
    const i = tokens.batch[0]!.data;
    const oneHot = [0, 1, 2, 3].map((n) =>
      [0, 1, 2].map((t) => [0, 1, 2, 3, 4].map((v) => Number(i[n * 3 + t] === v))),
    );
    check(tokens, "embedding", 3, oneHot);
  });

  test("one weight used twice, one after the other", () => {
    const objective = objectiveWith({ weight: f64(3, 3), offset: f64(2, 3) }, f64(3), (p, x) => {
      const first = affine({ weight: p.weight! }, x, "twice").add(p.offset!.at(0)).tanh();
      return affine({ weight: p.weight! }, first, "twice").add(p.offset!.at(1));
    });
    const [x, theta] = [objective.batch[0]!.data, objective.parameters.data];
    const groups = [0, 1, 2, 3].map((n) => {
      const row = [0, 1, 2].map((k) => x[n * 3 + k]!);
      const next = [0, 1, 2].map((j) =>
        Math.tanh(row.reduce((s, value, k) => s + value * theta[k * 3 + j]!, theta[9 + j]!)),
      );
      return [row, next];
    });
    check(objective, "twice", 2, groups);
  });
});

describe("expectations", () => {
  test("sampled factors and diagonals tend to the exact ones", () => {
    const objective = objectiveWith({ weight: f64(2, 4), bias: f64(4), out: f64(4, 3) }, f64(2), (p, x) =>
      affine({ weight: p.weight!, bias: p.bias! }, x, "dense").tanh().matmul(p.out!),
    );
    const dense = matrixOf(objective, "gaussNewton");
    const exact = withFactors(objective, { estimator: "exact" }, ({ factors }) =>
      square(factors[0]![1]!.data),
    );
    const { offset, size } = objective.layout.entry("out");
    const diagonal = Float64Array.from({ length: size }, (_, k) => dense[offset + k]![offset + k]!);
    for (const estimator of ["sampled", "exact", "empirical"] as const) {
      const sampled = kroneckerFactors(objective, { estimator, draws: 4 });
      const [G, d] = [sampled.factors[0]![1]!, sampled.factors[1]![0]!];
      const [meanG, meanD] = [new Float64Array(G.size), new Float64Array(d.size)];
      const count = 4000;
      for (let draw = 0; draw < count; draw++) {
        sampled.compute(draw);
        meanG.forEach((_, k) => {
          meanG[k]! += G.data[k]! / count;
        });
        meanD.forEach((_, k) => {
          meanD[k]! += d.data[k]! / count;
        });
      }
      const empirical = matrixOf(objective, "empiricalFisher");
      const expected =
        estimator === "empirical" ? diagonal.map((_, k) => empirical[offset + k]![offset + k]!) : diagonal;
      if (estimator === "sampled") expect(deviation(square(meanG), exact)).toBeLessThan(0.05);
      expect(deviation([meanD], [expected])).toBeLessThan(0.1);
      sampled.release();
    }
    objective.release();
  });
});

describe("which parameters lie in which block", () => {
  const blocks = (
    shapes: Readonly<Record<string, Spec>>,
    inputs: Spec,
    f: Parameters<typeof objectiveWith>[2],
  ) => {
    const objective = objectiveWith(shapes, inputs, f);
    const found = kroneckerBlocks(objective);
    objective.release();
    return found.map(({ name, kind, inputs: a, outputs: b, reason }) => [name, kind, a, b, reason]);
  };
  test("a weight stored as [out, in] is a block like others", () => {
    expect(
      blocks({ weight: f64(3, 2), bias: f64(3) }, f64(2), (p, x) =>
        affine({ weight: p.weight!.transpose(), bias: p.bias! }, x, "rows"),
      ),
    ).toEqual([["rows", "kronecker", 3, 3, "dense with bias"]]);
  });
  test("what falls back to a diagonal, and why", () => {
    expect(
      blocks({ weight: f64(2, 2), gain: f64(2), out: f64(2, 3) }, f64(2), (p, x) => {
        const hidden = affine({ weight: p.weight! }, x, "there").mul(p.gain!).tanh();
        return affine({ weight: p.weight!.transpose() }, hidden, "back").tanh().matmul(p.out!);
      }),
    ).toEqual([
      ["weight", "diagonal", 4, 1, "weight is used in different ways"],
      ["gain", "diagonal", 2, 1, "no layer marks it"],
      ["out", "diagonal", 6, 1, "no layer marks it"],
    ]);
    expect(
      blocks({ weight: f64(2, 2), wide: f64(2, 6), out: f64(2, 3) }, f64(2), (p, x) => {
        const hidden = affine({ weight: p.weight! }, x, "marked").add(x.matmul(p.weight!)).tanh();
        const part = affine({ weight: p.wide!.slice(1, 0, 2) }, hidden, "part");
        return affine({ weight: p.out!.exp() }, part, "positive");
      }),
    ).toEqual([
      ["weight", "diagonal", 4, 1, "weight is also used outside of layers"],
      ["wide", "diagonal", 12, 1, "no layer marks it"],
      ["out", "diagonal", 6, 1, "no layer marks it"],
    ]);
    expect(
      blocks({ first: f64(2, 3), second: f64(2, 3), bias: f64(3) }, f64(2), (p, x) => {
        const left = affine({ weight: p.first!, bias: p.bias! }, x, "left").tanh();
        return left.add(affine({ weight: p.second!, bias: p.bias! }, x, "right").tanh());
      }),
    ).toEqual([
      ["first", "diagonal", 6, 1, "bias belongs to several layers"],
      ["second", "diagonal", 6, 1, "bias belongs to several layers"],
      ["bias", "diagonal", 3, 1, "bias belongs to several layers"],
    ]);
  });
  test("errors say what is missing", () => {
    const layout = layoutOf({ x: f64(2) });
    const objective = createObjective(runtime, {
      layout,
      batch: [],
      trace: (x) => ({ loss: x.square().sum(), state: undefined }),
    });
    expect(() => kroneckerBlocks(objective)).toThrow("Kronecker factors: need outputCurvature; return it");
    expect(() => kroneckerFactors(objective)).toThrow("Kronecker factors: need outputCurvature; return it");
    objective.release();
    const wide = createObjective(runtime, {
      layout: layoutOf({ x: f64(300) }),
      batch: [f64(1, 300)],
      trace(x, [y]) {
        const loss = meanSquared();
        const outputs = x.reshape([1, 300]).mul(y!);
        return {
          loss: loss.value(outputs, y!),
          state: undefined,
          outputCurvature: curvatureOf(loss, outputs, y!),
        };
      },
    });
    expect(() => kroneckerFactors(wide, { estimator: "exact" })).toThrow(
      '"exact" takes a backward pass for each of the 300 outputs of an example, at most 256; use "sampled"',
    );
    wide.release();
  });
});
