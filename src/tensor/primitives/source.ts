/**
 * Tensors that depend on nothing that can be differentiated, and the identities that carry a meaning: a name for
 * differentiation (identity), a wall before it (stopGradient), a layer (mark).
 */
import type { NDArray } from "../array.js";
import type { Mark, Op } from "../op.js";
import { stridesOf } from "../shape.js";
import { stack, Tensor } from "../tensor.js";
import { align, apply, type Family, generate, type Maybe } from "./rules.js";

/** A bijection of 32-bit words that leaves no visible pattern (a "lowbias" xorshift-multiply hash). */
function mix(word: number): number {
  let h = word | 0;
  h ^= h >>> 16;
  h = Math.imul(h, 0x21f0aaad);
  h ^= h >>> 15;
  h = Math.imul(h, 0x735a2d97);
  return (h ^ (h >>> 15)) >>> 0;
}

/** 32 random bits of element `index`. */
function bitsOf(k0: number, k1: number, stream: number, index: number): number {
  const first = mix(k0 + Math.imul(stream, 0x9e3779b9));
  return mix(mix(index + first) ^ mix(k1 + 0x85ebca6b + Math.imul(stream, 0xc2b2ae35)));
}

const noDerivative = {
  jvp: () => undefined,
  batch: (): never => {
    throw new Error("autodiff: a source has no inputs to batch");
  },
};
const passThrough = {
  evaluate: (_op: Op, inputs: readonly NDArray[]) => inputs[0]!,
  jvp: (_op: Op, _inputs: readonly Tensor[], tangents: readonly Maybe[]) => tangents[0],
};

/**
 * A mark over a batch, where that is still the layer it describes: all examples share the parameters. The batch axis
 * joins the examples, which a convolution wants on one axis.
 */
function markBatch(mark: Mark, inputs: readonly Tensor[], batched: readonly boolean[], size: number): Tensor {
  const [s, ...given] = inputs as [Tensor, ...Tensor[]];
  const [x, ...parameters] = given as [Tensor, ...Tensor[]];
  const [, inputBatched, ...parametersBatched] = batched;
  if (!inputBatched || parametersBatched.includes(true)) return batched[0] ? s : s.expand([size, ...s.shape]);
  const [whole] = align([s], batched, size) as [Tensor];
  if (mark.layer !== "conv2d") return apply({ kind: "mark", mark }, whole, x, ...parameters);
  const merge = (t: Tensor) => t.reshape([t.shape[0]! * t.shape[1]!, ...t.shape.slice(2)]);
  return apply({ kind: "mark", mark }, merge(whole), merge(x), ...parameters).reshape(whole.shape);
}

export const source: Family<
  "input" | "constant" | "fill" | "iota" | "random" | "identity" | "stopGradient" | "mark"
> = {
  input: {
    ...noDerivative,
    evaluate: (op) => {
      throw new Error(`evaluate: no value for input "${op.name}"`);
    },
  },
  constant: { ...noDerivative, evaluate: (op) => op.value },
  fill: { ...noDerivative, evaluate: (op, _inputs, output) => generate(output, () => op.value) },
  iota: {
    ...noDerivative,
    evaluate(op, _inputs, output) {
      const stride = stridesOf(output.shape)[op.axis]!;
      return generate(output, (i) => Math.floor(i / stride) % output.shape[op.axis]!);
    },
  },
  random: {
    evaluate: (op, [key], output) =>
      generate(output, (i) => {
        const bits = bitsOf(key!.data[0]!, key!.data[1]!, op.stream, i);
        return output.dtype === "f64" ? bits * 2 ** -32 : (bits >>> 8) * 2 ** -24;
      }),
    jvp: () => undefined,
    batch: (op, [keys], _batched, size, output) =>
      stack(Array.from({ length: size }, (_, k) => Tensor.source(op, output, keys!.at(k)))),
  },
  identity: { ...passThrough, transpose: (_op, c) => [c], batch: (_op, [x]) => x! },
  stopGradient: { ...passThrough, jvp: () => undefined, batch: (_op, [x]) => x!.stopGradient() },
  mark: {
    ...passThrough,
    transpose: (_op, c, inputs) => [c, ...inputs.slice(1).map(() => undefined)],
    batch: (op, inputs, batched, size) => markBatch(op.mark, inputs, batched, size),
  },
};
