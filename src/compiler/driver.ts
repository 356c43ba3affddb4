/**
 * The function that runs a program: the calls of its kernels and of the BLAS, step after step. Every thread runs it; a step
 * is shared among them, or the first one's alone, and they meet where one's results are another's arguments.
 */
import type { Code, FunctionRef, Local } from "../runtime/assembler.js";
import type { Runtime } from "../runtime/runtime.js";
import { bytesOf, type DType } from "../tensor/dtype.js";
import { emitConv, planConv } from "./convolutions.js";
import type { KernelCache } from "./kernel.js";
import { combine, load, store } from "./lanes.js";
import type { Part } from "./parts.js";
import type { Plan } from "./plan.js";
import { emitDot } from "./products.js";
import { addThread, onFirst, pushRange } from "./sharing.js";
import type { Operand, Reduction, Root } from "./step.js";
import { convKernel } from "./steps.js";

/** Nanoseconds of one thread from which a step is shared: two barriers cost about a microsecond each. */
const sharedStep = 12_000;
/** Nanoseconds that sharing must save for a program to be given to the team, whose threads may be asleep. */
const sharedProgram = 30_000;

const isShared = ({ cost, units }: Part) => cost >= sharedStep && units > 1;

/** Whether so many threads save what waking them costs. */
export const pays = (parts: readonly Part[], threads: number): boolean =>
  parts.reduce((sum, part) => sum + (isShared(part) ? part.cost * (1 - 1 / threads) : 0), 0) >= sharedProgram;

/** Emits what one step, or one copy, does. */
export type Call = (code: Code, thread: Local) => void;

export interface Setting {
  readonly runtime: Runtime;
  readonly planned: Plan;
  readonly cache: KernelCache;
  readonly gemm: Readonly<Record<"f32" | "f64", FunctionRef>>;
  readonly threads: number;
  /** Where threads meet; undefined for one. */
  readonly barrier: FunctionRef | undefined;
  /** Collects the addresses of scratch and partial results. */
  readonly owned: number[];
}

/**
 * The calls of all parts, then of the copies. Kernels that they need are defined at once, before the function that these
 * calls are emitted into.
 */
export function callsOf(setting: Setting, parts: readonly Part[]): Call[] {
  const { planned, threads, barrier } = setting;
  const sharing = createSharing(threads, barrier);
  const scratch = createScratch(setting);
  const place = { ...setting, ...scratch, ...sharing };
  const calls = parts.map((part) => callOf(place, part, threads > 1 && isShared(part)));
  const copies = planned.copies.map(
    (copy): Call =>
      (code, thread) =>
        sharing.serial(code, thread, () => {
          code.i32(copy.to);
          code.i32(copy.from);
          code.i32(copy.bytes);
          code.copy();
        }),
  );
  return [...calls, ...copies];
}

/** Who does what: all threads together, or the first alone. */
function createSharing(threads: number, barrier: FunctionRef | undefined) {
  /** Whether the first thread has results that the others have not waited for: it need not wait for them. */
  let ahead = false;
  const meet = (code: Code) => {
    if (barrier) code.call(barrier);
    ahead = false;
  };
  return {
    serial(code: Code, thread: Local, body: () => void) {
      if (threads === 1) {
        body();
        return;
      }
      onFirst(code, thread, body);
      ahead = true;
    },
    together(code: Code, body: () => void) {
      if (ahead) meet(code);
      body();
      meet(code);
    },
  };
}

/** Memory beside the plan's. */
function createScratch({ runtime, owned, threads }: Setting) {
  const temporary = (bytes: number): number => {
    const address = runtime.allocate(bytes);
    owned.push(address);
    return address;
  };
  let scratch: { address: number; bytes: number } | undefined;
  return {
    temporary,
    /** So many bytes for each thread, until the next step. */
    scratchOf(bytes: number): number {
      if (bytes === 0) return 0;
      if (!scratch || scratch.bytes < bytes) scratch = { address: temporary(bytes * threads), bytes };
      return scratch.address;
    },
  };
}

type Place = Setting & ReturnType<typeof createSharing> & ReturnType<typeof createScratch>;

