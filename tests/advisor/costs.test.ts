import { afterAll, describe, expect, it } from "vitest";
import {
  allCosts,
  costsOf,
  describeBytes,
  formatPower,
  gradientFlops,
  type Setting,
} from "../../src/advisor/costs.js";
import { hardware } from "../../src/advisor/hardware.js";
import { type Architecture, forwardFlops } from "../../src/advisor/model.js";
import { readLayerList } from "../../src/advisor/read/layer-list.js";
import { architectureOf } from "../../src/advisor/read/objective.js";
import { splitLinear } from "../../src/autodiff/split.js";
import { cost } from "../../src/compiler/cost.js";
import { simplify } from "../../src/compiler/simplify.js";
import { argumentsOf, gradientOf, modelShapeOf } from "../../src/curvature/index.js";
import { curvatureProduct } from "../../src/curvature/products.js";
import {
  conv2d,
  dense,
  embedding,
  flatten,
  maxPool2d,
  relu,
  rnn,
  sequential,
  softmaxCrossEntropy,
  tanh,
  transformerBlock,
} from "../../src/nn/index.js";
import { optimizers } from "../../src/optimizers/index.js";
import { createRuntime } from "../../src/runtime/runtime.js";
import { input } from "../../src/tensor/tensor.js";
import { type Network, objectiveOf, using } from "../curvature/networks.js";

const runtime = await createRuntime({ threads: 1 });
afterAll(() => runtime.close());
const setting: Setting = { batch: 64, hardware: hardware.a100!, precision: "f32", workers: 1 };

/** Large enough that products are most of the work. */
const models: Readonly<Record<string, Network>> = {
  mlp: {
    layer: sequential(dense(48), tanh(), dense(32), tanh(), dense(10)),
    input: [40],
    loss: softmaxCrossEntropy(),
    targets: "classes",
    examples: 16,
  },
  cnn: {
    layer: sequential(
      conv2d(8, 3, { padding: "same" }),
      relu(),
      maxPool2d(2),
      conv2d(12, 3),
      relu(),
      flatten(),
      dense(10),
    ),
    input: [12, 12, 2],
    loss: softmaxCrossEntropy(),
    targets: "classes",
    examples: 8,
  },
  rnn: {
    layer: sequential(rnn(32, { output: "last" }), dense(10)),
    input: [60, 8],
    loss: softmaxCrossEntropy(),
    targets: "classes",
    examples: 8,
  },
  transformer: {
    layer: sequential(embedding(20, 32), transformerBlock({ heads: 4, causal: true }), dense(20)),
    input: [24],
    tokens: 20,
    loss: softmaxCrossEntropy(),
    targets: "classes",
    target: [24],
    examples: 4,
  },
};

describe.each(Object.keys(models))("FLOPs of %s, beside those of the programs that run", (name) => {
  const network = models[name]!;
  const batch = network.examples!;
  it("forward and gradient, within 2 %", () => {
    using(runtime, network, (objective) => {
      const model = architectureOf(objective, name);
      const given = argumentsOf(objective);
      const { loss } = objective.trace(given.parameters, given.batch, given.state, given.key);
      const forward = cost({ inputs: given.inputs, outputs: [loss] }).matmulFlops;
      const gradient = cost({ inputs: given.inputs, outputs: [loss, gradientOf(loss, given.parameters)] });
      expect((batch * forwardFlops(model)) / forward).toBeCloseTo(1, 6);
      expect(Math.abs(gradientFlops(model, batch) / gradient.matmulFlops - 1)).toBeLessThan(0.02);
    });
  });
  it("products of curvature, as many forward passes as are counted for them", () => {
    const objective = objectiveOf(runtime, network);
    const forward = batch * forwardFlops(architectureOf(objective, name));
    for (const [kind, passes] of [
      ["gaussNewton", 4],
      ["hessian", 6],
    ] as const) {
      const { inputs, parameters, batch: data, state, key } = argumentsOf(objective);
      const tangent = input("tangent", parameters);
      const traced = objective.trace(parameters, data, state, key);
      const product = curvatureProduct(kind, traced, parameters, tangent);
      const program = simplify({ inputs: [...inputs, tangent], outputs: [product] });
      const { matmulFlops } = cost(splitLinear(program, [tangent]).dependent);
      // The first layer has no tangent of its input, and no gradient by it.
      expect(matmulFlops / forward).toBeLessThan(passes * 1.02);
      expect(matmulFlops / forward).toBeGreaterThan(passes * 0.6);
    }
    objective.release();
  });
});

