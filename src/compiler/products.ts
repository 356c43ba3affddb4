/** Matrix products: calls of the BLAS, shared among threads. */
import type { Code, FunctionRef, Local } from "../runtime/assembler.js";
import { triangleSpares } from "../runtime/symmetric.js";
import { bytesOf } from "../tensor/dtype.js";
import { sizeOf } from "../tensor/shape.js";
import { collapse, contiguous, matrixForm } from "./layout.js";
import { overRows } from "./rows.js";
import { pushRange } from "./sharing.js";
import type { DotStep } from "./step.js";

/** More pieces than these are a product large enough for packed operands. */
const mostPieces = 64;

/** Pieces shorter than these are slower than the whole. */
const shortestPiece = { m: 32, n: 64, k: 32 } as const;
/** Rows of A up to which A·Bᵀ is cut, along k: reading both along k, its kernel without packing is no faster else. */
const fewRows = 16;

/**
 * How a product is cut so that each piece runs without packing its operands (`Blas.unpacked`): along its longest axis,
 * in pieces of `size`. `alongBoth`: it is A·Bᵀ, both read along k. Undefined: not at all.
 */
export function piecesOf(
  extents: { readonly m: number; readonly n: number; readonly k: number },
  unpacked: number,
  alongBoth = false,
): { axis: "m" | "n" | "k"; size: number } | undefined {
  const { m, n, k } = extents;
  const volume = m * n * k;
  if (volume <= unpacked || volume > unpacked * mostPieces) return undefined;
  const axis = k >= m && k >= n ? "k" : m >= n ? "m" : "n";
  const most = (unpacked * extents[axis]) / volume;
  // Pieces of about the same size, in whole vectors.
  const pieces = Math.ceil(extents[axis] / (Math.floor(most / 16) * 16));
  const size = Math.ceil(extents[axis] / pieces / 16) * 16;
  const pays = most >= shortestPiece[axis] && (!alongBoth || (axis === "k" && m <= fewRows));
  return pays ? { axis, size } : undefined;
}

/** C = A·B for each point of the batch axes; threads share the batch, or the rows or columns of one product. */
export function emitDot(
  code: Code,
  thread: Local,
  threads: number,
  step: DotStep,
  address: (root: DotStep["root"]) => number,
  gemm: FunctionRef,
  unpacked: number,
): void {
  const rank = step.a.layout.shape.length;
  const [m, k] = [step.a.layout.shape[rank - 2]!, step.a.layout.shape[rank - 1]!];
  const n = step.b.layout.shape[rank - 1]!;
  const bytes = bytesOf(step.root.dtype);
  const [a, b] = [matrixForm(step.a.layout)!, matrixForm(step.b.layout)!];
  const c = contiguous([...step.a.layout.shape.slice(0, -1), n]);
  const batchShape = step.a.layout.shape.slice(0, -2);
  const batch = collapse(batchShape, [
    step.a.layout.strides.slice(0, -2),
    step.b.layout.strides.slice(0, -2),
    c.strides.slice(0, -2),
  ]);
  const count = sizeOf(batchShape);
  const [aStart, bStart, cStart] = [
    address(step.a.root) + step.a.layout.offset * bytes,
    address(step.b.root) + step.b.layout.offset * bytes,
    address(step.root),
  ];
  if (count === 0 || m === 0 || n === 0) return;

  // Whole cache lines of C for each thread.
  const sharers = count === 1 ? threads : 1;
  const byRows = m >= n || n < 32 * threads;
  const own = { m, n, k };
  if (sharers > 1) own[byRows ? "m" : "n"] = Math.ceil(own[byRows ? "m" : "n"] / sharers);
  // A matrix times its transpose is one call: half of it is spared (runtime/symmetric.ts).
  const square =
    step.a.root === step.b.root &&
    step.a.layout.offset === step.b.layout.offset &&
    a.leading === b.leading &&
    a.transposed !== b.transposed &&
    m === n &&
    !step.accumulate;
  const pieces =
    square && sharers === 1 && triangleSpares(n, k)
      ? undefined
      : piecesOf(own, unpacked, !a.transposed && b.transposed);
  const innerPieces = pieces?.axis === "k" ? pieces.size : k;

  /** Runs `body` for each part [start, start + size) of an axis; `start` is undefined where it is 0. */
  const along = (
    axis: "m" | "n",
    shared: boolean,
    body: (start: Local | undefined, size: () => void) => void,
  ) => {
    const extent = axis === "m" ? m : n;
    const piece = pieces?.axis === axis ? pieces.size : undefined;
    if (!shared && piece === undefined) {
      body(undefined, () => code.i32(extent));
      return;
    }
    const [begin, end, size] = [code.local("i32"), code.local("i32"), code.local("i32")];
    pushRange(code, thread, extent, shared ? sharers : 1, 16);
    code.set(end);
    code.set(begin);
    const at = code.local("i32");
    code.for(at, begin, end, piece ?? extent, () => {
      code.get(end);
      code.get(at);
      code.emit("i32.sub");
      code.tee(size);
      code.i32(piece ?? extent);
      code.get(size);
      code.i32(piece ?? extent);
      code.emit("i32.lt_s", "select");
      code.set(size);
      body(at, () => code.get(size));
    });
    for (const local of [begin, end, size, at]) code.release("i32", local);
  };
  const whole = (pushA: () => void, pushB: () => void, pushC: () => void) =>
    along("m", sharers > 1 && byRows, (row, rows) =>
      along("n", sharers > 1 && !byRows, (column, columns) => {
        for (let inner = 0; inner < Math.max(k, 1); inner += Math.max(innerPieces, 1)) {
          const shifted = (push: () => void, index: Local | undefined, stride: number, offset: number) => {
            push();
            if (index !== undefined) {
              code.get(index);
              code.i32(stride * bytes);
              code.emit("i32.mul", "i32.add");
            }
            if (offset > 0) {
              code.i32(offset * bytes);
              code.emit("i32.add");
            }
          };
          code.i32(a.transposed ? 1 : 0);
          code.i32(b.transposed ? 1 : 0);
          rows();
          columns();
          code.i32(Math.min(innerPieces, k - inner));
          code.f64(1);
          shifted(pushA, row, a.transposed ? 1 : a.leading, inner * (a.transposed ? a.leading : 1));
          code.i32(a.leading);
          shifted(pushB, column, b.transposed ? b.leading : 1, inner * (b.transposed ? 1 : b.leading));
          code.i32(b.leading);
          code.f64(step.accumulate || inner > 0 ? 1 : 0);
          shifted(() => shifted(pushC, row, n, 0), column, 1, 0);
          code.i32(n);
          code.call(gemm);
        }
      }),
    );
  if (count === 1) {
    whole(
      () => code.i32(aStart),
      () => code.i32(bStart),
      () => code.i32(cStart),
    );
    return;
  }
  const patterns = batch.strides.map((strides, id) => ({
    id,
    outer: strides.map((s) => s * bytes),
    inner: [],
  }));
  const offsets = patterns.map(() => code.local("i32"));
  const [begin, end] = [code.local("i32"), code.local("i32")];
  pushRange(code, thread, count, threads, 1);
  code.set(end);
  code.set(begin);
  overRows(code, batch.shape, begin, end, patterns, offsets, () => {
    const at = (start: number, index: number) => () => {
      code.i32(start);
      code.get(offsets[index]!);
      code.emit("i32.add");
    };
    whole(at(aStart, 0), at(bStart, 1), at(cStart, 2));
  });
  for (const local of [...offsets, begin, end]) code.release("i32", local);
}
