/**
 * Matrix products in WebAssembly SIMD, generated for one memory.
 *
 * The scheme is Goto's: blocks of B (kc×nc) and A (mc×kc) are copied into panels that a micro-kernel reads in order,
 * and the micro-kernel keeps a 5×8 (f32) or 5×4 (f64) piece of C in registers. One micro-kernel serves packed and
 * unpacked operands alike, since only strides differ; small products and thin ones therefore skip the copying.
 *
 * V8 hands out 15 vector registers, and its optimizing compiler moves the loads of a basic block to the block's start
 * and the arithmetic to its end. So 12 accumulators with one broadcast at a time, which fit on paper, spill; 10 do not,
 * when the block is cut after every second row by a branch that is never taken (`guard`). Measured on a Xeon of 2023:
 * 65 GF/s in L1, the bound of two 128-bit multiply-adds a cycle, against 45 for 6×8. Without fused multiply-add the
 * product needs a register of its own, and 4 rows do best.
 *
 * Goto, van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008.
 */
import type { Code, FunctionRef, Local, ModuleBuilder, ValueType } from "./assembler.js";
import { gemmSignature } from "./blas.js";
import { accumulate, advance, advanceBy, constant, define, type Kind, shuffleOf } from "./gemm-code.js";
import { defineRowTimesMatrix, defineRowTimesTransposed } from "./gemm-vector.js";

/** Rows of the register block; its columns are two vectors. */
const rowsOfBlock = (fma: boolean) => (fma ? 5 : 4);
/**
 * A packed block: rows of A and depth (in the L2 cache), and how many bytes a row of B's block takes (in L3; a panel of
 * it, two vectors wide, in L1).
 */
const blocking = { mc: 120, kc: 512, rowBytes: 4096 } as const;
/** α and β, then the blocks of A and B; a block is rounded up to whole panels. */
const blockOfA = 64;
const blockOfB = blockOfA + (blocking.mc + 8) * blocking.kc * 8;

/** Bytes that the packed blocks of one instance take. */
export const packingBytes = blockOfB + (blocking.rowBytes + 64) * blocking.kc;

const i32s = (count: number): ValueType[] => Array.from({ length: count }, () => "i32");

/** target = the first `count` elements at address + offset, zeros behind them. */
function loadPartial(code: Code, kind: Kind, count: number, target: Local, address: Local, offset: number) {
  const bytes = count * kind.size;
  code.get(address);
  if (bytes === 16) code.memory("v128.load", offset);
  else code.memory(bytes === 4 ? "v128.load32_zero" : "v128.load64_zero", offset);
  code.set(target);
  if (bytes !== 12) return;
  code.get(address);
  code.get(target);
  code.memoryLane("v128.load32_lane", 2, offset + 8);
  code.set(target);
}
/** Stores the first `count` elements of `value` at address + offset. */
function storePartial(code: Code, kind: Kind, count: number, value: Local, address: Local, offset: number) {
  const bytes = count * kind.size;
  code.get(address);
  code.get(value);
  if (bytes === 16) code.memory("v128.store", offset);
  else if (bytes === 4) code.memoryLane("v128.store32_lane", 0, offset);
  else code.memoryLane("v128.store64_lane", 0, offset);
  if (bytes !== 12) return;
  code.get(address);
  code.get(value);
  code.memoryLane("v128.store32_lane", 2, offset + 8);
}

/**
 * How a micro-kernel finds A: `rows` has each row contiguous in k (aStride between rows), `columns` each column
 * contiguous (aStride between columns), `packed` is `columns` with the strides of packed panels built in.
 */
type Access = "rows" | "columns" | "packed";

/**
 * A micro-kernel for a `rows`×`columns` piece, k >= 1: (k, a, aStride, b, bStride, c, cStride), strides in bytes. α and
 * β are read at `scalars` when they are needed: as arguments they would hold vector registers during the loop.
 */
