/**
 * Matrix products in WebAssembly SIMD, generated for one memory.
 *
 * The scheme is Goto's: blocks of B (kc×nc) and A (mc×kc) are copied into panels (gemm-pack.ts) that a micro-kernel
 * (gemm-kernel.ts) reads in order. Small products skip the copying, and so do those with one row (gemm-row.ts).
 *
 * Goto, van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008.
 */
import type { FunctionRef, Local, ModuleBuilder } from "./assembler.js";
import { gemmSignature } from "./blas.js";
import { advance, advanceBy, constant, define, type Kind } from "./gemm-code.js";
import { type Access, panelKernel, rowsOfBlock } from "./gemm-kernel.js";
import { copyKernel, type Other, packKernel } from "./gemm-pack.js";
import { scaleKernel, touchKernel } from "./gemm-result.js";
import { emitRowProduct } from "./gemm-row.js";
import { defineRowTimesMatrix, defineRowTimesTransposed } from "./gemm-vector.js";
import { blocking, blockOfA, blockOfB, definePair, second } from "./gemm-workspace.js";

/** Defines and exports `sgemm` or `dgemm`, and what belongs to it; `workspace` is the address of `packingBytes` bytes. */
export function defineGemm(builder: ModuleBuilder, kind: Kind, fma: boolean, workspace: number): FunctionRef {
  const { size, lanes, shift } = kind;
  const mr = rowsOfBlock(fma);
  const nr = 2 * lanes;
  const { mc, kc } = blocking;
  const nc = blocking.rowBytes / size;
  const scale = scaleKernel(builder, kind);
  const copy = copyKernel(builder, kind);
  const touchRows = touchKernel(builder, workspace);
  const at = <T extends Other>(offsets: T): T =>
    Object.fromEntries(
      Object.entries(offsets).map(([key, offset]) => [key, workspace + offset]),
    ) as unknown as T;
  /** Of a block alone and of a sum, each as it is stored and transposed. */
  const packs = (width: number, where: Other) => {
    const copySum = copyKernel(builder, kind, where);
    return {
      alone: [false, true].map((across) => packKernel(builder, kind, width, across, copy, fma)),
      sum: [false, true].map((across) => packKernel(builder, kind, width, across, copySum, fma, where)),
    };
  };
  const pack = { a: packs(mr, at(second.a)), b: packs(nr, at(second.b)) };
  definePair(builder, kind, workspace);
  const panels = (access: Access) =>
    Array.from({ length: nr }, (_, index) => panelKernel(builder, kind, fma, access, index + 1, workspace));
  const byRows = panels("rows");
  const byColumns = panels("columns");
  const packed = panelKernel(builder, kind, fma, "packed", nr, workspace);
  const packedTwice = panelKernel(builder, kind, fma, "packed", nr, workspace, at(second.c));
  const rowTimesMatrix = defineRowTimesMatrix(builder, kind, fma);
  const rowTimesTransposed = defineRowTimesTransposed(builder, kind, fma);
  const packedA = workspace + blockOfA;
  const packedB = workspace + blockOfB;

  return builder.define(
    gemmSignature,
    [],
    (code, transA, transB, m, n, k, alpha64, a, lda, b, ldb, beta64, c, ldc) => {
      const toScalar = (value: Local) =>
        define(code, kind.scalar, () => {
          code.get(value);
          if (size === 4) code.emit("f32.demote_f64");
        });
      const bytes = (ld: Local) =>
        define(code, "i32", () => {
          code.get(ld);
          code.i32(shift);
          code.emit("i32.shl");
        });
      code.get(m!);
      code.i32(0);
      code.emit("i32.le_s");
      code.get(n!);
      code.i32(0);
      code.emit("i32.le_s", "i32.or");
      code.if(() => code.return());
      const alpha = toScalar(alpha64!);
      const beta = toScalar(beta64!);
      const aStride = bytes(lda!);
      const bStride = bytes(ldb!);
      const cStride = bytes(ldc!);
      code.get(k!);
      code.i32(0);
      code.emit("i32.le_s");
      code.get(alpha);
      constant(code, kind, 0);
      code.emit(`${kind.scalar}.eq`, "i32.or");
      code.if(() => {
        for (const argument of [m!, n!, beta, c!, cStride]) code.get(argument);
        code.call(scale);
        code.return();
      });

      emitRowProduct(
        code,
        kind,
        {
          transA: transA!,
          transB: transB!,
          m: m!,
          n: n!,
          k: k!,
          alpha,
          a: a!,
          aStride,
          b: b!,
          bStride,
          beta,
          c: c!,
          cStride,
          ldc: ldc!,
        },
        { copy, scale, rowTimesMatrix, rowTimesTransposed },
        { address: packedA, elements: mc * kc },
      );
      const packB = define(code, "i32", () => {
        code.get(transB!);
        code.get(m!);
        code.i32(4 * mr);
        code.emit("i32.gt_s");
        code.get(k!);
        code.get(n!);
        code.emit("i32.mul");
        code.i32(64 * 64);
        code.emit("i32.gt_s", "i32.and", "i32.or");
      });
      const packA = define(code, "i32", () => {
        // Deep columns of A, a row apart, are worth copying for fewer panels of B than its rows are.
        code.get(packB);
        code.get(n!);
        code.i32(2 * nr);
        code.i32(4 * nr + 1);
        code.get(transA!);
        code.get(k!);
        code.i32(128);
        code.emit("i32.ge_s", "i32.and", "select", "i32.ge_s", "i32.and");
      });

      /** target = min(limit, total - start) */
      const block = (target: Local, total: Local, start: Local, limit: number) => {
        code.get(total);
        code.get(start);
        code.emit("i32.sub");
        code.tee(target);
        code.i32(limit);
        code.emit("i32.gt_s");
        code.if(() => {
          code.i32(limit);
          code.set(target);
        });
      };
      /** Pushes base + row·stride + column·size. */
      const element = (base: Local, row: Local, stride: Local, column: Local) => {
        code.get(base);
        code.get(row);
        code.get(stride);
        code.emit("i32.mul", "i32.add");
        code.get(column);
        code.i32(shift);
        code.emit("i32.shl", "i32.add");
      };
      const i32 = () => code.local("i32");
      const [column, depth, row, columns, depths, rows] = [i32(), i32(), i32(), i32(), i32(), i32()];
      const [panel, panelA, panelB, strideA, strideB, blockA, blockB, panelC, rest] = [
        i32(),
        i32(),
        i32(),
        i32(),
        i32(),
        i32(),
        i32(),
        i32(),
        i32(),
      ];
      const store = (offset: number, push: () => void) => {
        code.i32(workspace);
        push();
        code.memory(`${kind.scalar}.store`, offset);
      };
      /** Calls one kernel where there is no second block, another where there is. */
      const choose = ({ distance }: Other, alone: () => void, both: () => void) => {
        code.i32(workspace);
        code.memory("i32.load", distance);
        code.if(both, alone);
      };
      store(0, () => code.get(alpha));
      code.for(column, { constant: 0 }, n!, nc, () => {
        block(columns, n!, column, nc);
        store(size, () => code.get(beta));
        code.for(depth, { constant: 0 }, k!, kc, () => {
          block(depths, k!, depth, kc);
          const fromB = i32();
          code.get(transB!);
          code.if(
            () => {
              element(b!, column, bStride, depth);
              code.set(fromB);
            },
            () => {
              element(b!, depth, bStride, column);
              code.set(fromB);
            },
          );
          code.get(packB);
          code.if(
            () => {
              const call = (kernel: FunctionRef) => {
                for (const argument of [columns, depths, fromB, bStride]) code.get(argument);
                code.i32(packedB);
                code.call(kernel);
              };
              const callEither = ([straight, across]: readonly FunctionRef[]) => {
                code.get(transB!);
                code.if(
                  () => call(across!),
                  () => call(straight!),
                );
              };
              choose(
                second.b,
                () => callEither(pack.b.alone),
                () => callEither(pack.b.sum),
              );
              code.i32(packedB);
              code.set(fromB);
              code.i32(nr * size);
              code.set(strideB);
              code.get(depths);
              code.i32(nr * size);
              code.emit("i32.mul");
              code.set(blockB);
            },
            () => {
              code.get(bStride);
              code.set(strideB);
              code.i32(nr * size);
              code.set(blockB);
            },
          );
          code.for(row, { constant: 0 }, m!, mc, () => {
            block(rows, m!, row, mc);
            code.get(transA!);
            code.if(
              () => {
                element(a!, depth, aStride, row);
                code.set(panelA);
              },
              () => {
                element(a!, row, aStride, depth);
                code.set(panelA);
              },
            );
            code.get(packA);
            code.if(
              () => {
                const call = (kernel: FunctionRef) => {
                  for (const argument of [rows, depths, panelA, aStride]) code.get(argument);
                  code.i32(packedA);
                  code.call(kernel);
                };
                const callEither = ([straight, across]: readonly FunctionRef[]) => {
                  code.get(transA!);
                  code.if(
                    () => call(straight!),
                    () => call(across!),
                  );
                };
                choose(
                  second.a,
                  () => callEither(pack.a.alone),
                  () => callEither(pack.a.sum),
                );
                code.i32(packedA);
                code.set(panelA);
                code.i32(mr * size);
                code.set(strideA);
                code.get(depths);
                code.i32(mr * size);
                code.emit("i32.mul");
                code.set(blockA);
              },
              () => {
                code.get(aStride);
                code.set(strideA);
                code.i32(mr * size);
                code.get(aStride);
                code.i32(mr);
                code.emit("i32.mul");
                code.get(transA!);
                code.emit("select");
                code.set(blockA);
              },
            );
            code.get(fromB);
            code.set(panelB);
            element(c!, row, cStride, column);
            code.set(panelC);
            const touch = (push: () => void) => {
              code.get(rows);
              code.get(columns);
              code.i32(shift);
              code.emit("i32.shl");
              push();
              code.get(cStride);
              code.call(touchRows);
            };
            code.get(packA);
            code.if(() => {
              touch(() => code.get(panelC));
              choose(
                second.c,
                () => {},
                () =>
                  touch(() => {
                    code.get(panelC);
                    code.i32(workspace);
                    code.memory("i32.load", second.c.distance);
                    code.emit("i32.add");
                  }),
              );
            });
            const call = (kernel: FunctionRef) => {
              for (const argument of [
                rows,
                depths,
                panelA,
                strideA,
                blockA,
                panelB,
                strideB,
                panelC,
                cStride,
              ])
                code.get(argument);
              code.call(kernel);
            };
            const callTail = (kernels: readonly FunctionRef[]) => {
              for (let count = 1; count < nr; count++) {
                code.get(rest);
                code.i32(count);
                code.emit("i32.eq");
                code.if(() => call(kernels[count - 1]!));
              }
            };
            const whole = define(code, "i32", () => {
              code.get(columns);
              code.i32(-nr);
              code.emit("i32.and");
            });
            code.for(panel, { constant: 0 }, whole, nr, () => {
              code.get(packA);
              code.if(
                () =>
                  choose(
                    second.c,
                    () => call(packed),
                    () => call(packedTwice),
                  ),
                () => {
                  code.get(transA!);
                  code.if(
                    () => call(byColumns[nr - 1]!),
                    () => call(byRows[nr - 1]!),
                  );
                },
              );
              advanceBy(code, panelB, blockB);
              advance(code, panelC, nr * size);
            });
            code.get(columns);
            code.get(whole);
            code.emit("i32.sub");
            code.tee(rest);
            code.if(() => {
              code.get(packA);
              code.get(transA!);
              code.emit("i32.or");
              code.if(
                () => callTail(byColumns),
                () => callTail(byRows),
              );
            });
            code.release("i32", whole);
          });
          store(size, () => constant(code, kind, 1));
          code.release("i32", fromB);
        });
      });
    },
    `${kind.prefix}gemm`,
  );
}
