/** Pooling of images, NHWC. */
import type { Window } from "../tensor/op.js";
import { ones, type Tensor } from "../tensor/tensor.js";
import { outputExtents, type Pair, type WindowOptions, windowFor } from "./conv2d.js";
import { type Layer, layer, needRank } from "./layer.js";

/** Reduces windows laid out on some axes of a tensor. */
type Reduce = (tiles: Tensor, axes: readonly number[]) => Tensor;
/** Pools with a general window. */
type Pool = (x: Tensor, window: Window) => Tensor;

/**
 * Largest value of each window: [batch, h, w, c] → [batch, oh, ow, c]. The stride is the window's size unless given;
 * padding never wins. Windows side by side are a reshape and one reduction.
 *
 *     maxPool2d(2)
 *     maxPool2d(3, { stride: 2, padding: "same" })
 */
export const maxPool2d = (size: Pair, options: WindowOptions = {}): Layer =>
  pool("maxPool2d", size, options, (tiles, axes) => tiles.maximum(axes), maximumOfPatches);

/**
 * Mean of each window, over the elements inside the image: [batch, h, w, c] → [batch, oh, ow, c].
 *
 *     avgPool2d(2)
 */
export const avgPool2d = (size: Pair, options: WindowOptions = {}): Layer =>
  pool("avgPool2d", size, options, (tiles, axes) => tiles.mean(axes), meanOfPatches);

/**
 * Mean over all positions: [batch, h, w, c] → [batch, c] (Lin, Chen, Yan 2013, "Network in Network").
 *
 *     sequential(conv2d(32, 3), relu(), globalAveragePool2d(), dense(10))
 */
export const globalAveragePool2d = (): Layer =>
  layer({
    kind: "globalAveragePool2d",
    declare(inputShape) {
      needRank("globalAveragePool2d", inputShape, "height, width, channels");
      return { parameters: {}, state: {}, outputShape: [inputShape[2]!] };
    },
    apply: (_parameters, x) => x.mean([1, 2]),
  });

function pool(kind: string, size: Pair, options: WindowOptions, reduce: Reduce, general: Pool): Layer {
  const given = { stride: size, ...options };
  return layer({
    kind,
    declare(inputShape) {
      needRank(kind, inputShape, "height, width, channels");
      const extents = outputExtents(kind, inputShape, windowFor(inputShape, size, given));
      return { parameters: {}, state: {}, outputShape: [...extents, inputShape[2]!] };
    },
    apply(_parameters, x) {
      const window = windowFor(x.shape.slice(1), size, given);
      return sideBySide(window) ? reduce(tiles(x, window), [2, 4]) : general(x, window);
    },
  });
}

const sideBySide = ({ kernel, stride, padding, dilation }: Window): boolean =>
  kernel.every((extent, axis) => extent === stride[axis]) &&
  padding.flat().every((extent) => extent === 0) &&
  dilation.every((distance) => distance === 1);

/** [n, h, w, c] → [n, oh, kh, ow, kw, c]; rows and columns that fill no window are left out. */
function tiles(x: Tensor, { kernel: [kh, kw] }: Window): Tensor {
  const [n, h, w, c] = x.shape as [number, number, number, number];
  const [oh, ow] = [Math.floor(h / kh), Math.floor(w / kw)];
  return x
    .slice(1, 0, oh * kh)
    .slice(2, 0, ow * kw)
    .reshape([n, oh, kh, ow, kw, c]);
}

/** [n, h, w, c] → [n, oh, ow, taps, c]. */
function taps(x: Tensor, window: Window): Tensor {
  const patches = x.patches(window);
  const count = window.kernel[0] * window.kernel[1];
  return patches.reshape([...patches.shape.slice(0, 3), count, x.shape[3]!]);
}

function maximumOfPatches(x: Tensor, window: Window): Tensor {
  const [[top, bottom], [left, right]] = window.padding;
  const widths = [
    [0, 0],
    [top, bottom],
    [left, right],
    [0, 0],
  ] as const;
  const inside = ones([1, x.shape[1]!, x.shape[2]!, 1], x.dtype).pad(widths).gt(0);
  const padded = inside.select(x.pad(widths), -3e38);
  return taps(padded, {
    ...window,
    padding: [
      [0, 0],
      [0, 0],
    ],
  }).maximum(3);
}

function meanOfPatches(x: Tensor, window: Window): Tensor {
  const inside = ones([1, x.shape[1]!, x.shape[2]!, 1], x.dtype);
  return taps(x, window).sum(3).div(taps(inside, window).sum(3));
}
