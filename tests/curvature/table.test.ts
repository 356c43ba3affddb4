/** Every operator of every case against its dense matrix, which comes from finite differences and plain loops. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { batch as batchOver } from "../../src/autodiff/vmap.js";
import { compile } from "../../src/compiler/compile.js";
import {
  argumentsOf,
  type CurvatureKind,
  createObjective,
  curvatureOperator,
  type Estimator,
  type KroneckerBlock,
  kroneckerFactors,
  type Objective,
  perExampleGradients,
  type Sharing,
} from "../../src/curvature/index.js";
import {
  blocksOf,
  matrixOfBlock,
  needCurvature,
  solveBlock,
  vectorOfBlocks,
} from "../../src/curvature/kronecker/index.js";
import { compileProduct } from "../../src/curvature/operator.js";
import { layoutOf } from "../../src/nn/parameters.js";
import type { Buffer } from "../../src/runtime/memory.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { reachable } from "../../src/tensor/program.js";
import { concat, constant, input } from "../../src/tensor/tensor.js";
import { type Case, cases } from "./cases.js";
import {
  deviation,
  differences,
  hessianByDifferences,
  kinds,
  type Matrix,
  randomVector,
  rowsOf,
  sandwiched,
} from "./matrices.js";
import { objectiveOf, readerOf, using } from "./networks.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const all = Object.entries(cases);
const toleranceOf = ({ dtype }: Case) => (dtype === "f32" ? 3e-4 : 1e-6);
const [samples, draw] = [2, 3];

const transposed = (rows: Matrix): Matrix =>
  Array.from(rows[0]!, (_, j) => Float64Array.from(rows, (row) => row[j]!));
/** L·R of matrices by rows. */
const times = (left: Matrix, right: Matrix): Matrix => againstRows(left, transposed(right));
/** L·Rᵀ. */
const againstRows = (left: Matrix, right: Matrix): Matrix =>
  left.map((row) => Float64Array.from(right, (other) => row.reduce((sum, x, k) => sum + x * other[k]!, 0)));
const column = (v: Float64Array): Matrix => transposed([v]);

/** What `read` makes of a tensor of the traced loss, now. */
function readingOf(objective: Objective, f: Parameters<typeof readerOf>[1]): Float64Array {
  const reader = readerOf(objective, f);
  const value = reader();
  reader.release();
  return value;
}

/** The same problem in f64, to differentiate. */
function twinOf(objective: Objective, given: Case): Objective {
  const twin = objectiveOf(runtime, { ...given, dtype: "f64" });
  twin.parameters.set(objective.parameters.data);
  twin.batch.forEach((buffer, k) => {
    buffer.set(objective.batch[k]!.data);
  });
  return twin;
}

/** The Hessian of the loss by the outputs, from differences of its gradient. */
function lossHessian(twin: Objective, { loss }: Case): Matrix {
  let shape: readonly number[] = [];
  const outputs = readingOf(twin, ({ outputCurvature }) => {
    shape = outputCurvature!.outputs.shape;
    return outputCurvature!.outputs;
  });
  const objective = createObjective(runtime, {
    layout: layoutOf({ outputs: { dtype: "f64", shape } }),
    parameters: outputs,
    batch: [twin.batch[1]!],
    trace: (o, [y]) => ({ loss: loss.value(o.reshape(shape), y!), state: undefined }),
  });
  objective.batch[0]!.set(twin.batch[1]!.data);
  const hessian = hessianByDifferences(objective);
  objective.release();
  return hessian;
}

/** Curvature matrices by definition, and the gradients of the examples' losses. */
function definitions(objective: Objective, given: Case) {
  const twin = twinOf(objective, given);
  const outputs = readerOf(twin, ({ outputCurvature }) => outputCurvature!.outputs);
  const losses = readerOf(twin, ({ outputCurvature }) => outputCurvature!.perExample!());
  const [J, L, H] = [differences(twin, outputs), differences(twin, losses), lossHessian(twin, given)];
  const examples = L[0]!.length;
  const drawn = Array.from({ length: samples }, (_, s) =>
    readingOf(objective, ({ outputCurvature }) =>
      outputCurvature!.sampleGradient!(constant([0, draw * samples + s], "i32")),
    ),
  );
  const width = H.length / examples;
  const sampled = (a: number, b: number) =>
    Math.floor(a / width) === Math.floor(b / width)
      ? drawn.reduce((sum, g) => sum + (g[a]! * g[b]!) / (samples * examples), 0)
      : 0;
  const decayed = (rows: Matrix): Matrix =>
    rows.map((row, i) => row.map((x, j) => (i === j ? x + (given.decay ?? 0) : x)));
  const gaussNewton = decayed(sandwiched(J, (a, b) => H[a]![b]!));
  const matrices: Record<CurvatureKind, Matrix> = {
    hessian: hessianByDifferences(twin),
    gaussNewton,
    // Of these losses, each the negative log-likelihood of an exponential family in its natural parameters.
    fisher: gaussNewton,
    sampledFisher: decayed(sandwiched(J, sampled)),
    empiricalFisher: decayed(sandwiched(L, (a, b) => (a === b ? 1 / examples : 0))),
  };
  for (const part of [outputs, losses, twin]) part.release();
  return { matrices, perExample: transposed(L) };
}

