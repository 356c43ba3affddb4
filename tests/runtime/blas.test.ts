/**
 * Both BLAS implementations against definitions in f64 and against ml-matrix.
 */
import fc from "fast-check";
import { EVD, inverse, Matrix, QrDecomposition } from "ml-matrix";
import { describe, expect, test } from "vitest";
import type { Blas } from "../../src/runtime/blas.js";
import { createNativeBlas } from "../../src/runtime/blas-native.js";
import { createPortableBlas } from "../../src/runtime/blas-portable.js";
import { enableRelaxedSimd } from "../../src/runtime/blas-relaxed.js";
import { findNativeLibrary } from "../../src/runtime/native-library.js";
import { triangleSpares } from "../../src/runtime/symmetric.js";

const relaxed = enableRelaxedSimd();

type Dtype = "s" | "d";
const dtypes = ["s", "d"] as const;
const bytesOf = { s: 4, d: 8 };
const tolerance = { s: 1e-5, d: 1e-12 };

interface Bench {
  readonly name: string;
  readonly blas: Blas | undefined;
  readonly memory: WebAssembly.Memory;
  /** Runs `body` and gives back what it took from the arena. */
  scratch<T>(body: () => T): T;
  /** Room for elements whose values nobody has set. */
  reserve(dtype: Dtype, length: number): number;
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
  const reserve = (dtype: Dtype, length: number) => {
    // 8 bytes off a 16-byte boundary, as arenas may give.
    const address = Math.ceil(used / 16) * 16 + 8;
    used = address + length * bytesOf[dtype];
    if (used > base + (32 << 20)) throw new Error("the test needs more memory");
    return address;
  };
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
    reserve,
    place(dtype, values, ld) {
      const length = values.length * ld;
      const address = reserve(dtype, length);
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
// As a runtime does; threads of its own would wait for each other where other tests have the processors.
native.blas?.setThreads?.(1);
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
type Rows = readonly (readonly number[])[];
const transposed = (matrix: Rows, columns: number) =>
  Array.from({ length: columns }, (_, j) => matrix.map((row) => row[j]!));
const multiply = (a: Rows, b: Rows, width = b[0]?.length ?? 0): number[][] => {
  const columns = transposed(b, width);
  return a.map((row) =>
    columns.map((column) => {
      let sum = 0;
      for (let k = 0; k < row.length; k++) sum += row[k]! * column[k]!;
      return sum;
    }),
  );
};

/** Random operands, and what they give by definition: Σ aᵢₚ·bₚⱼ, and Σ |aᵢₚ·bₚⱼ|, by which errors are measured. */
interface Product {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly a: Rows;
  readonly b: Rows;
  readonly c: Rows;
  readonly sums: Rows;
  readonly sizes: Rows;
}
function randomProduct(dtype: Dtype, [m, n, k]: readonly [number, number, number], seed: number): Product {
  const next = random(seed);
  const a = randomMatrix(m, k, next, rounding[dtype]);
  const b = randomMatrix(k, n, next, rounding[dtype]);
  const c = randomMatrix(m, n, next, rounding[dtype]);
  const absolute = (matrix: Rows) => matrix.map((row) => row.map(Math.abs));
  return { m, n, k, a, b, c, sums: multiply(a, b, n), sizes: multiply(absolute(a), absolute(b), n) };
}

describe.each(available)("$name", (at) => {
  const functions = at.blas!.functions;

  function checkGemm(
    dtype: Dtype,
    { m, n, k, a, b, c, sums, sizes }: Product,
    flags: { transA: 0 | 1; transB: 0 | 1; alpha: number; beta: number; gap: number },
  ) {
    const { transA, transB, alpha, beta, gap } = flags;
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
          const before = beta === 0 ? 0 : beta * c[i]![j]!;
          const scale = Math.abs(before) + Math.abs(alpha) * sizes[i]![j]!;
          const expected = alpha * sums[i]![j]! + before;
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
  });
  test.each(dtypes)("%sgemm of any shape", (dtype) => {
    const size = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 20, max: 70 }));
    fc.assert(
      fc.property(
        fc.tuple(size, size, size),
        fc.integer({ min: 1, max: 1e6 }),
        flags,
        (shape, seed, options) => checkGemm(dtype, randomProduct(dtype, shape, seed), options),
      ),
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
      [1, 3, 70000],
      [1, 1, 1],
    ] as const;
    for (const shape of shapes) {
      const product = randomProduct(dtype, shape, 5);
      for (const transA of [0, 1] as const)
        for (const transB of [0, 1] as const)
          for (const gap of [0, 1])
            checkGemm(dtype, product, { transA, transB, alpha: 0.75, beta: transA, gap });
    }
  });
  test.each(dtypes)("%sgemm of large matrices is what its pieces give", (dtype) => {
    const cases = [
      { m: 771, n: 800, k: 769, transA: 0, transB: 0, beta: 0 },
      { m: 768, n: 1027, k: 801, transA: 1, transB: 0, beta: 0.5 },
      { m: 770, n: 769, k: 768, transA: 0, transB: 1, beta: 0 },
      { m: 769, n: 768, k: 1030, transA: 1, transB: 1, beta: 1 },
    ] as const;
    for (const { m, n, k, transA, transB, beta } of cases)
      at.scratch(() => {
        const next = random(m);
        const [lda, ldb, ldc] = [(transA ? m : k) + 3, (transB ? k : n) + 1, n + 2];
        const fresh = (length: number) => {
          const address = at.reserve(dtype, length);
          at.view(dtype, address, length).forEach((_, i, x) => {
            x[i] = next();
          });
          return address;
        };
        const a = fresh((transA ? k : m) * lda);
        const b = fresh((transB ? n : k) * ldb);
        const [c, pieces] = [fresh(m * ldc), at.reserve(dtype, m * ldc)];
        at.view(dtype, pieces, m * ldc).set(at.view(dtype, c, m * ldc) as Float32Array<ArrayBufferLike>);
        if (beta === 0)
          for (let i = 0; i < m; i++) at.view(dtype, c + i * ldc * bytesOf[dtype], n).fill(Number.NaN);
        const gemm = functions[`${dtype}gemm`];
        gemm(transA, transB, m, n, k, -0.75, a, lda, b, ldb, beta, c, ldc);
        for (let row = 0; row < m; row += 257) {
          const place = (rows: number, ld: number) => rows * ld * bytesOf[dtype];
          gemm(
            transA,
            transB,
            Math.min(257, m - row),
            n,
            k,
            -0.75,
            a + (transA ? row * bytesOf[dtype] : place(row, lda)),
            lda,
            b,
            ldb,
            beta,
            pieces + place(row, ldc),
            ldc,
          );
        }
        const [found, expected] = [at.view(dtype, c, m * ldc), at.view(dtype, pieces, m * ldc)];
        let worst = 0;
        for (let i = 0; i < m * ldc; i++) {
          const difference = Math.abs(found[i]! - expected[i]!);
          worst = Math.max(worst, difference);
        }
        // Entries have a standard deviation of √k / 4.
        expect(worst).toBeLessThan(tolerance[dtype] * Math.sqrt(k));
      });
  });
  test.each(dtypes)("%sgemm of a matrix and its own transpose is symmetric", (dtype) => {
    for (const [n, k] of [
      [63, 300],
      [64, 256],
      [127, 130],
      [160, 33],
      [391, 120],
    ] as const)
      for (const trans of [0, 1] as const)
        at.scratch(() => {
          const next = random(n);
          const x = randomMatrix(trans ? k : n, trans ? n : k, next, rounding[dtype]);
          const [ldx, ldc] = [(trans ? n : k) + 1, n + 3];
          const [a, b] = [at.place(dtype, x, ldx), at.place(dtype, x, ldx)];
          const [c, reference] = [0, 1].map(() => at.reserve(dtype, n * ldc));
          const gemm = functions[`${dtype}gemm`];
          for (const address of [c!, reference!]) at.view(dtype, address, n * ldc).fill(Number.NaN);
          gemm(trans, 1 - trans, n, n, k, 0.5, a, ldx, a, ldx, 0, c!, ldc);
          gemm(trans, 1 - trans, n, n, k, 0.5, a, ldx, b, ldx, 0, reference!, ldc);
          const [found, expected] = [at.view(dtype, c!, n * ldc), at.view(dtype, reference!, n * ldc)];
          for (let i = 0; i < n; i++)
            for (let j = 0; j < ldc; j++) {
              const [value, other] = [found[i * ldc + j]!, expected[i * ldc + j]!];
              if (j >= n) expect(value).toBeNaN();
              else if (!(Math.abs(value - other) <= tolerance[dtype] * k))
                throw new Error(`C[${i}, ${j}] = ${value}, expected ${other}`);
              else if (triangleSpares(n, k) && value !== found[j * ldc + i])
                throw new Error(`C[${i}, ${j}] is not C[${j}, ${i}]`);
            }
        });
  });
  test.each(dtypes)("%sgemm gives every small size", (dtype) => {
    for (let m = 1; m <= 14; m++)
      for (let n = 1; n <= 18; n++)
        for (const k of [1, 4, 7]) {
          const product = randomProduct(dtype, [m, n, k], m * n);
          for (const transA of [0, 1] as const)
            checkGemm(dtype, product, { transA, transB: 0, alpha: 1, beta: 0, gap: n % 2 });
        }
  });
});

