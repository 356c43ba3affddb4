/** What a product does to C beside adding to it: scaling it, and having it near. */
import type { FunctionRef, ModuleBuilder } from "./assembler.js";
import { advance, advanceBy, constant, i32s, type Kind } from "./gemm-code.js";
import { touched } from "./gemm-workspace.js";

/** C = β C over m×n, without reading C when β = 0: (m, n, β, c, cStride). */
export function scaleKernel(builder: ModuleBuilder, kind: Kind): FunctionRef {
  return builder.define(["i32", "i32", kind.scalar, "i32", "i32"], [], (code, m, n, beta, c, cStride) => {
    const i = code.local("i32");
    const j = code.local("i32");
    const target = code.local("i32");
    code.get(beta!);
    constant(code, kind, 1);
    code.emit(`${kind.scalar}.eq`);
    code.if(() => code.return());
    code.for(i, { constant: 0 }, m!, 1, () => {
      code.get(beta!);
      constant(code, kind, 0);
      code.emit(`${kind.scalar}.eq`);
      code.if(
        () => {
          code.get(c!);
          code.i32(0);
          code.get(n!);
          code.i32(kind.shift);
          code.emit("i32.shl");
          code.fill();
        },
        () => {
          code.get(c!);
          code.set(target);
          code.for(j, { constant: 0 }, n!, 1, () => {
            code.get(target);
            code.get(target);
            code.memory(`${kind.scalar}.load`);
            code.get(beta!);
            code.emit(`${kind.scalar}.mul`);
            code.memory(`${kind.scalar}.store`);
            advance(code, target, kind.size);
          });
        },
      );
      advanceBy(code, c!, cStride!);
    });
  });
}

/**
 * Reads a line of C after the other, in order, so that they are near when the micro-kernel asks for them: it takes a
 * few of a row at a time, which no prefetcher follows. (rows, bytes, c, cStride)
 */
export function touchKernel(builder: ModuleBuilder, workspace: number): FunctionRef {
  return builder.define(i32s(4), [], (code, rows, bytes, c, cStride) => {
    const [row, offset, sum] = [code.local("i32"), code.local("i32"), code.local("i32")];
    code.for(row, { constant: 0 }, rows!, 1, () => {
      code.for(offset, { constant: 0 }, bytes!, 64, () => {
        code.get(sum);
        code.get(c!);
        code.get(offset);
        code.emit("i32.add");
        code.memory("i32.load");
        code.emit("i32.add");
        code.set(sum);
      });
      advanceBy(code, c!, cStride!);
    });
    // The sum is written down so that nobody leaves the loads out.
    code.i32(workspace);
    code.get(sum);
    code.memory("i32.store", touched);
  });
}
