/**
 * Both BLAS implementations against definitions in f64 and against ml-matrix.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Blas } from "../../src/runtime/blas.js";
import { createNativeBlas, findNativeLibrary } from "../../src/runtime/blas-native.js";
import { createPortableBlas } from "../../src/runtime/blas-portable.js";
import { enableRelaxedSimd } from "../../src/runtime/blas-relaxed.js";

const relaxed = enableRelaxedSimd();

type Dtype = "s" | "d";
const dtypes = ["s", "d"] as const;
const tolerance = { s: 1e-5, d: 1e-12 };

interface Bench {
  readonly name: string;
  readonly blas: Blas | undefined;
  readonly memory: WebAssembly.Memory;
  /** Runs `body` and gives back what it took from the arena. */
  scratch<T>(body: () => T): T;
  /** A row-major matrix in the memory: its address and a view that includes the gaps behind rows. */
  place(dtype: Dtype, values: readonly (readonly number[])[], ld: number): number;
  view(dtype: Dtype, address: number, length: number): Float32Array | Float64Array;
}

function bench(
  name: string,
  shared: boolean,
  create: (memory: WebAssembly.Memory, allocate: (bytes: number) => number) => Blas | undefined,
): Bench {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 4096, shared });
  let top = 1024;
  const allocate = (bytes: number) => {
    const address = Math.ceil(top / 16) * 16;
    top = address + bytes;
    const missing = top - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / 65536));
    return address;
  };
  const blas = create(memory, allocate);
  // What the implementation allocates later must stay: matrices of the tests live in a fixed region.
  const base = allocate(32 << 20);
  let used = base;
  const view = (dtype: Dtype, address: number, length: number) =>
    dtype === "s"
      ? new Float32Array(memory.buffer, address, length)
      : new Float64Array(memory.buffer, address, length);
  return {
    name,
    blas,
    memory,
    view,
    scratch(body) {
      const start = used;
      try {
        return body();
      } finally {
        used = start;
      }
    },
    place(dtype, values, ld) {
      // 8 bytes off a 16-byte boundary, as arenas may give.
      const address = Math.ceil(used / 16) * 16 + 8;
      const length = values.length * ld;
      used = address + length * (dtype === "s" ? 4 : 8);
      if (used > base + (32 << 20)) throw new Error("the test needs more memory");
      const target = view(dtype, address, length);
      target.fill(Number.NaN);
      values.forEach((row, index) => {
        target.set(row, index * ld);
      });
      return address;
    },
  };
}

const native = bench("native", true, (memory, allocate) => createNativeBlas(memory, { allocate }));
const implementations = [
  native,
  bench("portable", true, (memory, allocate) => createPortableBlas(memory, { allocate })),
  bench("portable without fused multiply-add", false, (memory, allocate) =>
    createPortableBlas(memory, { allocate, fma: false }),
  ),
];
if (!native.blas)
  console.warn("No native BLAS library here: its tests are skipped. Install OpenBLAS to run them.");
const available = implementations.filter(({ blas }) => blas !== undefined);

/** A small generator, so that a failing case is reproduced by its seed alone. */
function random(seed: number) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}
const randomMatrix = (rows: number, columns: number, next: () => number, round: (x: number) => number) =>
  Array.from({ length: rows }, () => Array.from({ length: columns }, () => round(next())));
const rounding = { s: Math.fround, d: (x: number) => x };
const transposed = (matrix: readonly (readonly number[])[], columns: number) =>
  Array.from({ length: columns }, (_, j) => matrix.map((row) => row[j]!));