const identity = (n: number): number[][] =>
  Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => (i === j ? 1 : 0)));
const largest = (a: Rows) => a.reduce((m, row) => row.reduce((r, x) => Math.max(r, Math.abs(x)), m), 0);
const distance = (a: Rows, b: Rows) => largest(a.map((row, i) => row.map((value, j) => value - b[i]![j]!)));
function orthogonal(n: number, next: () => number): number[][] {
  const q = new QrDecomposition(new Matrix(randomMatrix(n, n, next, (x) => x))).orthogonalMatrix;
  return q.to2DArray();
}
/** A symmetric matrix with these eigenvalues, rounded to the dtype, with junk above the diagonal on request. */
function withEigenvalues(values: readonly number[], next: () => number, round: (x: number) => number) {
  const q = orthogonal(values.length, next);
  const scaled = q.map((row) => row.map((x, j) => x * values[j]!));
  const full = multiply(scaled, transposed(q, values.length));
  return full.map((row, i) => row.map((_, j) => round(i >= j ? full[i]![j]! : full[j]![i]!)));
}
const upperJunk = (a: Rows) => a.map((row, i) => row.map((x, j) => (j > i ? Number.NaN : x)));
const precision = { s: 2 ** -24, d: 2 ** -53 };

describe.each(available)("LAPACK: $name", (at) => {
  const functions = at.blas!.functions;
  /** A matrix of the memory, without the gaps; the gaps must still be untouched. */
  const read = (dtype: Dtype, address: number, rows: number, columns: number, ld: number) => {
    const values = at.view(dtype, address, rows * ld);
    return Array.from({ length: rows }, (_, i) => {
      for (let j = columns; j < ld; j++)
        if (!Number.isNaN(values[i * ld + j]!)) throw new Error(`wrote behind row ${i}, column ${j}`);
      return Array.from(values.subarray(i * ld, i * ld + columns));
    });
  };
  const sizes = [0, 1, 2, 3, 5, 8, 17, 31, 32, 33, 64, 65, 100, 150];

  test.each(dtypes)("%spotrf, and potri on its result", (dtype) => {
    const next = random(11);
    for (const n of sizes)
      for (const condition of [10, dtype === "s" ? 1e4 : 1e10]) {
        const eigenvalues = Array.from({ length: n }, (_, i) => condition ** -(i / Math.max(1, n - 1)));
        const a = withEigenvalues(eigenvalues, next, rounding[dtype]);
        const ld = n + (n % 3);
        at.scratch(() => {
          const address = at.place(dtype, upperJunk(a), ld);
          expect(functions[`${dtype}potrf`](n, address, ld)).toBe(0);
          const l = read(dtype, address, n, n, ld);
          l.forEach((row, i) => {
            for (let j = i + 1; j < n; j++) if (row[j] !== 0) throw new Error(`L[${i}, ${j}] = ${row[j]}`);
          });
          expect(distance(multiply(l, transposed(l, n)), a)).toBeLessThanOrEqual(
            20 * (n + 1) * precision[dtype],
          );
          functions[`${dtype}potri`](n, address, ld);
          const found = read(dtype, address, n, n, ld);
          found.forEach((row, i) => {
            for (let j = 0; j < i; j++) if (row[j] !== found[j]![i]) throw new Error("not symmetric");
          });
          const residual = distance(multiply(found, a), identity(n));
          expect(residual).toBeLessThanOrEqual(20 * (n + 1) * condition * precision[dtype]);
          if (n > 0 && condition === 10) {
            const expected = inverse(new Matrix(a)).to2DArray();
            expect(distance(found, expected)).toBeLessThanOrEqual(
              (dtype === "s" ? 1e-4 : 1e-12) * largest(expected),
            );
          }
        });
      }
  });
  test.each(dtypes)("%spotrf names the minor that is not positive definite", (dtype) => {
    for (const [n, bad] of [
      [1, 1],
      [5, 3],
      [70, 1],
      [70, 40],
      [130, 130],
    ] as const) {
      const a = identity(n);
      a[bad - 1]![bad - 1] = -1;
      at.scratch(() => {
        const address = at.place(dtype, a, n);
        expect(functions[`${dtype}potrf`](n, address, n)).toBe(bad);
      });
    }
    at.scratch(() => {
      const address = at.place(dtype, [[Number.NaN]], 1);
      expect(functions[`${dtype}potrf`](1, address, 1)).toBe(1);
    });
  });

  test.each(dtypes)("%strsm on every side", (dtype) => {
    fc.assert(
      fc.property(
        fc.constantFrom(0, 1),
        fc.constantFrom(0, 1),
        fc.integer({ min: 0, max: 90 }),
        fc.integer({ min: 0, max: 90 }),
        fc.constantFrom(1, -0.5),
        fc.integer({ min: 0, max: 2 }),
        fc.integer({ min: 1, max: 1e6 }),
        (left, transA, m, n, alpha, gap, seed) => {
          const next = random(seed);
          const order = left ? m : n;
          const a = Array.from({ length: order }, (_, i) =>
            Array.from({ length: order }, (_, j) =>
              rounding[dtype](j > i ? 0 : i === j ? 2 + next() : next() / order),
            ),
          );
          const b = randomMatrix(m, n, next, rounding[dtype]);
          at.scratch(() => {
            const addressA = at.place(dtype, upperJunk(a), order + gap);
            const addressB = at.place(dtype, b, n + gap);
            functions[`${dtype}trsm`](left, transA, m, n, alpha, addressA, order + gap, addressB, n + gap);
            const found = read(dtype, addressB, m, n, n + gap);
            const op = transA ? transposed(a, order) : a;
            const back = left ? multiply(op, found) : multiply(found, op);
            const expected = b.map((row) => row.map((value) => alpha * value));
            if (!(distance(back, expected) <= 40 * precision[dtype] * (1 + order)))
              throw new Error(`off by ${distance(back, expected)}`);
          });
        },
      ),
      { numRuns: 100 },
    );
  });

  function checkEigen(dtype: Dtype, a: Rows, gap = 0) {
    const n = a.length;
    at.scratch(() => {
      const address = at.place(dtype, upperJunk(a), n + gap);
      const w = at.place(dtype, [Array.from({ length: n }, () => 0)], n);
      expect(functions[`${dtype}syevd`](n, address, n + gap, w)).toBe(0);
      const vectors = read(dtype, address, n, n, n + gap);
      const values = Array.from(at.view(dtype, w, n));
      for (let i = 1; i < n; i++) if (values[i]! < values[i - 1]!) throw new Error("not ascending");
      const scale =
        a.reduce(
          (m, row) =>
            Math.max(
              m,
              row.reduce((sum, x) => sum + Math.abs(x), 0),
            ),
          0,
        ) || 1;
      const tight = dtype === "d" ? 1e-14 : 2e-6;
      expect(distance(multiply(vectors, transposed(vectors, n)), identity(n))).toBeLessThanOrEqual(
        tight * Math.max(1, n / 30),
      );
      const scaled = vectors.map((row, i) => row.map((x) => x * values[i]!));
      const residual = distance(multiply(vectors, a), scaled);
      expect(residual).toBeLessThanOrEqual((dtype === "d" ? 1e-13 : 1e-5) * scale * Math.max(1, n / 30));
      if (n > 0 && n < 70 && largest(a) > 1e-100 && largest(a) < 1e100) {
        const expected = [...new EVD(new Matrix(a.map((row) => [...row]))).realEigenvalues].sort(
          (p, q) => p - q,
        );
        values.forEach((value, i) => {
          expect(Math.abs(value - expected[i]!)).toBeLessThanOrEqual(
            (dtype === "d" ? 1e-12 : 1e-5) * scale * n,
          );
        });
      }
    });
  }
  test.each(dtypes)("%ssyevd of random matrices", (dtype) => {
    const next = random(7);
    for (const n of sizes) {
      const half = randomMatrix(n, n, next, rounding[dtype]);
      checkEigen(
        dtype,
        half.map((row, i) => row.map((_, j) => half[Math.max(i, j)]![Math.min(i, j)]!)),
        n % 4,
      );
    }
  });
  test.each(dtypes)("%ssyevd of difficult matrices", (dtype) => {
    const next = random(9);
    const n = 90;
    const symmetric = (f: (i: number, j: number) => number) =>
      Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => rounding[dtype](f(i, j))));
    checkEigen(
      dtype,
      symmetric(() => 0),
    );
    checkEigen(dtype, identity(n));
    checkEigen(
      dtype,
      symmetric(() => 1),
    );
    checkEigen(
      dtype,
      symmetric((i, j) => (i === j ? n - i : 0)),
    );
    checkEigen(
      dtype,
      symmetric((i, j) => (Math.abs(i - j) === 1 ? -1 : i === j ? 2 : 0)),
    );
    checkEigen(
      dtype,
      symmetric((i, j) => 1 / (i + j + 1)),
    );
    // Wilkinson's W⁺, with pairs of nearly equal eigenvalues.
    checkEigen(
      dtype,
      symmetric((i, j) => (i === j ? Math.abs(i - 45) : Math.abs(i - j) === 1 ? 1 : 0)),
    );
    // Clusters, rank deficiency, huge condition numbers.
    const spectra: ((i: number) => number)[] = [
      (i) => (i < 45 ? 1 : 2),
      (i) => (i < 80 ? 0 : i),
      (i) => 10 ** (-i / 5),
      (i) => 1 + 1e-13 * i,
      (i) => (i % 2 ? 1 : -1) * 1.3 ** -i,
    ];
    for (const spectrum of spectra)
      checkEigen(
        dtype,
        withEigenvalues(
          Array.from({ length: n }, (_, i) => spectrum(i)),
          next,
          rounding[dtype],
        ),
      );
    for (const scale of dtype === "d" ? [1e-200, 1e200] : [1e-20, 1e20])
      checkEigen(
        dtype,
        withEigenvalues(
          Array.from({ length: n }, (_, i) => scale * (i + 1)),
          next,
          rounding[dtype],
        ),
      );
  });

  test.each(dtypes)("%sgeqrf of tall and square matrices", (dtype) => {
    const next = random(3);
    for (const [m, n] of [
      [0, 0],
      [4, 0],
      [1, 1],
      [5, 1],
      [5, 5],
      [9, 8],
      [20, 9],
      [64, 40],
      [100, 33],
      [130, 130],
      [270, 259],
    ] as const)
      for (const kind of ["random", "deficient"]) {
        const a = randomMatrix(m, n, next, rounding[dtype]);
        // Two equal columns, and one of zeros.
        if (kind === "deficient" && n >= 5)
          for (const row of a) {
            row[3] = row[1]!;
            row[2] = 0;
          }
        at.scratch(() => {
          const [lda, ldr] = [n + 2, n + 1];
          const address = at.place(dtype, a, lda);
          const addressR = at.place(
            dtype,
            Array.from({ length: n }, () => Array.from({ length: n }, () => 7)),
            ldr,
          );
          expect(functions[`${dtype}geqrf`](m, n, address, lda, addressR, ldr)).toBe(0);
          const q = read(dtype, address, m, n, lda);
          const r = read(dtype, addressR, n, n, ldr);
          r.forEach((row, i) => {
            for (let j = 0; j < i; j++) if (row[j] !== 0) throw new Error(`R[${i}, ${j}] = ${row[j]}`);
          });
          const bound = 20 * precision[dtype] * Math.max(4, n);
          expect(distance(multiply(transposed(q, n), q), identity(n))).toBeLessThanOrEqual(bound);
          expect(distance(multiply(q, r), a)).toBeLessThanOrEqual(bound * Math.sqrt(m + 1));
          // LAPACK's sign: the reflected first column points against its first element.
          if (m > 1 && n > 0) expect(Math.sign(r[0]![0]!)).toBe(-Math.sign(a[0]![0]!));
        });
      }
  });

  test.each(dtypes)("%sgesv, well and badly conditioned", (dtype) => {
    const next = random(13);
    for (const n of sizes)
      for (const nrhs of [0, 1, 7, 40]) {
        const a = randomMatrix(n, n, next, rounding[dtype]);
        if (n > 4)
          for (let j = 0; j < n; j++)
            a[2]![j] = rounding[dtype](a[1]![j]! + (dtype === "s" ? 1e-3 : 1e-8) * next());
        const b = randomMatrix(n, nrhs, next, rounding[dtype]);
        at.scratch(() => {
          const [lda, ldb] = [n + 1, nrhs + 1];
          const address = at.place(dtype, a, lda);
          const right = at.place(dtype, b, ldb);
          expect(functions[`${dtype}gesv`](n, nrhs, address, lda, right, ldb)).toBe(0);
          const found = read(dtype, right, n, nrhs, ldb);
          const scale = largest(a) * largest(found) * Math.max(1, n);
          expect(distance(multiply(a, found), b)).toBeLessThanOrEqual(20 * precision[dtype] * (scale + 1));
        });
      }
  });
  test.each(dtypes)("%sgesv reports a singular matrix", (dtype) => {
    const n = 40;
    const a = identity(n);
    a[20]![20] = 0;
    at.scratch(() => {
      const address = at.place(dtype, a, n);
      const right = at.place(dtype, identity(n), n);
      expect(functions[`${dtype}gesv`](n, n, address, n, right, n)).toBe(21);
    });
  });
});

