/**
 * Native against portable linear algebra: `npx tsx bench/gemm.ts [threads]`.
 *
 * Products are timed alternately, best of several rounds; GF/s counts 2 m n k operations.
 */
import type { Blas, BlasFunctions } from "../src/runtime/blas.js";
import { createNativeBlas } from "../src/runtime/blas-native.js";
import { createPortableBlas } from "../src/runtime/blas-portable.js";
import { enableRelaxedSimd } from "../src/runtime/blas-relaxed.js";

const threads = Number(process.argv[2] ?? 1);
enableRelaxedSimd();
const memory = new WebAssembly.Memory({ initial: 16, maximum: 65536, shared: true });
let top = 1024;
const allocate = (bytes: number) => {
  const address = Math.ceil(top / 64) * 64;
  top = address + bytes;
  const missing = top - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / 65536));
  return address;
};
const portable = createPortableBlas(memory, { allocate });
const native = createNativeBlas(memory, { allocate });
native?.setThreads?.(threads);
const all: Blas[] = native ? [native, portable] : [portable];
for (const blas of all) console.log(`${blas.kind.padEnd(8)} ${blas.description}`);
if (native) console.log(`native threads: ${threads}; portable: 1`);

// What an implementation allocates stays; the matrices share a region of their own.
const region = allocate(5 * 1024 * 1024 * 8);
let used = region;

const bytesOf = (dtype: "s" | "d") => (dtype === "s" ? 4 : 8);
const view = (dtype: "s" | "d", address: number, length: number) =>
  dtype === "s"
    ? new Float32Array(memory.buffer, address, length)
    : new Float64Array(memory.buffer, address, length);
const matrix = (dtype: "s" | "d", rows: number, columns: number) => {
  const address = used;
  used += Math.ceil((rows * columns * bytesOf(dtype)) / 64) * 64;
  return address;
};
function randomize(dtype: "s" | "d", address: number, length: number) {
  const values = view(dtype, address, length);
  for (let i = 0; i < length; i++) values[i] = Math.random() - 0.5;
}

/** The best time of each in ms, in alternating rounds of about 30 ms, until `budget` ms have gone. */
function race(actions: readonly (() => void)[], budget: number): number[] {
  const repeats = actions.map((action) => {
    for (let warm = 0; warm < 3; warm++) action();
    const start = performance.now();
    action();
    return Math.max(1, Math.round(30 / (performance.now() - start + 1e-3)));
  });
  const best = actions.map(() => Number.POSITIVE_INFINITY);
  for (const end = performance.now() + budget; performance.now() < end; ) {
    actions.forEach((action, index) => {
      const start = performance.now();
      for (let repeat = 0; repeat < repeats[index]!; repeat++) action();
      best[index] = Math.min(best[index]!, (performance.now() - start) / repeats[index]!);
    });
  }
  return best;
}

function report(label: string, times: readonly number[], text: (ms: number) => string) {
  const cells = times.map((ms, index) => `${all[index]!.kind} ${text(ms)}`);
  const ratio = times.length === 2 ? `portable/native speed ${(times[0]! / times[1]!).toFixed(2)}` : "";
  console.log([label.padEnd(22), ...cells, ratio].join("  "));
}

console.log("\nC = A B");
const shapes: readonly [number, number, number][] = [
  [64, 64, 64],
  [256, 256, 256],
  [1024, 1024, 1024],
  [128, 10, 64],
  [256, 16, 9],
  [1, 512, 512],
  [1000, 250, 500],
];
for (const dtype of ["s", "d"] as const)
  for (const [m, n, k] of shapes) {
    const [a, b, c] = [matrix(dtype, m, k), matrix(dtype, k, n), matrix(dtype, m, n)];
    randomize(dtype, a, m * k);
    randomize(dtype, b, k * n);
    const times = race(
      all.map(({ functions }) => {
        const gemm = functions[`${dtype}gemm`];
        return () => gemm(0, 0, m, n, k, 1, a, k, b, n, 0, c, n);
      }),
      // Of long products fewer rounds fit in a moment in which nothing else runs.
      m * n * k >= 2 ** 30 ? 5000 : 1000,
    );
    report(`${dtype}gemm ${m}x${n}x${k}`, times, (ms) =>
      `${((2e-6 * m * n * k) / ms).toFixed(1)} GF/s`.padStart(11),
    );
    used = region;
  }

console.log("\nLAPACK");
type Job = (functions: BlasFunctions, dtype: "s" | "d", n: number, a: number, b: number, w: number) => void;
const jobs: Record<string, Job> = {
  potrf: (f, d, n, a) => f[`${d}potrf`](n, a, n),
  potri: (f, d, n, a) => f[`${d}potri`](n, a, n),
  trsm: (f, d, n, a, b) => f[`${d}trsm`](1, 0, n, n, 1, a, n, b, n),
  gesv: (f, d, n, a, b) => f[`${d}gesv`](n, n, a, n, b, n),
  geqrf: (f, d, n, a, b) => f[`${d}geqrf`](n, n, a, n, b, n),
  syevd: (f, d, n, a, _b, w) => f[`${d}syevd`](n, a, n, w),
};
for (const dtype of ["s", "d"] as const)
  for (const n of [256, 1024]) {
    const [a, b, w, original] = [
      matrix(dtype, n, n),
      matrix(dtype, n, n),
      matrix(dtype, n, 1),
      matrix(dtype, n, n),
    ];
    // Symmetric positive definite: G Gᵀ / n + I.
    randomize(dtype, a, n * n);
    all[0]!.functions[`${dtype}gemm`](0, 1, n, n, n, 1 / n, a, n, a, n, 0, original, n);
    const source = view(dtype, original, n * n);
    for (let i = 0; i < n; i++) source[i * n + i]! += 1;
    const input = view(dtype, a, n * n) as Float32Array<ArrayBufferLike>;
    for (const [name, job] of Object.entries(jobs)) {
      // These overwrite A, so each round restores it, outside the clock.
      const best = all.map(() => Number.POSITIVE_INFINITY);
      const rounds = n <= 256 ? 12 : 4;
      for (let round = 0; round < rounds; round++)
        all.forEach(({ functions }, index) => {
          input.set(source as Float32Array<ArrayBufferLike>);
          randomize(dtype, b, n * n);
          if (name === "potri" || name === "trsm") all[0]!.functions[`${dtype}potrf`](n, a, n);
          const began = performance.now();
          job(functions, dtype, n, a, b, w);
          best[index] = Math.min(best[index]!, performance.now() - began);
        });
      report(`${dtype}${name} ${n}`, best, (ms) => `${ms.toFixed(2)} ms`.padStart(11));
    }
    used = region;
  }