describe.each(available)("$name", (at) => {
  const functions = at.blas!.functions;

  function checkGemm(
    dtype: Dtype,
    [m, n, k]: readonly [number, number, number],
    flags: { transA: 0 | 1; transB: 0 | 1; alpha: number; beta: number; gap: number; seed: number },
  ) {
    const { transA, transB, alpha, beta, gap, seed } = flags;
    const next = random(seed);
    const a = randomMatrix(m, k, next, rounding[dtype]);
    const b = randomMatrix(k, n, next, rounding[dtype]);
    const c = randomMatrix(m, n, next, rounding[dtype]);
    at.scratch(() => {
      const [lda, ldb, ldc] = [(transA ? m : k) + gap, (transB ? k : n) + gap, n + gap];
      const addressA = at.place(dtype, transA ? transposed(a, k) : a, lda);
      const addressB = at.place(dtype, transB ? transposed(b, n) : b, ldb);
      const start = beta === 0 ? c.map((row) => row.map(() => Number.NaN)) : c;
      const addressC = at.place(dtype, start, ldc);
      functions[`${dtype}gemm`](
        transA,
        transB,
        m,
        n,
        k,
        alpha,
        addressA,
        lda,
        addressB,
        ldb,
        beta,
        addressC,
        ldc,
      );
      const result = at.view(dtype, addressC, m * ldc);
      for (let i = 0; i < m; i++)
        for (let j = 0; j < ldc; j++) {
          const found = result[i * ldc + j]!;
          if (j >= n) {
            if (!Number.isNaN(found)) throw new Error(`wrote behind row ${i}, column ${j}`);
            continue;
          }
          let sum = 0;
          let scale = beta === 0 ? 0 : Math.abs(beta * c[i]![j]!);
          for (let p = 0; p < k; p++) {
            sum += a[i]![p]! * b[p]![j]!;
            scale += Math.abs(alpha * a[i]![p]! * b[p]![j]!);
          }
          const expected = alpha * sum + (beta === 0 ? 0 : beta * c[i]![j]!);
          if (!(Math.abs(found - expected) <= tolerance[dtype] * scale))
            throw new Error(`C[${i}, ${j}] = ${found}, expected ${expected}`);
        }
    });
  }

  const flags = fc.record({
    transA: fc.constantFrom<(0 | 1)[]>(0, 1),
    transB: fc.constantFrom<(0 | 1)[]>(0, 1),
    alpha: fc.constantFrom(1, -1, 0, 0.5),
    beta: fc.constantFrom(0, 1, -2),
    gap: fc.integer({ min: 0, max: 3 }),
    seed: fc.integer({ min: 1, max: 1e6 }),
  });
  test.each(dtypes)("%sgemm of any shape", (dtype) => {
    const size = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 20, max: 70 }));
    fc.assert(
      fc.property(fc.tuple(size, size, size), flags, (shape, options) => checkGemm(dtype, shape, options)),
      { numRuns: 400 },
    );
  });
  test.each(dtypes)("%sgemm across block edges", (dtype) => {
    const shapes = [
      [193, 20, 513],
      [7, 1029, 300],
      [400, 65, 257],
      [1, 300, 700],
      [700, 1, 300],
      [3, 9, 1000],
    ] as const;
    for (const shape of shapes)
      for (const transA of [0, 1] as const)
        for (const transB of [0, 1] as const)
          checkGemm(dtype, shape, { transA, transB, alpha: 0.75, beta: transA, gap: 1, seed: 5 });
  });
  test.each(dtypes)("%sgemm gives every small size", (dtype) => {
    for (let m = 1; m <= 14; m++)
      for (let n = 1; n <= 18; n++)
        for (const k of [1, 4, 7])
          for (const transA of [0, 1] as const)
            checkGemm(dtype, [m, n, k], { transA, transB: 0, alpha: 1, beta: 0, gap: n % 2, seed: m * n });
  });
});

describe("the search for a library", () => {
  const allocate = () => 0;
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 16, shared: true });
  test("a path that cannot be loaded is a clear error", () => {
    expect(() => createNativeBlas(memory, { allocate, library: "/nowhere/libblas.so" })).toThrow(
      /names "\/nowhere\/libblas.so".*cannot be loaded.*Give the path.*THALWEG_BLAS=portable/s,
    );
  });
  test("the environment chooses, and portable disables", () => {
    const before = process.env.THALWEG_BLAS;
    try {
      process.env.THALWEG_BLAS = "/nowhere/else.so";
      expect(() => createNativeBlas(memory, { allocate })).toThrow(
        /^THALWEG_BLAS names "\/nowhere\/else.so"/,
      );
      for (const value of ["portable", "none"]) {
        process.env.THALWEG_BLAS = value;
        expect(createNativeBlas(memory, { allocate })).toBeUndefined();
        expect(findNativeLibrary()).toBeUndefined();
      }
    } finally {
      if (before === undefined) delete process.env.THALWEG_BLAS;
      else process.env.THALWEG_BLAS = before;
    }
  });
  test.skipIf(!native.blas)("describes what it found", () => {
    expect(findNativeLibrary()?.path).toBeTruthy();
    expect(native.blas?.description).toMatch(/\S/);
  });
});

test("relaxed SIMD is tested where the engine has it", () => {
  expect(available[native.blas ? 1 : 0]!.blas!.description).toContain(relaxed ? "fused" : "multiply and add");
});
