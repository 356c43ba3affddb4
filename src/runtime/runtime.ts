/** What programs run on: a memory, a BLAS, and a number of threads. */
import type { Blas } from "./blas.js";
import { createPortableBlas, hasRelaxedSimd } from "./blas-portable.js";
import { type Clock, type ClockName, clocks } from "./clock.js";
import { packingBytes } from "./gemm-workspace.js";
import { createMemory, type Memory } from "./memory.js";
import { controlBytes, type Team } from "./team.js";
import { useFusedMultiplyAdd } from "./vectors.js";

export interface Runtime extends Memory {
  readonly blas: Blas;
  readonly threads: number;
  /** By which trainings on it tell their time. */
  readonly clock: Clock;
  /** The other threads; undefined when there is one only. */
  readonly team: Team | undefined;
  /** Once `close` has been called: nothing may be compiled or run any more; buffers can still be read. */
  readonly closed: boolean;
  /** Ends the other threads. A process also ends without it; calling it again does nothing. */
  close(): Promise<void>;
}

export interface RuntimeOptions {
  /** "native": fail without one; "portable": do not look; default: native where there is one. */
  readonly blas?: "native" | "portable";
  /** Default: THALWEG_THREADS, or the processors available to this process, at most 16; 1 in browsers. */
  readonly threads?: number;
  /** Default: "wall"; "cpu" needs Node. */
  readonly clock?: ClockName;
}

const mostThreads = 64;
const isThreadCount = (count: number) => Number.isInteger(count) && count >= 1 && count <= mostThreads;

const isNode = typeof process !== "undefined" && process.versions?.node !== undefined;

/**
 * Creates a runtime.
 *
 *     const runtime = await createRuntime({ threads: 1 });
 *
 * @throws Error when the wanted BLAS cannot be loaded (THALWEG_BLAS names it, or `blas: "native"` and none is found),
 * for a number of threads that is none, and for the clock "cpu" in a browser.
 */
export async function createRuntime(options: RuntimeOptions = {}): Promise<Runtime> {
  const threads = options.threads ?? (await defaultThreads());
  if (!isThreadCount(threads))
    throw new Error(`runtime: ${threads} threads; use a whole number from 1 to ${mostThreads}`);
  if (options.clock === "cpu" && !isNode)
    throw new Error("runtime: only Node tells the time of the processor; leave the clock at wall");
  const memory = createMemory(isNode);
  const native = options.blas === "portable" || !isNode ? undefined : await loadNative(memory);
  if (!native && options.blas === "native")
    throw new Error(
      "runtime: no native BLAS found; install OpenBLAS (Debian: apt-get install libopenblas0) or name one in THALWEG_BLAS",
    );
  useFusedMultiplyAdd(isNode ? (await import("./blas-relaxed.js")).enableRelaxedSimd() : hasRelaxedSimd());
  const blas = native?.blas ?? createPortableBlas(memory.memory, { allocate: memory.allocate });
  // The team shares the work of each product; the library's own threads would only compete with it.
  blas.setThreads?.(1);
  const team = threads === 1 ? undefined : await startTeam(memory, threads, native?.path);
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= team ? team.close() : Promise.resolve();
    return closing;
  };
  return Object.defineProperties({} as Runtime, {
    ...Object.getOwnPropertyDescriptors(memory),
    blas: { value: blas, enumerable: true },
    threads: { value: threads, enumerable: true },
    clock: { value: clocks[options.clock ?? "wall"], enumerable: true },
    team: { value: team, enumerable: true },
    closed: { get: () => closing !== undefined, enumerable: true },
    close: { value: close, enumerable: true },
  });
}

async function defaultThreads(): Promise<number> {
  if (!isNode) return 1;
  const given = process.env.THALWEG_THREADS;
  if (given !== undefined && given !== "") {
    const count = Number(given);
    if (!isThreadCount(count))
      throw new Error(`THALWEG_THREADS is "${given}"; use a whole number from 1 to ${mostThreads}`);
    return count;
  }
  const { availableParallelism } = await import("node:os");
  return Math.min(16, availableParallelism());
}

async function loadNative(memory: Memory): Promise<{ blas: Blas; path: string } | undefined> {
  const { findNativeLibrary } = await import("./native-library.js");
  const found = findNativeLibrary();
  if (!found) return undefined;
  const { createNativeBlas } = await import("./blas-native.js");
  const blas = createNativeBlas(memory.memory, { allocate: memory.allocate, library: found.path });
  return blas && { blas, path: found.path };
}

async function startTeam(memory: Memory, threads: number, library: string | undefined): Promise<Team> {
  const { createTeam } = await import("./team-node.js");
  const control = memory.allocate(controlBytes);
  const bytes = 2 * packingBytes + 65536;
  return createTeam({
    memory: memory.memory,
    control,
    threads,
    library,
    workspace: () => ({ address: memory.allocate(bytes), bytes }),
  });
}
