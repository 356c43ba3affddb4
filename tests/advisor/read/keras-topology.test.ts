import { expect, it } from "vitest";
import { readKeras } from "../../../src/advisor/read/keras.js";
import { readModel } from "../../../src/advisor/read/model-file.js";
import { parameterCount } from "../../../src/curvature/index.js";
import { functional, kerasTensor, layer, sequential } from "./keras-file.js";

const read = (value: unknown, tokens?: number) => readKeras(value, "model.json", tokens);
/** What export_keras.py printed. */
const kerasCounts = 1662;

const dense = (inputs: number, outputs: number) => inputs * outputs + outputs;

it("follows a Sequential of images, with strides and padding", () => {
  const model = read(
    sequential(
      layer("InputLayer", { name: "in", batch_shape: [null, 28, 28, 1] }),
      layer("Conv2D", { name: "a", filters: 8, kernel_size: [3, 3], strides: [2, 2], padding: "same" }),
      layer("BatchNormalization", { name: "b", axis: -1, scale: false }),
      layer("DepthwiseConv2D", { name: "c", kernel_size: [3, 3], depth_multiplier: 2, use_bias: false }),
      layer("SeparableConv2D", { name: "d", filters: 5, kernel_size: 3 }),
      layer("MaxPooling2D", { name: "e", pool_size: [2, 2], strides: null }),
      layer("Dropout", { name: "f", rate: 0.5 }),
      layer("Flatten", { name: "g" }),
      layer("Dense", { name: "h", units: 10 }),
    ),
  );
  expect(model).toMatchObject({ kind: "convolutional", example: "image of 28×28", storedBytes: 4 });
  // 28 → 14 by stride 2, → 12 and 10 by kernels of 3, → 5 by the pool.
  expect(model.layers).toMatchObject([
    { name: "a", kind: "conv2d", inputs: 10, outputs: 8, positions: 14 * 14 },
    { name: "b.bias", kind: "other" },
    { name: "c.depthwise", kind: "other" },
    { name: "d.depthwise", kind: "other" },
    { name: "d.pointwise", kind: "conv2d", inputs: 17, outputs: 5, positions: 10 * 10 },
    { name: "h", kind: "dense", inputs: 5 * 5 * 5 + 1, outputs: 10, positions: 1 },
  ]);
  expect(parameterCount(model)).toBe(9 * 8 + 8 + 8 + 9 * 16 + 9 * 16 + dense(16, 5) + dense(125, 10));
  expect(model.otherForwardFlops).toBe(2 * 9 * 16 * 12 * 12 + 2 * 9 * 16 * 10 * 10);
});

it("follows recurrent layers, both ways and at each step", () => {
  const inner = (kind: string, config: object) => ({ class_name: kind, config });
  const lstm = inner("LSTM", { name: "lstm", units: 16, return_sequences: true });
  const model = read(
    sequential(
      layer("Embedding", { name: "a", input_dim: 50, output_dim: 8, batch_input_shape: [null, null] }),
      layer("Bidirectional", { name: "b", layer: lstm, merge_mode: "concat" }),
      layer("GRU", { name: "c", units: 5, return_sequences: true, reset_after: true }),
      layer("TimeDistributed", { name: "d", layer: inner("Dense", { name: "x", units: 7 }) }),
      layer("SimpleRNN", { name: "e", units: 3 }),
      layer("Dense", { name: "f", units: 2, use_bias: false }),
    ),
    20,
  );
  expect(model).toMatchObject({ kind: "recurrent", example: "sequence of 20 tokens" });
  expect(model.notes).toContain("sequences of 20 tokens as given: the file leaves their length open");
  expect(model.layers).toMatchObject([
    { name: "a", kind: "embedding", positions: 20 },
    { name: "b/forward", inputs: 9, outputs: 64, positions: 20, uses: 1 },
    { name: "b/forward/recurrent", inputs: 16, outputs: 64, positions: 20, uses: 20 },
    { name: "b/backward" },
    { name: "b/backward/recurrent" },
    { name: "c", inputs: 33, outputs: 15 },
    { name: "c/recurrent", inputs: 6, outputs: 15 },
    { name: "d", inputs: 6, outputs: 7, positions: 20 },
    { name: "e", inputs: 8, outputs: 3 },
    { name: "e/recurrent", inputs: 3, outputs: 3, uses: 20 },
    { name: "f", inputs: 3, outputs: 2, positions: 1 },
  ]);
  const lstmSize = 4 * (8 * 16 + 16 * 16 + 16);
  const gru = 3 * (32 * 5 + 5 * 5 + 2 * 5);
  expect(parameterCount(model)).toBe(400 + 2 * lstmSize + gru + dense(5, 7) + 7 * 3 + 3 * 3 + 3 + 6);
});

