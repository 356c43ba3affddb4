/** Program → executable: everything is decided here, so that a run allocates nothing and decides nothing. */
import { type Code, type Local, ModuleBuilder } from "../runtime/assembler.js";
import { gemmSignature } from "../runtime/blas.js";
import type { Buffer } from "../runtime/memory.js";
import type { Runtime } from "../runtime/runtime.js";
import { defineBarrier } from "../runtime/team.js";
import { bytesOf, type DType } from "../tensor/dtype.js";
import { checkClosed, type Program } from "../tensor/program.js";
import { sizeOf } from "../tensor/shape.js";
import { type Kernel, KernelCache } from "./kernel.js";
import { combine, load, store } from "./lanes.js";
import { loopKernel } from "./loop.js";
import { type Bindings, type Plan, plan } from "./plan.js";
import { emitConv, emitDot, planConv } from "./products.js";
import { type Reduction, type Schedule, schedule, type Value } from "./schedule.js";
import { addThread, onFirst, pushRange } from "./sharing.js";
import { simplify } from "./simplify.js";
import { convKernel, plainKernel } from "./steps.js";
import { windowKernel } from "./window.js";

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

/** Element operations below which a second thread costs more than it brings. */
const parallelWork = 400_000;
/** The same for one step of a program that has a team. */
const parallelStep = 8_000;

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
  const wantsTeam = !tick && runtime.team !== undefined && estimateWork(scheduled) >= parallelWork;
  const threads = wantsTeam ? runtime.threads : 1;
  const module = new ModuleBuilder({ shared: runtime.shared, maximumPages: 65536 });
  const sgemm = module.importFunction("sgemm", gemmSignature, []);
  const dgemm = module.importFunction("dgemm", gemmSignature, []);
  const ticked = tick && module.importFunction("tick", ["i32"], []);
  const cache = new KernelCache(module);
  const barrier = threads > 1 ? defineBarrier(module, runtime.team!.control, threads) : undefined;

  // Everything is emitted into a list first: kernels must be defined before the driver that calls them.
  const calls: ((code: Code, thread: Local) => void)[] = [];
  const meet = (code: Code) => {
    if (barrier) code.call(barrier);
  };
  const temporary = (bytes: number): number => {
    const address = runtime.allocate(bytes);
    owned.push(address);
    return address;
  };
  let scratch: { address: number; bytes: number } | undefined;
  const scratchOf = (bytes: number): number => {
    if (bytes === 0) return 0;
    if (!scratch || scratch.bytes < bytes) scratch = { address: temporary(bytes * threads), bytes };
    return scratch.address;
  };

  for (const step of scheduled.steps) {
    switch (step.kind) {
      case "loop":
      case "window": {
        const kernel: Kernel = step.kind === "loop" ? loopKernel(step, cache) : windowKernel(step, cache);
        const shared = threads > 1 && kernel.work >= parallelStep && kernel.units > 1;
        const scratchAddress = scratchOf(kernel.scratch);
        const partials = kernel.arguments.map((argument) => {
          if (argument.kind === "memory")
            return {
              address: planned.address(argument.root) + argument.offset * bytesOf(argument.root.dtype),
              stride: 0,
            };
          const bytes = Math.ceil((argument.size * bytesOf(argument.root.dtype)) / 64) * 64;
          return shared
            ? { address: temporary(bytes * threads), stride: bytes }
            : { address: planned.address(argument.root), stride: 0 };
        });
        const combiners = shared
          ? kernel.arguments.flatMap((argument, index) =>
              argument.kind === "partial"
                ? [
                    {
                      code: defineCombine(
                        cache,
                        argument.root.dtype,
                        argument.reduction,
                        threads,
                        argument.size,
                        partials[index]!.stride,
                      ),
                      from: partials[index]!.address,
                      to: planned.address(argument.root),
                    },
                  ]
                : [],
            )
          : [];
        calls.push((code, thread) => {
          const call = () => {
            pushRange(code, thread, kernel.units, shared ? threads : 1, kernel.grain);
            code.i32(scratchAddress);
            if (shared && kernel.scratch > 0) addThread(code, thread, kernel.scratch);
            for (const { address, stride } of partials) {
              code.i32(address);
              if (stride > 0) addThread(code, thread, stride);
            }
            code.call(kernel.code);
          };
          if (shared || threads === 1) call();
          else onFirst(code, thread, call);
          if (combiners.length > 0) {
            meet(code);
            onFirst(code, thread, () => {
              for (const { code: combiner, from, to } of combiners) {
                code.i32(from);
                code.i32(to);
                code.call(combiner);
              }
            });
          }
          meet(code);
        });
        break;
      }
      case "plain": {
        const kernel = plainKernel(step, cache);
        const shared = threads > 1 && kernel.work >= parallelStep && kernel.units > 1;
        const addresses = [
          planned.address(step.root),
          ...step.operands.map((o) => planned.address(o.root) + o.layout.offset * bytesOf(o.root.dtype)),
        ];
        calls.push((code, thread) => {
          const call = () => {
            pushRange(code, thread, kernel.units, shared ? threads : 1, 1);
            for (const address of addresses) code.i32(address);
            code.call(kernel.code);
          };
          if (shared || threads === 1) call();
          else onFirst(code, thread, call);
          meet(code);
        });
        break;
      }
      case "conv": {
        const conv = planConv(step);
        const shared = threads > 1 && step.patches[0]! > 1;
        const [workers, partial] = [shared ? threads : 1, shared && conv.partial];
        const addresses = step.operands.map(
          (o) => planned.address(o.root) + o.layout.offset * bytesOf(o.root.dtype),
        );
        const scratchAddress = scratchOf(conv.scratch);
        const move = convKernel(step, cache);
        const stride = Math.ceil((step.root.size * bytesOf(step.root.dtype)) / 64) * 64;
        const result = planned.address(step.root);
        const target = partial ? temporary(stride * threads) : result;
        const combiner = partial
          ? defineCombine(cache, step.root.dtype, "sum", threads, step.root.size, stride)
          : undefined;
        const gemm = step.root.dtype === "f64" ? dgemm : sgemm;
        calls.push((code, thread) => {
          const root = () => {
            code.i32(target);
            if (partial) addThread(code, thread, stride);
          };
          const call = () =>
            emitConv(
              code,
              thread,
              workers,
              step,
              conv,
              { root, operands: addresses, scratch: scratchAddress },
              move,
              gemm,
            );
          if (shared || threads === 1) call();
          else onFirst(code, thread, call);
          if (combiner) {
            meet(code);
            onFirst(code, thread, () => {
              code.i32(target);
              code.i32(result);
              code.call(combiner);
            });
          }
          meet(code);
        });
        break;
      }
      case "dot":
        calls.push((code, thread) => {
          emitDot(code, thread, threads, step, planned.address, step.root.dtype === "f64" ? dgemm : sgemm);
          meet(code);
        });
        break;
    }
  }
  for (const copy of planned.copies)
    calls.push((code, thread) => {
      onFirst(code, thread, () => {
        code.i32(copy.to);
        code.i32(copy.from);
        code.i32(copy.bytes);
        code.copy();
      });
      meet(code);
    });

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
  const team = threads > 1 ? runtime.team : undefined;
  const number = team?.add(compiled);

  return {
    inputs: planned.inputs,
    outputs: planned.outputs,
    run: team
      ? () => {
          checkOpen();
          team.start(number!);
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
      if (number !== undefined) team!.remove(number);
    },
  };
}