describe("the whole address space", () => {
  const creators = {
    native: (memory: WebAssembly.Memory, allocate: (bytes: number) => number) =>
      createNativeBlas(memory, { allocate }),
    portable: (memory: WebAssembly.Memory, allocate: (bytes: number) => number) =>
      createPortableBlas(memory, { allocate }),
  };
  test.each(["native", "portable"] as const)("%s: addresses above 2 GiB, signed or not", (kind) => {
    if (kind === "native" && !native.blas) return;
    // Pages that nobody touches cost nothing.
    const memory = new WebAssembly.Memory({ initial: 32768 + 512, maximum: 65536, shared: true });
    let top = 2 ** 31 - 4096;
    const allocate = (bytes: number) => {
      const address = Math.ceil(top / 64) * 64;
      top = address + bytes;
      return address;
    };
    const { functions } = creators[kind](memory, allocate)!;
    const n = 40;
    const [a, b, c] = [allocate(n * n * 8), allocate(n * n * 8), allocate(n * n * 8)];
    const view = (address: number) => new Float64Array(memory.buffer, address, n * n);
    view(a).forEach((_, i) => {
      view(a)[i] = i % (n + 1) === 0 ? 2 : 0;
    });
    view(b).forEach((_, i) => {
      view(b)[i] = i;
    });
    for (const address of [c, c - 2 ** 32]) {
      view(c).fill(Number.NaN);
      functions.dgemm(0, 0, n, n, n, 1, a, n, b, n, 0, address, n);
      expect(view(c)).toEqual(view(b).map((x) => 2 * x));
      functions.dtrsm(1, 0, n, n, 1, a, n, address, n);
      expect(view(c)).toEqual(view(b));
    }
    expect(functions.dpotrf(n, a - 2 ** 32, n)).toBe(0);
    expect(view(a)[n + 1]).toBeCloseTo(Math.SQRT2, 15);
    functions.dpotri(n, a - 2 ** 32, n);
    expect(view(a)[n + 1]).toBeCloseTo(0.5, 15);
  });

  test.each(["native", "portable"] as const)("%s: the memory may grow, shared or not", (kind) => {
    if (kind === "native" && !native.blas) return;
    for (const shared of [true, false]) {
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 4096, shared });
      let top = 65536;
      const allocate = (bytes: number) => {
        const address = top;
        top += Math.ceil(bytes / 64) * 64;
        memory.grow(Math.max(0, Math.ceil((top - memory.buffer.byteLength) / 65536)));
        return address;
      };
      const { functions } = creators[kind](memory, allocate)!;
      for (let round = 0; round < 3; round++) {
        const place = allocate(2 ** 20);
        const values = new Float32Array(memory.buffer, place, 3);
        values.set([2, 3, 0]);
        functions.sgemm(0, 0, 1, 1, 1, 1, place, 1, place + 4, 1, 0, place + 8, 1);
        expect(values[2]).toBe(6);
        values[2] = 9;
        expect(functions.spotrf(1, place + 8, 1)).toBe(0);
        expect(values[2]).toBe(3);
      }
    }
  });
});