function microKernel(
  builder: ModuleBuilder,
  kind: Kind,
  fma: boolean,
  access: Access,
  rows: number,
  columns: number,
  scalars: number,
): FunctionRef {
  const vectors = Math.ceil(columns / kind.lanes);
  const laneCount = (vector: number) => Math.min(kind.lanes, columns - vector * kind.lanes);
  const guardEvery = fma ? 2 : 3;
  return builder.define(i32s(7), [], (code, k, a, aStride, b, bStride, c, cStride) => {
    const sums = Array.from({ length: rows * vectors }, () => code.local("v128"));
    const bs = Array.from({ length: vectors }, () => code.local("v128"));
    const broadcast = code.local("v128");
    const pointers = [a!];
    if (access === "rows")
      for (let row = 1; row < rows; row++)
        pointers.push(
          define(code, "i32", () => {
            code.get(pointers[row - 1]!);
            code.get(aStride!);
            code.emit("i32.add");
          }),
        );
    code.block((exit) => {
      const guard = () => {
        code.get(k!);
        code.i32(0);
        code.emit("i32.le_s");
        code.branchIf(exit);
      };
      code.loop((again) => {
        for (let vector = 0; vector < vectors; vector++)
          loadPartial(code, kind, laneCount(vector), bs[vector]!, b!, 16 * vector);
        for (let row = 0; row < rows; row++) {
          code.get(access === "rows" ? pointers[row]! : a!);
          code.memory(kind.splatLoad, access === "rows" ? 0 : row * kind.size);
          code.set(broadcast);
          for (let vector = 0; vector < vectors; vector++)
            accumulate(code, kind, fma, sums[row * vectors + vector]!, broadcast, bs[vector]!);
          if ((row + 1) % guardEvery === 0 && row + 1 < rows) guard();
        }
        if (access === "packed") {
          advance(code, a!, rows * kind.size);
          advance(code, b!, vectors * 16);
        } else {
          if (access === "rows") for (const pointer of pointers) advance(code, pointer, kind.size);
          else advanceBy(code, a!, aStride!);
          advanceBy(code, b!, bStride!);
        }
        code.get(k!);
        code.i32(1);
        code.emit("i32.sub");
        code.tee(k!);
        code.i32(0);
        code.emit("i32.gt_s");
        code.branchIf(again);
      });
    });

    const broadcastAt = (offset: number) =>
      define(code, "v128", () => {
        code.i32(scalars);
        code.memory(kind.splatLoad, offset);
      });
    const alphas = broadcastAt(0);
    const finish = (old: (sum: Local, vector: number) => void) => {
      for (let row = 0; row < rows; row++) {
        for (let vector = 0; vector < vectors; vector++) {
          const sum = sums[row * vectors + vector]!;
          code.get(sum);
          code.get(alphas);
          code.emit(`${kind.shape}.mul`);
          code.set(sum);
          old(sum, vector);
          storePartial(code, kind, laneCount(vector), sum, c!, 16 * vector);
        }
        if (row + 1 < rows) advanceBy(code, c!, cStride!);
      }
    };
    code.i32(scalars);
    code.memory(`${kind.scalar}.load`, kind.size);
    constant(code, kind, 0);
    code.emit(`${kind.scalar}.eq`);
    code.if(
      () => finish(() => {}),
      () => {
        const betas = broadcastAt(kind.size);
        finish((sum, vector) => {
          loadPartial(code, kind, laneCount(vector), bs[0]!, c!, 16 * vector);
          accumulate(code, kind, fma, sum, bs[0]!, betas);
        });
      },
    );
  });
}

/**
 * All rows of one column panel: (m, k, a, aStride, aBlock, b, bStride, c, cStride). `aBlock` is what A's address
 * grows by after a block of `mr` rows; the rest has a micro-kernel of its own height.
 */
function panelKernel(
  builder: ModuleBuilder,
  kind: Kind,
  fma: boolean,
  access: Access,
  columns: number,
  scalars: number,
): FunctionRef {
  const mr = rowsOfBlock(fma);
  const tails = Array.from({ length: mr - 1 }, (_, index) =>
    microKernel(builder, kind, fma, access === "packed" ? "columns" : access, index + 1, columns, scalars),
  );
  const whole = microKernel(builder, kind, fma, access, mr, columns, scalars);
  return builder.define(i32s(9), [], (code, m, k, a, aStride, aBlock, b, bStride, c, cStride) => {
    const call = (kernel: FunctionRef, rows: number) => {
      for (const argument of [k!, a!, aStride!, b!, bStride!, c!, cStride!]) code.get(argument);
      code.call(kernel);
      code.get(c!);
      code.get(cStride!);
      code.i32(rows);
      code.emit("i32.mul", "i32.add");
      code.set(c!);
    };
    const row = code.local("i32");
    const full = define(code, "i32", () => {
      code.get(m!);
      code.get(m!);
      code.i32(mr);
      code.emit("i32.rem_u", "i32.sub");
    });
    code.for(row, { constant: 0 }, full, mr, () => {
      call(whole, mr);
      advanceBy(code, a!, aBlock!);
    });
    code.get(m!);
    code.get(full);
    code.emit("i32.sub");
    code.set(row);
    tails.forEach((kernel, index) => {
      code.get(row);
      code.i32(index + 1);
      code.emit("i32.eq");
      code.if(() => call(kernel, index + 1));
    });
  });
}

