/** This machine as hardware: a few seconds of products, factorizations, elementwise work and copies. */
import { availableParallelism, cpus, totalmem } from "node:os";
import { compile } from "../compiler/compile.js";
import type { Runtime } from "../runtime/runtime.js";
import { trace } from "../tensor/program.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Hardware } from "./hardware.js";

/** The best time of a repeated action within `milliseconds`, in seconds. */
function best(action: () => void, milliseconds: number, prepare: () => void = () => {}): number {
  prepare();
  action();
  let fastest = Number.POSITIVE_INFINITY;
  const end = performance.now() + milliseconds;
  do {
    prepare();
    const start = performance.now();
    action();
    fastest = Math.min(fastest, (performance.now() - start) / 1000);
  } while (performance.now() < end);
  return fastest;
}

/** Seconds of a program of two arrays of one shape. */
function programSeconds(
  runtime: Runtime,
  dtype: "f32" | "f64",
  shapes: readonly [readonly number[], readonly number[]],
  f: (a: Tensor, b: Tensor) => Tensor,
  milliseconds: number,
): number {
  const [a, b] = shapes.map((shape) => ({ dtype, shape }));
  const program = compile(
    runtime,
    trace((x, y) => f(x!, y!), a!, b!),
  );
  for (const { data } of program.inputs) data.fill(0.5);
  const seconds = best(() => program.run(), milliseconds);
  program.release();
  return seconds;
}

/** FLOP/s of m×k by k×n; small ones several in one program, so that the call does not count. */
function productRate(
  runtime: Runtime,
  dtype: "f32" | "f64",
  [m, k, n]: readonly [number, number, number],
  milliseconds: number,
): number {
  const count = Math.max(1, Math.min(64, Math.floor(2e7 / (m * k * n))));
  const shapes = [
    [count, m, k],
    [count, k, n],
  ] as const;
  const seconds = programSeconds(runtime, dtype, shapes, (a, b) => a.matmul(b), milliseconds);
  return (2 * count * m * k * n) / seconds;
}

/** FLOP/s of factorizations of one order, 9n³ for eigenvectors and n³ for a Cholesky inverse. */
function factorizationRates(
  runtime: Runtime,
  n: number,
  milliseconds: number,
): { cholesky: number; eigen: number } {
  const [matrix, values] = [runtime.buffer("f32", [n, n]), runtime.buffer("f32", [n])];
  const { functions } = runtime.blas;
  const prepare = () => {
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) matrix.data[i * n + j] = i === j ? 2 : 1 / (1 + Math.abs(i - j)) / 4;
  };
  const invert = () => {
    functions.spotrf(n, matrix.address, n);
    functions.spotri(n, matrix.address, n);
  };
  const cholesky = best(invert, milliseconds, prepare);
  const eigen = best(() => functions.ssyevd(n, matrix.address, n, values.address), milliseconds, prepare);
  matrix.release();
  values.release();
  return { cholesky: n ** 3 / cholesky, eigen: (9 * n ** 3) / eigen };
}

const pointsOf = (sizes: readonly number[], rate: (size: number) => number) =>
  sizes.map((size) => ({ size, rate: rate(size) }));

/** Operations of a chain that fits a cache, and elements of it. */
const [chainLength, chainElements] = [8, 4096];
const chain = (a: Tensor, b: Tensor): Tensor => a.mul(b).add(a).mul(b).add(b).mul(a).add(a).mul(b).add(1);

/**
 * Measures the runtime's machine: products of squares and of thin matrices, Cholesky inverses and eigendecompositions,
 * sums of two arrays in each cache and in none, elementwise operations, and a call. About three seconds; allocates
 * 200 MB for a moment. The best of many times each: of a machine whose clock moves, its fast state.
 *
 *     const here = measureHardware(await createRuntime());
 *
 * @param milliseconds of each of thirty measurements.
 */
export function measureHardware(runtime: Runtime, milliseconds = 80): Hardware {
  const square = (side: number, dtype: "f32" | "f64" = "f32") =>
    productRate(runtime, dtype, [side, side, side], milliseconds);
  const products = pointsOf([16, 48, 128, 384, 1024], square);
  const thinProducts = pointsOf([1, 4, 16, 64], (side) =>
    productRate(runtime, "f32", [512, 512, side], milliseconds),
  );

  const orders = [32, 128, 512].map((size) => ({ size, ...factorizationRates(runtime, size, milliseconds) }));

  const flat = (length: number, f: (a: Tensor, b: Tensor) => Tensor) =>
    programSeconds(runtime, "f32", [[length], [length]], f, milliseconds);
  const bandwidths = pointsOf([2 ** 15, 2 ** 19, 2 ** 23, 2 ** 27], (bytes) => {
    const length = Math.floor(bytes / 12);
    return (12 * length) / flat(length, (a, b) => a.add(b));
  });

  return {
    name: `${cpus()[0]?.model.trim() || "this machine"}, ${availableParallelism()} processors`.slice(0, 80),
    matmul: { f32: products.at(-1)!.rate, f64: square(512, "f64") },
    factorization: { cholesky: orders.at(-1)!.cholesky, eigen: orders.at(-1)!.eigen },
    bandwidth: bandwidths.at(-1)!.rate,
    memory: totalmem(),
    interconnect: { bandwidth: 1.25e9, latency: 100e-6 },
    efficiency: { matmul: 1, memory: 1 },
    note: `Measured with ${runtime.threads} thread${runtime.threads === 1 ? "" : "s"} and ${runtime.blas.kind === "native" ? "a native BLAS" : "portable kernels"}; the network, 10 Gb/s, is assumed.`,
    measured: {
      products,
      thinProducts,
      bandwidths,
      cholesky: orders.map(({ size, cholesky }) => ({ size, rate: cholesky })),
      eigen: orders.map(({ size, eigen }) => ({ size, rate: eigen })),
      elementwise: (chainLength * chainElements) / flat(chainElements, chain),
      transcendental: (2 * chainElements) / flat(chainElements, (a, b) => a.tanh().add(b.exp())),
      call: callSeconds(runtime, milliseconds),
    },
  };
}

/** Seconds of one step of a program that does next to nothing: sums over rows, and what needs them. */
function callSeconds(runtime: Runtime, milliseconds: number): number {
  const sums = 50;
  const program = compile(
    runtime,
    trace((x) => Array.from({ length: sums }).reduce<Tensor>((y) => y.sub(y.sum(0)), x!), {
      dtype: "f32",
      shape: [4, 4],
    }),
  );
  const seconds = best(() => program.run(), milliseconds);
  const { length } = program.steps;
  program.release();
  return seconds / length;
}
