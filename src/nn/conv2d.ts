/** Convolution of images, as patches · weights. */
import { windowPositions } from "../tensor/infer.js";
import type { Window } from "../tensor/op.js";
import { formatShape, type Shape, ShapeError } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Affine } from "./dense.js";
import { glorotUniform, type Initialiser, zeros } from "./initialisers.js";
import { type Layer, layer, nameOf, needRank } from "./layer.js";

/** One number for both axes, or [height, width]. */
export type Pair = number | readonly [number, number];
/** "valid": none; "same": output extent ⌈extent / stride⌉, the odd zero after; or [[top, bottom], [left, right]]. */
export type Padding = "same" | "valid" | Window["padding"];

export interface WindowOptions {
  /** Default 1 for convolution, the window's size for pooling. */
  readonly stride?: Pair;
  /** Default "valid". */
  readonly padding?: Padding;
  /** Distance between the window's taps, default 1. */
  readonly dilation?: Pair;
}

export interface Conv2dOptions extends WindowOptions {
  /** Default: glorotUniform. */
  readonly weight?: Initialiser;
  /** Default: zeros; false for none. */
  readonly bias?: Initialiser | false;
}

/**
 * Cross-correlation of images, NHWC: [batch, h, w, c] → [batch, oh, ow, channels].
 * Parameters: weight [kh, kw, c, channels], bias [channels].
 *
 *     conv2d(16, 3, { padding: "same" })
 *     conv2d(32, [5, 3], { stride: 2, dilation: [1, 2] })
 */
export function conv2d(channels: number, kernel: Pair, options: Conv2dOptions = {}): Layer<Affine> {
  const { weight = glorotUniform(), bias = zeros() } = options;
  return layer<Affine>({
    kind: "conv2d",
    declare(inputShape) {
      needRank("conv2d", inputShape, "height, width, channels");
      const window = windowFor(inputShape, kernel, options);
      const linear = { weight: { shape: [...window.kernel, inputShape[2]!, channels], initialise: weight } };
      return {
        parameters: bias === false ? linear : { ...linear, bias: { shape: [channels], initialise: bias } },
        state: {},
        outputShape: [...outputExtents("conv2d", inputShape, window), channels],
      };
    },
    apply(parameters, x, context) {
      const window = windowFor(x.shape.slice(1), kernel, options);
      return convolve(parameters, x, window, nameOf(context, "conv2d"));
    },
  });
}

/** patches(x)·W + b, marked. */
function convolve({ weight, bias }: Affine, x: Tensor, window: Window, name: string): Tensor {
  const channels = weight.shape[3]!;
  const product = x.patches(window).matmul(weight.reshape([-1, channels]));
  return bias
    ? product.add(bias).marked({ layer: "conv2d", name, bias: true, window }, x, weight, bias)
    : product.marked({ layer: "conv2d", name, bias: false, window }, x, weight);
}

const pair = (value: Pair): readonly [number, number] => (typeof value === "number" ? [value, value] : value);

/** The window of given options over examples [h, w, c]. */
export function windowFor(inputShape: Shape, kernel: Pair, options: WindowOptions): Window {
  const [size, stride, dilation] = [pair(kernel), pair(options.stride ?? 1), pair(options.dilation ?? 1)];
  const { padding = "valid" } = options;
  const along = (axis: 0 | 1): readonly [number, number] => {
    if (padding === "valid") return [0, 0];
    if (padding !== "same") return padding[axis];
    const extent = inputShape[axis]!;
    const covered = (size[axis] - 1) * dilation[axis] + 1;
    const total = Math.max(0, (Math.ceil(extent / stride[axis]) - 1) * stride[axis] + covered - extent);
    return [Math.floor(total / 2), Math.ceil(total / 2)];
  };
  return { kernel: size, stride, padding: [along(0), along(1)], dilation };
}

/** [oh, ow]. @throws ShapeError when the window does not fit. */
export function outputExtents(kind: string, inputShape: Shape, window: Window): [number, number] {
  const extents: [number, number] = [
    windowPositions(inputShape[0]!, window, 0),
    windowPositions(inputShape[1]!, window, 1),
  ];
  if (extents.some((extent) => extent < 1))
    throw new ShapeError(
      `${kind}: a window of ${window.kernel.join("×")} does not fit into examples ${formatShape(inputShape)}`,
    );
  return extents;
}