/** x + MultiHeadAttention(x, x), a norm, a mean over time, a classifier, in either form of references. */
const transformer = (two: (...from: string[]) => unknown[], one: (from: string) => unknown[]) =>
  functional(
    [
      // In the order of the file, which need not be that of the calls.
      layer("Dense", { name: "out", units: 2 }, one("mean")),
      layer("InputLayer", { name: "x", batch_input_shape: [null, 12, 16] }),
      layer("MultiHeadAttention", { name: "mha", num_heads: 4, key_dim: 8, value_dim: 6 }, two("x", "x")),
      layer("Add", { name: "sum" }, two("x", "mha")),
      layer("LayerNormalization", { name: "norm", axis: [-1] }, one("sum")),
      layer("GlobalAveragePooling1D", { name: "mean" }, one("norm")),
    ],
    [["x", 0, 0]],
    [["out", 0, 0]],
  );

const forms = {
  "Keras 2": transformer(
    (a, b) => [a === b ? [[a, 0, 0, { value: [b, 0, 0] }]] : [a, b].map((name) => [name, 0, 0, {}])],
    (a) => [[[a, 0, 0, {}]]],
  ),
  "Keras 3": transformer(
    (a, b) => [
      {
        args: a === b ? [kerasTensor(a), kerasTensor(b!)] : [[kerasTensor(a!), kerasTensor(b!)]],
        kwargs: {},
      },
    ],
    (a) => [{ args: [kerasTensor(a)], kwargs: { training: false } }],
  ),
};

it.each(Object.entries(forms))("follows attention in the form of %s", (_, value) => {
  const model = read(value);
  expect(model).toMatchObject({ kind: "transformer", example: "sequence of 12 tokens" });
  expect(model.layers).toMatchObject([
    { name: "mha/query", inputs: 17, outputs: 32, positions: 12 },
    { name: "mha/key", inputs: 17, outputs: 32 },
    { name: "mha/value", inputs: 17, outputs: 24 },
    { name: "mha/attention_output", inputs: 25, outputs: 16 },
    { name: "norm", kind: "scaleShift", inputs: 32, positions: 12 },
    { name: "out", inputs: 17, outputs: 2, positions: 1 },
  ]);
  expect(parameterCount(model)).toBe(2 * dense(16, 32) + dense(16, 24) + dense(24, 16) + 32 + dense(16, 2));
  expect(model.otherForwardFlops).toBe(2 * 12 * 12 * (4 * 8 + 4 * 6));
});

it("counts a model that is called twice once, used twice, whose calls Keras numbers from 1", () => {
  const inner = functional(
    [
      layer("InputLayer", { name: "i", batch_shape: [null, 6] }),
      layer("Dense", { name: "d", units: 4 }, [[["i", 0, 0, {}]]]),
    ],
    [["i", 0, 0]],
    ["d", 0, 0],
    "inner",
  );
  const calls = [[["p", 0, 0, {}]], [["q", 0, 0, {}]]];
  const model = (offset: number) =>
    functional(
      [
        layer("InputLayer", { name: "p", batch_shape: [null, 6] }),
        layer("InputLayer", { name: "q", batch_shape: [null, 6] }),
        { ...inner, name: "inner", inbound_nodes: calls },
        layer("Concatenate", { name: "c", axis: -1 }, [
          [
            ["inner", offset, 0, {}],
            ["inner", offset + 1, 0, {}],
          ],
        ]),
        layer("Dense", { name: "o", units: 1 }, [[["c", 0, 0, {}]]]),
      ],
      [
        ["p", 0, 0],
        ["q", 0, 0],
      ],
      [["o", 0, 0]],
    );
  for (const offset of [0, 1]) {
    const found = read({ modelTopology: { model_config: model(offset), keras_version: "2.15.0" } });
    expect(found.layers).toMatchObject([
      { name: "inner/d", positions: 2, uses: 2 },
      { name: "o", inputs: 9, uses: 1 },
    ]);
    expect(parameterCount(found)).toBe(dense(6, 4) + dense(8, 1));
  }
});

