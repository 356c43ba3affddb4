/**
 * Products with a C of one row, or of one contiguous column, whose transpose is such a row: nothing is reused, so that
 * nothing but the row itself is worth copying.
 */
import type { Code, FunctionRef, Local } from "./assembler.js";
import { constant, define, type Kind } from "./gemm-code.js";

/** The arguments of gemm, with strides in bytes; what is emitted changes them. */
interface Arguments {
  readonly transA: Local;
  readonly transB: Local;
  readonly m: Local;
  readonly n: Local;
  readonly k: Local;
  readonly alpha: Local;
  readonly a: Local;
  readonly aStride: Local;
  readonly b: Local;
  readonly bStride: Local;
  readonly beta: Local;
  readonly c: Local;
  readonly cStride: Local;
  readonly ldc: Local;
}

/**
 * Emits the product, and a return, for the arguments that make one row; others go on, as do the few columns of C behind
 * whole vectors. `room` has place for a row of op(A) whose elements lie apart.
 */
export function emitRowProduct(
  code: Code,
  kind: Kind,
  given: Arguments,
  kernels: Readonly<Record<"copy" | "scale" | "rowTimesMatrix" | "rowTimesTransposed", FunctionRef>>,
  room: { readonly address: number; readonly elements: number },
): void {
  const { transA, transB, m, n, k, alpha, a, aStride, b, bStride, beta, c, cStride, ldc } = given;
  const { copy, scale, rowTimesMatrix, rowTimesTransposed } = kernels;
  const { size, shift } = kind;
  const nr = 2 * kind.lanes;
  // A column of C that lies contiguous is the row Cᵀ = op(B)ᵀ op(A)ᵀ.
  code.get(n);
  code.i32(1);
  code.emit("i32.eq");
  code.get(ldc);
  code.i32(1);
  code.emit("i32.eq", "i32.and");
  code.if(() => {
    const exchange = (first: Local, second: Local, negate = false) => {
      code.get(first);
      if (negate) code.emit("i32.eqz");
      code.get(second);
      if (negate) code.emit("i32.eqz");
      code.set(first);
      code.set(second);
    };
    exchange(transA, transB, true);
    exchange(m, n);
    exchange(a, b);
    exchange(aStride, bStride);
  });
  code.get(m);
  code.i32(1);
  code.emit("i32.eq");
  code.if(() => {
    const step = define(code, "i32", () => {
      code.get(aStride);
      code.i32(size);
      code.get(transA);
      code.emit("select");
    });
    code.get(transB);
    code.if(
      () => {
        // Inner products, over as much of k as the block of A has room for.
        const limit = room.elements;
        const [left, depths, row] = [k, code.local("i32"), code.local("i32")];
        const currentBeta = define(code, kind.scalar, () => code.get(beta));
        code.loop((again) => {
          code.get(left);
          code.i32(limit);
          code.get(left);
          code.i32(limit);
          code.emit("i32.lt_s", "select");
          code.set(depths);
          code.get(a);
          code.set(row);
          code.get(step);
          code.i32(size);
          code.emit("i32.ne");
          code.if(() => {
            code.i32(room.address);
            code.set(row);
            code.i32(1);
            for (const argument of [depths, a, step, step, row]) code.get(argument);
            code.i32(0);
            code.i32(size);
            code.call(copy);
          });
          for (const argument of [n, depths, alpha, row, b, bStride, currentBeta, c]) code.get(argument);
          code.call(rowTimesTransposed);
          constant(code, kind, 1);
          code.set(currentBeta);
          code.get(a);
          code.get(depths);
          code.get(step);
          code.emit("i32.mul", "i32.add");
          code.set(a);
          code.get(b);
          code.get(depths);
          code.i32(shift);
          code.emit("i32.shl", "i32.add");
          code.set(b);
          code.get(left);
          code.get(depths);
          code.emit("i32.sub");
          code.tee(left);
          code.branchIf(again);
        });
        code.return();
      },
      () => {
        // Whole vectors by rows of B; the few columns behind them go the general way.
        code.get(n);
        code.i32(8 * nr);
        code.emit("i32.ge_s");
        code.if(() => {
          const whole = define(code, "i32", () => {
            code.get(n);
            code.i32(-nr);
            code.emit("i32.and");
          });
          for (const argument of [m, whole, beta, c, cStride]) code.get(argument);
          code.call(scale);
          for (const argument of [whole, k, alpha, a, step, b, bStride, c]) code.get(argument);
          code.call(rowTimesMatrix);
          code.get(n);
          code.get(whole);
          code.emit("i32.sub");
          code.tee(n);
          code.emit("i32.eqz");
          code.if(() => code.return());
          for (const target of [b, c]) {
            code.get(target);
            code.get(whole);
            code.i32(shift);
            code.emit("i32.shl", "i32.add");
            code.set(target);
          }
        });
      },
    );
  });
}
