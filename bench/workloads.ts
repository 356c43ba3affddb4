/** The networks of the benchmarks, from the library's layers: shapes and losses as in peers/torch_peer.py. */
import { forwardLaplacian } from "../src/autodiff/index.js";
import { createObjective, type Objective, type TracedLoss } from "../src/curvature/objective.js";
import { curvatureOf, sumOfMeans } from "../src/curvature/output-curvature.js";
import {
  binaryCrossEntropyWithLogits,
  conv2d,
  dense,
  embedding,
  flatten,
  initialisers,
  type Layer,
  type Loss,
  layerNorm,
  maxPool2d,
  meanSquared,
  model,
  positionalEmbedding,
  random,
  relu,
  rnn,
  sequential,
  softmaxCrossEntropy,
  tanh,
  transformerBlock,
} from "../src/nn/index.js";
import type { Runtime } from "../src/runtime/runtime.js";
import type { NDArray } from "../src/tensor/array.js";
import { type Shape, sizeOf } from "../src/tensor/shape.js";
import type { Tensor } from "../src/tensor/tensor.js";

/** A network with its loss on one fixed batch. */
export type Workload = (runtime: Runtime) => Objective;

const f32 = (shape: Shape, next: (k: number) => number): NDArray => ({
  dtype: "f32",
  shape,
  data: Float32Array.from({ length: sizeOf(shape) }, (_, k) => next(k)),
});
const labels = (shape: Shape, classes: number): NDArray => {
  const rng = random(2);
  return {
    dtype: "i32",
    shape,
    data: Int32Array.from({ length: sizeOf(shape) }, () => rng.integer(classes)),
  };
};
const normal = (shape: Shape): NDArray => {
  const rng = random(1);
  return f32(shape, () => rng.normal());
};

/** The objective of a network and what its outputs on the batch are compared with. */
function workload(
  layer: Layer,
  data: readonly NDArray[],
  trace: (outputsOf: (x: Tensor) => Tensor, batch: readonly Tensor[]) => Omit<TracedLoss, "state">,
): Workload {
  return (runtime) => {
    const network = model(layer, data[0]!.shape.slice(1));
    const objective = createObjective(runtime, {
      layout: network.layout,
      parameters: network.layout.flatten(network.init(0).parameters).data,
      batch: data,
      trace: (theta, batch) => ({
        ...trace((x) => network.apply(network.layout.views(theta), x), batch),
        state: undefined,
      }),
    });
    data.forEach((array, index) => {
      objective.batch[index]!.set(array.data);
    });
    return objective;
  };
}

const supervised = (layer: Layer, loss: Loss, inputs: NDArray, targets: NDArray): Workload =>
  workload(layer, [inputs, targets], (outputsOf, [x, y]) => {
    const outputs = outputsOf(x!);
    return { loss: loss.value(outputs, y!), outputCurvature: curvatureOf(loss, outputs, y!) };
  });

const glorotNormal = { weight: initialisers.glorotNormal() };
const perceptron = (...widths: number[]): Layer =>
  sequential(
    ...widths.flatMap((width, k) =>
      k === widths.length - 1 ? [dense(width, glorotNormal)] : [dense(width, glorotNormal), tanh()],
    ),
  );

function autoencoder(): Workload {
  const rng = random(3);
  const pixels = f32([1000, 784], () => 1 / (1 + Math.exp(-2 * rng.normal())));
  return supervised(
    perceptron(1000, 500, 250, 30, 250, 500, 1000, 784),
    binaryCrossEntropyWithLogits(),
    pixels,
    pixels,
  );
}

/** Δu = f on the unit square and u = 0 on its edge, 30 × 30 points inside and 30 on each side. */
function pinnPoisson(): Workload {
  const at = (k: number) => (k + 0.5) / 30;
  const inside = f32([900, 2], (k) => (k % 2 === 0 ? at(Math.floor(k / 60)) : at(Math.floor(k / 2) % 30)));
  const source = f32([900], (k) => {
    const [x, y] = [inside.data[2 * k] as number, inside.data[2 * k + 1] as number];
    return -2 * Math.PI ** 2 * Math.sin(Math.PI * x) * Math.sin(Math.PI * y);
  });
  const edge = f32([120, 2], (k) => {
    const [side, t] = [Math.floor(k / 60), at(Math.floor(k / 2) % 30)];
    const fixed = Math.floor(k / 2) % 60 < 30 ? 0 : 1;
    return k % 2 === side ? t : fixed;
  });
  // PyTorch's side has no ½ in its mean of squares.
  const loss = meanSquared({ reduction: "sum" });
  return workload(
    perceptron(32, 32, 32, 1),
    [inside, source, edge, f32([120], () => 0)],
    (outputsOf, [x, f, y, g]) => {
      const laplacian = forwardLaplacian(outputsOf(x!), x!).laplacian.reshape([-1]);
      const u = outputsOf(y!).reshape([-1]);
      return {
        loss: loss.value(laplacian, f!).add(loss.value(u, g!)),
        outputCurvature: sumOfMeans([curvatureOf(loss, laplacian, f!), curvatureOf(loss, u, g!)]),
      };
    },
  );
}

const sameSize = { padding: "same" } as const;
const cnnSmall = (): Workload =>
  supervised(
    sequential(
      ...[conv2d(16, 3, sameSize), relu(), maxPool2d(2), conv2d(32, 3, sameSize), relu(), maxPool2d(2)],
      ...[flatten(), dense(128), relu(), dense(10)],
    ),
    softmaxCrossEntropy(),
    normal([256, 28, 28, 1]),
    labels([256], 10),
  );

const transformerTiny = (): Workload =>
  supervised(
    sequential(
      ...[embedding(256, 128), positionalEmbedding()],
      ...Array.from({ length: 4 }, () => transformerBlock({ heads: 4, causal: true, approximation: "tanh" })),
      ...[layerNorm(), dense(256, { bias: false })],
    ),
    softmaxCrossEntropy(),
    labels([16, 128], 256),
    labels([16, 128], 256),
  );

export const workloads: Readonly<Record<string, () => Workload>> = {
  "mlp-small": () =>
    supervised(perceptron(64, 64, 10), softmaxCrossEntropy(), normal([128, 64]), labels([128], 10)),
  autoencoder,
  "pinn-poisson": pinnPoisson,
  "cnn-small": cnnSmall,
  rnn: () =>
    supervised(
      sequential(rnn(64, { output: "last" }), dense(10)),
      softmaxCrossEntropy(),
      normal([64, 60, 8]),
      labels([64], 10),
    ),
  "transformer-tiny": transformerTiny,
};