/** Several products at once, of vectors that are the rows of U: U·A. */
function productsOf(objective: Objective, kind: CurvatureKind, U: Matrix): Matrix {
  const { known, dependent, take } = compileProduct(objective, kind, U.length, { samples });
  take(draw);
  const n = objective.layout.size;
  U.forEach((row, k) => {
    dependent.inputs.at(-1)!.data.set(row, k * n);
  });
  dependent.run();
  const { data } = dependent.outputs[0]!;
  const rows = U.map((_, k) => Float64Array.from(data.subarray(k * n, (k + 1) * n)));
  known.release();
  dependent.release();
  return rows;
}

describe.each(all)("%s", (_name, given) => {
  const tolerance = toleranceOf(given);
  let objective: Objective;
  let expected: ReturnType<typeof definitions>;
  beforeAll(() => {
    objective = objectiveOf(runtime, given);
    expected = definitions(objective, given);
  });
  afterAll(() => objective.release());

  test("products from the left and the right, with one vector and several; gradients of the examples", () => {
    const n = objective.layout.size;
    const U = [1, 2, 3].map((seed) => randomVector(n, seed));
    for (const kind of kinds) {
      const matrix = expected.matrices[kind];
      const A = curvatureOperator(objective, kind, { samples });
      A.linearize(draw);
      const out = new Float64Array(n);
      A.apply(U[0]!, out);
      A.release();
      expect(deviation(column(out), times(matrix, column(U[0]!)))).toBeLessThan(tolerance);
      expect(deviation([out], times([U[0]!], matrix))).toBeLessThan(tolerance);
      const several = productsOf(objective, kind, U);
      expect(deviation(several, times(U, matrix))).toBeLessThan(tolerance);
      expect(deviation(transposed(several), times(matrix, transposed(U)))).toBeLessThan(tolerance);
    }
    for (const examples of ["independent", "coupled"] as const) {
      const gradients = perExampleGradients(objective, { examples });
      gradients.compute();
      const { data } = gradients.gradients;
      const rows = expected.perExample.map((_, i) => Float64Array.from(data.subarray(i * n, (i + 1) * n)));
      expect(deviation(rows, expected.perExample)).toBeLessThan(tolerance);
      gradients.release();
    }
  });

  test("Kronecker blocks: their factors, and the products with them", () => {
    for (const [estimator, sharing] of [
      ["exact", "expand"],
      ["exact", "reduce"],
      ["empirical", "reduce"],
    ] as const) {
      const dense = expected.matrices[estimator === "exact" ? "gaussNewton" : "empiricalFisher"];
      const part = (index: readonly number[]) =>
        index.map((i) => Float64Array.from(index, (j) => dense[i]![j]! - (i === j ? (given.decay ?? 0) : 0)));
      const kronecker = kroneckerFactors(objective, { estimator, sharing });
      kronecker.compute();
      const { blocks } = kronecker;
      expect(blocks.map(({ kind }) => kind)).toEqual(given.blocks);
      blocks.forEach((block, k) => {
        const { kind, parameters, positions, outputs } = block;
        const [A, G] = kronecker.factors[k]!.map(matrixIn) as [Matrix, Matrix];
        // Of a norm the block itself.
        if (kind === "full") expect(deviation(A, part(indices(block).flat()))).toBeLessThan(tolerance);
        if (kind !== "kronecker" && kind !== "embedding") return;
        if (estimator === "exact")
          expect(deviation(A, inputMoments(objective, block, sharing))).toBeLessThan(tolerance);
        const bias = parameters[1];
        // An example's gradient by the bias is the sum over its places of those by the pre-activations.
        if (bias && (sharing === "reduce" || positions === 1)) {
          const own = Array.from({ length: outputs }, (_, o) => bias.offset + o);
          expect(deviation(G, part(own))).toBeLessThan(tolerance);
        }
        if (given.examples === 1 && positions === 1)
          expect(deviation(product(A, G), part(indices(block).flat()))).toBeLessThan(tolerance);
      });
      if (sharing === "expand") checkBlockProducts(objective, kronecker, tolerance);
      kronecker.release();
    }
  });
});