it("takes shapes from build_config where the graph does not tell them", () => {
  const built = { build_config: { input_shape: [null, 7] } };
  const lambda = layer("Lambda", { name: "l" });
  const dense3 = layer("Dense", { name: "d", units: 3 });
  expect(parameterCount(read(sequential(lambda, { ...dense3, ...built })))).toBe(dense(7, 3));
  expect(
    parameterCount(
      read({ class_name: "Sequential", config: { layers: [dense3], build_input_shape: [null, 5] } }),
    ),
  ).toBe(dense(5, 3));
  const shapes = { query_shape: [null, 9, 8], value_shape: [null, 4, 6] };
  const mha = layer("MultiHeadAttention", { name: "m", num_heads: 2, key_dim: 3 });
  const model = read(sequential(lambda, { ...mha, build_config: { shapes_dict: shapes } }));
  expect(parameterCount(model)).toBe(dense(8, 6) + 2 * dense(6, 6) + dense(6, 8));
  expect(model.otherForwardFlops).toBe(2 * 9 * 4 * 12);
});

it("counts what Keras 3.15 counts: attention, a nested model called twice, operators, groups", () => {
  const at = new URL("exported/keras3.json", import.meta.url).pathname;
  const model = readModel(at);
  expect(parameterCount(model)).toBe(kerasCounts);
  expect(model).toMatchObject({ kind: "transformer", example: "image of 8×8" });
  expect(model.layers.find(({ name }) => name === "block/up")).toMatchObject({ positions: 32, uses: 2 });
});

it("names the layer whose width cannot be known", () => {
  const image = layer("InputLayer", { name: "i", batch_shape: [null, null, null, 3] });
  const conv = layer("Conv2D", { name: "c", filters: 4, kernel_size: 3 });
  const out = layer("Dense", { name: "d", units: 3 });
  const open = read(sequential(image, conv, layer("GlobalAveragePooling2D", { name: "g" }), out));
  expect(open.layers).toMatchObject([{ positions: 222 * 222 }, { inputs: 5 }]);
  expect(open.notes).toContain("sides of images that the file leaves open are taken for 224");
  expect(() => read(sequential(image, conv, layer("Flatten", { name: "f" }), out))).toThrow(
    'layer "d" (Dense): the width of its input is open (null) in the file',
  );
  expect(() => read(sequential(out))).toThrow('layer "d" (Dense): the shape of its input is not in the file');
  expect(() => read(sequential(image, layer("Mine", { name: "m" })))).toThrow(
    'layer "m" (Mine): layers of this class are not read',
  );
  expect(() => read(sequential(image, layer("Conv2D", { name: "c", kernel_size: 3 })))).toThrow(
    'layer "c" (Conv2D): filters is missing',
  );
  const small = layer("InputLayer", { name: "i", batch_shape: [null, 2, 2, 3] });
  expect(() => read(sequential(small, conv))).toThrow("a window of 3 does not fit into its input of 2");
});

it("refuses graphs with cycles, missing calls and models that repeat without end", () => {
  const input = layer("InputLayer", { name: "i", batch_shape: [null, 4] });
  const graph = (from: readonly string[]) =>
    functional(
      [
        input,
        layer("Add", { name: "a" }, [from.map((name) => [name, 0, 0, {}])]),
        layer("ReLU", { name: "b" }, [[["a", 0, 0, {}]]]),
      ],
      [["i", 0, 0]],
      [["b", 0, 0]],
    );
  expect(() => read(graph(["i", "i"]))).toThrow("has no parameters");
  expect(() => read(graph(Array<string>(200_000).fill("i")))).toThrow("has no parameters");
  expect(() => read(graph(Array<string>(600_000).fill("i")))).toThrow("has more than 500000 tensors");
  expect(() => read(graph(["i", "b"]))).toThrow("the graph has a cycle");
  expect(() => read(graph(["i", "nobody"]))).toThrow(
    'call 0 of layer "nobody" is read and is not in the file',
  );
  expect(() => read(sequential(input, input))).toThrow('has two layers named "i"');
  // Each model calls the one in it 100 times: 100⁴ layers of a small file.
  let nested = functional([input], [["i", 0, 0]], [["i", 0, 0]]);
  for (let depth = 0; depth < 4; depth++)
    nested = functional(
      [
        input,
        {
          ...nested,
          name: "n",
          inbound_nodes: Array.from({ length: 100 }, (_, k) => [k === 0 ? ["i", 0, 0] : ["n", k - 1, 0]]),
        },
      ],
      [["i", 0, 0]],
      [["n", 99, 0]],
    );
  expect(() => read(nested)).toThrow("models are repeated too often");
});
