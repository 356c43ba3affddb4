/** Moving elements: all linear, so that the derivative is the same move and the transpose moves back. */

import type { Op } from "../op.js";
import { type Shape, stridesOf } from "../shape.js";
import { Tensor } from "../tensor.js";
import { align } from "./elementwise.js";
import { generate, type Rules } from "./rules.js";

type Kind<K extends Op["kind"]> = Extract<Op, { kind: K }>;

/** Position along each axis of the element at a row-major index. */
export function positionOf(index: number, shape: Shape): number[] {
  const position = new Array<number>(shape.length);
  let rest = index;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    position[axis] = rest % shape[axis]!;
    rest = Math.floor(rest / shape[axis]!);
  }
  return position;
}
export const indexOf = (position: readonly number[], strides: readonly number[]): number =>
  position.reduce((sum, at, axis) => sum + at * strides[axis]!, 0);

const shiftAxes = (axes: readonly number[]) => axes.map((axis) => axis + 1);

export const reshape: Rules<Kind<"reshape">> = {
  evaluate: (_op, [x], output) => generate(output, (i) => x!.data[i]!),
  jvp: (op, _inputs, [t]) => t?.reshape(op.shape),
  transpose: (_op, c, [x]) => [c.reshape(x!.shape)],
  batch: (op, [x], _batched, size) => x!.reshape([size, ...op.shape]),
};

export const permute: Rules<Kind<"permute">> = {
  evaluate(op, [x], output) {
    const strides = stridesOf(x!.shape);
    const permuted = op.axes.map((axis) => strides[axis]!);
    return generate(output, (i) => x!.data[indexOf(positionOf(i, output.shape), permuted)]!);
  },
  jvp: (op, _inputs, [t]) => t?.permute(op.axes),
  transpose(op, c) {
    const inverse = new Array<number>(op.axes.length);
    op.axes.forEach((axis, index) => {
      inverse[axis] = index;
    });
    return [c.permute(inverse)];
  },
  batch: (op, [x]) => x!.permute([0, ...shiftAxes(op.axes)]),
};

export const expand: Rules<Kind<"expand">> = {
  evaluate(_op, [x], output) {
    const strides = stridesOf(x!.shape).map((s, axis) => (x!.shape[axis] === 1 ? 0 : s));
    return generate(output, (i) => x!.data[indexOf(positionOf(i, output.shape), strides)]!);
  },
  jvp: (op, _inputs, [t]) => t?.expand(op.shape),
  transpose(op, c, [x]) {
    const stretched = op.shape.flatMap((n, axis) => (x!.shape[axis] === 1 && n !== 1 ? [axis] : []));
    return [c.sum(stretched, true)];
  },
  batch: (op, [x], _batched, size) => x!.expand([size, ...op.shape]),
};

export const slice: Rules<Kind<"slice">> = {
  evaluate(op, [x], output) {
    const strides = stridesOf(x!.shape);
    return generate(
      output,
      (i) =>
        x!.data[
          indexOf(
            positionOf(i, output.shape).map((at, axis) => op.start[axis]! + at * op.step[axis]!),
            strides,
          )
        ]!,
    );
  },
  jvp: (op, _inputs, [t]) => t && Tensor.apply(op, t),
  transpose(op, c, [x]) {
    const high = x!.shape.map(
      (extent, axis) =>
        extent - op.start[axis]! - (c.shape[axis] === 0 ? 0 : (c.shape[axis]! - 1) * op.step[axis]! + 1),
    );
    return [Tensor.apply({ kind: "pad", low: op.start, high, interior: op.step.map((s) => s - 1) }, c)];
  },
  batch: (op, [x], _batched, size) =>
    Tensor.apply(
      { kind: "slice", start: [0, ...op.start], limit: [size, ...op.limit], step: [1, ...op.step] },
      x!,
    ),
};

export const pad: Rules<Kind<"pad">> = {
  evaluate(op, [x], output) {
    const strides = stridesOf(output.shape);
    const result = generate(output, () => 0);
    for (let i = 0; i < x!.data.length; i++)
      result.data[
        indexOf(
          positionOf(i, x!.shape).map((at, axis) => op.low[axis]! + at * (op.interior[axis]! + 1)),
          strides,
        )
      ] = x!.data[i]!;
    return result;
  },
  jvp: (op, _inputs, [t]) => t && Tensor.apply(op, t),
  transpose: (op, c, [x]) => [
    Tensor.apply(
      {
        kind: "slice",
        start: op.low,
        limit: x!.shape.map((n, axis) =>
          n === 0 ? op.low[axis]! : op.low[axis]! + (n - 1) * (op.interior[axis]! + 1) + 1,
        ),
        step: op.interior.map((gap) => gap + 1),
      },
      c,
    ),
  ],
  batch: (op, [x]) =>
    Tensor.apply(
      { kind: "pad", low: [0, ...op.low], high: [0, ...op.high], interior: [0, ...op.interior] },
      x!,
    ),
};

export const concat: Rules<Kind<"concat">> = {
  evaluate(op, inputs, output) {
    const starts: number[] = [];
    let next = 0;
    for (const x of inputs) {
      starts.push(next);
      next += x.shape[op.axis]!;
    }
    return generate(output, (i) => {
      const position = positionOf(i, output.shape);
      let part = starts.length - 1;
      while (starts[part]! > position[op.axis]! || inputs[part]!.shape[op.axis] === 0) part--;
      position[op.axis]! -= starts[part]!;
      return inputs[part]!.data[indexOf(position, stridesOf(inputs[part]!.shape))]!;
    });
  },
  jvp(op, inputs, tangents) {
    if (tangents.every((t) => t === undefined)) return undefined;
    return Tensor.apply(op, ...inputs.map((x, k) => tangents[k] ?? zerosLike(x)));
  },
  transpose(op, c, inputs, linear) {
    let next = 0;
    return inputs.map((x, k) => {
      const start = next;
      next += x.shape[op.axis]!;
      return linear[k] ? c.slice(op.axis, start, next) : undefined;
    });
  },
  batch: (op, inputs, batched, size) =>
    Tensor.apply({ kind: "concat", axis: op.axis + 1 }, ...align(inputs, batched, size)),
};
const zerosLike = (x: Tensor) => Tensor.source({ kind: "fill", value: 0 }, x);

export const reverse: Rules<Kind<"reverse">> = {
  evaluate(op, [x], output) {
    const strides = stridesOf(output.shape);
    return generate(
      output,
      (i) =>
        x!.data[
          indexOf(
            positionOf(i, output.shape).map((at, axis) =>
              op.axes.includes(axis) ? output.shape[axis]! - 1 - at : at,
            ),
            strides,
          )
        ]!,
    );
  },
  jvp: (op, _inputs, [t]) => t?.reverse(op.axes),
  transpose: (op, c) => [c.reverse(op.axes)],
  batch: (op, [x]) => x!.reverse(shiftAxes(op.axes)),
};