/** Scalar copy of a corner: (outer, inner, from, fromOuter, fromInner, to, toOuter, toInner), strides in bytes. */
function copyKernel(builder: ModuleBuilder, kind: Kind): FunctionRef {
  return builder.define(
    i32s(8),
    [],
    (code, outer, inner, from, fromOuter, fromInner, to, toOuter, toInner) => {
      const i = code.local("i32");
      const j = code.local("i32");
      const source = code.local("i32");
      const target = code.local("i32");
      code.for(i, { constant: 0 }, outer!, 1, () => {
        code.get(from!);
        code.set(source);
        code.get(to!);
        code.set(target);
        code.for(j, { constant: 0 }, inner!, 1, () => {
          code.get(target);
          code.get(source);
          code.memory(`${kind.scalar}.load`);
          code.memory(`${kind.scalar}.store`);
          advanceBy(code, source, fromInner!);
          advanceBy(code, target, toInner!);
        });
        advanceBy(code, from!, fromOuter!);
        advanceBy(code, to!, toOuter!);
      });
    },
  );
}

/**
 * Packs `count` rows (of op(A), or columns of op(B)) of depth k into panels of `width`:
 * (count, k, from, stride, to). In the source either the depth is the outer, strided direction ("contiguous": a
 * panel's `width` elements lie side by side) or the inner one ("transposed").
 */
