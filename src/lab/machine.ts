/** Where and with what a run was made: recorded with it, since times mean nothing without. */
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import * as v from "valibot";
import type { Runtime } from "../runtime/runtime.js";
import { formatBytes, plural } from "./format.js";

const text = v.pipe(v.string(), v.maxLength(300));

export const environmentSchema = v.object({
  thalweg: text,
  node: text,
  platform: text,
  processor: text,
  processors: v.pipe(v.number(), v.integer()),
  memoryBytes: v.number(),
  backend: v.picklist(["native", "portable"]),
  blas: text,
  threads: v.pipe(v.number(), v.integer()),
});
export type Environment = v.InferOutput<typeof environmentSchema>;

export type Machine = Omit<Environment, "backend" | "blas" | "threads">;

/** Version of this package. */
export function packageVersion(): string {
  const path = new URL("../../package.json", import.meta.url);
  return (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version;
}

/**
 * This machine and the versions on it.
 *
 *     describeMachine().processor
 */
export function describeMachine(): Machine {
  return {
    thalweg: packageVersion(),
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    processor: cpus()[0]?.model.trim() || "unknown",
    processors: availableParallelism(),
    memoryBytes: totalmem(),
  };
}

/**
 * The machine, and the linear algebra and threads of a runtime.
 *
 *     describeEnvironment(await createRuntime()).blas
 */
export const describeEnvironment = (runtime: Runtime): Environment => ({
  ...describeMachine(),
  backend: runtime.blas.kind,
  blas: runtime.blas.description.slice(0, 300),
  threads: runtime.threads,
});

/** The machine, as pages tell it. */
export const machineText = ({ processor, processors, memoryBytes, platform }: Machine): string =>
  `${processor}, ${plural(processors, "processor")}, ${formatBytes(memoryBytes)}, ${platform}`;

/** The linear algebra and the threads, as pages tell them. */
export const backendText = ({ blas, threads }: Pick<Environment, "blas" | "threads">): string =>
  `${blas}; ${plural(threads, "thread")}`;
