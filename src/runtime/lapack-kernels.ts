/**
 * The WebAssembly kernels under the factorizations: what is neither a matrix product nor worth being scalar. Those that
 * only move elements are in matrix-moves.ts, those of eigenvectors in eigen-kernels.ts.
 */
import type { FunctionRef, ModuleBuilder } from "./assembler.js";
import type { BlasFunctions } from "./blas.js";
import { advance, advanceBy, type Kind, multipleOf, subtract } from "./gemm-code.js";

/** The WebAssembly functions of one dtype; strides are in bytes. `symv` and `rotate` are there in f64 only. */
export interface Kernels {
  gemm: BlasFunctions["sgemm"];
  solve(
    n: number,
    t: number,
    rowStride: number,
    columnStride: number,
    b: number,
    bStride: number,
    width: number,
    unit: number,
  ): void;
  transpose(
    rows: number,
    columns: number,
    from: number,
    fromStride: number,
    to: number,
    toStride: number,
  ): void;
  zeroupper(n: number, a: number, lda: number): void;
  mirror(n: number, a: number, lda: number): void;
  swap(count: number, a: number, b: number): void;
  symv(n: number, a: number, stride: number, x: number, y: number): void;
  rotate(columns: number, z: number, stride: number, sweeps: number, count: number, rotations: number): void;
}

/**
 * `<prefix>solve(n, t, rowStride, columnStride, b, bStride, width, unit)`: T X = B by forward substitution, X over B,
 * T lower triangular n×n, B n×width; strides in bytes. Negative strides from the last element on make it the backward
 * substitution of an upper triangle, and exchanged strides that of a transpose.
 */
export function defineSolve(builder: ModuleBuilder, kind: Kind, fma: boolean): FunctionRef {
  const strip = (vectors: number) =>
    builder.define(
      Array.from({ length: 7 }, () => "i32"),
      [],
      (code, n, t, rowStride, columnStride, b, bStride, unit) => {
        const scalar = vectors === 0;
        const type = scalar ? kind.scalar : "v128";
        const count = scalar ? 1 : vectors;
        const sums = Array.from({ length: count }, () => code.local(type));
        const others = Array.from({ length: count }, () => code.local(type));
        const factor = code.local(type);
        const [i, j, entry, above, current] = Array.from({ length: 5 }, () => code.local("i32"));
        const load = scalar ? (`${kind.scalar}.load` as const) : "v128.load";
        const store = scalar ? (`${kind.scalar}.store` as const) : "v128.store";
        const loadFactor = () => {
          code.get(entry!);
          code.memory(scalar ? load : kind.splatLoad);
          code.set(factor);
        };
        code.get(b!);
        code.set(current!);
        code.for(i!, { constant: 0 }, n!, 1, () => {
          sums.forEach((sum, index) => {
            code.get(current!);
            code.memory(load, 16 * index);
            code.set(sum);
          });
          code.get(t!);
          code.set(entry!);
          code.get(b!);
          code.set(above!);
          code.for(j!, { constant: 0 }, i!, 1, () => {
            loadFactor();
            others.forEach((other, index) => {
              code.get(above!);
              code.memory(load, 16 * index);
              code.set(other);
            });
            sums.forEach((sum, index) => {
              if (!scalar) {
                subtract(code, kind, fma, sum, factor, others[index]!);
                return;
              }
              code.get(sum);
              code.get(factor);
              code.get(others[index]!);
              code.emit(`${kind.scalar}.mul`, `${kind.scalar}.sub`);
              code.set(sum);
            });
            advanceBy(code, entry!, columnStride!);
            advanceBy(code, above!, bStride!);
          });
          code.get(unit!);
          code.emit("i32.eqz");
          code.if(() => {
            loadFactor();
            for (const sum of sums) {
              code.get(sum);
              code.get(factor);
              code.emit(scalar ? `${kind.scalar}.div` : `${kind.shape}.div`);
              code.set(sum);
            }
          });
          sums.forEach((sum, index) => {
            code.get(current!);
            code.get(sum);
            code.memory(store, 16 * index);
          });
          advanceBy(code, current!, bStride!);
          advanceBy(code, t!, rowStride!);
        });
      },
    );
  const strips = [4, 1, 0].map((vectors) => ({
    columns: vectors === 0 ? 1 : vectors * kind.lanes,
    solve: strip(vectors),
  }));
  return builder.define(
    Array.from({ length: 8 }, () => "i32"),
    [],
    (code, n, t, rowStride, columnStride, b, bStride, width, unit) => {
      const done = code.local("i32");
      strips.forEach(({ columns, solve }, index) => {
        const end = multipleOf(code, width!, columns);
        code.for(done, index === 0 ? { constant: 0 } : "current", end, columns, () => {
          for (const argument of [n!, t!, rowStride!, columnStride!, b!, bStride!, unit!]) code.get(argument);
          code.call(solve);
          advance(code, b!, columns * kind.size);
        });
      });
    },
    `${kind.prefix}solve`,
  );
}