/** A factor as it is meant: a vector is a diagonal. */
const matrixIn = ({ data, shape }: Buffer): Matrix =>
  shape.length === 2
    ? rowsOf(data, shape[0]!)
    : Array.from(data, (value, i) => Float64Array.from(data, (_, j) => (i === j ? value : 0)));
/** A ⊗ G with rows (input, output). */
const product = (A: Matrix, G: Matrix): Matrix =>
  A.flatMap((a) =>
    G.map((g) => Float64Array.from(Array.from(a).flatMap((x) => Array.from(g, (y) => x * y)))),
  );

/** Where the elements (input, output) of a block lie in θ, as this test's cases store them. */
function indices({ name, parameters: [weight, bias], inputs, outputs, kind }: KroneckerBlock): number[][] {
  if (kind === "full" || kind === "diagonal")
    return Array.from({ length: inputs }, (_, i) => [weight!.offset + i]);
  const rows = bias ? inputs - 1 : inputs;
  return Array.from({ length: inputs }, (_, i) =>
    Array.from({ length: outputs }, (__, o) =>
      i === rows ? bias!.offset + o : weight!.offset + (name === "twice" ? o * rows + i : i * outputs + o),
    ),
  );
}

/** A in plain loops over what the layer reads; an embedding is always expanded. */
function inputMoments(
  objective: Objective,
  { name, kind, parameters, inputs }: KroneckerBlock,
  sharing: Sharing,
): Matrix {
  const width = inputs - (parameters.length - 1);
  let [examples, sizes] = [0, [] as number[]];
  const flat = readingOf(objective, ({ loss, outputCurvature }) => {
    examples = outputCurvature!.outputs.shape[0]!;
    const read = reachable([loss]).flatMap(({ op, inputs: [, x] }) => {
      if (op.kind !== "mark" || op.mark.layer === "hidden" || op.mark.name !== name) return [];
      return [(op.mark.layer === "conv2d" ? x!.patches(op.mark.window) : x!).reshape([-1]).cast("f64")];
    });
    sizes = read.map(({ size }) => size);
    return concat(read);
  });
  /** Rows of every example, over all uses. */
  const groups: number[][][] = Array.from({ length: examples }, () => []);
  let next = 0;
  for (const size of sizes)
    for (const group of groups)
      for (const end = next + size / examples; next < end; ) {
        if (kind === "embedding") {
          const token = flat[next++]!;
          group.push(Array.from({ length: inputs }, (_, v) => Number(token === v)));
        } else {
          group.push([...flat.subarray(next, next + width), ...(parameters.length > 1 ? [1] : [])]);
          next += width;
        }
      }
  const rows =
    sharing === "expand" || kind === "embedding"
      ? groups.flat()
      : groups.map((group) =>
          group[0]!.map((_, j) => group.reduce((s, row) => s + row[j]!, 0) / group.length),
        );
  return Array.from({ length: inputs }, (_, i) =>
    Float64Array.from(
      { length: inputs },
      (__, j) => rows.reduce((s, row) => s + row[i]! * row[j]!, 0) / rows.length,
    ),
  );
}