function estimateWork(scheduled: Schedule): number {
  let work = 0;
  for (const step of scheduled.steps) {
    if (step.kind === "conv") work += sizeOf(step.patches) * 8;
    else if (step.kind === "dot") work += (step.root.size * step.a.layout.shape.at(-1)!) / 8;
    else if (step.kind === "loop" || step.kind === "window") work += sizeOf(step.domain) * 4;
    else work += step.root.size;
  }
  return work;
}

/** to[j] = reduction over threads of from[thread·stride + j]. */
function defineCombine(
  cache: KernelCache,
  dtype: DType,
  reduction: Reduction,
  threads: number,
  size: number,
  stride: number,
) {
  return cache.define(
    JSON.stringify(["combine", dtype, reduction, threads, size, stride]),
    2,
    (code, from, to) => {
      const at = code.local("i32");
      const bytes = bytesOf(dtype);
      const lanes = dtype === "f64" ? 2 : 4;
      const pass = (begin: number, end: number, step: number, mode: "vector" | "lane") =>
        code.for(at, { constant: begin * bytes }, { constant: end * bytes }, step * bytes, () => {
          code.get(to!);
          code.get(at);
          code.emit("i32.add");
          for (let thread = 0; thread < threads; thread++) {
            code.get(from!);
            code.get(at);
            code.emit("i32.add");
            load(code, dtype, lanes, mode === "vector" ? "vector" : "splat", thread * stride);
            if (thread > 0) combine(code, dtype, reduction);
          }
          store(code, dtype, lanes, mode);
        });
      const whole = size - (size % lanes);
      pass(0, whole, lanes, "vector");
      pass(whole, size, 1, "lane");
    },
  );
}

/** "dot [128, 64]·[64, 10]", "loop [128, 10]: rowReduce add exp; local div": what a profile shows. */
function describeStep(step: Schedule["steps"][number]): string {
  const list = (shape: readonly number[]) => `[${shape.join(", ")}]`;
  switch (step.kind) {
    case "dot":
      return `dot ${list(step.a.layout.shape)}·${list(step.b.layout.shape)}`;
    case "conv":
      return `conv ${step.direction} ${list(step.image)} · ${list(step.window.kernel)} → ${list(step.root.shape)}`;
    case "plain":
      return `${step.op.kind} → ${list(step.root.shape)}`;
    case "window":
      return `window ${step.reduction} ${list(step.domain)} over axes ${step.axes.join()}`;
    case "loop": {
      const kinds = step.outputs.map(
        (o) => (o.kind === "wide" ? "" : `${o.kind} `) + operations(o.value).join(" "),
      );
      return `loop ${list(step.domain)}: ${kinds.join("; ")}`;
    }
  }
}
function operations(value: Value): string[] {
  if (value.kind !== "apply") return value.kind === "load" ? [] : [value.kind];
  return [...value.inputs.flatMap(operations), value.op.kind];
}