describe.skipIf(!native.blas)("native and portable agree", () => {
  const [one, two] = [native, implementations[1]!];
  test("in f32, to 1e-5", () => {
    const next = random(21);
    const n = 96;
    const g = randomMatrix(n, n, next, Math.fround);
    const run = (at: Bench) =>
      at.scratch(() => {
        const functions = at.blas!.functions;
        const results: Record<string, number[]> = {};
        const take = (name: string, address: number, length: number) => {
          results[name] = Array.from(at.view("s", address, length));
        };
        const [a, b, c] = [at.place("s", g, n), at.place("s", g, n), at.place("s", g, n)];
        functions.sgemm(0, 1, n, n, n, 1 / n, a, n, b, n, 0, c, n);
        const spd = at.view("s", c, n * n);
        for (let i = 0; i < n; i++) spd[i * n + i] = spd[i * n + i]! + 1;
        take("gemm", c, n * n);
        const start = spd.slice();
        functions.spotrf(n, c, n);
        take("potrf", c, n * n);
        functions.strsm(1, 0, n, n, 1, c, n, b, n);
        take("trsm", b, n * n);
        functions.spotri(n, c, n);
        take("potri", c, n * n);
        spd.set(start);
        functions.ssyevd(n, c, n, a);
        take("eigenvalues", a, n);
        spd.set(start);
        functions.sgeqrf(n, n, c, n, a, n);
        take("Q", c, n * n);
        take("R", a, n * n);
        spd.set(start);
        functions.sgesv(n, n, c, n, b, n);
        take("gesv", b, n * n);
        return results;
      });
    const [first, second] = [run(one!), run(two)];
    for (const [name, values] of Object.entries(first)) {
      const scale = values.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
      values.forEach((value, i) => {
        if (!(Math.abs(value - second[name]![i]!) <= 1e-5 * scale))
          throw new Error(`${name}[${i}]: native ${value}, portable ${second[name]![i]}`);
      });
    }
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
