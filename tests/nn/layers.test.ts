import { describe, expect, test } from "vitest";
import {
  activation,
  avgPool2d,
  batchNorm,
  conv2d,
  dense,
  dropout,
  elu,
  embedding,
  flatten,
  gelu,
  globalAveragePool2d,
  gru,
  type Layer,
  layerNorm,
  leakyRelu,
  lstm,
  maxPool2d,
  model,
  multiHeadAttention,
  positionalEmbedding,
  random,
  relu,
  reshape,
  residual,
  rnn,
  sequential,
  sigmoid,
  silu,
  sine,
  softmax,
  softplus,
  tanh,
  transformerBlock,
} from "../../src/nn/index.js";
import { isNDArray } from "../../src/nn/parameters.js";
import { array, type NDArray } from "../../src/tensor/array.js";
import { evaluate } from "../../src/tensor/evaluate.js";
import { isTensor, reachable, trace } from "../../src/tensor/program.js";
import type { Shape } from "../../src/tensor/shape.js";
import { constant, type Tensor } from "../../src/tensor/tensor.js";
import { leavesOf, type Tree } from "../../src/tensor/tree.js";
import {
  expectClose,
  expectGradient,
  gaussian,
  integers,
  key,
  numbers,
  outputsOf,
  run,
  tensors,
} from "./numeric.js";

const record = (tree: Tree<NDArray>): Map<string, NDArray> =>
  new Map(leavesOf<NDArray>(tree, isNDArray).map((leaf) => [leaf.name, leaf.value]));

/** [layer, example shape, output shape, parameter names]; every one is also differentiated. */
const cases: [string, Layer, Shape, Shape, string[]][] = [
  ["dense", dense(3), [4], [3], ["weight", "bias"]],
  ["dense on positions", dense(3, { bias: false }), [2, 4], [2, 3], ["weight"]],
  ["conv2d", conv2d(3, 3), [5, 4, 2], [3, 2, 3], ["weight", "bias"]],
  ["conv2d same", conv2d(2, 3, { padding: "same", stride: 2 }), [5, 4, 2], [3, 2, 2], ["weight", "bias"]],
  ["conv2d dilated", conv2d(2, [2, 1], { dilation: [2, 1] }), [5, 3, 1], [3, 3, 2], ["weight", "bias"]],
  ["maxPool2d", maxPool2d(2), [4, 5, 2], [2, 2, 2], []],
  ["maxPool2d overlapping", maxPool2d(3, { stride: 2, padding: "same" }), [5, 5, 2], [3, 3, 2], []],
  ["avgPool2d", avgPool2d([2, 1]), [4, 3, 2], [2, 3, 2], []],
  ["avgPool2d overlapping", avgPool2d(3, { stride: 1, padding: "same" }), [4, 3, 2], [4, 3, 2], []],
  ["globalAveragePool2d", globalAveragePool2d(), [3, 4, 2], [2], []],
  ["layerNorm", layerNorm(), [3, 4], [3, 4], ["scale", "shift"]],
  ["batchNorm", batchNorm(), [3, 4], [3, 4], ["scale", "shift"]],
  ["positionalEmbedding", positionalEmbedding({ length: 5 }), [3, 4], [3, 4], ["table"]],
  ["rnn", rnn(3), [4, 2], [4, 3], ["input.weight", "input.bias", "recurrent.weight"]],
  ["lstm", lstm(2, { output: "last" }), [3, 2], [2], ["input.weight", "input.bias", "recurrent.weight"]],
  ["gru", gru(2), [3, 2], [3, 2], ["input.weight", "input.bias", "recurrent.weight"]],
  [
    "multiHeadAttention",
    multiHeadAttention({ heads: 2, causal: true }),
    [3, 4],
    [3, 4],
    ["qkv.weight", "qkv.bias", "output.weight", "output.bias"],
  ],
  [
    "transformerBlock",
    transformerBlock({ heads: 2, expansion: 2 }),
    [3, 4],
    [3, 4],
    [
      "attention.norm.scale",
      "attention.norm.shift",
      "attention.attention.qkv.weight",
      "attention.attention.qkv.bias",
      "attention.attention.output.weight",
      "attention.attention.output.bias",
      "feedForward.norm.scale",
      "feedForward.norm.shift",
      "feedForward.expand.weight",
      "feedForward.expand.bias",
      "feedForward.contract.weight",
      "feedForward.contract.bias",
    ],
  ],
  [
    "sequential",
    sequential(flatten(), dense(5), tanh(), dense(2)),
    [2, 2],
    [2],
    ["layers.1.weight", "layers.1.bias", "layers.3.weight", "layers.3.bias"],
  ],
  [
    "named sequential",
    sequential({ hidden: dense(5), activation: sine(2), output: dense(2, { bias: false }) }),
    [2],
    [2],
    ["hidden.weight", "hidden.bias", "output.weight"],
  ],
  [
    "residual",
    residual(sequential(dense(3), tanh(), dense(4))),
    [4],
    [4],
    ["layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias"],
  ],
  [
    "residual with shortcut",
    residual(dense(3), dense(3, { bias: false })),
    [4],
    [3],
    ["branch.weight", "branch.bias", "shortcut.weight"],
  ],
];

