/**
 * Keras models. A TensorFlow.js model.json names its weights with their shapes (weightsManifest), which tell the layers:
 * kernels are [height, width, in, out], as here. Where they lack, as in Keras's to_json(), the topology is followed.
 */
import { basename } from "node:path";
import type { LayerShape } from "../../curvature/model-shape.js";
import { AdvisorError } from "../error.js";
import { type Architecture, activationsOf } from "../model.js";
import { isObject } from "./json.js";
import { isModel } from "./keras-graph.js";
import { readTopology } from "./keras-topology.js";
import { convLayer, countable, denseLayer, embeddingLayer, normLayer, otherLayer } from "./layers.js";

const mostWeights = 100_000;
const assumedPixels = 196;

export const isKeras = (value: unknown): boolean =>
  isModel(value) || (isObject(value) && "modelTopology" in value);

/** @throws AdvisorError when the file tells no shapes, they are damaged, or a layer is of a class that is not known. */
export function readKeras(value: unknown, path: string, tokens?: number): Architecture {
  if (isModel(value)) return readTopology(value, path, tokens);
  const { weightsManifest: groups, modelTopology } = isObject(value) ? value : {};
  if (Array.isArray(groups)) return readManifest(groups, path, tokens);
  // A converted model stands under model_config, one that TensorFlow.js made does not.
  const topology = isObject(modelTopology) ? (modelTopology.model_config ?? modelTopology) : undefined;
  if (isModel(topology)) return readTopology(topology, path, tokens);
  throw new AdvisorError(
    `"${path}" has no weightsManifest and no topology of class Sequential, Functional or Model; save it with model.to_json() or tensorflowjs`,
  );
}

function readManifest(groups: readonly unknown[], path: string, tokens = 1): Architecture {
  const weights = groups.flatMap((group: unknown) =>
    isObject(group) && Array.isArray(group.weights) ? (group.weights as unknown[]) : [],
  );
  if (weights.length > mostWeights)
    throw new AdvisorError(`"${path}" holds more than ${mostWeights} arrays: it is too large to be read`);
  const layers = new Map<string, Map<string, readonly number[]>>();
  for (const weight of weights) {
    const { name, shape } = isObject(weight) ? weight : {};
    if (
      typeof name !== "string" ||
      !Array.isArray(shape) ||
      !shape.every((size) => Number.isSafeInteger(size) && size >= 0)
    )
      throw new AdvisorError(`"${path}" has a weight without name or shape; save the model again`);
    const cut = name.lastIndexOf("/");
    const [layer, role] = [name.slice(0, Math.max(cut, 0)), name.slice(cut + 1)];
    const arrays = layers.get(layer) ?? new Map<string, readonly number[]>();
    if (arrays.has(role)) throw new AdvisorError(`"${path}" has two weights named "${name.slice(0, 60)}"`);
    layers.set(layer, arrays.set(role, shape as number[]));
  }
  const convolutional = [...layers.values()].some((arrays) => arrays.get("kernel")?.length === 4);
  const positions = convolutional ? assumedPixels : tokens;
  const shapes = [...layers].flatMap(([name, arrays]) => layersOf(name, arrays, positions, tokens));
  const recurrent = [...layers.values()].some((arrays) => arrays.has("recurrent_kernel"));
  return countable({
    name: basename(path),
    kind: convolutional
      ? "convolutional"
      : recurrent
        ? "recurrent"
        : shapes.every(({ kind }) => kind === "dense")
          ? "dense"
          : "other",
    example: "example",
    storedBytes: 4,
    layers: shapes,
    otherForwardFlops: 0,
    activations: activationsOf(shapes),
    notes: [
      "layers are inferred from the names and shapes of weights; every layer is counted as used once",
      ...(convolutional
        ? ["every convolution is counted at 196 places (14×14); an ONNX file tells them"]
        : []),
      ...(recurrent || tokens > 1 ? [`sequences of ${tokens} steps are assumed`] : []),
    ],
  });
}

function layersOf(
  name: string,
  arrays: ReadonlyMap<string, readonly number[]>,
  positions: number,
  tokens: number,
): LayerShape[] {
  const rest = new Map(arrays);
  const layers: LayerShape[] = [];
  const take = (role: string, rank: number): readonly number[] | undefined => {
    const shape = rest.get(role);
    if (shape?.length !== rank || shape.includes(0)) return undefined;
    rest.delete(role);
    return shape;
  };
  rest.delete("moving_mean");
  rest.delete("moving_variance");
  const wide = take("kernel", 4) ?? take("pointwise_kernel", 4);
  const flat = wide ? undefined : take("kernel", 2);
  const outputs = wide?.[3] ?? flat?.[1];
  const hasBias = outputs !== undefined && rest.get("bias")?.length === 1 && rest.get("bias")![0] === outputs;
  if (hasBias) rest.delete("bias");
  if (wide)
    layers.push(convLayer(name, wide as [number, number, number, number], { bias: hasBias, positions }));
  const state = flat && take("recurrent_kernel", 2);
  // A classifier behind convolutions stands once an example.
  const places = positions === assumedPixels && !state ? 1 : tokens;
  if (flat) layers.push(denseLayer(name, flat[0]!, flat[1]!, { bias: hasBias, positions: places }));
  if (state)
    layers.push(
      denseLayer(`${name}/recurrent`, state[0]!, state[1]!, { bias: false, positions: tokens, uses: tokens }),
    );
  const table = take("embeddings", 2);
  if (table) layers.push(embeddingLayer(name, table[0]!, table[1]!, { positions: tokens }));
  const scale = take("gamma", 1);
  if (scale) {
    const shift = rest.get("beta")?.length === 1 && rest.get("beta")![0] === scale[0];
    if (shift) rest.delete("beta");
    layers.push(normLayer(name, scale[0]!, { bias: shift, positions }));
  }
  for (const [role, shape] of rest) layers.push(otherLayer(`${name}/${role}`, shape));
  return layers;
}
