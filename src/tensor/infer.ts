import type { Spec } from "./array.js";
import { isFloat } from "./dtype.js";
import { isBinary, isCompare, isUnary, type Op, type Window } from "./op.js";
import { formatShape, type Shape, ShapeError, sameShape, sizeOf } from "./shape.js";

/** Positions of the window along one axis. */
export function windowPositions(extent: number, window: Window, axis: 0 | 1): number {
  const covered = (window.kernel[axis] - 1) * window.dilation[axis] + 1;
  const padded = extent + window.padding[axis][0] + window.padding[axis][1];
  return Math.floor((padded - covered) / window.stride[axis]) + 1;
}

const without = (shape: Shape, axes: readonly number[]) => shape.filter((_, axis) => !axes.includes(axis));

/**
 * Shape and dtype of an operation's result.
 * @throws ShapeError when the inputs do not fit the operation.
 */
export function infer(op: Op, inputs: readonly Spec[]): Spec {
  const [a, b] = inputs as [Spec, Spec];
  const fail = (why: string): never => {
    throw new ShapeError(`${op.kind}: ${why}`);
  };
  const needFloat = (spec: Spec) => {
    if (!isFloat(spec.dtype)) fail(`needs f32 or f64, not ${spec.dtype}; use cast("f32")`);
  };
  const sameDtype = (x: Spec, y: Spec) => {
    if (x.dtype !== y.dtype) fail(`dtypes ${x.dtype} and ${y.dtype} differ; use cast`);
  };
  const same = (x: Spec, y: Spec) => {
    sameDtype(x, y);
    if (!sameShape(x.shape, y.shape))
      fail(`shapes ${formatShape(x.shape)} and ${formatShape(y.shape)} differ`);
  };
  const needBool = (spec: Spec) => {
    if (spec.dtype !== "bool") fail(`needs bool, not ${spec.dtype}`);
  };

  if (isUnary(op)) {
    if (op.kind === "not") needBool(a);
    else if (!["neg", "abs", "sign"].includes(op.kind)) needFloat(a);
    return a;
  }
  if (isBinary(op)) {
    same(a, b);
    if (op.kind === "and" || op.kind === "or") needBool(a);
    else if (a.dtype === "bool") fail("is not defined on bool; use cast");
    else if (op.kind === "div" || op.kind === "pow") needFloat(a);
    return a;
  }
  if (isCompare(op)) {
    same(a, b);
    return { dtype: "bool", shape: a.shape };
  }
  switch (op.kind) {
    case "input":
    case "constant":
    case "fill":
    case "iota":
    case "random":
      return fail("is a source: its shape is given, not inferred");
    case "select": {
      const [condition, yes, no] = inputs as [Spec, Spec, Spec];
      needBool(condition);
      same(yes, no);
      if (!sameShape(condition.shape, yes.shape))
        fail(
          `condition ${formatShape(condition.shape)} and values ${formatShape(yes.shape)} differ in shape`,
        );
      return yes;
    }
    case "cast":
      return { dtype: op.dtype, shape: a.shape };
    case "reshape":
      if (sizeOf(op.shape) !== sizeOf(a.shape))
        fail(
          `${formatShape(a.shape)} has ${sizeOf(a.shape)} elements, ${formatShape(op.shape)} ${sizeOf(op.shape)}`,
        );
      return { dtype: a.dtype, shape: op.shape };
    case "permute":
      if (
        !sameShape(
          [...op.axes].sort((x, y) => x - y),
          a.shape.map((_, axis) => axis),
        )
      )
        fail(`axes [${op.axes.join(", ")}] do not permute the axes of ${formatShape(a.shape)}`);
      return { dtype: a.dtype, shape: op.axes.map((axis) => a.shape[axis]!) };
    case "expand":
      if (op.shape.length !== a.shape.length || a.shape.some((n, axis) => n !== 1 && n !== op.shape[axis]))
        fail(`${formatShape(a.shape)} does not stretch to ${formatShape(op.shape)}`);
      return { dtype: a.dtype, shape: op.shape };
    case "slice":
      if ([op.start, op.limit, op.step].some((list) => list.length !== a.shape.length))
        fail(`start, limit and step need one entry for each axis of ${formatShape(a.shape)}`);
      a.shape.forEach((extent, axis) => {
        const [start, limit, step] = [op.start[axis]!, op.limit[axis]!, op.step[axis]!];
        if (!(start >= 0 && start <= limit && limit <= extent && step >= 1))
          fail(`${start}:${limit}:${step} leaves axis ${axis} of ${formatShape(a.shape)}`);
      });
      return {
        dtype: a.dtype,
        shape: op.start.map((start, axis) => Math.ceil((op.limit[axis]! - start) / op.step[axis]!)),
      };
    case "pad":
      if ([op.low, op.high, op.interior].some((list) => list.length !== a.shape.length))
        fail(`low, high and interior need one entry for each axis of ${formatShape(a.shape)}`);
      if ([...op.low, ...op.high, ...op.interior].some((width) => !(width >= 0)))
        fail(`widths ${formatShape(op.low)}, ${formatShape(op.high)} must not be negative; use slice to cut`);
      return {
        dtype: a.dtype,
        shape: a.shape.map(
          (n, axis) => op.low[axis]! + op.high[axis]! + n + Math.max(0, n - 1) * op.interior[axis]!,
        ),
      };
    case "concat": {
      const shape = [...a.shape];
      if (op.axis < 0 || op.axis >= shape.length)
        fail(`axis ${op.axis} does not exist in ${formatShape(a.shape)}`);
      for (const other of inputs.slice(1)) {
        sameDtype(a, other);
        if (!sameShape(without(other.shape, [op.axis]), without(a.shape, [op.axis])))
          fail(`${formatShape(a.shape)} and ${formatShape(other.shape)} differ outside axis ${op.axis}`);
        shape[op.axis]! += other.shape[op.axis]!;
      }
      return { dtype: a.dtype, shape };
    }
    case "reverse":
    case "cumsum":
      return a;
    case "softmax":
      needFloat(a);
      return a;
    case "reduceSum":
    case "reduceMax":
      if (a.dtype === "bool") fail("is not defined on bool; use cast");
      return { dtype: a.dtype, shape: without(a.shape, op.axes) };
    case "argMax":
      if (a.shape[op.axis] === 0) fail(`axis ${op.axis} of ${formatShape(a.shape)} has no largest element`);
      return { dtype: "i32", shape: without(a.shape, [op.axis]) };
    case "dot": {
      needFloat(a);
      sameDtype(a, b);
      const rank = a.shape.length;
      if (rank < 2 || b.shape.length !== rank || !sameShape(a.shape.slice(0, -2), b.shape.slice(0, -2)))
        fail(`batch axes of ${formatShape(a.shape)} and ${formatShape(b.shape)} differ`);
      if (a.shape[rank - 1] !== b.shape[rank - 2])
        fail(
          `inner extents differ: ${formatShape(a.shape)} · ${formatShape(b.shape)} (${a.shape[rank - 1]} ≠ ${b.shape[rank - 2]})`,
        );
      return { dtype: a.dtype, shape: [...a.shape.slice(0, -1), b.shape[rank - 1]!] };
    }
    case "patches": {
      if (a.shape.length !== 4)
        fail(`needs [examples, height, width, channels], not ${formatShape(a.shape)}`);
      const [n, h, w, c] = a.shape as [number, number, number, number];
      const [oh, ow] = [windowPositions(h, op.window, 0), windowPositions(w, op.window, 1)];
      if (oh < 1 || ow < 1)
        fail(`a window of ${op.window.kernel.join("×")} does not fit into ${formatShape(a.shape)}`);
      return { dtype: a.dtype, shape: [n, oh, ow, op.window.kernel[0] * op.window.kernel[1] * c] };
    }
    case "fold": {
      const channels = a.shape[3]! / (op.window.kernel[0] * op.window.kernel[1]);
      const positions = [windowPositions(op.height, op.window, 0), windowPositions(op.width, op.window, 1)];
      if (a.shape.length !== 4 || !Number.isInteger(channels) || !sameShape(a.shape.slice(1, 3), positions))
        fail(
          `${formatShape(a.shape)} are not patches of ${op.window.kernel.join("×")} of an image of ${op.height}×${op.width}`,
        );
      return { dtype: a.dtype, shape: [a.shape[0]!, op.height, op.width, channels] };
    }
    case "gather":
      if (b.dtype !== "i32") fail(`indices must be i32, not ${b.dtype}`);
      if (a.shape.length < 1) fail("needs a table with at least one axis");
      if (a.shape[0] === 0 && sizeOf(b.shape) > 0)
        fail(`a table ${formatShape(a.shape)} has no rows for ${sizeOf(b.shape)} indices`);
      return { dtype: a.dtype, shape: [...b.shape, ...a.shape.slice(1)] };
    case "scatterAdd":
      if (a.dtype !== "i32") fail(`indices must be i32, not ${a.dtype}`);
      if (!sameShape(a.shape, b.shape.slice(0, a.shape.length)))
        fail(`indices ${formatShape(a.shape)} do not lead updates ${formatShape(b.shape)}`);
      if (op.size === 0 && sizeOf(a.shape) > 0)
        fail(`a result of no rows has no place for ${sizeOf(a.shape)} updates`);
      return { dtype: b.dtype, shape: [op.size, ...b.shape.slice(a.shape.length)] };
    case "identity":
    case "stopGradient":
    case "mark":
      return a;
  }
  return op satisfies never;
}
