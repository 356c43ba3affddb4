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
import { type Schedule, schedule } from "./schedule.js";
import { addThread, onFirst, pushRange } from "./sharing.js";
import { simplify } from "./simplify.js";
import type { ConvStep, DotStep, PlainStep, Reduction, Step, Value } from "./step.js";
import { convKernel, type PlainKernel, plainKernel } from "./steps.js";
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

/** Nanoseconds of one thread from which a step is shared: two barriers cost about a microsecond each. */
const sharedStep = 12_000;
/** Nanoseconds that sharing must save for a program to be given to the team, whose threads may be asleep. */
const sharedProgram = 30_000;

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
  const sgemm = module.importFunction("sgemm", gemmSignature, []);
  const dgemm = module.importFunction("dgemm", gemmSignature, []);
  const { unpacked } = runtime.blas;
  const ticked = tick && module.importFunction("tick", ["i32"], []);
  const cache = new KernelCache(module);
  const prepared = scheduled.steps.map((step) => prepare(step, cache));
  const team = tick ? undefined : runtime.team;
  const saved = prepared.reduce(
    (sum, { cost, units }) => sum + (cost >= sharedStep && units > 1 ? cost * (1 - 1 / runtime.threads) : 0),
    0,
  );
  const threads = team && saved >= sharedProgram ? runtime.threads : 1;
  const barrier = threads > 1 ? defineBarrier(module, team!.control, threads) : undefined;

  // Everything is emitted into a list first: kernels must be defined before the driver that calls them.
  const calls: ((code: Code, thread: Local) => void)[] = [];
  /** Whether the first thread has results that the others have not waited for: it need not wait for them. */
  let ahead = false;
  const meet = (code: Code) => {
    if (barrier) code.call(barrier);
    ahead = false;
  };
  const serial = (code: Code, thread: Local, body: () => void) => {
    if (threads === 1) {
      body();
      return;
    }
    onFirst(code, thread, body);
    ahead = true;
  };
  const together = (code: Code, body: () => void) => {
    if (ahead) meet(code);
    body();
    meet(code);
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

  for (const part of prepared) {
    const { cost, units } = part;
    const shared = threads > 1 && cost >= sharedStep && units > 1;
    const share = (code: Code, thread: Local, body: () => void) =>
      shared ? together(code, body) : serial(code, thread, body);
    const sharers = shared ? threads : 1;
    switch (part.kind) {
      case "lanes": {
        const { kernel } = part;
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
        const combiners = kernel.arguments.flatMap((argument, index) => {
          if (!shared || argument.kind !== "partial") return [];
          const { root, reduction, size } = argument;
          const { address: from, stride } = partials[index]!;
          const code = defineCombine(cache, root.dtype, reduction, threads, size, stride);
          return [{ code, from, to: planned.address(root) }];
        });
        calls.push((code, thread) => {
          share(code, thread, () => {
            pushRange(code, thread, kernel.units, sharers, kernel.grain);
            code.i32(scratchAddress);
            if (shared && kernel.scratch > 0) addThread(code, thread, kernel.scratch);
            for (const { address, stride } of partials) {
              code.i32(address);
              if (stride > 0) addThread(code, thread, stride);
            }
            code.call(kernel.code);
          });
          if (combiners.length > 0)
            serial(code, thread, () => {
              for (const { code: combiner, from, to } of combiners) {
                code.i32(from);
                code.i32(to);
                code.call(combiner);
              }
            });
        });
        break;
      }
      case "plain": {
        const { step, kernel } = part;
        const addresses = [
          planned.address(step.root),
          ...step.operands.map((o) => planned.address(o.root) + o.layout.offset * bytesOf(o.root.dtype)),
        ];
        calls.push((code, thread) => {
          share(code, thread, () => {
            pushRange(code, thread, kernel.units, sharers, 1);
            for (const address of addresses) code.i32(address);
            code.call(kernel.code);
          });
        });
        break;
      }
      case "conv": {
        const { step } = part;
        const conv = planConv(step, unpacked);
        const partial = shared && conv.partial;
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
          share(code, thread, () =>
            emitConv(
              code,
              thread,
              sharers,
              step,
              conv,
              { root, operands: addresses, scratch: scratchAddress },
              move,
              gemm,
            ),
          );
          if (combiner)
            serial(code, thread, () => {
              code.i32(target);
              code.i32(result);
              code.call(combiner);
            });
        });
        break;
      }
      case "dot": {
        const { step } = part;
        calls.push((code, thread) => {
          share(code, thread, () =>
            emitDot(
              code,
              thread,
              sharers,
              step,
              planned.address,
              step.root.dtype === "f64" ? dgemm : sgemm,
              unpacked,
            ),
          );
        });
        break;
      }
    }
  }
  for (const copy of planned.copies)
    calls.push((code, thread) => {
      serial(code, thread, () => {
        code.i32(copy.to);
        code.i32(copy.from);
        code.i32(copy.bytes);
        code.copy();
      });
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

/** A step with its kernel; what it costs one thread (nanoseconds, roughly), and into how many parts it can be cut. */
type Part = { readonly cost: number; readonly units: number } & (
  | { readonly kind: "lanes"; readonly kernel: Kernel }
  | { readonly kind: "plain"; readonly step: PlainStep; readonly kernel: PlainKernel }
  | { readonly kind: "conv"; readonly step: ConvStep }
  | { readonly kind: "dot"; readonly step: DotStep }
);

function prepare(step: Step, cache: KernelCache): Part {
  switch (step.kind) {
    case "loop":
    case "window": {
      const kernel = step.kind === "loop" ? loopKernel(step, cache) : windowKernel(step, cache);
      return { kind: "lanes", kernel, cost: kernel.work / 4, units: kernel.units };
    }
    case "plain": {
      const kernel = plainKernel(step, cache);
      return { kind: "plain", step, kernel, cost: kernel.work, units: kernel.units };
    }
    case "conv": {
      const flops = 2 * sizeOf(step.patches) * step.root.shape.at(-1)!;
      return { kind: "conv", step, cost: flops / 60, units: step.patches[0]! };
    }
    case "dot": {
      const flops = 2 * step.root.size * step.a.layout.shape.at(-1)!;
      return { kind: "dot", step, cost: flops / 100, units: step.root.size / 16 };
    }
  }
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