describe.each(cases)("%s", (_name, layer, inputShape, outputShape, names) => {
  const net = model(layer, inputShape, "f64");
  const { parameters, state } = net.init(3);
  const mode = () => ({ training: true, state: tensors(state) });

  test("shapes and names", () => {
    expect(net.outputShape).toEqual(outputShape);
    expect(net.layout.entries.map((entry) => entry.name)).toEqual(names);
    const x = gaussian([2, ...inputShape]);
    expect(run((t) => net.apply(tensors(parameters), t, mode()), x).shape).toEqual([2, ...outputShape]);
  });

  test("gradients by parameters and by inputs agree with finite differences", () => {
    const x = gaussian([3, ...inputShape], random(5));
    const weights = constant(gaussian([3, ...outputShape], random(6)));
    const objective = (p: Tree<Tensor>, input: Tensor) => net.apply(p, input, mode()).mul(weights).sum();
    expectGradient((input) => objective(tensors(parameters), input), x);
    if (net.layout.size === 0) return;
    const theta = net.layout.flatten(parameters);
    const shifted = gaussian([net.layout.size], random(7)).data.map((v, i) => 0.1 * v + theta.data[i]!);
    expectGradient((t) => objective(net.layout.views(t), constant(x)), { ...theta, data: shifted });
  });

  test("marks carry the layer's own parameters", () => {
    const theta = tensors(parameters);
    const own = new Set(leavesOf<Tensor>(theta, isTensor).map((leaf) => leaf.value));
    const program = trace((t) => net.apply(theta, t, mode()), gaussian([2, ...inputShape]));
    const marks = reachable(program.outputs).filter((tensor) => tensor.op.kind === "mark");
    const marked = new Set(marks.flatMap((mark) => mark.inputs.slice(1)).filter((input) => own.has(input)));
    expect(marked).toEqual(own);
  });
});

