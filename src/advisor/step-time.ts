/**
 * Seconds of one step, from what a method computes and what its questions cost on the model.
 *
 * A gradient is three products a layer and place in time (forward, by the weights, by the inputs; the last not of the
 * first layer), in convolutions the patches that they consume, and elementwise work between: counted where the program
 * is here, else six passes over the activations. Other questions cost as many gradients as they have FLOPs.
 */
import { parameterCount } from "../curvature/model-shape.js";
import type { Costs, Work } from "../optimizers/costs.js";
import { total } from "../optimizers/costs.js";
import type { OptimizerName } from "../optimizers/registry.js";
import type { Hardware } from "./hardware.js";
import { type Architecture, productFlops } from "./model.js";
import {
  bandwidthOf,
  elementwiseSeconds,
  type Format,
  factorizationSeconds,
  productSeconds,
  squareSeconds,
} from "./time.js";

/** Times that an activation passes between processor and memory: written and read forward, and twice back. */
const activationTraffic = 6;
/** Patches are made and consumed by so many bytes. */
const blockBytes = 2 ** 19;

type Layer = Architecture["layers"][number];

/** Seconds of a gradient of a batch. */
export function gradientSeconds(
  model: Architecture,
  batch: number,
  hardware: Hardware,
  format: Format,
): number {
  const { layers, elementwise, otherForwardFlops, activations } = model;
  const walked = format.bytes * (batch * activations + parameterCount(model));
  const acting = layers.filter((layer) => productFlops(layer) > 0);
  const products = acting.reduce((sum, { inputs, outputs, positions, uses, arrays, kind }, index) => {
    const shape = { m: (batch * positions) / uses, k: inputs - (arrays.length > 1 ? 1 : 0), n: outputs };
    const times = (index === 0 ? 2 : 3) * uses;
    const patches = kind === "conv2d" ? 2 * format.bytes * shape.m * shape.k : 0;
    return (
      sum +
      times *
        (productSeconds(hardware, shape, format, walked) +
          patches / bandwidthOf(hardware, Math.min(patches, blockBytes)))
    );
  }, 0);
  const other = 3 * squareSeconds(hardware, batch * otherForwardFlops, format);
  const between = elementwise
    ? elementwiseSeconds(hardware, {
        operations: batch * elementwise.operations,
        transcendentals: batch * elementwise.transcendentals,
        bytes: batch * elementwise.bytes,
        walked,
        steps: elementwise.steps,
      })
    : (activationTraffic * format.bytes * batch * activations) / bandwidthOf(hardware, walked);
  return products + other + between;
}

/** Seconds of a method's own work in one step. */
export function methodSeconds(
  model: Architecture,
  name: OptimizerName,
  settings: Readonly<Record<string, unknown>>,
  { state, work }: Costs,
  hardware: Hardware,
): { curvature: number; inversion: number; update: number } {
  const of = (part: Work["part"]) =>
    work.filter((term) => term.part === part).reduce((sum, { flops }) => sum + flops, 0);
  const n = parameterCount(model);
  const own = total(state.filter(({ part }) => part === "moments" || part === "history"));
  // θ and g are read, θ written, the state both.
  const bytes = 4 * (3 * n + 2 * own);
  const moved = bytes / bandwidthOf(hardware, 4 * (2 * n + own));
  return {
    curvature: shared(
      model,
      hardware,
      of("curvature"),
      ({ inputs, outputs, positions }) => positions * (inputs ** 2 + outputs ** 2),
    ),
    inversion: inversionSeconds(model, name, settings, of("inversion"), hardware),
    update: Math.max(
      moved,
      shared(model, hardware, of("update"), ({ inputs, outputs }) => inputs * outputs * (inputs + outputs)),
    ),
  };
}

/** Products of `flops` in all, shared by the layers with matrices. */
function shared(
  model: Architecture,
  hardware: Hardware,
  flops: number,
  share: (layer: Layer) => number,
): number {
  const layers = model.layers.filter(({ arrays }) => arrays.some(({ shape }) => shape.length > 1));
  if (flops === 0) return 0;
  if (layers.length === 0) return squareSeconds(hardware, flops);
  const all = layers.reduce((sum, layer) => sum + share(layer), 0);
  return layers.reduce((sum, layer) => sum + squareSeconds(hardware, (flops * share(layer)) / all), 0);
}

/** What a method counts as inversion: factorizations, products, or operations on vectors. */
function inversionSeconds(
  model: Architecture,
  name: OptimizerName,
  settings: Readonly<Record<string, unknown>>,
  flops: number,
  hardware: Hardware,
): number {
  if (flops === 0) return 0;
  const sides = model.layers.flatMap(({ inputs, outputs }) => [inputs, outputs]);
  const axes = model.layers.flatMap(({ arrays }) => arrays.flatMap(({ shape }) => shape));
  const factorized = (kind: "cholesky" | "eigen", orders: readonly number[]) =>
    factorizationSeconds(hardware, kind, flops, orders);
  switch (name) {
    case "kfac":
      return settings.inverse === "newtonSchulz"
        ? squareSeconds(hardware, flops)
        : factorized(settings.inverse === "eigen" ? "eigen" : "cholesky", sides);
    case "ekfac":
      return factorized("eigen", sides);
    case "shampoo":
      return settings.root === "newton"
        ? squareSeconds(hardware, flops)
        : factorized(
            "eigen",
            axes.map((axis) => Math.min(axis, Number(settings.blockSize))),
          );
    case "soap":
      return factorized(
        "cholesky",
        axes.filter((axis) => axis <= Number(settings.largestAxis)),
      );
    case "newton":
      return factorized(settings.globalization === "trustRegion" ? "eigen" : "cholesky", [
        parameterCount(model),
      ]);
    default:
      // Vectors: an operation for each number that passes.
      return (4 * flops) / bandwidthOf(hardware, 4 * 8 * parameterCount(model));
  }
}
