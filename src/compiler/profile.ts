/** Where a program's time goes, step by step. */
import type { Runtime } from "../runtime/runtime.js";
import type { Data } from "../tensor/dtype.js";
import type { Program } from "../tensor/program.js";
import { compile } from "./compile.js";

export interface StepTime {
  readonly step: string;
  /** Median over the runs. */
  readonly milliseconds: number;
}

/**
 * Runs the program `runs` times on one thread, with the given inputs, and times each step; largest first.
 *
 *     for (const { step, milliseconds } of profile(runtime, program, inputs, 20)) console.log(milliseconds, step);
 */
export function profile(
  runtime: Runtime,
  program: Program,
  inputs: readonly Data[],
  runs: number,
): StepTime[] {
  let last = 0;
  const times: number[][] = [];
  const executable = compile(runtime, program, {}, (step) => {
    const now = performance.now();
    times[step] ??= [];
    times[step].push(now - last);
    last = now;
  });
  inputs.forEach((data, index) => {
    executable.inputs[index]!.set(data);
  });
  for (let run = 0; run < runs; run++) {
    last = performance.now();
    executable.run();
  }
  const steps = executable.steps.map((step, index) => {
    // The first half warms the engine's compiler up.
    const list = (times[index] ?? []).slice(Math.floor(runs / 2)).sort((a, b) => a - b);
    return { step, milliseconds: list[list.length >> 1] ?? 0 };
  });
  executable.release();
  return steps.sort((a, b) => b.milliseconds - a.milliseconds);
}