function packKernel(
  builder: ModuleBuilder,
  kind: Kind,
  width: number,
  transposed: boolean,
  copy: FunctionRef,
): FunctionRef {
  const { size, lanes } = kind;
  return builder.define(i32s(5), [], (code, count, k, from, stride, to) => {
    const source = code.local("i32");
    const depth = code.local("i32");
    const done = code.local("i32");
    const whole = define(code, "i32", () => {
      code.get(count!);
      code.get(count!);
      code.i32(width);
      code.emit("i32.rem_u", "i32.sub");
    });
    /** Copies what whole vectors do not cover: `rows` from row 0, `depths` from the current source on. */
    const copyRest = (rows: () => void, depths: () => void) => {
      rows();
      depths();
      code.get(source);
      if (transposed) code.get(stride!);
      else code.i32(size);
      if (transposed) code.i32(size);
      else code.get(stride!);
      code.get(to!);
      code.i32(size);
      code.i32(width * size);
      code.call(copy);
    };
    const nextPanel = () => {
      code.get(from!);
      if (transposed) {
        code.get(stride!);
        code.i32(width);
        code.emit("i32.mul");
      } else code.i32(width * size);
      code.emit("i32.add");
      code.set(from!);
    };
    code.for(done, { constant: 0 }, whole, width, () => {
      code.get(from!);
      code.set(source);
      if (!transposed) {
        const value = code.local("v128");
        code.for(depth, { constant: 0 }, k!, 1, () => {
          for (let element = 0; element < width; element += lanes) {
            const part = Math.min(lanes, width - element);
            loadPartial(code, kind, part, value, source, element * size);
            storePartial(code, kind, part, value, to!, element * size);
          }
          advanceBy(code, source, stride!);
          advance(code, to!, width * size);
        });
        code.release("v128", value);
      } else {
        const rows = Array.from({ length: width }, () => code.local("v128"));
        const pair = code.local("v128");
        const row = code.local("i32");
        const wholeDepth = define(code, "i32", () => {
          code.get(k!);
          code.i32(-lanes);
          code.emit("i32.and");
        });
        code.for(depth, { constant: 0 }, wholeDepth, lanes, () => {
          code.get(source);
          code.set(row);
          for (let index = 0; index < width; index++) {
            code.get(row);
            code.memory("v128.load");
            code.set(rows[index]!);
            if (index + 1 < width) advanceBy(code, row, stride!);
          }
          // Two rows at a time: element pairs of each depth, stored as 8 bytes (f32) or 16 bytes (f64).
          for (let index = 0; index + 1 < width; index += 2)
            for (let half = 0; half < 2; half++) {
              code.get(rows[index]!);
              code.get(rows[index + 1]!);
              if (lanes === 2) code.shuffle(shuffleOf(8, [half, 2 + half]));
              else code.shuffle(shuffleOf(4, [2 * half, 4 + 2 * half, 2 * half + 1, 5 + 2 * half]));
              code.set(pair);
              for (let part = 0; part < lanes / 2; part++) {
                const offset = ((half * lanes) / 2 + part) * width * size + index * size;
                code.get(to!);
                code.get(pair);
                if (lanes === 2) code.memory("v128.store", offset);
                else code.memoryLane("v128.store64_lane", part, offset);
              }
            }
          if (width % 2 === 1)
            for (let lane = 0; lane < lanes; lane++) {
              code.get(to!);
              code.get(rows[width - 1]!);
              code.memoryLane(
                lanes === 2 ? "v128.store64_lane" : "v128.store32_lane",
                lane,
                (lane * width + width - 1) * size,
              );
            }
          advance(code, source, lanes * size);
          advance(code, to!, lanes * width * size);
        });
        copyRest(
          () => code.i32(width),
          () => {
            code.get(k!);
            code.get(wholeDepth);
            code.emit("i32.sub");
          },
        );
        code.get(to!);
        code.get(k!);
        code.get(wholeDepth);
        code.emit("i32.sub");
        code.i32(width * size);
        code.emit("i32.mul", "i32.add");
        code.set(to!);
      }
      nextPanel();
    });
    code.get(from!);
    code.set(source);
    copyRest(
      () => {
        code.get(count!);
        code.get(whole);
        code.emit("i32.sub");
      },
      () => code.get(k!),
    );
  });
}
/** C = β C over m×n, without reading C when β = 0: (m, n, β, c, cStride). */
function scaleKernel(builder: ModuleBuilder, kind: Kind): FunctionRef {
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

/** Defines and exports `sgemm` or `dgemm`; `workspace` is the address of `packingBytes` bytes. */
export function defineGemm(builder: ModuleBuilder, kind: Kind, fma: boolean, workspace: number): FunctionRef {
  const { size, lanes, shift } = kind;
  const mr = rowsOfBlock(fma);
  const nr = 2 * lanes;
  const { mc, kc } = blocking;
  const nc = blocking.rowBytes / size;
  const scale = scaleKernel(builder, kind);
  const copy = copyKernel(builder, kind);
  const pack = {
    a: [packKernel(builder, kind, mr, true, copy), packKernel(builder, kind, mr, false, copy)],
    b: [packKernel(builder, kind, nr, false, copy), packKernel(builder, kind, nr, true, copy)],
  };
  const panels = (access: Access) =>
    Array.from({ length: nr }, (_, index) => panelKernel(builder, kind, fma, access, index + 1, workspace));
  const byRows = panels("rows");
  const byColumns = panels("columns");
  const packed = panelKernel(builder, kind, fma, "packed", nr, workspace);
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

      // A column of C that lies contiguous is the row Cᵀ = op(B)ᵀ op(A)ᵀ.
      code.get(n!);
      code.i32(1);
      code.emit("i32.eq");
      code.get(ldc!);
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
        exchange(transA!, transB!, true);
        exchange(m!, n!);
        exchange(a!, b!);
        exchange(aStride, bStride);
      });
      code.get(m!);
      code.i32(1);
      code.emit("i32.eq");
      code.if(() => {
        const step = define(code, "i32", () => {
          code.get(aStride);
          code.i32(size);
          code.get(transA!);
          code.emit("select");
        });
        code.get(transB!);
        code.if(
          () => {
            // Inner products, over as much of k as the block of A has room for.
            const limit = mc * kc;
            const [left, depths, row] = [k!, code.local("i32"), code.local("i32")];
            const currentBeta = define(code, kind.scalar, () => code.get(beta));
            code.loop((again) => {
              code.get(left);
              code.i32(limit);
              code.get(left);
              code.i32(limit);
              code.emit("i32.lt_s", "select");
              code.set(depths);
              code.get(a!);
              code.set(row);
              code.get(step);
              code.i32(size);
              code.emit("i32.ne");
              code.if(() => {
                code.i32(packedA);
                code.set(row);
                code.i32(1);
                for (const argument of [depths, a!, step, step, row]) code.get(argument);
                code.i32(0);
                code.i32(size);
                code.call(copy);
              });
              for (const argument of [n!, depths, alpha, row, b!, bStride, currentBeta, c!])
                code.get(argument);
              code.call(rowTimesTransposed);
              constant(code, kind, 1);
              code.set(currentBeta);
              code.get(a!);
              code.get(depths);
              code.get(step);
              code.emit("i32.mul", "i32.add");
              code.set(a!);
              code.get(b!);
              code.get(depths);
              code.i32(shift);
              code.emit("i32.shl", "i32.add");
              code.set(b!);
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
            code.get(n!);
            code.i32(8 * nr);
            code.emit("i32.ge_s");
            code.if(() => {
              const whole = define(code, "i32", () => {
                code.get(n!);
                code.i32(-nr);
                code.emit("i32.and");
              });
              for (const argument of [m!, whole, beta, c!, cStride]) code.get(argument);
              code.call(scale);
              for (const argument of [whole, k!, alpha, a!, step, b!, bStride, c!]) code.get(argument);
              code.call(rowTimesMatrix);
              code.get(n!);
              code.get(whole);
              code.emit("i32.sub");
              code.tee(n!);
              code.emit("i32.eqz");
              code.if(() => code.return());
              for (const target of [b!, c!]) {
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
              code.get(transB!);
              code.if(
                () => call(pack.b[1]!),
                () => call(pack.b[0]!),
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
                code.get(transA!);
                code.if(
                  () => call(pack.a[1]!),
                  () => call(pack.a[0]!),
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
                () => call(packed),
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
