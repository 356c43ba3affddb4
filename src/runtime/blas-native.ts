/**
 * The native implementation: OpenBLAS, MKL or Accelerate, called through koffi on the WebAssembly memory itself.
 *
 * Node only; load it by dynamic import. native-library.ts finds and opens the library. Addresses are passed as plain numbers (base + offset, below 2^53), so a call
 * allocates nothing. LAPACK is called by its Fortran symbols, since a distribution's OpenBLAS may come without LAPACKE;
 * it sees our row-major matrices as their transposes, so "lower" here is "U" there. A routine whose symbols are missing
 * falls back to the portable one. Apart from the library's own thread count nothing here is global to the process:
 * every worker thread creates its own `Blas`.
 */
import koffi, { type LibraryHandle } from "koffi";
import { ModuleBuilder } from "./assembler.js";
import type { Allocate, Blas, BlasFunctions } from "./blas.js";
import { createPortableBlas } from "./blas-portable.js";
import { double, single } from "./gemm-code.js";
import { defineMirror, defineTranspose, defineZeroUpper } from "./matrix-moves.js";
import { deepStack, describe, type Native, openLibrary, symbol, threadSetter } from "./native-library.js";
import { type LowerProduct, symmetric } from "./symmetric.js";

export interface NativeOptions {
  /** Memory for routines that the library lacks. */
  readonly allocate: Allocate;
  /** A library to use instead of searching: a path, or a name for the system's loader. */
  readonly library?: string;
}

/** The native BLAS on `memory`, or `undefined` when there is none or `THALWEG_BLAS` disables it. */
export function createNativeBlas(memory: WebAssembly.Memory, options: NativeOptions): Blas | undefined {
  const found = openLibrary(options);
  if (!found) return undefined;
  const shared = memory.buffer instanceof SharedArrayBuffer;
  const triangles = triangleKernels(memory, shared);
  let fallback: BlasFunctions | undefined;
  const portable = () => {
    fallback ??= createPortableBlas(memory, { allocate: options.allocate }).functions;
    return fallback;
  };
  const address = addressOf(memory, shared);
  const functions = {
    ...routines("s", found.library, memory, address, triangles, portable),
    ...routines("d", found.library, memory, address, triangles, portable),
  } as unknown as BlasFunctions;
  const setThreads = threadSetter(found);
  return {
    kind: "native",
    description: describe(found),
    unpacked: /OpenBLAS.*(SkylakeX|Cooperlake|SapphireRapids) kernels/i.test(describe(found)) ? 1e6 : 0,
    functions,
    ...(setThreads ? { setThreads } : {}),
  };
}

/**
 * Addresses in the memory as numbers that C takes for pointers. A shared memory never moves; another one keeps its
 * place too where the engine reserves its whole range, which is checked whenever it has grown.
 */
function addressOf(memory: WebAssembly.Memory, shared: boolean): (offset: number) => number {
  // A memory of no pages has no address yet.
  const find = () => Number(koffi.address(new Uint8Array(memory.buffer)));
  let base = find();
  if (shared && base !== 0) return (offset) => base + (offset >>> 0);
  let buffer = memory.buffer;
  return (offset) => {
    if (memory.buffer !== buffer) {
      buffer = memory.buffer;
      base = find();
    }
    return base + (offset >>> 0);
  };
}

type TriangleKernel = (n: number, a: number, lda: number) => void;
type TriangleKernels = Record<"szeroupper" | "dzeroupper" | "smirror" | "dmirror", TriangleKernel>;

function triangleKernels(memory: WebAssembly.Memory, shared: boolean): TriangleKernels {
  const builder = new ModuleBuilder({ shared, maximumPages: 65536 });
  for (const kind of [single, double]) {
    defineZeroUpper(builder, kind);
    defineMirror(builder, kind, defineTranspose(builder, kind));
  }
  const module = new WebAssembly.Module(builder.toBytes());
  return new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as TriangleKernels;
}

const rowMajor = 101;
const noTranspose = 111;
const [upper, lower] = [121, 122];
const [nonUnit, unit] = [131, 132];
const [leftSide, rightSide] = [141, 142];

