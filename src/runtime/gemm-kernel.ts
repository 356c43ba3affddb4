/**
 * The innermost piece of every portable product: 5×8 (f32) or 5×4 (f64) elements of C in registers, over the whole depth.
 * One generator serves packed and unpacked operands alike, since only strides differ.
 *
 * V8 hands out 15 vector registers, and its optimizing compiler moves the loads of a basic block to the block's start
 * and the arithmetic to its end. So 12 accumulators with one broadcast at a time, which fit on paper, spill; 10 do not,
 * when the block is cut after every second row by a branch that is never taken (`guard`). Measured on a Xeon of 2023:
 * 65 GF/s in L1, the bound of two 128-bit multiply-adds a cycle, against 45 for 6×8. Without fused multiply-add the
 * product needs a register of its own, and 4 rows do best.
 */
import type { FunctionRef, Local, ModuleBuilder } from "./assembler.js";
import {
  accumulate,
  advance,
  advanceBy,
  constant,
  define,
  i32s,
  type Kind,
  loadPartial,
  storePartial,
} from "./gemm-code.js";
import type { Other } from "./gemm-pack.js";

/** Rows of the register block; its columns are two vectors. */
export const rowsOfBlock = (fma: boolean) => (fma ? 5 : 4);

/**
 * How a micro-kernel finds A: `rows` has each row contiguous in k (aStride between rows), `columns` each column
 * contiguous (aStride between columns), `packed` is `columns` with the strides of packed panels built in.
 */
export type Access = "rows" | "columns" | "packed";

/** Where it is written what else the product is added to: the bytes to it from C, and its α and β; room for a piece. */
export interface SecondResult extends Other {
  readonly beta: number;
  readonly sums: number;
}

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
  second?: SecondResult,
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

    const broadcastAt = (address: number) =>
      define(code, "v128", () => {
        code.i32(address);
        code.memory(kind.splatLoad);
      });
    /**
     * target ← α·sums + β·target; what it held is not read where β is 0. All is read before anything is written: rows
     * that lie a multiple of 4096 bytes apart look alike to a processor that lets loads overtake stores.
     */
    const finish = (target: Local, alpha: number, beta: number) => {
      const alphas = broadcastAt(alpha);
      const pointer = code.local("i32");
      const each = (visit: (sum: Local, vector: number) => void) => {
        code.get(target);
        code.set(pointer);
        for (let row = 0; row < rows; row++) {
          for (let vector = 0; vector < vectors; vector++) visit(sums[row * vectors + vector]!, vector);
          if (row + 1 < rows) advanceBy(code, pointer, cStride!);
        }
      };
      for (const sum of sums) {
        code.get(sum);
        code.get(alphas);
        code.emit(`${kind.shape}.mul`);
        code.set(sum);
      }
      code.i32(beta);
      code.memory(`${kind.scalar}.load`);
      constant(code, kind, 0);
      code.emit(`${kind.scalar}.ne`);
      code.if(() => {
        const betas = broadcastAt(beta);
        each((sum, vector) => {
          loadPartial(code, kind, laneCount(vector), bs[0]!, pointer, 16 * vector);
          accumulate(code, kind, fma, sum, bs[0]!, betas);
        });
      });
      each((sum, vector) => storePartial(code, kind, laneCount(vector), sum, pointer, 16 * vector));
    };
    if (second) {
      const target = define(code, "i32", () => {
        code.get(c!);
        code.i32(second.distance);
        code.memory("i32.load");
        code.emit("i32.add");
      });
      const kept = define(code, "i32", () => code.i32(second.sums));
      sums.forEach((sum, index) => {
        storePartial(code, kind, kind.lanes, sum, kept, 16 * index);
      });
      finish(target, second.factor, second.beta);
      sums.forEach((sum, index) => {
        loadPartial(code, kind, kind.lanes, sum, kept, 16 * index);
      });
    }
    finish(c!, scalars, scalars + kind.size);
  });
}

/**
 * All rows of one column panel: (m, k, a, aStride, aBlock, b, bStride, c, cStride). `aBlock` is what A's address
 * grows by after a block of `mr` rows; the rest has a micro-kernel of its own height.
 */
export function panelKernel(
  builder: ModuleBuilder,
  kind: Kind,
  fma: boolean,
  access: Access,
  columns: number,
  scalars: number,
  second?: SecondResult,
): FunctionRef {
  const mr = rowsOfBlock(fma);
  const tails = Array.from({ length: mr - 1 }, (_, index) =>
    microKernel(
      builder,
      kind,
      fma,
      access === "packed" ? "columns" : access,
      index + 1,
      columns,
      scalars,
      second,
    ),
  );
  const whole = microKernel(builder, kind, fma, access, mr, columns, scalars, second);
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
