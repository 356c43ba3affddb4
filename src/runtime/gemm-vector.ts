/**
 * Products of a row with a matrix, which are bound by reading the matrix: both kernels read it in the order of its rows.
 */
import type { FunctionRef, Local, ModuleBuilder } from "./assembler.js";
import { accumulate, advance, advanceBy, define, type Kind, multipleOf } from "./gemm-code.js";

/**
 * c += α a B for whole vectors of c: (n, k, α, a, aStride, b, bStride, c), n a multiple of two vectors, strides in bytes.
 * Six rows of B go at a time, so that c is passed over k/6 times.
 */
export function defineRowTimesMatrix(builder: ModuleBuilder, kind: Kind, fma: boolean): FunctionRef {
  const group = (rows: number) =>
    builder.define(
      ["i32", kind.scalar, "i32", "i32", "i32", "i32", "i32"],
      [],
      (code, n, alpha, a, aStride, b, bStride, c) => {
        const factors = Array.from({ length: rows }, () => code.local("v128"));
        const pointers = Array.from({ length: rows }, () => code.local("i32"));
        const values = Array.from({ length: rows }, () => code.local("v128"));
        const sum = code.local("v128");
        pointers.forEach((pointer, row) => {
          code.get(alpha!);
          code.get(a!);
          code.memory(`${kind.scalar}.load`);
          code.emit(`${kind.scalar}.mul`, `${kind.shape}.splat`);
          code.set(factors[row]!);
          advanceBy(code, a!, aStride!);
          code.get(b!);
          code.set(pointer);
          advanceBy(code, b!, bStride!);
        });
        code.block((exit) => {
          code.loop((again) => {
            for (let vector = 0; vector < 2; vector++) {
              code.get(c!);
              code.memory("v128.load", 16 * vector);
              code.set(sum);
              pointers.forEach((pointer, row) => {
                code.get(pointer);
                code.memory("v128.load", 16 * vector);
                code.set(values[row]!);
              });
              for (let row = 0; row < rows; row++)
                accumulate(code, kind, fma, sum, factors[row]!, values[row]!);
              code.get(c!);
              code.get(sum);
              code.memory("v128.store", 16 * vector);
              // Never taken; see gemm-kernel.ts.
              if (vector === 0) {
                code.get(n!);
                code.i32(0);
                code.emit("i32.le_s");
                code.branchIf(exit);
              }
            }
            for (const pointer of pointers) advance(code, pointer, 32);
            advance(code, c!, 32);
            advance(code, n!, -2 * kind.lanes);
            code.get(n!);
            code.i32(0);
            code.emit("i32.gt_s");
            code.branchIf(again);
          });
        });
      },
    );
  const groups = [6, 1].map((rows) => ({ rows, run: group(rows) }));
  return builder.define(
    ["i32", "i32", kind.scalar, "i32", "i32", "i32", "i32", "i32"],
    [],
    (code, n, k, alpha, a, aStride, b, bStride, c) => {
      const skip = (target: Local, stride: Local, rows: number) => {
        code.get(target);
        code.get(stride);
        code.i32(rows);
        code.emit("i32.mul", "i32.add");
        code.set(target);
      };
      for (const { rows, run } of groups)
        code.block((exit) => {
          code.loop((again) => {
            code.get(k!);
            code.i32(rows);
            code.emit("i32.lt_s");
            code.branchIf(exit);
            for (const argument of [n!, alpha!, a!, aStride!, b!, bStride!, c!]) code.get(argument);
            code.call(run);
            skip(a!, aStride!, rows);
            skip(b!, bStride!, rows);
            advance(code, k!, -rows);
            code.branch(again);
          });
        });
    },
  );
}

/**
 * c = α a Bᵀ + β c: (n, k, α, a, b, bStride, β, c) with a contiguous; every element of c is an inner product with a row
 * of B, of which four go at a time. β = 0 does not read c.
 */
