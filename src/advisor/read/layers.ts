/**
 * Layers by their sizes, in the conventions of ModelShape: dense weights [in, out], kernels [height, width, in, out],
 * a bias as one more input. Shapes of files are turned into these, so that costs are counted in one way.
 */
import { type LayerShape, parameterCount } from "../../curvature/model-shape.js";
import { AdvisorError } from "../error.js";
import type { Architecture } from "../model.js";

interface Place {
  readonly bias?: boolean;
  /** In how many places of one example the layer acts, over all uses; default 1. */
  readonly positions?: number;
  readonly uses?: number;
}

export const denseLayer = (
  name: string,
  inputs: number,
  outputs: number,
  { bias = true, positions = 1, uses = 1 }: Place = {},
): LayerShape => ({
  name,
  kind: "dense",
  arrays: [{ name: `${name}.weight`, shape: [inputs, outputs] }, ...biasOf(name, outputs, bias)],
  inputs: inputs + (bias ? 1 : 0),
  outputs,
  positions,
  uses,
});

/** kernel: [height, width, in, out]. */
export const convLayer = (
  name: string,
  kernel: readonly [number, number, number, number],
  { bias = true, positions = 1, uses = 1 }: Place = {},
): LayerShape => ({
  name,
  kind: "conv2d",
  arrays: [{ name: `${name}.weight`, shape: kernel }, ...biasOf(name, kernel[3], bias)],
  inputs: kernel[0] * kernel[1] * kernel[2] + (bias ? 1 : 0),
  outputs: kernel[3],
  positions,
  uses,
});

export const embeddingLayer = (
  name: string,
  rows: number,
  width: number,
  { positions = 1, uses = 1 }: Omit<Place, "bias"> = {},
): LayerShape => ({
  name,
  kind: "embedding",
  arrays: [{ name: `${name}.weight`, shape: [rows, width] }],
  inputs: rows,
  outputs: width,
  positions,
  uses,
});

/** A scale, and a shift unless bias is false. */
export const normLayer = (
  name: string,
  width: number,
  { bias = true, positions = 1, uses = 1 }: Place = {},
): LayerShape => ({
  name,
  kind: "scaleShift",
  arrays: [{ name: `${name}.weight`, shape: [width] }, ...biasOf(name, width, bias)],
  inputs: bias ? 2 * width : width,
  outputs: 1,
  positions,
  uses,
});

/** Parameters of no layer that curvature knows. */
export const otherLayer = (name: string, shape: readonly number[], uses = 1): LayerShape => ({
  name,
  kind: "other",
  arrays: [{ name, shape }],
  inputs: shape.reduce((product, size) => product * size, 1),
  outputs: 1,
  positions: 1,
  uses,
});

const biasOf = (name: string, width: number, bias: boolean) =>
  bias ? [{ name: `${name}.bias`, shape: [width] }] : [];

/**
 * The same architecture, when all its numbers can be counted.
 *
 * @throws AdvisorError when it has no parameters, or more than 2⁵³.
 */
export function countable(architecture: Architecture): Architecture {
  const { name, otherForwardFlops, activations } = architecture;
  const n = parameterCount(architecture);
  if (n === 0)
    throw new AdvisorError(`"${name}" has no parameters; give a file that holds a model with its weights`);
  if (!Number.isSafeInteger(n) || !Number.isFinite(otherForwardFlops) || !Number.isFinite(activations))
    throw new AdvisorError(`"${name}" has ${n.toPrecision(3)} parameters: its shapes are damaged`);
  return architecture;
}

const fused = /(c_attn|qkv|query_key_value|qkv_proj|in_proj)$/;

/**
 * The architecture with queries, keys and values as three layers, where it has them as one: smaller factors.
 *
 *     factorEntries(separateProjections(gpt2Medium));   // 1,057,407,120 instead of 1,157,972,064
 */
export const separateProjections = (architecture: Architecture): Architecture => ({
  ...architecture,
  layers: architecture.layers.flatMap((layer) => {
    const { name, kind, inputs, outputs, arrays, positions, uses } = layer;
    if (kind !== "dense" || !fused.test(name) || outputs % 3 !== 0) return [layer];
    const bias = arrays.length > 1;
    return ["query", "key", "value"].map((part) =>
      denseLayer(`${name}.${part}`, bias ? inputs - 1 : inputs, outputs / 3, { bias, positions, uses }),
    );
  }),
});
