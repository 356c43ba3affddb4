import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { curvatureOperator, type Objective } from "../../src/curvature/index.js";
import { hiddenStates } from "../../src/curvature/products.js";
import { dense, gru, type Layer, lstm, rnn, sequential, softmaxCrossEntropy } from "../../src/nn/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { concat } from "../../src/tensor/tensor.js";
import { deviation, differences, kinds, type Matrix, matrixOf, sandwiched } from "./matrices.js";
import { mlp, type Network, networks, readerOf, using } from "./networks.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const recurrent = (layer: Layer): Network => ({
  layer: sequential(layer, dense(3)),
  input: [5, 2],
  loss: softmaxCrossEntropy(),
  targets: "classes",
});
const examples = 6;

/** A + c·S as the operator has it. */
function withStructure(objective: Objective, kind: (typeof kinds)[number], c: number): Matrix {
  const A = curvatureOperator(objective, kind, { structure: true });
  A.linearize();
  A.structure!.data[0] = c;
  const n = objective.layout.size;
  const rows = Array.from({ length: n }, (_, k) => {
    const out = new Float64Array(n);
    A.apply(
      Float64Array.from({ length: n }, (_, j) => (j === k ? 1 : 0)),
      out,
    );
    return out;
  });
  A.release();
  return rows;
}
const sum = (A: Matrix, c: number, S: Matrix): Matrix =>
  A.map((row, i) => row.map((a, j) => a + c * S[i]![j]!));

/** All hidden states of tests' rnn by a plain loop: hₜ = tanh(xₜ·W + b + hₜ₋₁·U). */
function hiddenByLoop({ layout, parameters, batch }: Objective): number[] {
  const [W, b, U] = ["input.weight", "input.bias", "recurrent.weight"].map((name) => {
    const { offset, size } = layout.entries.find((entry) => entry.name.endsWith(name))!;
    return parameters.data.subarray(offset, offset + size);
  }) as [Float64Array, Float64Array, Float64Array];
  const x = batch[0]!;
  const [, steps, width] = x.shape as [number, number, number];
  const units = b.length;
  const states: number[] = [];
  for (let i = 0; i < examples; i++) {
    let h = new Array<number>(units).fill(0);
    for (let t = 0; t < steps; t++) {
      h = h.map((_, j) => {
        let s = b[j]!;
        for (let k = 0; k < width; k++) s += x.data[(i * steps + t) * width + k]! * W[k * units + j]!;
        for (let k = 0; k < units; k++) s += h[k]! * U[k * units + j]!;
        return Math.tanh(s);
      });
      states.push(...h);
    }
  }
  return states;
}

const perExample = (a: number, b: number) => (a === b ? 1 / examples : 0);

describe("structural damping", () => {
  test("adds c times the Gauss–Newton matrix of the distance between hidden states to every curvature", () => {
    using(runtime, networks.rnn!, (objective) => {
      const S = sandwiched(
        differences(objective, () => hiddenByLoop(objective)),
        perExample,
      );
      for (const kind of kinds) {
        const A = matrixOf(objective, kind);
        expect(deviation(withStructure(objective, kind, 0), A)).toBeLessThan(1e-12);
        expect(deviation(withStructure(objective, kind, 0.7), sum(A, 0.7, S))).toBeLessThan(1e-7);
      }
    });
  });
  // The memory of the last step is handed to nobody.
  test.each([
    ["gru", sequential(gru(3, { output: "last" })), 5],
    ["lstm", sequential(lstm(3, { output: "last" })), 9],
    ["two layers", sequential(gru(3), rnn(2, { output: "last" })), 10],
  ] as const)("knows the states of %s, memories included", (_, layer, expected) => {
    using(runtime, recurrent(layer), (objective) => {
      let found = 0;
      const read = readerOf(objective, (traced) => {
        const states = hiddenStates(traced);
        found = states.length;
        return concat(states.map((state) => state.reshape([-1])));
      });
      expect(found).toBe(expected);
      const S = sandwiched(differences(objective, read), perExample);
      const A = matrixOf(objective, "gaussNewton");
      expect(deviation(withStructure(objective, "gaussNewton", 2), sum(A, 2, S))).toBeLessThan(1e-7);
      read.release();
    });
  });
  test("is absent where there are no hidden states", () => {
    using(runtime, mlp(softmaxCrossEntropy(), "classes"), (objective) => {
      const A = curvatureOperator(objective, "gaussNewton", { structure: true });
      expect(A.structure).toBeUndefined();
      A.release();
    });
  });
});
