/**
 * Small WebAssembly kernels that factorizations share, whichever implementation does the bulk of the work.
 */
import type { FunctionRef, ModuleBuilder } from "./assembler.js";
import { advance, advanceBy, define, type Kind } from "./gemm-portable.js";

/** `<prefix>zeroupper(n, a, lda)`: the strict upper triangle of A becomes 0. */
export function defineZeroUpper(builder: ModuleBuilder, kind: Kind): FunctionRef {
  return builder.define(
    ["i32", "i32", "i32"],
    [],
    (code, n, a, lda) => {
      const stride = define(code, "i32", () => {
        code.get(lda!);
        code.i32(kind.shift);
        code.emit("i32.shl");
      });
      const row = code.local("i32");
      code.for(row, { constant: 1 }, n!, 1, () => {
        code.get(a!);
        code.get(row);
        code.i32(kind.shift);
        code.emit("i32.shl", "i32.add");
        code.i32(0);
        code.get(n!);
        code.get(row);
        code.emit("i32.sub");
        code.i32(kind.shift);
        code.emit("i32.shl");
        code.fill();
        advanceBy(code, a!, stride);
      });
    },
    `${kind.prefix}zeroupper`,
  );
}

/** `<prefix>mirror(n, a, lda)`: the lower triangle of A is copied to the upper one, in tiles that stay in cache. */
export function defineMirror(builder: ModuleBuilder, kind: Kind): FunctionRef {
  const tile = 32;
  return builder.define(
    ["i32", "i32", "i32"],
    [],
    (code, n, a, lda) => {
      const stride = define(code, "i32", () => {
        code.get(lda!);
        code.i32(kind.shift);
        code.emit("i32.shl");
      });
      const [top, left, row, column, rowEnd, columnEnd, from, to] = Array.from({ length: 8 }, () =>
        code.local("i32"),
      );
      /** target = min(n, start + tile) */
      const end = (target: typeof stride, start: typeof stride) => {
        code.get(start);
        code.i32(tile);
        code.emit("i32.add");
        code.tee(target);
        code.get(n!);
        code.get(target);
        code.get(n!);
        code.emit("i32.lt_s", "select");
        code.set(target);
      };
      code.for(top!, { constant: 0 }, n!, tile, () => {
        end(rowEnd!, top!);
        code.for(left!, { constant: 0 }, rowEnd!, tile, () => {
          code.for(row!, top!, rowEnd!, 1, () => {
            // The tile's columns end before the diagonal.
            end(columnEnd!, left!);
            code.get(columnEnd!);
            code.get(row!);
            code.get(columnEnd!);
            code.get(row!);
            code.emit("i32.lt_s", "select");
            code.set(columnEnd!);
            code.get(a!);
            code.get(row!);
            code.get(stride);
            code.emit("i32.mul", "i32.add");
            code.get(left!);
            code.i32(kind.shift);
            code.emit("i32.shl", "i32.add");
            code.set(from!);
            code.get(a!);
            code.get(left!);
            code.get(stride);
            code.emit("i32.mul", "i32.add");
            code.get(row!);
            code.i32(kind.shift);
            code.emit("i32.shl", "i32.add");
            code.set(to!);
            code.for(column!, left!, columnEnd!, 1, () => {
              code.get(to!);
              code.get(from!);
              code.memory(`${kind.scalar}.load`);
              code.memory(`${kind.scalar}.store`);
              advance(code, from!, kind.size);
              advanceBy(code, to!, stride);
            });
          });
        });
      });
    },
    `${kind.prefix}mirror`,
  );
}