describe("values", () => {
  test("activations", () => {
    const points = [-2, -0.5, 0.25, 3];
    const formulas: [Layer, (x: number) => number][] = [
      [relu(), (x) => Math.max(0, x)],
      [leakyRelu(0.1), (x) => (x > 0 ? x : 0.1 * x)],
      [elu(2), (x) => (x > 0 ? x : 2 * (Math.exp(x) - 1))],
      [tanh(), Math.tanh],
      [sigmoid(), (x) => 1 / (1 + Math.exp(-x))],
      [softplus(), (x) => Math.log(1 + Math.exp(x))],
      [silu(), (x) => x / (1 + Math.exp(-x))],
      [gelu("tanh"), (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))],
      [sine(3), (x) => Math.sin(3 * x)],
      [activation("cube", (x) => x.mul(x).mul(x)), (x) => x ** 3],
    ];
    for (const [layer, formula] of formulas) {
      const net = model(layer, [], "f64");
      expectClose(outputsOf(net, {}, array(Float64Array.from(points))), points.map(formula), 1e-12);
    }
    const sums = outputsOf(model(softmax(), [3], "f64"), {}, array([[1, 2, 3]], undefined, "f64"));
    const total = Math.exp(1) + Math.exp(2) + Math.exp(3);
    expectClose(
      sums,
      [1, 2, 3].map((x) => Math.exp(x) / total),
    );
  });

  test("convolution is the sum over its taps", () => {
    const net = model(
      conv2d(3, [3, 2], {
        stride: [2, 1],
        padding: [
          [1, 0],
          [0, 2],
        ],
        dilation: [1, 2],
      }),
      [6, 5, 2],
      "f64",
    );
    const { parameters } = net.init(1);
    const [weight, bias] = [record(parameters).get("weight")!, gaussian([3], random(8))];
    const x = gaussian([2, 6, 5, 2], random(9));
    const y = outputsOf(net, { weight, bias }, x);
    const [rows, columns] = net.outputShape as [number, number];
    const pixel = (n: number, i: number, j: number, c: number) =>
      i < 0 || i >= 6 || j < 0 || j >= 5 ? 0 : x.data[((n * 6 + i) * 5 + j) * 2 + c]!;
    const expected: number[] = [];
    for (let n = 0; n < 2; n++)
      for (let r = 0; r < rows; r++)
        for (let q = 0; q < columns; q++)
          for (let o = 0; o < 3; o++) {
            let sum = bias.data[o]!;
            for (let i = 0; i < 3; i++)
              for (let j = 0; j < 2; j++)
                for (let c = 0; c < 2; c++)
                  sum += pixel(n, 2 * r - 1 + i, q + 2 * j, c) * weight.data[((i * 2 + j) * 2 + c) * 3 + o]!;
            expected.push(sum);
          }
    expectClose(y, expected);
  });

  test("pooling: windows side by side equal the general case; padding neither wins nor counts", () => {
    const x = gaussian([2, 4, 6, 3], random(10));
    const asPatches = {
      padding: [
        [0, 0],
        [0, 0],
      ],
      stride: [2, 3],
    } as const;
    for (const pool of [maxPool2d, avgPool2d]) {
      const fast = outputsOf(model(pool([2, 3]), [4, 6, 3], "f64"), {}, x);
      // Padding below by one row that no window reaches takes the general path.
      const general = pool([2, 3], {
        ...asPatches,
        padding: [
          [0, 1],
          [0, 0],
        ],
      });
      expectClose(fast, numbers(outputsOf(model(general, [4, 6, 3], "f64"), {}, x)));
    }
    const negative = array(
      [
        [
          [[-1], [-2]],
          [[-3], [-4]],
        ],
      ],
      undefined,
      "f64",
    );
    const max = model(maxPool2d(2, { stride: 1, padding: "same" }), [2, 2, 1], "f64");
    expectClose(outputsOf(max, {}, negative), [-1, -2, -3, -4]);
    const mean = model(avgPool2d(2, { stride: 1, padding: "same" }), [2, 2, 1], "f64");
    expectClose(outputsOf(mean, {}, negative), [-2.5, -3, -3.5, -4]);
  });

  test("embedding picks rows; positions add theirs", () => {
    const net = model(sequential(embedding(7, 4), positionalEmbedding()), [3], "f64");
    const { parameters } = net.init(2);
    const [table, positions] = leavesOf<NDArray>(parameters, isNDArray).map((leaf) => leaf.value.data);
    const tokens = integers([2, 3], 7);
    const expected = numbers(tokens).flatMap((token, index) =>
      [0, 1, 2, 3].map((k) => table![token * 4 + k]! + positions![(index % 3) * 4 + k]!),
    );
    expectClose(outputsOf(net, parameters, tokens), expected, 1e-14);
    const weights = constant(gaussian([2, 3, 4]));
    expectGradient(
      (theta) => net.apply(net.layout.views(theta), constant(tokens)).mul(weights).sum(),
      net.layout.flatten(parameters),
    );
  });

  test("layer norm: mean 0 and variance 1 in each position", () => {
    const net = model(layerNorm({ epsilon: 0 }), [2, 5], "f64");
    const y = outputsOf(net, net.init(0).parameters, gaussian([3, 2, 5]));
    for (let row = 0; row < 6; row++) {
      const values = numbers(y).slice(row * 5, row * 5 + 5);
      const mean = values.reduce((a, b) => a + b) / 5;
      expect(mean).toBeCloseTo(0, 12);
      expect(values.reduce((a, b) => a + (b - mean) ** 2, 0) / 5).toBeCloseTo(1, 10);
    }
  });

  test("batch norm: batch statistics in training, running ones in evaluation", () => {
    const net = model(sequential(batchNorm({ epsilon: 0, decay: 0.75 })), [2], "f64");
    const { parameters, state } = net.init(0);
    const x = array(
      [
        [1, 10],
        [2, 30],
        [6, 20],
      ],
      undefined,
      "f64",
    );
    const program = trace((inputs) => {
      const { outputs, state: after } = net.forward(tensors(parameters), inputs, {
        training: true,
        state: tensors(state),
      });
      return { outputs, after };
    }, x);
    const [outputs, mean, variance] = evaluate(program, [x]);
    const column = [-2, -1, 3].map((d) => d / Math.sqrt(14 / 3));
    expectClose(outputs!, [column[0]!, -Math.sqrt(1.5), column[1]!, Math.sqrt(1.5), column[2]!, 0]);
    expectClose(mean!, [0.25 * 3, 0.25 * 20]);
    expectClose(variance!, [0.75 + 0.25 * 7, 0.75 + 0.25 * 100]); // unbiased
    const after = { layers: [{ mean: mean!, variance: variance! }] };
    const evaluated = outputsOf(net, parameters, x, { state: after });
    expectClose(
      evaluated,
      numbers(x).map((v, i) => (v - mean!.data[i % 2]!) / Math.sqrt(variance!.data[i % 2]!)),
    );
    expect(() => outputsOf(net, parameters, x)).toThrow(/layers\.0\.mean.*state/);
  });

  test("dropout: keeps the expectation, zeros the given share, repeats for a key, rests in evaluation", () => {
    const net = model(sequential(dropout(0.3), dropout(0.3)), [50], "f64");
    const x = array(new Float64Array(100 * 50).fill(2), [100, 50]);
    const first = numbers(
      outputsOf(model(dropout(0.3), [50], "f64"), {}, x, { training: true, key: key(1) }),
    );
    const zeros = first.filter((v) => v === 0).length / first.length;
    expect(zeros).toBeCloseTo(0.3, 1);
    expect(first.reduce((a, b) => a + b) / first.length).toBeCloseTo(2, 1);
    expect(first.every((v) => v === 0 || Math.abs(v - 2 / 0.7) < 1e-12)).toBe(true);
    const twice = numbers(outputsOf(net, {}, x, { training: true, key: key(1) }));
    expect(twice.filter((v) => v === 0).length / twice.length).toBeCloseTo(1 - 0.49, 1); // other stream each
    expect(numbers(outputsOf(net, {}, x, { training: true, key: key(1) }))).toEqual(twice);
    expect(numbers(outputsOf(net, {}, x, { training: true, key: key(2) }))).not.toEqual(twice);
    expect(numbers(outputsOf(net, {}, x))).toEqual(numbers(x));
    expect(() => outputsOf(net, {}, x, { training: true })).toThrow(/layers\.0.*key/);
  });
});