export function defineRowTimesTransposed(builder: ModuleBuilder, kind: Kind, fma: boolean): FunctionRef {
  const { scalar, size, lanes } = kind;
  const group = (rows: number) =>
    builder.define(
      ["i32", scalar, "i32", "i32", "i32", scalar, "i32"],
      [],
      (code, k, alpha, a, b, bStride, beta, c) => {
        const pointers = Array.from({ length: rows }, () => code.local("i32"));
        const sums = Array.from({ length: 2 * rows }, () => code.local("v128"));
        const totals = Array.from({ length: rows }, () => code.local(scalar));
        const values = Array.from({ length: rows }, () => code.local("v128"));
        const part = code.local("v128");
        const factor = code.local(scalar);
        pointers.forEach((pointer) => {
          code.get(b!);
          code.set(pointer);
          advanceBy(code, b!, bStride!);
        });
        const whole = multipleOf(code, k!, 2 * lanes);
        const done = code.local("i32");
        code.block((exit) => {
          code.for(done, { constant: 0 }, whole, 2 * lanes, () => {
            for (let half = 0; half < 2; half++) {
              code.get(a!);
              code.memory("v128.load", 16 * half);
              code.set(part);
              pointers.forEach((pointer, row) => {
                code.get(pointer);
                code.memory("v128.load", 16 * half);
                code.set(values[row]!);
              });
              for (let row = 0; row < rows; row++)
                accumulate(code, kind, fma, sums[2 * row + half]!, part, values[row]!);
              if (half === 0) {
                code.get(done);
                code.i32(0);
                code.emit("i32.lt_s");
                code.branchIf(exit);
              }
            }
            advance(code, a!, 32);
            for (const pointer of pointers) advance(code, pointer, 32);
          });
        });
        totals.forEach((total, row) => {
          code.get(sums[2 * row]!);
          code.get(sums[2 * row + 1]!);
          code.emit(`${kind.shape}.add`);
          code.set(part);
          for (let lane = 0; lane < lanes; lane++) {
            code.get(part);
            code.lane(`${kind.shape}.extract_lane`, lane);
            if (lane > 0) code.emit(`${scalar}.add`);
          }
          code.set(total);
        });
        code.get(whole);
        code.set(done);
        code.for(done, "current", k!, 1, () => {
          code.get(a!);
          code.memory(`${scalar}.load`);
          code.set(factor);
          totals.forEach((total, row) => {
            code.get(total);
            code.get(factor);
            code.get(pointers[row]!);
            code.memory(`${scalar}.load`);
            code.emit(`${scalar}.mul`, `${scalar}.add`);
            code.set(total);
            advance(code, pointers[row]!, size);
          });
          advance(code, a!, size);
        });
        totals.forEach((total, row) => {
          code.get(total);
          code.get(alpha!);
          code.emit(`${scalar}.mul`);
          code.set(total);
          code.get(beta!);
          if (size === 4) code.f32(0);
          else code.f64(0);
          code.emit(`${scalar}.ne`);
          code.if(() => {
            code.get(total);
            code.get(beta!);
            code.get(c!);
            code.memory(`${scalar}.load`, row * size);
            code.emit(`${scalar}.mul`, `${scalar}.add`);
            code.set(total);
          });
          code.get(c!);
          code.get(total);
          code.memory(`${scalar}.store`, row * size);
        });
      },
    );
  const groups = [4, 1].map((rows) => ({ rows, run: group(rows) }));
  return builder.define(
    ["i32", "i32", scalar, "i32", "i32", "i32", scalar, "i32"],
    [],
    (code, n, k, alpha, a, b, bStride, beta, c) => {
      const left = define(code, "i32", () => code.get(n!));
      for (const { rows, run } of groups)
        code.block((exit) => {
          code.loop((again) => {
            code.get(left);
            code.i32(rows);
            code.emit("i32.lt_s");
            code.branchIf(exit);
            for (const argument of [k!, alpha!, a!, b!, bStride!, beta!, c!]) code.get(argument);
            code.call(run);
            code.get(b!);
            code.get(bStride!);
            code.i32(rows);
            code.emit("i32.mul", "i32.add");
            code.set(b!);
            advance(code, c!, rows * size);
            advance(code, left, -rows);
            code.branch(again);
          });
        });
    },
  );
}
