/** Tensors that depend on nothing, and marks that change nothing. */
import type { NDArray } from "../array.js";
import type { Op } from "../op.js";
import type { Tensor } from "../tensor.js";
import { positionOf } from "./layout.js";
import { generate, type Rules } from "./rules.js";

type Kind<K extends Op["kind"]> = Extract<Op, { kind: K }>;

const unbatched = (): never => {
  throw new Error("autodiff: a source has no inputs to batch");
};

export const input: Rules<Kind<"input">> = {
  evaluate: (op) => {
    throw new Error(`evaluate: no value for input "${op.name}"`);
  },
  jvp: () => undefined,
  batch: unbatched,
};
export const constant: Rules<Kind<"constant">> = {
  evaluate: (op) => op.value,
  jvp: () => undefined,
  batch: unbatched,
};
export const fill: Rules<Kind<"fill">> = {
  evaluate: (op, _inputs, output) => generate(output, () => op.value),
  jvp: () => undefined,
  batch: unbatched,
};
export const iota: Rules<Kind<"iota">> = {
  evaluate: (op, _inputs, output) => generate(output, (i) => positionOf(i, output.shape)[op.axis]!),
  jvp: () => undefined,
  batch: unbatched,
};

/** A bijection of 32-bit words that leaves no visible pattern (a "lowbias" xorshift-multiply hash). */
function mix(word: number): number {
  let h = word >>> 0;
  h ^= h >>> 16;
  h = Math.imul(h, 0x21f0aaad);
  h ^= h >>> 15;
  h = Math.imul(h, 0x735a2d97);
  return (h ^ (h >>> 15)) >>> 0;
}

export const random: Rules<Kind<"random">> = {
  evaluate(op, [key], output) {
    const [k0, k1] = [key!.data[0]!, key!.data[1]!];
    const first = mix((k0 + Math.imul(op.stream, 0x9e3779b9)) | 0);
    const second = mix((k1 + 0x85ebca6b) | 0);
    return generate(output, (i) => {
      const bits = mix((mix((i + first) | 0) ^ second) | 0);
      return output.dtype === "f64" ? bits * 2 ** -32 : (bits >>> 8) * 2 ** -24;
    });
  },
  jvp: () => undefined,
  batch: () => {
    throw new Error("vmap: random keys cannot differ between examples; draw before mapping");
  },
};

const passThrough = {
  evaluate: (_op: Op, inputs: readonly NDArray[]) => inputs[0]!,
  jvp: (_op: Op, _inputs: readonly Tensor[], tangents: readonly (Tensor | undefined)[]) => tangents[0],
};
export const identity: Rules<Kind<"identity">> = {
  ...passThrough,
  transpose: (_op, c) => [c],
  batch: (_op, [x]) => x!,
};
export const stopGradient: Rules<Kind<"stopGradient">> = {
  ...passThrough,
  jvp: () => undefined,
  batch: (_op, [x]) => x!.stopGradient(),
};
export const mark: Rules<Kind<"mark">> = {
  ...passThrough,
  transpose: (_op, c, inputs) => [c, ...inputs.slice(1).map(() => undefined)],
  // A mapped layer is no longer the layer that the mark describes.
  batch: (_op, [x]) => x!,
};