describe("recurrence", () => {
  const x = gaussian([2, 4, 3], random(11));
  const logistic = (v: number) => 1 / (1 + Math.exp(-v));

  /** Runs a cell by hand: `step(state, gates of x, gates of h)`, both [gates][units]. */
  function byHand(
    layer: Layer,
    count: number,
    step: (h: number[], c: number[], xs: number[][], hs: number[][]) => { h: number[]; c: number[] },
  ): { outputs: NDArray; expected: number[] } {
    const units = 2;
    const net = model(layer, [4, 3], "f64");
    const { parameters } = net.init(4);
    const values = record(parameters);
    const [W, b, U] = ["input.weight", "input.bias", "recurrent.weight"].map(
      (name) => values.get(name)!.data,
    );
    const product = (v: number[], M: ArrayLike<number>) =>
      Array.from({ length: count }, (_, g) =>
        Array.from({ length: units }, (_, k) =>
          v.reduce((sum, value, i) => sum + value * M[i * count * units + g * units + k]!, 0),
        ),
      );
    const expected: number[] = [];
    for (let n = 0; n < 2; n++) {
      let [h, c] = [
        [0, 0],
        [0, 0],
      ];
      for (let t = 0; t < 4; t++) {
        const row = numbers(x).slice((n * 4 + t) * 3, (n * 4 + t + 1) * 3);
        const xs = product(row, W!).map((gate, g) => gate.map((v, k) => v + b![g * units + k]!));
        ({ h, c } = step(h, c, xs, product(h, U!)));
        expected.push(...h);
      }
    }
    return { outputs: outputsOf(net, parameters, x), expected };
  }

  test("rnn", () => {
    const { outputs, expected } = byHand(rnn(2), 1, (_h, c, [a], [b]) => ({
      h: a!.map((v, k) => Math.tanh(v + b![k]!)),
      c,
    }));
    expectClose(outputs, expected);
  });
  test("lstm", () => {
    const { outputs, expected } = byHand(lstm(2), 4, (_h, c, xs, hs) => {
      const [i, f, g, o] = xs.map((gate, n) => gate.map((v, k) => v + hs[n]![k]!));
      const next = c.map((v, k) => logistic(f![k]!) * v + logistic(i![k]!) * Math.tanh(g![k]!));
      return { h: next.map((v, k) => logistic(o![k]!) * Math.tanh(v)), c: next };
    });
    expectClose(outputs, expected);
  });
  test("gru", () => {
    const { outputs, expected } = byHand(gru(2), 3, (h, c, [xr, xz, xn], [hr, hz, hn]) => ({
      h: h.map((old, k) => {
        const z = logistic(xz![k]! + hz![k]!);
        return (1 - z) * Math.tanh(xn![k]! + logistic(xr![k]! + hr![k]!) * hn![k]!) + z * old;
      }),
      c,
    }));
    expectClose(outputs, expected);
  });
  test("the last output is the end of the sequence; forget biases start at 1", () => {
    const [all, last] = [model(lstm(2), [4, 3], "f64"), model(lstm(2, { output: "last" }), [4, 3], "f64")];
    const { parameters } = all.init(4);
    const sequence = numbers(outputsOf(all, parameters, x));
    expect(numbers(outputsOf(last, parameters, x))).toEqual([
      ...sequence.slice(6, 8),
      ...sequence.slice(14, 16),
    ]);
    expect(numbers(record(parameters).get("input.bias")!)).toEqual([0, 0, 1, 1, 0, 0, 0, 0]);
  });
  test("inputs are projected once, states are marked once a step", () => {
    const net = model(sequential(gru(2)), [4, 3], "f64");
    const program = trace((t) => net.apply(tensors(net.init(0).parameters), t), x);
    const marks = reachable(program.outputs).flatMap(({ op }) => (op.kind === "mark" ? [op.mark] : []));
    const maps = marks.filter(({ layer }) => layer === "dense").map(({ name }) => name);
    expect(maps).toEqual(["layers.0.input", ...Array(4).fill("layers.0.recurrent")]);
    const states = marks.filter(({ layer }) => layer === "hidden").map(({ name }) => name);
    expect(states).toEqual(Array(4).fill("layers.0"));
  });
});

