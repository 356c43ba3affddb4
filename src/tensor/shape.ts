/** Static shape of a tensor: its extent along each axis; `[]` is a scalar. */
export type Shape = readonly number[];

/**
 * A mistake in shapes, dtypes or arguments of a tensor operation; the message names them and the user's line.
 *
 *     zeros([2]).add(zeros([3]));   // ShapeError: add: shapes [2] and [3] do not broadcast (at …/mine.ts:4:10)
 */
export class ShapeError extends Error {
  override readonly name = "ShapeError";
  constructor(message: string) {
    super(message + userLine());
  }
}

export const sizeOf = (shape: Shape): number => shape.reduce((product, extent) => product * extent, 1);

export const formatShape = (shape: Shape): string => `[${shape.join(", ")}]`;

export const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((extent, axis) => extent === b[axis]);

/** Row-major strides in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}

/** NumPy broadcasting: aligns shapes at the right, extents of 1 stretch. Throws ShapeError naming `operation`. */
export function broadcastShapes(operation: string, ...shapes: Shape[]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  const result = new Array<number>(rank).fill(1);
  for (const shape of shapes)
    shape.forEach((extent, index) => {
      const axis = rank - shape.length + index;
      if (extent === 1 || extent === result[axis]) return;
      if (result[axis] !== 1)
        throw new ShapeError(
          `${operation}: shapes ${shapes.map(formatShape).join(" and ")} do not broadcast`,
        );
      result[axis] = extent;
    });
  return result;
}

/** Resolves negative axes, rejects ones out of range or repeated; the result is sorted. */
export function normalizeAxes(
  operation: string,
  axes: number | readonly number[] | undefined,
  rank: number,
): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, axis) => axis);
  const list = (typeof axes === "number" ? [axes] : [...axes]).map((axis) => (axis < 0 ? axis + rank : axis));
  for (const axis of list)
    if (!Number.isInteger(axis) || axis < 0 || axis >= rank)
      throw new ShapeError(`${operation}: axis ${axis} does not exist in a tensor of rank ${rank}`);
  if (new Set(list).size !== list.length)
    throw new ShapeError(`${operation}: axis given twice in [${list.join(", ")}]`);
  return list.sort((a, b) => a - b);
}

const here = new URL("..", import.meta.url).pathname;

/** " (at file:line:column)" of the innermost caller outside this package. */
function userLine(): string {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 100;
  const frames = new Error().stack?.split("\n").slice(1) ?? [];
  Error.stackTraceLimit = limit;
  for (const frame of frames) {
    if (frame.includes(here) || frame.includes("node:internal")) continue;
    const place = frame.match(/\(?((?:file:\/\/|\/|\w:\\|https?:)[^()]+:\d+:\d+)\)?$/)?.[1];
    if (place) return ` (at ${place})`;
  }
  return "";
}