/** The functions of one dtype, with names that carry its prefix. */
function routines(
  prefix: "s" | "d",
  library: LibraryHandle,
  memory: WebAssembly.Memory,
  at: (offset: number) => number,
  triangles: TriangleKernels,
  portable: () => BlasFunctions,
): Record<string, (...values: number[]) => number | undefined> {
  const scalar = prefix === "s" ? "float" : "double";
  const size = prefix === "s" ? 4 : 8;
  const pointer = "int64_t";
  const int = "int";
  const cblas = (name: string, parameters: string[]) =>
    symbol(library, `cblas_${prefix}${name}`, "void", parameters);
  const gemm = cblas("gemm", [
    ...Array.from({ length: 6 }, () => int),
    scalar,
    pointer,
    int,
    pointer,
    int,
    scalar,
    pointer,
    int,
  ])!;
  const syrk = cblas("syrk", [
    ...Array.from({ length: 5 }, () => int),
    scalar,
    pointer,
    int,
    scalar,
    pointer,
    int,
  ]);
  const trsm = cblas("trsm", [...Array.from({ length: 7 }, () => int), scalar, pointer, int, pointer, int])!;
  const swap = cblas("swap", [int, pointer, int, pointer, int])!;
  const fortran = (name: string, parameters: number) =>
    symbol(
      library,
      `${prefix}${name}_`,
      "void",
      Array.from({ length: parameters }, () => pointer),
    );
  const potrf = fortran("potrf", 5);
  const potri = fortran("potri", 5);
  const syevd = fortran("syevd", 11);
  const gelqf = fortran("gelqf", 8);
  const orglq = fortran("orglq", 9);
  const getrf = fortran("getrf", 6);
  const zeroUpper = triangles[`${prefix}zeroupper`];
  const mirror = triangles[`${prefix}mirror`];

  // Integer arguments of Fortran go by address: slots 0..7, then the letters.
  const slots = new Int32Array(new ArrayBuffer(64), 0, 16);
  const slotBase = Number(koffi.address(slots));
  const slot = (index: number) => slotBase + 4 * index;
  const letter = { U: slot(8), V: slot(9) };
  slots[8] = "U".charCodeAt(0);
  slots[9] = "V".charCodeAt(0);
  const info = 7;
  const work = workspace();
  const integerWork = workspace();

  const gemmOf = (
    transA: number,
    transB: number,
    m: number,
    n: number,
    k: number,
    alpha: number,
    a: number,
    lda: number,
    b: number,
    ldb: number,
    beta: number,
    c: number,
    ldc: number,
  ) => {
    if (m <= 0 || n <= 0) return;
    // The libraries insist on leading dimensions of at least 1 and the row length, even of matrices without rows.
    const [ldaSafe, ldbSafe] = k > 0 ? [lda, ldb] : [Math.max(lda, m), Math.max(ldb, n)];
    gemm(
      rowMajor,
      noTranspose + transA,
      noTranspose + transB,
      m,
      n,
      k,
      alpha,
      at(a),
      ldaSafe,
      at(b),
      ldbSafe,
      beta,
      at(c),
      ldc,
    );
  };
  const lowerOf: LowerProduct | undefined =
    syrk &&
    ((trans, n, k, alpha, x, ldx, c, ldc) => {
      syrk(rowMajor, lower, noTranspose + trans, n, k, alpha, at(x), ldx, 0, at(c), ldc);
    });
  const own: Record<string, ((...values: number[]) => number | undefined) | false | undefined> = {
    gemm: (lowerOf ? symmetric(gemmOf, lowerOf, mirror) : gemmOf) as unknown as Native,
    trsm: ((
      left: number,
      transA: number,
      m: number,
      n: number,
      alpha: number,
      a: number,
      lda: number,
      b: number,
      ldb: number,
    ) => {
      if (m <= 0 || n <= 0) return;
      trsm(
        rowMajor,
        left ? leftSide : rightSide,
        lower,
        noTranspose + transA,
        nonUnit,
        m,
        n,
        alpha,
        at(a),
        lda,
        at(b),
        ldb,
      );
    }) as unknown as Native,
    potrf:
      potrf &&
      ((n: number, a: number, lda: number) => {
        if (n <= 0) return 0;
        slots[0] = n;
        slots[1] = lda;
        potrf(letter.U, slot(0), at(a), slot(1), slot(info));
        zeroUpper(n, a, lda);
        if (slots[info] !== 0) return slots[info]!;
        // OpenBLAS lets NaN pass for positive.
        const last = (n - 1) * (lda + 1);
        const values = view(a, last + 1);
        for (let i = 0; i <= last; i += lda + 1) if (Number.isNaN(values[i]!)) return i / (lda + 1) + 1;
        return 0;
      }),
    potri:
      potri &&
      ((n: number, a: number, lda: number) => {
        if (n <= 0) return undefined;
        slots[0] = n;
        slots[1] = lda;
        potri(letter.U, slot(0), at(a), slot(1), slot(info));
        mirror(n, a, lda);
        return undefined;
      }),
    syevd:
      syevd &&
      ((n: number, a: number, lda: number, w: number) => {
        if (n <= 0) return 0;
        const length = 1 + 6 * n + 2 * n * n;
        slots[0] = n;
        slots[1] = lda;
        slots[2] = length;
        slots[3] = 3 + 5 * n;
        const works = work(length * size);
        const integers = integerWork(4 * (3 + 5 * n));
        syevd(
          letter.V,
          letter.U,
          slot(0),
          at(a),
          slot(1),
          at(w),
          works,
          slot(2),
          integers,
          slot(3),
          slot(info),
        );
        return slots[info]!;
      }),
    // A = Q R is Aᵀ = Rᵀ Qᵀ, the LQ factorization of what Fortran sees.
    geqrf:
      gelqf &&
      orglq &&
      ((m: number, n: number, a: number, lda: number, r: number, ldr: number) => {
        if (n <= 0) return 0;
        slots[0] = n;
        slots[1] = m;
        slots[2] = lda;
        slots[3] = 64 * n;
        const tau = work(65 * n * size);
        const rest = tau + n * size;
        gelqf(slot(0), slot(1), at(a), slot(2), tau, rest, slot(3), slot(info));
        if (slots[info] !== 0) return slots[info]!;
        copyUpper(n, a, lda, r, ldr);
        orglq(slot(0), slot(1), slot(0), at(a), slot(2), tau, rest, slot(3), slot(info));
        return slots[info]!;
      }),
    // Fortran factors Aᵀ = P L U, so A X = B is Uᵀ Lᵀ Pᵀ X = B: in row-major terms a lower and a unit upper solve.
    gesv:
      deepStack &&
      getrf &&
      ((n: number, nrhs: number, a: number, lda: number, b: number, ldb: number) => {
        if (n <= 0) return 0;
        slots[0] = n;
        slots[1] = lda;
        const pivotBase = integerWork(4 * n);
        getrf(slot(0), slot(0), at(a), slot(1), pivotBase, slot(info));
        if (slots[info] !== 0 || nrhs <= 0) return slots[info]!;
        const [matrix, right] = [at(a), at(b)];
        trsm(rowMajor, leftSide, lower, noTranspose, nonUnit, n, nrhs, 1, matrix, lda, right, ldb);
        trsm(rowMajor, leftSide, upper, noTranspose, unit, n, nrhs, 1, matrix, lda, right, ldb);
        const pivots = integerWork.view();
        for (let row = n - 1; row >= 0; row--) {
          const other = pivots[row]! - 1;
          if (other !== row) swap(nrhs, right + row * ldb * size, 1, right + other * ldb * size, 1);
        }
        return 0;
      }),
  };
  return Object.fromEntries(
    Object.entries(own).map(([name, implementation]) => {
      const full = `${prefix}${name}`;
      return [full, implementation || (portable()[full as keyof BlasFunctions] as unknown as Native)];
    }),
  );

  function view(address: number, count: number) {
    return size === 4
      ? new Float32Array(memory.buffer, address >>> 0, count)
      : new Float64Array(memory.buffer, address >>> 0, count);
  }
  /** R is the upper triangle of the factored A; below it zeros. */
  function copyUpper(n: number, a: number, lda: number, r: number, ldr: number) {
    const from = view(a, (n - 1) * lda + n);
    const to = view(r, (n - 1) * ldr + n);
    for (let row = 0; row < n; row++) {
      to.fill(0, row * ldr, row * ldr + row);
      to.set(from.subarray(row * lda + row, row * lda + n) as Float32Array & Float64Array, row * ldr + row);
    }
  }
}

/** Memory outside the arena that grows to the largest request: called, it returns the address. */
function workspace() {
  let buffer = new ArrayBuffer(4096);
  let address = Number(koffi.address(new Uint8Array(buffer)));
  const get = (bytes: number) => {
    if (bytes > buffer.byteLength) {
      buffer = new ArrayBuffer(8 * Math.ceil(bytes / 6));
      address = Number(koffi.address(new Uint8Array(buffer)));
    }
    return address;
  };
  return Object.assign(get, { view: () => new Int32Array(buffer) });
}
