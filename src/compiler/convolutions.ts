/** Convolutions: products of the BLAS with patches of a few images at a time, shared among threads. */
import type { Code, FunctionRef, Local } from "../runtime/assembler.js";
import { bytesOf } from "../tensor/dtype.js";
import { sizeOf } from "../tensor/shape.js";
import { matrixForm } from "./layout.js";
import { addThread, pushRange } from "./sharing.js";
import type { ConvStep } from "./step.js";

/** Scratch for the patches of a few images: about half of a second-level cache. */
const patchBytes = 512 * 1024;

export interface ConvPlan {
  /** Images made into patches at a time. */
  readonly block: number;
  /** Bytes of scratch a thread. */
  readonly scratch: number;
  /** Whether each thread sums into a result of its own. */
  readonly partial: boolean;
}

export function planConv(step: ConvStep, unpacked: number): ConvPlan {
  const [examples, , , k] = step.patches as [number, number, number, number];
  const elements = sizeOf(step.patches.slice(1));
  const perImage = elements * bytesOf(step.root.dtype);
  const columns =
    step.direction === "gram"
      ? k
      : step.direction === "input"
        ? step.operands[0]!.layout.shape[1]!
        : step.root.shape.at(-1)!;
  // Gradient · weightsᵀ is A·Bᵀ, which gains nothing without packing.
  const [fitting, fast] = [
    patchBytes / perImage,
    step.direction === "input" ? 0 : unpacked / (elements * columns),
  ];
  const block = Math.max(1, Math.min(examples, Math.floor(fast >= 1 ? Math.min(fitting, fast) : fitting)));
  return {
    block,
    scratch: Math.ceil((block * perImage + 64) / 64) * 64,
    partial: step.direction === "weights" || step.direction === "gram",
  };
}

/**
 * For blocks of images: patches into scratch and their product, or the product into scratch and its fold.
 * `move` is the kernel that makes patches (or folds them back); `addresses.root` pushes where this thread's result goes.
 */
export function emitConv(
  code: Code,
  thread: Local,
  threads: number,
  step: ConvStep,
  plan: ConvPlan,
  addresses: { readonly root: () => void; readonly operands: readonly number[]; readonly scratch: number },
  move: FunctionRef,
  gemm: FunctionRef,
): void {
  const bytes = bytesOf(step.root.dtype);
  const [examples, oh, ow, k] = step.patches as [number, number, number, number];
  const positions = oh * ow;
  const [begin, end, from, to, rows, scratch] = [0, 0, 0, 0, 0, 0].map(() => code.local("i32")) as [
    Local,
    Local,
    Local,
    Local,
    Local,
    Local,
  ];
  pushRange(code, thread, examples, threads, 1);
  code.set(end);
  code.set(begin);
  code.i32(addresses.scratch);
  addThread(code, thread, plan.scratch);
  code.set(scratch);
  const other = step.operands.at(-1)!;
  const form = step.direction === "gram" ? { transposed: false, leading: k } : matrixForm(other.layout)!;
  const n = step.direction === "gram" ? k : step.direction === "input" ? k : other.layout.shape[1]!;
  const otherAddress = addresses.operands.at(-1)!;
  /** Address of the block's first row in a matrix of `width`-element rows over all positions. */
  const rowsFrom = (start: () => void, leading: number) => {
    start();
    code.get(from);
    code.i32(positions * leading * bytes);
    code.emit("i32.mul", "i32.add");
  };
  const call = (
    transA: number,
    transB: number,
    m: () => void,
    columns: number,
    inner: () => void,
    a: () => void,
    lda: number,
    b: () => void,
    ldb: number,
    beta: () => void,
    c: () => void,
    ldc: number,
  ) => {
    code.i32(transA);
    code.i32(transB);
    m();
    code.i32(columns);
    inner();
    code.f64(1);
    a();
    code.i32(lda);
    b();
    code.i32(ldb);
    beta();
    c();
    code.i32(ldc);
    code.call(gemm);
  };
  /** The patch kernel works with the address that all patches would have; the block's lie in scratch. */
  const pushPatchBase = () => {
    code.get(scratch);
    code.get(from);
    code.i32(positions * k * bytes);
    code.emit("i32.mul", "i32.sub");
  };
  const pushScratch = () => code.get(scratch);
  const pushRows = () => code.get(rows);
  const makePatches = () => {
    code.get(from);
    code.i32(oh);
    code.emit("i32.mul");
    code.get(to);
    code.i32(oh);
    code.emit("i32.mul");
    pushPatchBase();
    code.i32(addresses.operands[0]!);
    code.call(move);
  };
  // 0 for the first block of this thread, then 1
  const betaFlag = () => {
    code.get(from);
    code.get(begin);
    code.emit("i32.ne", "f64.convert_i32_s");
  };
  if (plan.partial) {
    // A thread without images contributes zeros.
    code.get(begin);
    code.get(end);
    code.emit("i32.ge_s");
    code.if(() => {
      addresses.root();
      code.i32(0);
      code.i32(step.root.size * bytes);
      code.fill();
    });
  }
  code.for(from, begin, end, plan.block, () => {
    code.get(from);
    code.i32(plan.block);
    code.emit("i32.add");
    code.set(to);
    code.get(to);
    code.get(end);
    code.get(to);
    code.get(end);
    code.emit("i32.lt_s", "select");
    code.tee(to);
    code.get(from);
    code.emit("i32.sub");
    code.i32(positions);
    code.emit("i32.mul");
    code.set(rows);
    const zero = () => code.f64(0);
    switch (step.direction) {
      case "forward":
        makePatches();
        call(
          0,
          form.transposed ? 1 : 0,
          pushRows,
          n,
          () => code.i32(k),
          pushScratch,
          k,
          () => code.i32(otherAddress),
          form.leading,
          zero,
          () => rowsFrom(addresses.root, n),
          n,
        );
        break;
      case "weights":
        makePatches();
        call(
          1,
          0,
          () => code.i32(k),
          n,
          pushRows,
          pushScratch,
          k,
          () => rowsFrom(() => code.i32(otherAddress), form.leading),
          form.leading,
          betaFlag,
          addresses.root,
          n,
        );
        break;
      case "gram":
        makePatches();
        call(
          1,
          0,
          () => code.i32(k),
          k,
          pushRows,
          pushScratch,
          k,
          pushScratch,
          k,
          betaFlag,
          addresses.root,
          k,
        );
        break;
      case "input": {
        const gradient = matrixForm(step.operands[0]!.layout)!;
        const depth = step.operands[0]!.layout.shape[1]!;
        call(
          0,
          form.transposed ? 1 : 0,
          pushRows,
          k,
          () => code.i32(depth),
          () => rowsFrom(() => code.i32(addresses.operands[0]!), gradient.leading),
          gradient.leading,
          () => code.i32(otherAddress),
          form.leading,
          zero,
          pushScratch,
          k,
        );
        code.get(from);
        code.get(to);
        addresses.root();
        pushPatchBase();
        code.call(move);
        break;
      }
    }
  });
  for (const local of [begin, end, from, to, rows, scratch]) code.release("i32", local);
}
