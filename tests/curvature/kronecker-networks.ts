/** Marked maps for networks that are written out by hand. */
import type { Window } from "../../src/tensor/op.js";
import type { Tensor } from "../../src/tensor/tensor.js";

export type Maps = { readonly weight: Tensor; readonly bias?: Tensor };

export function affine({ weight, bias }: Maps, x: Tensor, name: string): Tensor {
  const product = x.matmul(weight);
  return bias
    ? product.add(bias).marked({ layer: "dense", name, bias: true }, x, weight, bias)
    : product.marked({ layer: "dense", name, bias: false }, x, weight);
}

export const window: Window = {
  kernel: [3, 2],
  stride: [2, 1],
  padding: [
    [1, 1],
    [0, 0],
  ],
  dilation: [1, 1],
};

/** A convolution with `window`. */
export const convolve = ({ weight, bias }: Required<Maps>, x: Tensor): Tensor =>
  x
    .patches(window)
    .matmul(weight.reshape([-1, weight.shape[3]!]))
    .add(bias)
    .marked({ layer: "conv2d", name: "conv", bias: true, window }, x, weight, bias);
