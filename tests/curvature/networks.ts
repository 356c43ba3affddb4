/** Small networks for every kind of layer, as objectives. */
import { expect } from "vitest";
import { compile } from "../../src/compiler/compile.js";
import { argumentsOf, createObjective, curvatureOf, type Objective } from "../../src/curvature/index.js";
import {
  conv2d,
  dense,
  embedding,
  flatten,
  type Layer,
  type Loss,
  maxPool2d,
  model,
  random,
  rnn,
  sequential,
  softmaxCrossEntropy,
  tanh,
  transformerBlock,
} from "../../src/nn/index.js";
import { layoutOf } from "../../src/nn/parameters.js";
import type { Runtime } from "../../src/runtime/runtime.js";
import type { Tensor } from "../../src/tensor/tensor.js";

export interface Network {
  readonly layer: Layer;
  readonly input: readonly number[];
  readonly loss: Loss;
  readonly targets: "classes" | "distributions" | "numbers" | "probabilities";
  /** Shape of one example's targets; default: a class, or the outputs' shape. */
  readonly target?: readonly number[];
  readonly tokens?: number;
  readonly examples?: number;
  /** Default: f64. */
  readonly dtype?: "f32" | "f64";
  /** Weight of ½‖θ‖² in the loss. */
  readonly decay?: number;
  /** The loss is multiplied by this. */
  readonly scale?: number;
}

export const mlp = (loss: Loss, targets: Network["targets"]): Network => ({
  layer: sequential(dense(5), tanh(), dense(4), tanh(), dense(3)),
  input: [4],
  loss,
  targets,
});

export const networks: Readonly<Record<string, Network>> = {
  mlp: mlp(softmaxCrossEntropy(), "classes"),
  cnn: {
    layer: sequential(conv2d(2, 3, { padding: "same" }), tanh(), maxPool2d(2), flatten(), dense(3)),
    input: [6, 6, 1],
    loss: softmaxCrossEntropy(),
    targets: "classes",
  },
  rnn: {
    layer: sequential(rnn(4, { output: "last" }), dense(3)),
    input: [6, 2],
    loss: softmaxCrossEntropy(),
    targets: "classes",
  },
  transformer: {
    layer: sequential(embedding(5, 4), transformerBlock({ heads: 2, causal: true, expansion: 2 }), dense(5)),
    input: [4],
    tokens: 5,
    loss: softmaxCrossEntropy(),
    targets: "classes",
    target: [4],
    examples: 3,
  },
};

/** An objective with θ and a batch drawn from the seed. */
export function objectiveOf(runtime: Runtime, network: Network, seed = 1): Objective {
  const { loss, examples = 6, dtype = "f64", tokens, decay, scale = 1 } = network;
  const net = model(network.layer, network.input, dtype);
  const rng = random(seed);
  const { parameters, state } = net.init(rng);
  const stateLayout = layoutOf(state, dtype);
  const classes = net.outputShape.at(-1)!;
  const target = network.target ?? (network.targets === "classes" ? [] : net.outputShape);
  const objective = createObjective(runtime, {
    layout: net.layout,
    parameters: Array.from(net.layout.flatten(parameters).data, (x) => x + 0.1 * rng.normal()),
    ...(stateLayout.size > 0 && { state: stateLayout.flatten(state).data }),
    batch: [
      { dtype: tokens === undefined ? dtype : "i32", shape: [examples, ...network.input] },
      { dtype: network.targets === "classes" ? "i32" : dtype, shape: [examples, ...target] },
    ],
    trace(theta, [x, y], given, key) {
      const { outputs, state: after } = net.forward(net.layout.views(theta), x!, {
        training: true,
        key,
        ...(given && { state: stateLayout.views(given) }),
      });
      const regulariser =
        decay === undefined
          ? undefined
          : theta
              .square()
              .sum()
              .mul(0.5 * decay);
      const scaled = scale === 1 ? loss : times(loss, scale);
      const value = scaled.value(outputs, y!);
      return {
        loss: regulariser ? value.add(regulariser) : value,
        state: given && stateLayout.flattenTensors(after),
        outputCurvature: curvatureOf(scaled, outputs, y!),
        ...(regulariser && { regulariser }),
      };
    },
  });
  const [x, y] = objective.batch;
  x!.set(Array.from({ length: x!.size }, () => (tokens === undefined ? rng.normal() : rng.integer(tokens))));
  const draws = Array.from({ length: y!.size }, () => rng.uniform());
  const row = (k: number) => draws.slice(k - (k % classes), k - (k % classes) + classes);
  y!.set(
    Array.from({ length: y!.size }, (_, k) => {
      if (network.targets === "classes") return rng.integer(classes);
      if (network.targets === "distributions") return draws[k]! / row(k).reduce((a, b) => a + b);
      return network.targets === "numbers" ? rng.normal() : draws[k]!;
    }),
  );
  return objective;
}

/** c·ℓ as a loss. */
const times = (loss: Loss, c: number): Loss => ({
  name: loss.name,
  metrics: {},
  value: (o, t) => loss.value(o, t).mul(c),
  perExample: (o, t) => loss.perExample(o, t).mul(c),
  curvatureProduct: (o, t, v) => loss.curvatureProduct(o, t, v).mul(c),
  curvatureFactor: (o, t, v) => loss.curvatureFactor(o, t, v).mul(Math.sqrt(c)),
  sampleGradient: (o, t, key) => loss.sampleGradient!(o, t, key).mul(Math.sqrt(c)),
});

/** A function of what the trace returns, compiled: call it for its value now. */
export function readerOf(
  objective: Objective,
  f: (traced: ReturnType<Objective["trace"]>) => Tensor,
): { (): Float64Array; release(): void } {
  const given = argumentsOf(objective);
  const traced = objective.trace(given.parameters, given.batch, given.state, given.key);
  const executable = compile(
    objective.runtime,
    { inputs: given.inputs, outputs: [f(traced)] },
    { inputs: given.buffers },
  );
  const read = () => {
    executable.run();
    return Float64Array.from(executable.outputs[0]!.data);
  };
  return Object.assign(read, { release: executable.release });
}

/** The objective of a network, given back after use, as everything that `use` compiled must be. */
export function using<T>(runtime: Runtime, network: Network, use: (objective: Objective) => T): T {
  const before = runtime.used;
  const objective = objectiveOf(runtime, network);
  const result = use(objective);
  objective.release();
  expect(runtime.used).toBe(before);
  return result;
}
