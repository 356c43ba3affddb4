/**
 * Addresses for every root, before anything runs. Inputs, outputs and constants have places of their own; the rest
 * share one arena: two roots overlap only when one is dead before the other is made.
 */
import type { Buffer, Memory } from "../runtime/memory.js";
import { bytesOf } from "../tensor/dtype.js";
import { type Shape, ShapeError, sameShape } from "../tensor/shape.js";
import { isContiguous } from "./layout.js";
import type { Schedule } from "./schedule.js";
import type { LoopStep, Root, Step, Value } from "./step.js";

export interface Plan {
  /** Byte address of a root's first element. */
  readonly address: (root: Root) => number;
  readonly inputs: readonly Buffer[];
  readonly outputs: readonly Buffer[];
  /** Results that could not be written in place: copied once everything else is done. */
  readonly copies: readonly { readonly from: number; readonly to: number; readonly bytes: number }[];
  readonly arenaBytes: number;
  /** Gives back what the plan allocated (not the buffers that the caller bound). */
  release(): void;
}

export interface Bindings {
  /** Existing buffers for inputs or outputs, by position; a new buffer is made where there is none. */
  readonly inputs?: readonly (Buffer | undefined)[];
  /** Binding an output to the buffer of an input updates it in place. */
  readonly outputs?: readonly (Buffer | undefined)[];
}

/** What planning needs of a memory. */
export type PlanMemory = Pick<Memory, "allocate" | "release" | "buffer">;

const align = (bytes: number) => Math.ceil(bytes / 64) * 64;

/** The root whose memory this one lives in, and where (elements). */
function base(root: Root): { root: Root; offset: number } {
  let offset = 0;
  let at = root;
  while (at.storage && at.storage.root !== at) {
    offset += at.storage.offset;
    at = at.storage.root;
  }
  return { root: at, offset };
}

const rootsWritten = (step: Step): Root[] =>
  step.kind === "loop" ? step.outputs.map((o) => o.root) : [step.root];

/**
 * @throws ShapeError when a bound buffer does not fit, Error when the memory does not suffice; nothing stays allocated
 * then.
 */
export function plan(schedule: Schedule, memory: PlanMemory, bindings: Bindings = {}): Plan {
  const owned: (() => void)[] = [];
  try {
    return place(schedule, memory, bindings, owned);
  } catch (error) {
    for (const free of owned) free();
    throw error;
  }
}

