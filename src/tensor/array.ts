import { allocate, type Data, type DType } from "./dtype.js";
import { formatShape, type Shape, ShapeError, sizeOf } from "./shape.js";

/** A concrete value: row-major elements with their shape. */
export interface NDArray {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly data: Data;
}

/** What is known of a tensor before it has a value. */
export interface Spec {
  readonly dtype: DType;
  readonly shape: Shape;
}

export type Nested = number | readonly Nested[];

/**
 * An array from nested numbers or from flat data with a shape.
 *
 *     array([[1, 2], [3, 4]])                    // f32, shape [2, 2]
 *     array(new Float64Array(6), [2, 3])         // f64; the data is not copied
 *
 * @throws ShapeError when rows differ in length or the data does not fill the shape.
 */
export function array(values: Nested | Data, shape?: Shape, dtype?: DType): NDArray {
  if (ArrayBuffer.isView(values)) {
    const own = values instanceof Float32Array ? "f32" : values instanceof Float64Array ? "f64" : "i32";
    const given = shape ?? [values.length];
    if (sizeOf(given) !== values.length)
      throw new ShapeError(`array: ${values.length} values do not fill shape ${formatShape(given)}`);
    return { dtype: dtype ?? own, shape: given, data: values };
  }
  const found: number[] = [];
  for (let level: Nested = values; typeof level !== "number"; level = level[0] ?? 0) found.push(level.length);
  const type = dtype ?? "f32";
  const data = allocate(type, sizeOf(found));
  let next = 0;
  const fill = (level: Nested, axis: number) => {
    if (typeof level === "number") {
      if (axis !== found.length) throw new ShapeError("array: nested lists differ in depth");
      data[next++] = level;
      return;
    }
    if (level.length !== found[axis])
      throw new ShapeError(
        `array: a list of ${level.length} where others on axis ${axis} have ${found[axis]}`,
      );
    for (const item of level) fill(item, axis + 1);
  };
  fill(values, 0);
  const result = { dtype: type, shape: shape ?? found, data };
  if (sizeOf(result.shape) !== data.length)
    throw new ShapeError(`array: ${data.length} values do not fill shape ${formatShape(result.shape)}`);
  return result;
}
