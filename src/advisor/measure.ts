/** This machine as hardware: a few seconds of products, factorizations and copies. */
import { availableParallelism, cpus, totalmem } from "node:os";
import { compile } from "../compiler/compile.js";
import type { Runtime } from "../runtime/runtime.js";
import { trace } from "../tensor/program.js";
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

/** FLOP/s of square products of one size; small ones several in one program, so that the call does not count. */
function productSpeed(runtime: Runtime, dtype: "f32" | "f64", size: number): number {
  const count = Math.max(1, Math.min(64, Math.floor(2e7 / size ** 3)));
  const spec = { dtype, shape: [count, size, size] };
  const product = compile(
    runtime,
    trace((a, b) => a!.matmul(b!), spec, spec),
  );
  for (const { data } of product.inputs) data.fill(0.5);
  const seconds = best(() => product.run(), 150);
  product.release();
  return (2 * count * size ** 3) / seconds;
}

/**
 * Measures the runtime's machine: products of five sizes, a Cholesky inverse and an eigendecomposition of order 512,
 * and a sum of two arrays that no cache holds. About two seconds; allocates 200 MB for a moment.
 *
 *     const here = measureHardware(await createRuntime());
 */
export function measureHardware(runtime: Runtime): Hardware {
  const products = [16, 48, 128, 384, 1024].map((size) => ({
    size,
    rate: productSpeed(runtime, "f32", size),
  }));
  const f64 = productSpeed(runtime, "f64", 512);

  const n = 512;
  const [matrix, values] = [runtime.buffer("f32", [n, n]), runtime.buffer("f32", [n])];
  const { functions } = runtime.blas;
  const prepare = () => {
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) matrix.data[i * n + j] = i === j ? 2 : 1 / (1 + Math.abs(i - j)) / 4;
  };
  const cholesky = best(
    () => {
      functions.spotrf(n, matrix.address, n);
      functions.spotri(n, matrix.address, n);
    },
    100,
    prepare,
  );
  const eigen = best(() => functions.ssyevd(n, matrix.address, n, values.address), 200, prepare);
  matrix.release();
  values.release();

  const length = 2 ** 24;
  const sum = compile(
    runtime,
    trace((a, b) => a!.add(b!), { dtype: "f32", shape: [length] }, { dtype: "f32", shape: [length] }),
  );
  for (const { data } of sum.inputs) data.fill(1);
  const copied = best(() => sum.run(), 200);
  sum.release();

  return {
    name: `${cpus()[0]?.model.trim() || "this machine"}, ${availableParallelism()} processors`.slice(0, 80),
    matmul: { f32: products.at(-1)!.rate, f64 },
    products,
    factorization: { cholesky: n ** 3 / cholesky, eigen: (9 * n ** 3) / eigen },
    bandwidth: (3 * 4 * length) / copied,
    memory: totalmem(),
    interconnect: { bandwidth: 1.25e9, latency: 100e-6 },
    efficiency: { matmul: 1, memory: 1 },
    note: `Measured with ${runtime.threads} thread${runtime.threads === 1 ? "" : "s"} and ${runtime.blas.kind === "native" ? "a native BLAS" : "portable kernels"}; the network, 10 Gb/s, is assumed.`,
  };
}