/** `owned` collects what gives the memory back. */
function place(schedule: Schedule, memory: PlanMemory, bindings: Bindings, owned: (() => void)[]): Plan {
  const { steps, inputs, outputs } = schedule;
  const bind = (
    kind: "input" | "output",
    root: Root,
    shape: Shape,
    index: number,
    given: Buffer | undefined,
  ): Buffer => {
    if (given) {
      if (given.dtype !== root.dtype || !sameShape(given.shape, shape))
        throw new ShapeError(
          `compile: ${kind} ${index} is ${root.dtype}[${shape.join(", ")}], its buffer ${given.dtype}[${given.shape.join(", ")}]`,
        );
      return given;
    }
    const buffer = memory.buffer(root.dtype, shape);
    owned.push(buffer.release);
    return buffer;
  };
  const inputBuffers = inputs.map((root, index) =>
    bind("input", root, root.shape, index, bindings.inputs?.[index]),
  );
  const outputBuffers = outputs.map((root, index) =>
    bind("output", root, schedule.outputShapes[index]!, index, bindings.outputs?.[index]),
  );
  if (new Set(outputBuffers.map((b) => b.address)).size !== outputBuffers.length)
    throw new ShapeError("compile: two outputs are bound to one buffer");

  // Lifetimes of memory, by step number.
  const first = new Map<Root, number>();
  const last = new Map<Root, number>();
  const touch = (root: Root, order: number) => {
    const at = base(root).root;
    first.set(at, Math.min(first.get(at) ?? order, order));
    last.set(at, Math.max(last.get(at) ?? order, order));
  };
  const read = new Set<Root>();
  for (const step of steps) for (const root of step.reads) read.add(root);
  for (const root of outputs) read.add(root);
  for (const step of steps) {
    for (const root of step.reads) touch(root, step.order);
    for (const root of rootsWritten(step)) {
      // Memory is for what somebody reads; the rest lives in registers.
      const stored = root.storage !== undefined || read.has(root) || step.kind !== "loop";
      if (!stored) continue;
      root.storage ??= { root, offset: 0 };
      touch(root, step.order);
    }
  }

  const address = new Map<Root, number>();
  inputs.forEach((root, index) => {
    address.set(root, inputBuffers[index]!.address);
    root.storage ??= { root, offset: 0 };
  });
  for (const [root, tensor] of schedule.constants) {
    const buffer = memory.buffer(root.dtype, root.shape);
    if (tensor.op.kind === "constant") buffer.set(tensor.op.value.data);
    owned.push(buffer.release);
    address.set(root, buffer.address);
    root.storage ??= { root, offset: 0 };
  }
  const copies: { from: number; to: number; bytes: number }[] = [];
  const late: { root: Root; to: number }[] = [];
  outputs.forEach((root, index) => {
    const target = outputBuffers[index]!.address;
    const overwritten = inputs.filter((_, k) => inputBuffers[k]!.address === target);
    const safe = overwritten.every((input) => mayOverwrite(steps, input, root, first.get(root) ?? 0));
    if (safe) address.set(root, target);
    else {
      last.set(root, steps.length);
      late.push({ root, to: target });
    }
  });

  // Largest first, each at the lowest place that is free for its whole life.
  const waiting = [...first.keys()].filter((root) => !address.has(root));
  waiting.sort((a, b) => b.size * bytesOf(b.dtype) - a.size * bytesOf(a.dtype) || a.id - b.id);
  const placed: { start: number; end: number; from: number; to: number }[] = [];
  const offsets = new Map<Root, number>();
  let arenaBytes = 0;
  for (const root of waiting) {
    const [from, to] = [first.get(root)!, last.get(root)!];
    const bytes = align(root.size * bytesOf(root.dtype) + 16);
    let start = 0;
    for (const other of placed) {
      if (other.to < from || other.from > to) continue;
      if (start + bytes <= other.start) break;
      start = Math.max(start, other.end);
    }
    const entry = { start, end: start + bytes, from, to };
    const index = placed.findIndex((other) => other.start > start);
    placed.splice(index < 0 ? placed.length : index, 0, entry);
    offsets.set(root, start);
    arenaBytes = Math.max(arenaBytes, entry.end);
  }
  if (arenaBytes > 0) {
    const arena = memory.allocate(arenaBytes);
    owned.push(() => memory.release(arena));
    for (const [root, offset] of offsets) address.set(root, arena + offset);
  }
  for (const { root, to } of late)
    copies.push({ from: address.get(root)!, to, bytes: root.size * bytesOf(root.dtype) });

  return {
    address: (root) => {
      const { root: owner, offset } = base(root);
      const start = address.get(owner);
      if (start === undefined) throw new Error("compiler: a root without memory is used");
      return start + offset * bytesOf(root.dtype);
    },
    inputs: inputBuffers,
    outputs: outputBuffers,
    copies,
    arenaBytes,
    release: () => {
      for (const free of owned) free();
    },
  };
}

/** Whether `output` may take the place of `input`: nobody reads the input once the first of it is overwritten. */
function mayOverwrite(steps: readonly Step[], input: Root, output: Root, written: number): boolean {
  return steps.every((step) => {
    if (!step.reads.has(input) || step.order < written) return true;
    if (step.order > written || step.kind !== "loop") return false;
    return pointwise(step, input, output);
  });
}

/** Every read of `input` is of the very element that is written at that point. */
function pointwise(loop: LoopStep, input: Root, output: Root): boolean {
  const direct = (value: Value): boolean => {
    if (value.kind === "load")
      return value.root !== input || (value.layout.offset === 0 && isContiguous(value.layout));
    if (value.kind === "random") return value.key.every(direct);
    return value.kind !== "apply" || value.inputs.every(direct);
  };
  const own = loop.outputs.find((o) => o.root === output);
  return (
    own?.kind === "wide" &&
    isContiguous(own.layout) &&
    loop.outputs.every((o) => o.kind !== "rowReduce" && direct(o.value))
  );
}