describe("memory", () => {
  it("of a method is its catalogue's, four bytes an element", () => {
    const model = readLayerList("20-30-5");
    for (const { method, settings, memory } of allCosts(model, setting)) {
      const { state, workspace } = optimizers[method].costs(model, settings as never, setting.batch);
      expect(memory.state.map(({ bytes }) => bytes)).toEqual(state.map(({ elements }) => 4 * elements));
      expect(memory.workspace.map(({ bytes }) => bytes)).toEqual(
        workspace.map(({ elements }) => 4 * elements),
      );
      const sum = [...memory.state, ...memory.workspace].reduce((all, { bytes }) => all + bytes, 0);
      expect(memory.total).toBe(memory.parameters + memory.gradients + memory.activations + sum);
    }
  });
  it("bounds the batch", () => {
    const model = readLayerList("784-128-10");
    const { memory, largestBatch } = costsOf(model, "adam", {}, { ...setting, memory: 10e6 });
    const fixed = memory.total - memory.activations;
    const perExample = memory.activations / setting.batch;
    expect(fixed + largestBatch * perExample).toBeLessThanOrEqual(10e6);
    expect(fixed + (largestBatch + 1) * perExample).toBeGreaterThan(10e6);
    expect(costsOf(model, "adam", {}, { ...setting, memory: 1e5 })).toMatchObject({
      fits: false,
      largestBatch: 0,
    });
  });
  it("in mixed precision has two bytes for gradients and activations, six for parameters", () => {
    const model = readLayerList("784-128-10");
    const mixed = costsOf(model, "sgd", {}, { ...setting, precision: "mixed" }).memory;
    const full = costsOf(model, "sgd", {}, setting).memory;
    expect([mixed.parameters / full.parameters, mixed.gradients / full.gradients]).toEqual([1.5, 0.5]);
    expect(mixed.activations / full.activations).toBe(0.5);
  });
});

describe("what cannot be done says why, with the number", () => {
  const million = readLayerList("1000-1000-1000");
  it("Newton's matrix", () => {
    const { infeasible, fits } = costsOf(million, "newton", {}, setting);
    expect(fits).toBe(false);
    expect(infeasible[0]).toContain("are curvature (n²); there are 80 GB");
  });
  it("an output head over a vocabulary", () => {
    const head = readLayerList("768-50257");
    const { warnings } = costsOf(head, "kfac", {}, setting);
    expect(warnings[0]).toContain(
      "output side is dense, of order 50,257: 10.1 GB, and 1.3·10¹⁴ FLOP an inverse",
    );
    expect(costsOf(head, "adam", {}, setting).warnings).toEqual([]);
  });
  it("a table of words, of which only the diagonal is kept", () => {
    const table: Architecture = {
      ...readLayerList("10-10"),
      layers: [
        {
          name: "words",
          kind: "embedding",
          arrays: [{ name: "words", shape: [50_257, 64] }],
          inputs: 50_257,
          outputs: 64,
          positions: 16,
          uses: 1,
        },
      ],
    };
    const { warnings, memory } = costsOf(table, "kfac", {}, setting);
    expect(warnings).toEqual([
      "words: the factor of its words would be of order 50,257: 10.1 GB, and 1.3·10¹⁴ FLOP an inverse; only its diagonal is kept",
    ]);
    expect(memory.state.find(({ part }) => part === "factors")!.elements).toBe(50_257 + 64 ** 2);
  });
});

describe("communication", () => {
  const model = readLayerList("784-1000-500-10");
  const on = (workers: number, method: "adam" | "kfac" | "naturalGradient") =>
    costsOf(model, method, {}, { ...setting, workers });
  it("of one device is nothing", () => {
    expect(on(1, "kfac").communication).toEqual({ gradients: 0, curvature: 0, share: 0 });
  });
  it("is a ring's: 2(W − 1)/W of the gradient, for each product too", () => {
    const bytes = 4 * 1_290_510;
    expect(on(8, "adam").communication.gradients).toBeCloseTo(1.75 * bytes, 3);
    const { evaluations } = optimizers.naturalGradient.costs(model, {}, 64);
    const vectors = 1 + (evaluations.fisherVectorProducts ?? 0);
    expect(on(2, "naturalGradient").communication.gradients).toBeCloseTo(vectors * bytes, 3);
  });
  it("of factors comes on top, once an estimate", () => {
    const entries = 785 ** 2 + 1000 ** 2 + 1001 ** 2 + 500 ** 2 + 501 ** 2 + 10 ** 2;
    const { factorInterval } = optimizers.kfac.defaults;
    expect(on(8, "kfac").communication.curvature).toBeCloseTo((1.75 * 4 * entries) / factorInterval, 3);
    expect(on(8, "kfac").communication.share).toBeGreaterThan(0);
  });
});

