/** Element types. `bool` and `i32` are stored in 4 bytes (0 or 1 for bool). */
export type DType = "f32" | "f64" | "i32" | "bool";

export type Data = Float32Array | Float64Array | Int32Array;

/** Bytes of one element. */
export const bytesOf = (dtype: DType): number => (dtype === "f64" ? 8 : 4);

export const isFloat = (dtype: DType): dtype is "f32" | "f64" => dtype === "f32" || dtype === "f64";

/** A zeroed array of `size` elements. */
export function allocate(dtype: DType, size: number): Data {
  if (dtype === "f32") return new Float32Array(size);
  if (dtype === "f64") return new Float64Array(size);
  return new Int32Array(size);
}