function callOf(place: Place, part: Part, shared: boolean): Call {
  switch (part.kind) {
    case "lanes":
      return lanesCall(place, part, shared);
    case "plain":
      return plainCall(place, part, shared);
    case "conv":
      return convCall(place, part, shared);
    case "dot": {
      const { step } = part;
      const { planned, gemm, runtime } = place;
      return (code, thread) =>
        share(place, shared, code, thread, (sharers) =>
          emitDot(
            code,
            thread,
            sharers,
            step,
            planned.address,
            gemm[floatOf(step.root)],
            runtime.blas.unpacked,
          ),
        );
    }
  }
}

function share(
  { threads, together, serial }: Place,
  shared: boolean,
  code: Code,
  thread: Local,
  body: (sharers: number) => void,
): void {
  if (shared) together(code, () => body(threads));
  else serial(code, thread, () => body(1));
}

const floatOf = ({ dtype }: Root) => (dtype === "f64" ? "f64" : "f32");
/** Bytes of an array, to whole cache lines. */
const lines = (size: number, dtype: DType) => Math.ceil((size * bytesOf(dtype)) / 64) * 64;
const addressOf = ({ planned }: Place, { root, layout }: Operand) =>
  planned.address(root) + layout.offset * bytesOf(root.dtype);

function lanesCall(place: Place, { kernel }: Extract<Part, { kind: "lanes" }>, shared: boolean): Call {
  const { planned, cache, threads, temporary, serial } = place;
  const scratch = place.scratchOf(kernel.scratch);
  const places = kernel.arguments.map((argument) => {
    if (argument.kind === "memory") {
      const { root, offset } = argument;
      return { address: planned.address(root) + offset * bytesOf(root.dtype), stride: 0 };
    }
    const bytes = lines(argument.size, argument.root.dtype);
    return shared
      ? { address: temporary(bytes * threads), stride: bytes }
      : { address: planned.address(argument.root), stride: 0 };
  });
  const combiners = kernel.arguments.flatMap((argument, index) => {
    if (!shared || argument.kind !== "partial") return [];
    const { root, reduction, size } = argument;
    const { address: from, stride } = places[index]!;
    const combiner = defineCombine(cache, root.dtype, reduction, threads, size, stride);
    return [{ combiner, from, to: planned.address(root) }];
  });
  return (code, thread) => {
    share(place, shared, code, thread, (sharers) => {
      pushRange(code, thread, kernel.units, sharers, kernel.grain);
      code.i32(scratch);
      if (shared && kernel.scratch > 0) addThread(code, thread, kernel.scratch);
      for (const { address, stride } of places) {
        code.i32(address);
        if (stride > 0) addThread(code, thread, stride);
      }
      code.call(kernel.code);
    });
    if (combiners.length > 0)
      serial(code, thread, () => {
        for (const { combiner, from, to } of combiners) {
          code.i32(from);
          code.i32(to);
          code.call(combiner);
        }
      });
  };
}

function plainCall(place: Place, { step, kernel }: Extract<Part, { kind: "plain" }>, shared: boolean): Call {
  const addresses = [
    place.planned.address(step.root),
    ...step.operands.map((operand) => addressOf(place, operand)),
  ];
  return (code, thread) =>
    share(place, shared, code, thread, (sharers) => {
      pushRange(code, thread, kernel.units, sharers, 1);
      for (const address of addresses) code.i32(address);
      code.call(kernel.code);
    });
}

function convCall(place: Place, { step }: Extract<Part, { kind: "conv" }>, shared: boolean): Call {
  const { planned, cache, threads, gemm, runtime } = place;
  const plan = planConv(step, runtime.blas.unpacked);
  const partial = shared && plan.partial;
  const operands = step.operands.map((operand) => addressOf(place, operand));
  const scratch = place.scratchOf(plan.scratch);
  const move = convKernel(step, cache);
  const { dtype, size } = step.root;
  const stride = lines(size, dtype);
  const result = planned.address(step.root);
  const target = partial ? place.temporary(stride * threads) : result;
  const combiner = partial ? defineCombine(cache, dtype, "sum", threads, size, stride) : undefined;
  return (code, thread) => {
    const root = () => {
      code.i32(target);
      if (partial) addThread(code, thread, stride);
    };
    share(place, shared, code, thread, (sharers) =>
      emitConv(
        code,
        thread,
        sharers,
        step,
        plan,
        { root, operands, scratch },
        move,
        gemm[floatOf(step.root)],
      ),
    );
    if (combiner)
      place.serial(code, thread, () => {
        code.i32(target);
        code.i32(result);
        code.call(combiner);
      });
  };
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