it("a table of words is an obstacle for Kronecker factors, not for blocks or for axes that are left alone", () => {
  const model = readLayerList("64-50257");
  for (const method of ["shampoo", "soap"] as const)
    expect(costsOf(model, method, {}, setting).warnings).toEqual([]);
  expect(costsOf(model, "kfac", {}, setting).warnings).toHaveLength(1);
});

describe("a model divided among devices", () => {
  const model = readLayerList("784-1000-500-10");
  const on = (workers: number, sharded: boolean, method: "adam" | "kfac" = "adam") =>
    costsOf(model, method, {}, { ...setting, workers, sharded });
  it("leaves each its share, and one whole layer with its gradient", () => {
    const [n, largest] = [1_290_510, 785 * 1000];
    const { memory } = on(8, true);
    expect(memory.parameters).toBe((4 * n) / 8 + 4 * largest);
    expect(memory.gradients).toBe(memory.parameters);
    const kept = ({ memory }: ReturnType<typeof costsOf>) =>
      [...memory.state, ...memory.workspace].reduce((sum, { bytes }) => sum + bytes, 0);
    expect(kept(on(8, true, "kfac"))).toBeCloseTo(kept(on(8, false, "kfac")) / 8, 6);
    expect(memory.activations).toBe(on(8, false).memory.activations);
  });
  it("lets each update its own, but not see others' examples", () => {
    const [whole, divided] = [on(8, false, "kfac").flops, on(8, true, "kfac").flops];
    expect(divided.update).toBeCloseTo(whole.update / 8, 0);
    expect(divided.inversion).toBeCloseTo(whole.inversion / 8, 0);
    expect(divided.curvature).toBe(whole.curvature);
    expect(divided.gradient).toBe(whole.gradient);
  });
  it("sends half as much again, and is whole on one device", () => {
    const sent = (sharded: boolean) => on(8, sharded).communication.gradients;
    expect(sent(true)).toBeCloseTo(1.5 * sent(false), 6);
    expect(on(1, true)).toEqual(on(1, false));
  });
});

describe("time", () => {
  const model = readLayerList("784-1000-500-10");
  it("is the sum of its parts", () => {
    for (const { seconds, flops } of allCosts(model, { ...setting, workers: 4 })) {
      const { total, ...parts } = seconds;
      expect(Object.values(parts).reduce((a, b) => a + b)).toBeCloseTo(total, 12);
      const { total: all, ...works } = flops;
      expect(Object.values(works).reduce((a, b) => a + b) / all).toBeCloseTo(1, 9);
    }
  });
  it("of rare refreshes is shorter", () => {
    const every = (inverseInterval: number) =>
      costsOf(model, "kfac", { inverseInterval }, setting).seconds.inversion;
    expect(every(10) / every(100)).toBeCloseTo(10, 6);
  });
  it("of sgd is little more than its gradient's", () => {
    expect(costsOf(model, "sgd", {}, { ...setting, batch: 4096 }).overGradient).toBeLessThan(1.05);
  });
});

it("an architecture that is counted has the shape that is traced", () => {
  using(runtime, models.cnn!, (objective) => {
    const model = architectureOf(objective, "cnn");
    expect(model.layers).toEqual(modelShapeOf(objective).layers);
    expect(model).toMatchObject({ kind: "convolutional", storedBytes: 8 });
    expect(model.activations).toBeGreaterThan(12 * 12 * 8);
  });
});

it("amounts are written as they are said", () => {
  expect([0, 999, 1e3, 4e16, 2.5e10].map(describeBytes)).toEqual(["0 B", "999 B", "1 kB", "40 PB", "25 GB"]);
  expect([12, 1.27e14].map(formatPower)).toEqual(["12", "1.3·10¹⁴"]);
});