describe("attention", () => {
  const shape = [5, 6];
  const x = gaussian([2, ...shape], random(12));
  const changed = { ...x, data: x.data.map((v, i) => (Math.floor(i / 6) % 5 === 4 ? v + 1 : v)) };

  test("equals the formula, head by head", () => {
    const net = model(multiHeadAttention({ heads: 2 }), shape, "f64");
    const { parameters } = net.init(5);
    const values = record(parameters);
    const at = (matrix: NDArray, row: number, column: number) =>
      matrix.data[row * matrix.shape[1]! + column]!;
    const expected: number[] = [];
    for (let n = 0; n < 2; n++) {
      const rows = [0, 1, 2, 3, 4].map((t) => numbers(x).slice((n * 5 + t) * 6, (n * 5 + t + 1) * 6));
      const times = (row: number[], M: NDArray) =>
        Array.from({ length: M.shape[1]! }, (_, c) => row.reduce((sum, v, r) => sum + v * at(M, r, c), 0));
      const qkv = rows.map((row) => times(row, values.get("qkv.weight")!));
      for (let t = 0; t < 5; t++) {
        const mixed: number[] = [];
        for (let head = 0; head < 2; head++) {
          const part = (position: number, which: number) =>
            qkv[position]!.slice(which * 6 + head * 3, which * 6 + head * 3 + 3);
          const scores = [0, 1, 2, 3, 4].map((s) =>
            Math.exp(part(t, 0).reduce((sum, q, k) => sum + q * part(s, 1)[k]!, 0) / Math.sqrt(3)),
          );
          const total = scores.reduce((a, b) => a + b);
          for (let k = 0; k < 3; k++)
            mixed.push(scores.reduce((sum, score, s) => sum + (score / total) * part(s, 2)[k]!, 0));
        }
        expected.push(...times(mixed, values.get("output.weight")!));
      }
    }
    expectClose(outputsOf(net, parameters, x), expected);
  });

  test.each([
    ["attention", multiHeadAttention({ heads: 3, causal: true })],
    ["block", transformerBlock({ heads: 3, causal: true, approximation: "tanh" })],
  ])("causal %s does not see the future", (_name, layer) => {
    const net = model(layer, shape, "f64");
    const { parameters } = net.init(6);
    const [before, after] = [x, changed].map((input) => numbers(outputsOf(net, parameters, input)));
    const past = before!.map((_, i) => Math.floor(i / 6) % 5 < 4);
    expect(before!.filter((_, i) => past[i])).toEqual(after!.filter((_, i) => past[i]));
    expect(before!.filter((_, i) => !past[i])).not.toEqual(after!.filter((_, i) => !past[i]));
  });

  test("without the mask every position sees every other", () => {
    const net = model(multiHeadAttention({ heads: 3 }), shape, "f64");
    const { parameters } = net.init(6);
    const [before, after] = [x, changed].map((input) => numbers(outputsOf(net, parameters, input)));
    expect(before!.every((v, i) => v !== after![i])).toBe(true);
  });
});

