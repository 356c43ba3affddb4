/** Sums, maxima and running sums. A maximum's derivative is shared equally by all elements that attain it. */
import type { Op } from "../op.js";
import { stridesOf } from "../shape.js";
import { Tensor } from "../tensor.js";
import { indexOf, positionOf } from "./layout.js";
import { generate, type Rules } from "./rules.js";

type Kind<K extends Op["kind"]> = Extract<Op, { kind: K }>;

const shift = (axes: readonly number[]) => axes.map((axis) => axis + 1);
/** Puts the reduced axes back with extent 1. */
const kept = (reduced: Tensor, x: Tensor, axes: readonly number[]) =>
  reduced.reshape(x.shape.map((n, axis) => (axes.includes(axis) ? 1 : n)));

/** Calls `visit(target, value, position)` for each element: target is the index in the reduced array. */
function overReduced(
  shape: readonly number[],
  axes: readonly number[],
  visit: (target: number, source: number, position: number[]) => void,
  size: number,
): void {
  const rest = shape.filter((_, axis) => !axes.includes(axis));
  const strides = stridesOf(rest);
  for (let i = 0; i < size; i++) {
    const position = positionOf(i, shape);
    visit(
      indexOf(
        position.filter((_, axis) => !axes.includes(axis)),
        strides,
      ),
      i,
      position,
    );
  }
}

export const reduceSum: Rules<Kind<"reduceSum">> = {
  evaluate(op, [x], output) {
    const sums = new Float64Array(output.shape.reduce((a, b) => a * b, 1));
    overReduced(
      x!.shape,
      op.axes,
      (target, source) => {
        sums[target]! += x!.data[source]!;
      },
      x!.data.length,
    );
    return generate(output, (i) => sums[i]!);
  },
  jvp: (op, _inputs, [t]) => t?.sum(op.axes),
  transpose: (op, c, [x]) => [kept(c, x!, op.axes).expand(x!.shape)],
  batch: (op, [x]) => x!.sum(shift(op.axes)),
};

export const reduceMax: Rules<Kind<"reduceMax">> = {
  evaluate(op, [x], output) {
    const best = new Float64Array(output.shape.reduce((a, b) => a * b, 1)).fill(-Infinity);
    overReduced(
      x!.shape,
      op.axes,
      (target, source) => {
        best[target] = Math.max(best[target]!, x!.data[source]!);
      },
      x!.data.length,
    );
    return generate(output, (i) => best[i]!);
  },
  jvp(op, inputs, [t], y) {
    if (!t) return undefined;
    const x = inputs[0]!;
    const attained = x.eq(kept(y, x, op.axes));
    const count = attained.cast(x.dtype).sum(op.axes);
    return attained.select(t, 0).sum(op.axes).div(count);
  },
  batch: (op, [x]) => x!.maximum(shift(op.axes)),
};

export const argMax: Rules<Kind<"argMax">> = {
  evaluate(op, [x], output) {
    const best = new Float64Array(output.shape.reduce((a, b) => a * b, 1)).fill(Number.NaN);
    const at = new Int32Array(best.length);
    overReduced(
      x!.shape,
      [op.axis],
      (target, source, position) => {
        const value = x!.data[source]!;
        if (position[op.axis] === 0 || value > best[target]!) {
          best[target] = value;
          at[target] = position[op.axis]!;
        }
      },
      x!.data.length,
    );
    return generate(output, (i) => at[i]!);
  },
  jvp: () => undefined,
  batch: (op, [x]) => x!.argMax(op.axis + 1),
};

export const cumsum: Rules<Kind<"cumsum">> = {
  evaluate(op, [x], output) {
    const stride = stridesOf(output.shape)[op.axis]!;
    const sums = Float64Array.from(x!.data);
    for (let i = 0; i < sums.length; i++)
      if (positionOf(i, output.shape)[op.axis]! > 0) sums[i]! += sums[i - stride]!;
    return generate(output, (i) => sums[i]!);
  },
  jvp: (op, _inputs, [t]) => t?.cumsum(op.axis),
  transpose: (op, c) => [c.reverse(op.axis).cumsum(op.axis).reverse(op.axis)],
  batch: (op, [x]) => Tensor.apply({ kind: "cumsum", axis: op.axis + 1 }, x!),
};
