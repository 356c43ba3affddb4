/**
 * y = Σ xᵢ: ẏ = Σ ẋᵢ, x̄ᵢ = ȳ. Running sums yᵢ = Σ_{j≤i} xⱼ: x̄ⱼ = Σ_{i≥j} ȳᵢ.
 * y = max xᵢ: with S the elements that attain it, ẏ = Σ_{i∈S} ẋᵢ / |S|: ties share equally. argMax is the first of
 * them and has no derivative.
 * y = softmax(x): ẏ = y ⊙ (ẋ − Σ y ⊙ ẋ), which needs y alone of all that y is made of.
 */
import { type Shape, sizeOf, stridesOf } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { type Family, generate, shift, walk } from "./rules.js";

/** Strides that send each position of `shape` to the element it is reduced into. */
function reducedStrides(shape: Shape, axes: readonly number[]): number[] {
  const strides = stridesOf(shape.map((n, axis) => (axes.includes(axis) ? 1 : n)));
  return strides.map((stride, axis) => (axes.includes(axis) ? 0 : stride));
}

/** Puts the reduced axes back with extent 1. */
const kept = (reduced: Tensor, x: Tensor, axes: readonly number[]) =>
  reduced.reshape(x.shape.map((n, axis) => (axes.includes(axis) ? 1 : n)));

export const reduction: Family<"reduceSum" | "reduceMax" | "argMax" | "cumsum" | "softmax"> = {
  reduceSum: {
    evaluate(op, [x], output) {
      const sums = new Float64Array(sizeOf(output.shape));
      walk(x!.shape, reducedStrides(x!.shape, op.axes), 0, (index, target) => {
        sums[target]! += x!.data[index]!;
      });
      return generate(output, (i) => sums[i]!);
    },
    jvp: (op, _inputs, [t]) => t?.sum(op.axes),
    transpose: (op, c, [x]) => [kept(c, x!, op.axes).expand(x!.shape)],
    batch: (op, [x]) => x!.sum(shift(op.axes)),
  },
  reduceMax: {
    evaluate(op, [x], output) {
      const best = new Float64Array(sizeOf(output.shape)).fill(-Infinity);
      walk(x!.shape, reducedStrides(x!.shape, op.axes), 0, (index, target) => {
        best[target] = Math.max(best[target]!, x!.data[index]!);
      });
      return generate(output, (i) => best[i]!);
    },
    jvp(op, inputs, [t], y) {
      if (!t) return undefined;
      const x = inputs[0]!;
      const attained = x.eq(kept(y, x, op.axes));
      return attained.select(t, 0).sum(op.axes).div(attained.cast(x.dtype).sum(op.axes));
    },
    batch: (op, [x]) => x!.maximum(shift(op.axes)),
  },
  argMax: {
    evaluate(op, [x], output) {
      const stride = stridesOf(x!.shape)[op.axis]!;
      const extent = x!.shape[op.axis]!;
      return generate(output, (i) => {
        const first = Math.floor(i / stride) * extent * stride + (i % stride);
        let best = 0;
        for (let k = 1; k < extent; k++)
          if (x!.data[first + k * stride]! > x!.data[first + best * stride]!) best = k;
        return best;
      });
    },
    jvp: () => undefined,
    batch: (op, [x]) => x!.argMax(op.axis + 1),
  },
  cumsum: {
    evaluate(op, [x], output) {
      const stride = stridesOf(output.shape)[op.axis]!;
      const extent = output.shape[op.axis]!;
      const sums = Float64Array.from(x!.data);
      for (let i = 0; i < sums.length; i++)
        if (Math.floor(i / stride) % extent > 0) sums[i]! += sums[i - stride]!;
      return generate(output, (i) => sums[i]!);
    },
    jvp: (op, _inputs, [t]) => t?.cumsum(op.axis),
    transpose: (op, c) => [c.reverse(op.axis).cumsum(op.axis).reverse(op.axis)],
    batch: (op, [x]) => x!.cumsum(op.axis + 1),
  },
  softmax: {
    evaluate(op, [x], output) {
      const targets = reducedStrides(output.shape, [op.axis]);
      const size = output.shape[op.axis]! === 0 ? 0 : sizeOf(output.shape) / output.shape[op.axis]!;
      const peaks = new Float64Array(size).fill(-Infinity);
      walk(output.shape, targets, 0, (index, target) => {
        peaks[target] = Math.max(peaks[target]!, x!.data[index]!);
      });
      const [powers, sums] = [new Float64Array(sizeOf(output.shape)), new Float64Array(size)];
      walk(output.shape, targets, 0, (index, target) => {
        powers[index] = Math.exp(x!.data[index]! - peaks[target]!);
        sums[target]! += powers[index]!;
      });
      walk(output.shape, targets, 0, (index, target) => {
        powers[index]! /= sums[target]!;
      });
      return generate(output, (i) => powers[i]!);
    },
    jvp: (op, _inputs, [t], y) => t && y.mul(t.sub(y.mul(t).sum(op.axis, true))),
    batch: (op, [x]) => x!.softmax(op.axis + 1),
  },
};
