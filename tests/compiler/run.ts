/** Compiling, running and comparing in tests. */
import { expect } from "vitest";
import { compile } from "../../src/compiler/compile.js";
import type { Runtime } from "../../src/runtime/runtime.js";
import type { NDArray } from "../../src/tensor/array.js";
import { allocate, type DType } from "../../src/tensor/dtype.js";
import type { Program } from "../../src/tensor/program.js";
import { type Shape, sizeOf } from "../../src/tensor/shape.js";
import { uniform } from "../tensor/cases.js";

/** Compiles, runs and releases; a second run, which sees what the first left in the arena, must give the same. */
export function run(runtime: Runtime, program: Program, inputs: readonly NDArray[]): NDArray[] {
  const executable = compile(runtime, program);
  inputs.forEach((value, index) => {
    executable.inputs[index]!.set(value.data);
  });
  const results = () => {
    executable.run();
    return executable.outputs.map(
      (buffer): NDArray => ({ dtype: buffer.dtype, shape: buffer.shape, data: buffer.copy() }),
    );
  };
  const first = results();
  expectSame(results(), first);
  executable.release();
  return first;
}

/** Numbers between −1 and 1, row numbers below `below` for i32, truth values. */
export function random(dtype: DType, shape: Shape, seed: number, below = 4): NDArray {
  const next = uniform(seed);
  const data = allocate(dtype, sizeOf(shape));
  for (let i = 0; i < data.length; i++)
    data[i] =
      dtype === "i32" ? Math.floor(next() * below) : dtype === "bool" ? Number(next() < 0.5) : 2 * next() - 1;
  return { dtype, shape, data };
}

/** |actual − wanted| ≤ tolerance · the largest wanted number (at least 1); NaN and infinities are themselves. */
export function expectClose(actual: readonly NDArray[], wanted: readonly NDArray[], tolerance: number) {
  expect(actual.map((a) => a.shape)).toEqual(wanted.map((w) => w.shape));
  wanted.forEach((reference, k) => {
    const found = actual[k]!.data;
    let scale = 1;
    for (const x of reference.data) if (Number.isFinite(x)) scale = Math.max(scale, Math.abs(x));
    reference.data.forEach((value, index) => {
      const own = found[index]!;
      const close = Number.isFinite(value)
        ? Math.abs(own - value) <= tolerance * scale
        : Number.isNaN(value)
          ? Number.isNaN(own)
          : own === value;
      if (!close) expect.fail(`output ${k}, element ${index}: ${own} instead of ${value}`);
    });
  });
}

/** The very same bits. */
export function expectSame(actual: readonly NDArray[], wanted: readonly NDArray[]) {
  expect(actual.map((a) => a.shape)).toEqual(wanted.map((w) => w.shape));
  wanted.forEach((reference, k) => {
    reference.data.forEach((value, index) => {
      const own = actual[k]!.data[index]!;
      if (!Object.is(own, value)) expect.fail(`output ${k}, element ${index}: ${own} instead of ${value}`);
    });
  });
}
