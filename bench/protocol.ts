/**
 * What the two sides of a race speak: one JSON message a line, requests on the standard input, answers on the
 * standard output. The first line a side writes is `Ready`; every request is answered by one line, in order. The end of
 * the input ends the side. A side must not use the processor between requests.
 */
import { createInterface } from "node:readline";

export interface Ready {
  readonly ready: true;
  readonly side: string;
  readonly threads: number;
  readonly blas?: string;
}

export interface BlockRequest {
  readonly workload: string;
  /** `op-grad`, `op-hvp`, `op-hvp-retained`, `op-ggnvp`, `op-ggnvp-retained`, `sgd`, `adam`, `shampoo`, … */
  readonly optimizer: string;
  /** Steps to time. */
  readonly steps: number;
  /** Steps before them that are not timed (caches were the other side's). */
  readonly warm?: number;
  /** Steps to a sample: more than one where work is periodic. */
  readonly period?: number;
}

export interface BlockAnswer {
  readonly workload: string;
  readonly optimizer: string;
  readonly steps: number;
  /** ms a step, one for each `period` steps. */
  readonly samples: readonly number[];
  readonly median: number;
  readonly min: number;
  /** Loss of the initial parameters. */
  readonly loss_first?: number;
  /** Number of parameters. */
  readonly params?: number;
  readonly impl?: string;
}

export interface Skipped {
  readonly skipped: string;
}

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
};

/** A built step. `step` returns when its work is done, all threads included. */
export interface Built {
  step(): void;
  /** Loss at the initial parameters, when known. */
  readonly firstLoss?: number;
  /** Number of parameters, when known. */
  readonly parameters?: number;
}

/** A workload (`name`) under an operation (`op`, one of the protocol's `optimizer` names). */
export interface Entry {
  readonly name: string;
  readonly op: string;
  build(threads: number): Built | Promise<Built>;
}

/** The Thalweg side's loop: builds and warms up an entry at its first request, keeps it, times blocks of steps. */
export async function serve(entries: readonly Entry[], threads: number, side = "Thalweg"): Promise<void> {
  const write = (message: unknown) => process.stdout.write(`${JSON.stringify(message)}\n`);
  const built = new Map<string, Built>();
  write({ ready: true, side, threads } satisfies Ready);
  for await (const line of createInterface({ input: process.stdin })) {
    if (!line.trim()) continue;
    let head = {};
    try {
      const { workload, optimizer, steps, warm = 0, period = 1 } = JSON.parse(line) as BlockRequest;
      head = { workload, optimizer };
      const key = `${workload} ${optimizer}`;
      let it = built.get(key);
      if (!it) {
        const entry = entries.find(({ name, op }) => name === workload && op === optimizer);
        if (!entry) {
          write({ ...head, skipped: "not registered" });
          continue;
        }
        it = await entry.build(threads);
        const start = performance.now();
        for (let n = 0; n < 3 || n % period || (performance.now() - start < 100 && n < 500); n++) it.step();
        built.set(key, it);
      }
      for (let n = 0; n < Math.ceil(warm / period) * period; n++) it.step();
      const samples: number[] = [];
      while (samples.length * period < steps) {
        const start = performance.now();
        for (let n = 0; n < period; n++) it.step();
        samples.push((performance.now() - start) / period);
      }
      write({
        ...head,
        threads,
        steps: samples.length * period,
        period,
        samples,
        median: median(samples),
        min: Math.min(...samples),
        ...(it.firstLoss === undefined ? {} : { loss_first: it.firstLoss }),
        ...(it.parameters === undefined ? {} : { params: it.parameters }),
      });
    } catch (error) {
      write({ ...head, skipped: String(error) });
    }
  }
}
