/**
 * OpenBLAS chooses its kernels by the processor's model number. A processor younger than the library gets those of a
 * Pentium 4 ("Prescott"), four to six times slower than it could be: Debian 12's 0.3.21 does so on every Xeon since
 * 2023. What the processor can do is known, so the library is told.
 */
import { readFileSync } from "node:fs";

/** Kernels without AVX, which no processor with AVX should run. */
const old =
  /^(generic|katmai|coppermine|northwood|banias|prescott|core2|penryn|dunnington|nehalem|atom|athlon|opteron|barcelona)/i;

/**
 * The kernels for a processor with these features, when the library has chosen worse ones; as OPENBLAS_CORETYPE names
 * them.
 *
 *     betterCore("Prescott", new Set(["avx", "avx2", "fma"]))   // "HASWELL"
 */
export function betterCore(chosen: string, features: ReadonlySet<string>): string | undefined {
  if (!old.test(chosen)) return undefined;
  const all = (...names: string[]) => names.every((name) => features.has(name));
  if (all("avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd")) return "SKYLAKEX";
  if (all("avx2", "fma")) return "HASWELL";
  return all("avx") ? "SANDYBRIDGE" : undefined;
}

/** What Linux says that the first processor can do; empty elsewhere. */
export function processorFeatures(): ReadonlySet<string> {
  if (process.platform !== "linux" || process.arch !== "x64") return new Set();
  try {
    const flags = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "";
    return new Set(flags.trim().split(/\s+/));
  } catch {
    return new Set();
  }
}
