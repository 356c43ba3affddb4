/** Program → executable: everything is decided here, so that a run allocates nothing and decides nothing. */
import { ModuleBuilder } from "../runtime/assembler.js";
import { gemmSignature } from "../runtime/blas.js";
import type { Buffer } from "../runtime/memory.js";
import type { Runtime } from "../runtime/runtime.js";
import { defineBarrier } from "../runtime/team.js";
import { checkClosed, type Program } from "../tensor/program.js";
import { describeStep } from "./describe.js";
import { callsOf, pays } from "./driver.js";
import { KernelCache } from "./kernel.js";
import { prepareStep } from "./parts.js";
import { type Bindings, type Plan, plan } from "./plan.js";
import { type Schedule, schedule } from "./schedule.js";
import { simplify } from "./simplify.js";

/** A compiled program with its memory. */
export interface Executable {
  /** In the order of the program's inputs: write these before a run. */
  readonly inputs: readonly Buffer[];
  /** In the order of the program's outputs: read these after a run. */
  readonly outputs: readonly Buffer[];
  run(): void;
  /** Bytes of intermediate results. */
  readonly arenaBytes: number;
  /** Bytes of WebAssembly code. */
  readonly codeBytes: number;
  readonly threads: number;
  /** What each step does, in order. */
  readonly steps: readonly string[];
  /** Gives the memory back; the executable and the buffers it made must not be used afterwards. */
  release(): void;
}

/**
 * Compiles a program for a runtime.
 *
 *     const program = trace((x, w) => x!.matmul(w!), { shape: [2, 3], dtype: "f32" }, { shape: [3, 4], dtype: "f32" });
 *     const executable = compile(runtime, program);
 *     executable.inputs[0]!.set([1, 2, 3, 4, 5, 6]);
 *     executable.run();
 *
 * Elements, rows, and sums along rows are the same bits for every number of threads. Sums over rows (and those over
 * everything), matrix products and the gradient of a convolution's weights are not: threads add up their own shares
 * first. For one number of threads the bits are always the same.
 *
 * @throws ShapeError when the program uses inputs of another trace or a bound buffer does not fit.
 * @throws Error when the runtime is closed, or its memory does not suffice.
 */
export function compile(
  runtime: Runtime,
  program: Program,
  bindings: Bindings = {},
  /** Called after each step with its number: for profiles; such a program runs on one thread. */
  tick?: (step: number) => void,
): Executable {
  checkClosed(program);
  if (runtime.closed)
    throw new Error("compile: the runtime is closed; create another one with createRuntime()");
  const scheduled = schedule(simplify(program));
  const planned = plan(scheduled, runtime, bindings);
  const owned: number[] = [];
  const release = () => {
    planned.release();
    for (const address of owned) runtime.release(address);
  };
  try {
    return assemble(runtime, scheduled, planned, owned, release, tick);
  } catch (error) {
    release();
    throw error;
  }
}

/** `owned` collects the addresses of scratch and partial results. */
function assemble(
  runtime: Runtime,
  scheduled: Schedule,
  planned: Plan,
  owned: number[],
  release: () => void,
  tick: ((step: number) => void) | undefined,
): Executable {
  const module = new ModuleBuilder({ shared: runtime.shared, maximumPages: 65536 });
  const gemm = {
    f32: module.importFunction("sgemm", gemmSignature, []),
    f64: module.importFunction("dgemm", gemmSignature, []),
  };
  const ticked = tick && module.importFunction("tick", ["i32"], []);
  const cache = new KernelCache(module);
  const parts = scheduled.steps.map((step) => prepareStep(step, cache));
  const team = tick ? undefined : runtime.team;
  const threads = team && pays(parts, runtime.threads) ? runtime.threads : 1;
  const barrier = threads > 1 ? defineBarrier(module, team!.control, threads) : undefined;
  const calls = callsOf({ runtime, planned, cache, gemm, threads, barrier, owned }, parts);
  module.define(
    ["i32"],
    [],
    (code, thread) => {
      calls.forEach((call, step) => {
        call(code, thread);
        if (!ticked) return;
        code.i32(step);
        code.call(ticked);
      });
    },
    "run",
  );
  const bytes = module.toBytes();
  const compiled = new WebAssembly.Module(bytes);
  const instance = new WebAssembly.Instance(compiled, {
    env: { memory: runtime.memory, ...runtime.blas.functions, tick: tick ?? (() => {}) },
  });
  const own = instance.exports.run as (thread: number) => void;
  const checkOpen = () => {
    if (runtime.closed)
      throw new Error("run: the runtime of this executable is closed; compile it for another one");
  };
  const members = threads > 1 ? team : undefined;
  const number = members?.add(compiled);

  return {
    inputs: planned.inputs,
    outputs: planned.outputs,
    run: members
      ? () => {
          checkOpen();
          members.start(number!);
          own(0);
        }
      : () => {
          checkOpen();
          own(0);
        },
    arenaBytes: planned.arenaBytes,
    codeBytes: bytes.length,
    threads,
    steps: [...scheduled.steps.map(describeStep), ...planned.copies.map(() => "copy")],
    release() {
      release();
      if (number !== undefined) members!.remove(number);
    },
  };
}