/** v ↦ A M G, block by block, is the product with the dense block-diagonal matrix; of several vectors too. */
function checkBlockProducts(
  objective: Objective,
  { blocks, factors }: ReturnType<typeof kroneckerFactors>,
  tolerance: number,
): void {
  const n = objective.layout.size;
  const dense = Array.from({ length: n }, () => new Float64Array(n));
  blocks.forEach((block, k) => {
    const at = indices(block);
    const [A, G] = factors[k]!.map(matrixIn);
    at.forEach((row, i) => {
      row.forEach((index, o) => {
        at.forEach((other, j) => {
          other.forEach((second, p) => {
            dense[index]![second] = A![i]![j]! * (G ? G[o]![p]! : 1);
          });
        });
      });
    });
  });
  const { parameters, batch, state, key } = argumentsOf(objective);
  const traced = blocksOf(
    needCurvature(objective.trace(parameters, batch, state, key)),
    parameters,
    objective.layout,
  );
  const symbols = factors.map((list) => list.map((buffer) => input("factor", buffer)));
  const one = input("vector", objective.parameters);
  const multiplied = vectorOfBlocks(
    traced,
    traced.map((block, k) => solveBlock(block, matrixOfBlock(block, one), symbols[k]!)),
  );
  const U = [4, 5, 6].map((seed) => randomVector(n, seed));
  const vectors = input("vectors", { dtype: objective.dtype, shape: [U.length, n] });
  const [several] = batchOver([multiplied], new Map([[one, vectors]]), U.length);
  const executable = compile(
    runtime,
    { inputs: [...symbols.flat(), one, vectors], outputs: [multiplied, several!] },
    { inputs: [...factors.flat(), undefined, undefined] },
  );
  const [first, rest] = executable.inputs.slice(-2);
  first!.set(U[0]!);
  rest!.set(U.flatMap((row) => [...row]));
  executable.run();
  const [single, many] = executable.outputs;
  expect(deviation([Float64Array.from(single!.data)], times([U[0]!], dense))).toBeLessThan(tolerance);
  const rows = U.map((_, k) => Float64Array.from(many!.data.subarray(k * n, (k + 1) * n)));
  expect(deviation(rows, times(U, dense))).toBeLessThan(tolerance);
  expect(deviation(transposed(rows), times(dense, transposed(U)))).toBeLessThan(tolerance);
  executable.release();
}

describe.each([
  ["mlp, cross-entropy", 0.4],
  ["mlp, cross-entropy", 6],
  ["layer norm, binary cross-entropy", 6],
  ["cnn, mean over the elements", 3],
  ["a transposed weight used twice, sum over the elements", 6],
  ["embedding, cross-entropy at every position", 4],
] as const)("scaling laws: %s", (name, c) => {
  const given = cases[name]!;
  const { examples = 6 } = given;
  const U = (objective: Objective) => [7, 8].map((seed) => randomVector(objective.layout.size, seed));
  const factorsOf = (objective: Objective, estimator: Estimator) => {
    const kronecker = kroneckerFactors(objective, { estimator });
    kronecker.compute(draw);
    const values = kronecker.factors.map((list) => list.map(({ data }) => Float64Array.from(data)));
    const { blocks } = kronecker;
    kronecker.release();
    return { values, blocks };
  };
  const scaled = (rows: Matrix, c: number): Matrix => rows.map((row) => row.map((x) => c * x));

  test("a loss times c, such as the sum over the examples, has c times the curvature; the empirical Fisher c²", () => {
    using(runtime, given, (objective) => {
      using(runtime, { ...given, scale: c }, (multiple) => {
        for (const kind of kinds) {
          const power = kind === "empiricalFisher" ? 2 : 1;
          const expected = scaled(productsOf(objective, kind, U(objective)), c ** power);
          expect(deviation(productsOf(multiple, kind, U(objective)), expected)).toBeLessThan(1e-12);
        }
        for (const estimator of ["exact", "sampled", "empirical"] as const) {
          const power = estimator === "empirical" ? 2 : 1;
          const [before, after] = [objective, multiple].map((each) => factorsOf(each, estimator));
          after!.values.forEach((list, k) => {
            list.forEach((factor, index) => {
              // A knows nothing of the loss.
              const factorOf = list.length > 1 && index === 0 ? 1 : c ** power;
              const expected = scaled([before!.values[k]![index]!], factorOf);
              expect(deviation([factor], expected)).toBeLessThan(1e-12);
            });
          });
        }
      });
    });
  });

  test("every example twice: the same curvature", () => {
    using(runtime, given, (objective) => {
      using(runtime, { ...given, examples: 2 * examples }, (doubled) => {
        doubled.parameters.set(objective.parameters.data);
        doubled.batch.forEach((buffer, k) => {
          const { data } = objective.batch[k]!;
          buffer.set([...data, ...data]);
        });
        for (const kind of kinds.filter((name) => name !== "sampledFisher")) {
          const expected = productsOf(objective, kind, U(objective));
          expect(deviation(productsOf(doubled, kind, U(objective)), expected)).toBeLessThan(1e-12);
        }
        for (const estimator of ["exact", "empirical"] as const) {
          const [before, after] = [objective, doubled].map((each) => factorsOf(each, estimator));
          after!.values.forEach((list, k) => {
            // What no layer marks is estimated with other signs for each example.
            if (after!.blocks[k]!.layer === "other") return;
            list.forEach((factor, index) => {
              expect(deviation([factor], [before!.values[k]![index]!])).toBeLessThan(1e-12);
            });
          });
        }
      });
    });
  });
});