describe("models", () => {
  test("initial values depend on the seed and on a layer's own name", () => {
    const small = model(sequential(dense(4), relu(), dense(2)), [3]);
    const grown = model(sequential(dense(4), layerNorm(), relu(), dropout(0.1), dense(2), dense(5)), [3]);
    const [a, b, c] = [small.init(1), grown.init(1), small.init(2)].map(({ parameters }) =>
      record(parameters),
    );
    expect(b!.get("layers.0.weight")).toEqual(a!.get("layers.0.weight"));
    expect(b!.get("layers.4.weight")).toEqual(a!.get("layers.2.weight"));
    expect(c!.get("layers.0.weight")).not.toEqual(a!.get("layers.0.weight"));
    expect(record(small.init(random(1)).parameters)).toEqual(a);
  });

  test("a layer's own init gives what the model's does", () => {
    const layer = sequential(dense(4), batchNorm());
    const net = model(layer, [3], "f64");
    const { outputShape, ...values } = layer.init(random(9), [3], "f64");
    expect(values).toEqual(net.init(9));
    expect(outputShape).toEqual([4]);
  });

  test("state of nested layers is found and renewed by path", () => {
    const net = model(
      sequential({ first: batchNorm(), rest: residual(sequential(dense(2), batchNorm())) }),
      [2],
      "f64",
    );
    const { parameters, state } = net.init(0);
    expect([...record(state).keys()]).toEqual([
      "first.mean",
      "first.variance",
      "rest.layers.1.mean",
      "rest.layers.1.variance",
    ]);
    const x = gaussian([8, 2]);
    const step = (training: boolean) => {
      const program = trace(
        (t) => net.forward(tensors(parameters), t, { training, state: tensors(state) }).state,
        x,
      );
      return evaluate(program, [x]).map(numbers);
    };
    const before = [...record(state).values()].map(numbers);
    expect(step(false)).toEqual(before);
    step(true).forEach((values, index) => {
      expect(values).not.toEqual(before[index]);
    });
  });

  test("mistakes are named", () => {
    expect(() => model(conv2d(3, 3), [28, 28])).toThrow(
      "conv2d: needs examples of shape [height, width, channels], not [28, 28]",
    );
    expect(() => model(conv2d(3, 5), [4, 4, 1])).toThrow("5×5 does not fit");
    expect(() => model(multiHeadAttention({ heads: 3 }), [4, 4])).toThrow("3 heads");
    expect(() => model(residual(dense(3)), [4])).toThrow("residual");
    expect(() => model(reshape([3, 3]), [8])).toThrow("reshape: [8]");
    expect(() => dropout(1)).toThrow("rate 1");
    const net = model(dense(3), [4], "f64");
    const { parameters } = net.init(0);
    expect(() => outputsOf(net, parameters, gaussian([2, 5]))).toThrow("[batch, 4], not [2, 5]");
    const { weight } = parameters as { weight: NDArray };
    expect(() => outputsOf(net, { weight }, gaussian([2, 4]))).toThrow('"bias" must be [3], and is missing');
    const wrong = { weight, bias: gaussian([4]) };
    expect(() => outputsOf(net, wrong, gaussian([2, 4]))).toThrow('"bias" must be [3], not [4]');
  });
});
