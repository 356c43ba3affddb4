/** A model as the advisor sees it: its shape, and what else a cost depends on. What was guessed is said in `notes`. */
import type { LayerShape, ModelShape } from "../curvature/model-shape.js";

export interface Architecture extends ModelShape {
  /** "GPT-2 medium", "784-1000-500-10". */
  readonly name: string;
  readonly kind: "transformer" | "convolutional" | "recurrent" | "dense" | "other";
  /** What an example is: "sequence of 1,024 tokens", "image of 224×224", "example". */
  readonly example: string;
  /** Bytes of a parameter as it is stored. */
  readonly storedBytes: number;
  /** FLOPs of one example's forward pass beside the products of its layers: attention's scores and sums. */
  readonly otherForwardFlops: number;
  /** Numbers of one example that the backward pass needs. */
  readonly activations: number;
  /** What a gradient does beside products, where its program was counted: for one example, and steps of the program. */
  readonly elementwise?: {
    readonly operations: number;
    readonly transcendentals: number;
    readonly bytes: number;
    readonly steps: number;
  };
  /** What it is trained for, where the model itself tells. */
  readonly task?: "adversarial" | "language-model" | "image-classification";
  readonly notes: readonly string[];
}

/**
 * FLOPs of the products of one example's forward pass.
 *
 *     forwardFlops(readLayerList("784-128-10"))   // 2·784·128 + 2·128·10 = 203,264
 */
export const forwardFlops = ({ layers, otherForwardFlops }: Architecture): number =>
  layers.reduce((sum, layer) => sum + productFlops(layer), otherForwardFlops);

/** Two a weight and place where it acts. Tables are looked up, and norms are no products. */
export const productFlops = ({ kind, inputs, outputs, positions, arrays }: LayerShape): number =>
  kind === "dense" || kind === "conv2d"
    ? 2 * (inputs - (arrays.length > 1 ? 1 : 0)) * outputs * positions
    : 0;

/**
 * Numbers that a backward pass needs of one example: every layer's output and what a nonlinearity makes of it.
 *
 *     activationsOf(readLayerList("784-128-10").layers)   // 2·128 + 2·10 = 276
 */
export const activationsOf = (layers: readonly LayerShape[]): number =>
  layers.reduce((sum, layer) => sum + layer.positions * activationsAt(layer), 0);

function activationsAt({ kind, inputs, outputs }: LayerShape): number {
  switch (kind) {
    case "dense":
    case "conv2d":
      return 2 * outputs;
    case "embedding":
      return outputs;
    case "scaleShift":
      return inputs / 2;
    case "other":
      return 0;
  }
}

/**
 * Σ in² + out² over dense layers and convolutions, a bias being one more input: the entries of their Kronecker factors.
 *
 *     factorEntries(readLayerList("784-128-10"))   // 785² + 128² + 129² + 10²
 */
export const factorEntries = ({ layers }: ModelShape): number =>
  layers.reduce(
    (sum, { kind, inputs, outputs }) =>
      kind === "dense" || kind === "conv2d" ? sum + inputs ** 2 + outputs ** 2 : sum,
    0,
  );
