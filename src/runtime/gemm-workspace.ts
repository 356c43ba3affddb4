/**
 * The memory of one instance of the products: packed blocks, and before them what the kernels read there, α, β and the
 * second operands of `pairs`.
 */
import type { Local, ModuleBuilder } from "./assembler.js";
import type { Kind } from "./gemm-code.js";

/**
 * A packed block: rows of A and depth (in the L2 cache), and how many bytes a row of B's block takes (in L3; a panel of
 * it, two vectors wide, in L1).
 */
export const blocking = { mc: 120, kc: 512, rowBytes: 4096 } as const;
/** α and β, what the operands are combined with, then the blocks of A and B; a block is rounded up to whole panels. */
export const second = {
  a: { distance: 16, factor: 32 },
  b: { distance: 20, factor: 40 },
  c: { distance: 24, factor: 48, beta: 56, sums: 128 },
} as const;
/** Where `touchKernel` writes down what it has read. */
export const touched = 64;
export const blockOfA = 128 + 3 * 64;
export const blockOfB = blockOfA + (blocking.mc + 8) * blocking.kc * 8;

/** Bytes that the packed blocks of one instance take. */
export const packingBytes = blockOfB + (blocking.rowBytes + 64) * blocking.kc;

/**
 * Defines and exports `spair` or `dpair`: what the next products combine their operands with,
 *
 *     C ← α op(A + f_A A′) op(B + f_B B′) + β C   and   C′ ← f_C (the same product) + β_C C′
 *
 * (to A′, f_A, to B′, f_B, to C′, f_C, β_C) with A′ so many bytes behind A, in the same strides; 0 bytes: none. For
 * products whose operands are all packed, columns whole panels, and depth one block (`pairs`).
 */
export function definePair(builder: ModuleBuilder, kind: Kind, workspace: number): void {
  const { scalar } = kind;
  builder.define(
    ["i32", scalar, "i32", scalar, "i32", scalar, scalar],
    [],
    (code, toA, factorA, toB, factorB, toC, factorC, betaC) => {
      const store = (offset: number, type: "i32" | typeof scalar, value: Local) => {
        code.i32(workspace);
        code.get(value);
        code.memory(`${type}.store`, offset);
      };
      store(second.a.distance, "i32", toA!);
      store(second.a.factor, scalar, factorA!);
      store(second.b.distance, "i32", toB!);
      store(second.b.factor, scalar, factorB!);
      store(second.c.distance, "i32", toC!);
      store(second.c.factor, scalar, factorC!);
      store(second.c.beta, scalar, betaC!);
    },
    `${kind.prefix}pair`,
  );
}

/** What `definePair` defines. */
export type Pair = (
  toA: number,
  factorA: number,
  toB: number,
  factorB: number,
  toC: number,
  factorC: number,
  betaC: number,
) => void;

/** What products with pairs ask of their sizes. */
export const pairs = { atMost: blocking.kc, columns: 8 } as const;
