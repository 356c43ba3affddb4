/** Code that moves elements from one place to another. */
import type { Code, Local } from "../runtime/assembler.js";
import { bytesOf, type DType } from "../tensor/dtype.js";

export const loadName = (dtype: DType) =>
  dtype === "f32" ? "f32.load" : dtype === "f64" ? "f64.load" : "i32.load";
export const storeName = (dtype: DType) =>
  dtype === "f32" ? "f32.store" : dtype === "f64" ? "f64.store" : "i32.store";
export const addName = (dtype: DType) =>
  dtype === "f32" ? "f32.add" : dtype === "f64" ? "f64.add" : "i32.add";

/** Pushes start + Σ index·stride. */
export function address(code: Code, start: Local, ...terms: readonly (readonly [Local, number])[]): void {
  code.get(start);
  for (const [index, stride] of terms) {
    code.get(index);
    code.i32(stride);
    code.emit("i32.mul", "i32.add");
  }
}

/**
 * for `count` elements (a local): target[i] = source[i], or += when `add`; `source` undefined writes zeros.
 * The three locals are consumed: they end behind the last element.
 */
export function run(
  code: Code,
  dtype: DType,
  target: Local,
  source: Local | undefined,
  count: Local,
  add: boolean,
): void {
  const bytes = bytesOf(dtype);
  const lanes = 16 / bytes;
  const wide = dtype === "f64" ? "f64x2.add" : dtype === "f32" ? "f32x4.add" : "i32x4.add";
  const pass = (step: number, one: () => void) => {
    code.block((exit) => {
      code.loop((again) => {
        code.get(count);
        code.i32(step);
        code.emit("i32.lt_s");
        code.branchIf(exit);
        one();
        for (const pointer of source === undefined ? [target] : [target, source]) {
          code.get(pointer);
          code.i32(step * bytes);
          code.emit("i32.add");
          code.set(pointer);
        }
        code.get(count);
        code.i32(step);
        code.emit("i32.sub");
        code.set(count);
        code.branch(again);
      });
    });
  };
  pass(lanes, () => {
    code.get(target);
    if (source === undefined) code.i32x4(0);
    else {
      code.get(source);
      code.memory("v128.load");
      if (add) {
        code.get(target);
        code.memory("v128.load");
        code.emit(wide);
      }
    }
    code.memory("v128.store");
  });
  pass(1, () => {
    code.get(target);
    if (source === undefined) {
      if (dtype === "f64") code.f64(0);
      else if (dtype === "f32") code.f32(0);
      else code.i32(0);
    } else {
      code.get(source);
      code.memory(loadName(dtype));
      if (add) {
        code.get(target);
        code.memory(loadName(dtype));
        code.emit(addName(dtype));
      }
    }
    code.memory(storeName(dtype));
  });
}

/** The kernel that makes patches for a convolution, or folds them back into its input. */
/**
 * `count` elements, known now: target = source, or += when `add`. `mayOverrun`: a vector may read and write what lies
 * behind the last element, since it is written again later.
 */
export function straight(
  code: Code,
  dtype: DType,
  target: Local,
  targetOffset: number,
  source: Local,
  sourceOffset: number,
  count: number,
  add: boolean,
  mayOverrun = false,
): void {
  const bytes = bytesOf(dtype);
  const lanes = 16 / bytes;
  const wide = dtype === "f64" ? "f64x2.add" : dtype === "f32" ? "f32x4.add" : "i32x4.add";
  const fits = (at: number) => at + lanes <= count || (mayOverrun && at + 1 < count);
  for (let at = 0; at < count; at += fits(at) ? lanes : 1) {
    const vector = fits(at);
    code.get(target);
    code.get(source);
    code.memory(vector ? "v128.load" : loadName(dtype), sourceOffset + at * bytes);
    if (add) {
      code.get(target);
      code.memory(vector ? "v128.load" : loadName(dtype), targetOffset + at * bytes);
      code.emit(vector ? wide : addName(dtype));
    }
    code.memory(vector ? "v128.store" : storeName(dtype), targetOffset + at * bytes);
  }
}
