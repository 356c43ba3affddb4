/** `thalweg info`: what this machine has, and how fast it multiplies. */
import { compile } from "../compiler/compile.js";
import { formatBytes, formatSignificant } from "../lab/format.js";
import { describeEnvironment } from "../lab/machine.js";
import type { Runtime } from "../runtime/runtime.js";
import { trace } from "../tensor/program.js";
import type { InfoFlags } from "./flags.js";
import { openRuntime } from "./setup.js";
import { formatTable, plain, print, printJson } from "./text.js";

interface Speed {
  readonly backend: "native" | "portable";
  readonly threads: number;
  readonly dtype: "f32" | "f64";
  readonly gigaflops: number;
}

const extent = 768;

/** The best of several products of two square matrices, in 10⁹ floating-point operations a second. */
function measure(runtime: Runtime, dtype: "f32" | "f64"): number {
  const spec = { dtype, shape: [extent, extent] };
  const product = compile(
    runtime,
    trace((a, b) => a!.matmul(b!), spec, spec),
  );
  for (const input of product.inputs) input.data.fill(0.5);
  product.run();
  let best = Number.POSITIVE_INFINITY;
  const end = performance.now() + 250;
  while (performance.now() < end) {
    const start = performance.now();
    product.run();
    best = Math.min(best, performance.now() - start);
  }
  product.release();
  return (2 * extent ** 3) / (best * 1e6);
}

export async function info({ json = false }: InfoFlags): Promise<void> {
  const chosen = await openRuntime({});
  const environment = describeEnvironment(chosen);
  await chosen.close();
  const speeds: Speed[] = [];
  const backends =
    environment.backend === "native" ? (["native", "portable"] as const) : (["portable"] as const);
  for (const backend of backends)
    for (const threads of new Set([1, environment.threads])) {
      const runtime = await openRuntime({ backend, threads });
      for (const dtype of ["f32", "f64"] as const)
        speeds.push({ backend, threads, dtype, gigaflops: measure(runtime, dtype) });
      await runtime.close();
    }
  if (json) {
    printJson({ ...environment, speeds });
    return;
  }
  const facts: [string, string][] = [
    ["thalweg", environment.thalweg],
    ["Node", `${environment.node}, ${environment.platform}`],
    ["processor", `${environment.processor}, ${environment.processors} available`],
    ["memory", formatBytes(environment.memoryBytes)],
    [
      "backend",
      environment.backend === "native"
        ? `native: ${environment.blas}`
        : `portable: ${environment.blas}; a native BLAS is faster (Debian: apt-get install libopenblas0; others: name one in THALWEG_BLAS)`,
    ],
    ["threads", String(environment.threads)],
  ];
  const width = Math.max(...facts.map(([name]) => name.length));
  for (const [name, value] of facts) print(plain(`${name.padEnd(width)}  ${value}`));
  print("");
  print(`Products of ${extent}×${extent} matrices, GF/s:`);
  print(
    formatTable(
      [
        { title: "backend" },
        { title: "threads", align: "right" },
        { title: "f32", align: "right" },
        { title: "f64", align: "right" },
      ],
      backends.flatMap((backend) =>
        [...new Set([1, environment.threads])].map((threads) => [
          backend,
          String(threads),
          ...(["f32", "f64"] as const).map((dtype) =>
            formatSignificant(
              speeds.find((s) => s.backend === backend && s.threads === threads && s.dtype === dtype)!
                .gigaflops,
              3,
            ),
          ),
        ]),
      ),
    ),
  );
}
