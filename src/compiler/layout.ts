/**
 * Views as strides: element [i₀, i₁, …] of a view lives at offset + Σ iₖ·strideₖ of its base, in elements.
 * Reshaping, permuting, slicing, stretching and reversing only change these numbers; nothing is copied.
 */
import type { Op } from "../tensor/op.js";
import { type Shape, sizeOf, stridesOf } from "../tensor/shape.js";

export interface Layout {
  readonly shape: Shape;
  readonly offset: number;
  readonly strides: readonly number[];
}

export const contiguous = (shape: Shape): Layout => ({ shape, offset: 0, strides: stridesOf(shape) });

export const isViewKind = (op: Op): op is ViewOp =>
  op.kind === "reshape" ||
  op.kind === "permute" ||
  op.kind === "slice" ||
  op.kind === "expand" ||
  op.kind === "reverse";
export type ViewOp = Extract<Op, { kind: "reshape" | "permute" | "slice" | "expand" | "reverse" }>;

/** The layout after one more view operation, or undefined when a reshape cannot be expressed in strides. */
export function view(layout: Layout, op: ViewOp): Layout | undefined {
  const { shape, offset, strides } = layout;
  switch (op.kind) {
    case "permute":
      return {
        shape: op.axes.map((axis) => shape[axis]!),
        offset,
        strides: op.axes.map((axis) => strides[axis]!),
      };
    case "expand":
      return {
        shape: op.shape,
        offset,
        strides: strides.map((s, axis) => (shape[axis] === op.shape[axis] ? s : 0)),
      };
    case "slice":
      return {
        shape: op.start.map((start, axis) => Math.ceil((op.limit[axis]! - start) / op.step[axis]!)),
        offset: op.start.reduce((sum, start, axis) => sum + start * strides[axis]!, offset),
        strides: strides.map((s, axis) => s * op.step[axis]!),
      };
    case "reverse":
      return {
        shape,
        offset: op.axes.reduce((sum, axis) => sum + (shape[axis]! - 1) * strides[axis]!, offset),
        strides: strides.map((s, axis) => (op.axes.includes(axis) ? -s : s)),
      };
    case "reshape":
      return reshape(layout, op.shape);
  }
}

/** Splits and merges axes; a merge needs stride[k] = extent[k+1]·stride[k+1]. */
function reshape({ shape, offset, strides }: Layout, target: Shape): Layout | undefined {
  if (sizeOf(target) === 0) return { ...contiguous(target), offset };
  const from = shape
    .map((extent, axis) => ({ extent, stride: strides[axis]! }))
    .filter(({ extent }) => extent !== 1);
  const result: number[] = [];
  let next = 0;
  for (let axis = 0; axis < target.length; ) {
    if (target[axis] === 1) {
      result.push(0);
      axis++;
      continue;
    }
    // The shortest run of source axes whose product equals that of a run of target axes.
    let [have, want] = [from[next]!.extent, target[axis]!];
    let [lastSource, lastTarget] = [next, axis];
    while (have !== want) {
      if (have < want) have *= from[++lastSource]!.extent;
      else want *= target[++lastTarget]!;
    }
    for (let k = next; k < lastSource; k++)
      if (from[k]!.stride !== from[k + 1]!.extent * from[k + 1]!.stride) return undefined;
    let stride = from[lastSource]!.stride;
    const run: number[] = [];
    for (let k = lastTarget; k >= axis; k--) {
      run.unshift(target[k] === 1 ? 0 : stride);
      stride *= target[k]!;
    }
    result.push(...run);
    next = lastSource + 1;
    axis = lastTarget + 1;
  }
  return { shape: target, offset, strides: result };
}

/** Whether the elements lie in row-major order without gaps (strides of axes of extent 1 do not matter). */
export function isContiguous({ shape, strides }: Layout): boolean {
  const dense = stridesOf(shape);
  return sizeOf(shape) === 0 || strides.every((s, axis) => shape[axis] === 1 || s === dense[axis]);
}

/** Merges neighbouring axes that every layout (all of one shape) walks as one, and drops axes of extent 1. */
export function collapse(
  shape: Shape,
  strideSets: readonly (readonly number[])[],
): { shape: number[]; strides: number[][] } {
  const extents: number[] = [];
  const strides = strideSets.map(() => [] as number[]);
  shape.forEach((extent, axis) => {
    if (extent === 1) return;
    const merges =
      extents.length > 0 && strideSets.every((set, k) => strides[k]!.at(-1) === extent * set[axis]!);
    if (merges) {
      extents[extents.length - 1]! *= extent;
      strideSets.forEach((set, k) => {
        strides[k]![strides[k]!.length - 1] = set[axis]!;
      });
    } else {
      extents.push(extent);
      strideSets.forEach((set, k) => {
        strides[k]!.push(set[axis]!);
      });
    }
  });
  return { shape: extents, strides };
}

/** How a [..., rows, columns] layout is passed to a matrix product. */
export interface MatrixForm {
  readonly transposed: boolean;
  /** Elements between rows (or columns, when transposed). */
  readonly leading: number;
}
export function matrixForm(layout: Layout): MatrixForm | undefined {
  const rank = layout.shape.length;
  const [rows, columns] = [layout.shape[rank - 2]!, layout.shape[rank - 1]!];
  const [rowStride, columnStride] = [layout.strides[rank - 2]!, layout.strides[rank - 1]!];
  if ((columnStride === 1 || columns === 1) && (rowStride >= columns || rows === 1))
    return { transposed: false, leading: rows === 1 ? Math.max(1, columns) : rowStride };
  if ((rowStride === 1 || rows === 1) && (columnStride >= rows || columns === 1))
    return { transposed: true, leading: columns === 1 ? Math.max(1, rows) : columnStride };
  return undefined;
}
