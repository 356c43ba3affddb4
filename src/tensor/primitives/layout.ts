/**
 * Moving elements: y = P·x with P a selection of elements, so that ẏ = P·ẋ and the transpose Pᵀ moves them back
 * (adding up those that came from one element).
 *
 * permute, expand, slice and reverse are views: element i of the result lies at offset + Σ iₖ·strideₖ of the input.
 */
import type { NDArray, Spec } from "../array.js";
import { type Shape, stridesOf } from "../shape.js";
import { full, concat as join } from "../tensor.js";
import { align, apply, type Family, generate, shift, sumOver, walk } from "./rules.js";

function view(x: NDArray, output: Spec, strides: readonly number[], offset = 0): NDArray {
  const result = generate(output, () => 0);
  walk(output.shape, strides, offset, (index, address) => {
    result.data[index] = x.data[address]!;
  });
  return result;
}

/** What remains of `extent` after the last of `count` elements from `start` in steps. */
const remainder = (extent: number, start: number, count: number, step: number) =>
  extent - start - (count === 0 ? 0 : (count - 1) * step + 1);

function inverse(axes: readonly number[]): number[] {
  const result = axes.map(() => 0);
  axes.forEach((axis, index) => {
    result[axis] = index;
  });
  return result;
}

const scaled = (strides: readonly number[], factors: Shape) => strides.map((s, axis) => s * factors[axis]!);
const dotProduct = (a: readonly number[], b: readonly number[]) =>
  a.reduce((sum, value, axis) => sum + value * b[axis]!, 0);

export const layout: Family<"reshape" | "permute" | "expand" | "slice" | "pad" | "concat" | "reverse"> = {
  reshape: {
    evaluate: (_op, [x], { dtype, shape }) => ({ dtype, shape, data: x!.data }),
    jvp: (op, _inputs, [t]) => t?.reshape(op.shape),
    transpose: (_op, c, [x]) => [c.reshape(x!.shape)],
    batch: (op, [x], _batched, size) => x!.reshape([size, ...op.shape]),
  },
  permute: {
    evaluate(op, [x], output) {
      const strides = stridesOf(x!.shape);
      return view(
        x!,
        output,
        op.axes.map((axis) => strides[axis]!),
      );
    },
    jvp: (op, _inputs, [t]) => t?.permute(op.axes),
    transpose: (op, c) => [c.permute(inverse(op.axes))],
    batch: (op, [x]) => x!.permute([0, ...shift(op.axes)]),
  },
  expand: {
    evaluate: (_op, [x], output) =>
      view(
        x!,
        output,
        stridesOf(x!.shape).map((stride, axis) => (x!.shape[axis] === 1 ? 0 : stride)),
      ),
    jvp: (op, _inputs, [t]) => t?.expand(op.shape),
    transpose: (op, c, [x]) => [
      sumOver(
        c,
        op.shape.flatMap((n, axis) => (n === x!.shape[axis] ? [] : [axis])),
      ),
    ],
    batch: (op, [x], _batched, size) => x!.expand([size, ...op.shape]),
  },
  slice: {
    evaluate(op, [x], output) {
      const strides = stridesOf(x!.shape);
      return view(x!, output, scaled(strides, op.step), dotProduct(op.start, strides));
    },
    jvp: (op, _inputs, [t]) => t && apply(op, t),
    transpose: (op, c, [x]) => [
      apply(
        {
          kind: "pad",
          low: op.start,
          high: x!.shape.map((n, axis) => remainder(n, op.start[axis]!, c.shape[axis]!, op.step[axis]!)),
          interior: op.step.map((step) => step - 1),
        },
        c,
      ),
    ],
    batch: (op, [x], _batched, size) =>
      apply(
        { kind: "slice", start: [0, ...op.start], limit: [size, ...op.limit], step: [1, ...op.step] },
        x!,
      ),
  },
  pad: {
    evaluate(op, [x], output) {
      const strides = stridesOf(output.shape);
      const result = generate(output, () => 0);
      const steps = op.interior.map((gap) => gap + 1);
      walk(x!.shape, scaled(strides, steps), dotProduct(op.low, strides), (index, address) => {
        result.data[address] = x!.data[index]!;
      });
      return result;
    },
    jvp: (op, _inputs, [t]) => t && apply(op, t),
    transpose: (op, c) => [
      apply(
        {
          kind: "slice",
          start: op.low,
          limit: c.shape.map((n, axis) => n - op.high[axis]!),
          step: op.interior.map((gap) => gap + 1),
        },
        c,
      ),
    ],
    batch: (op, [x]) =>
      apply({ kind: "pad", low: [0, ...op.low], high: [0, ...op.high], interior: [0, ...op.interior] }, x!),
  },
  concat: {
    evaluate(op, inputs, output) {
      const result = generate(output, () => 0);
      const stride = stridesOf(output.shape)[op.axis]!;
      const row = output.shape[op.axis]! * stride;
      let offset = 0;
      for (const x of inputs) {
        const length = x.shape[op.axis]! * stride;
        for (let i = 0; i * length < x.data.length; i++)
          result.data.set(x.data.subarray(i * length, (i + 1) * length), i * row + offset);
        offset += length;
      }
      return result;
    },
    jvp: (op, inputs, tangents) =>
      tangents.every((t) => t === undefined)
        ? undefined
        : join(
            inputs.map((x, k) => tangents[k] ?? full(x, 0)),
            op.axis,
          ),
    transpose(op, c, inputs, linear) {
      let next = 0;
      return inputs.map((x, k) => {
        const start = next;
        next += x.shape[op.axis]!;
        return linear[k] ? c.slice(op.axis, start, next) : undefined;
      });
    },
    batch: (op, inputs, batched, size) => join(align(inputs, batched, size), op.axis + 1),
  },
  reverse: {
    evaluate(op, [x], output) {
      const strides = stridesOf(x!.shape);
      const last = (axis: number) => Math.max(0, x!.shape[axis]! - 1);
      return view(
        x!,
        output,
        strides.map((stride, axis) => (op.axes.includes(axis) ? -stride : stride)),
        op.axes.reduce((offset, axis) => offset + last(axis) * strides[axis]!, 0),
      );
    },
    jvp: (op, _inputs, [t]) => t?.reverse(op.axes),
    transpose: (op, c) => [c.reverse(op.axes)],
    batch: (op, [x]) => x!.reverse(shift(op.axes)),
  },
};
