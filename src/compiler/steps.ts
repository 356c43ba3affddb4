/** Steps that are no loops over one domain: image patches, indexing, running sums. Each becomes one function. */
import type { Code, FunctionRef, Local } from "../runtime/assembler.js";
import { bytesOf } from "../tensor/dtype.js";
import { sizeOf } from "../tensor/shape.js";
import type { KernelCache } from "./kernel.js";
import { contiguous } from "./layout.js";
import { addName, address, loadName, run, storeName } from "./moves.js";
import { movePatches } from "./patches.js";
import type { ConvStep, PlainStep } from "./step.js";

/** A function (begin, end, result, operand…) over `units`, which threads share. */
export interface PlainKernel {
  readonly code: FunctionRef;
  readonly units: number;
  readonly work: number;
}

export function convKernel(step: ConvStep, cache: KernelCache): FunctionRef {
  const { window, image, patches } = step;
  const { dtype } = step.root;
  const forward = step.direction !== "input";
  const root = { ...step.root, shape: forward ? patches : image };
  const source = { ...step.root, shape: forward ? image : patches };
  return plainKernel(
    {
      kind: "plain",
      order: step.order,
      op: forward
        ? { kind: "patches", window }
        : { kind: "fold", window, height: image[1]!, width: image[2]! },
      root: { ...root, dtype },
      operands: [{ root: source, layout: contiguous(source.shape) }],
      reads: new Set(),
    },
    cache,
  ).code;
}

export function plainKernel(step: PlainStep, cache: KernelCache): PlainKernel {
  const { op, root, operands } = step;
  const { dtype } = root;
  const bytes = bytesOf(dtype);
  const shapes = operands.map((o) => o.layout.shape);
  const key = JSON.stringify([op, dtype, root.shape, shapes, operands.map((o) => o.root.dtype)]);
  const define = (
    units: number,
    work: number,
    write: (code: Code, begin: Local, end: Local, result: Local, ...rest: Local[]) => void,
  ): PlainKernel => ({
    code: cache.define(key, 3 + operands.length, write),
    units,
    work,
  });
  switch (op.kind) {
    case "zero":
      return define(root.size, root.size / 4, (code, begin, end, result) => {
        address(code, result, [begin, bytes]);
        code.i32(0);
        code.get(end);
        code.get(begin);
        code.emit("i32.sub");
        code.i32(bytes);
        code.emit("i32.mul");
        code.fill();
      });
    case "patches":
    case "fold": {
      const image = op.kind === "patches" ? shapes[0]! : root.shape;
      const patch = op.kind === "patches" ? root.shape : shapes[0]!;
      // Units are rows of positions for patches, whole images for fold (rows overlap there).
      const units = op.kind === "patches" ? patch[0]! * patch[1]! : patch[0]!;
      return define(units, sizeOf(patch) / 4, (code, begin, end, result, source) =>
        movePatches(
          code,
          { kind: op.kind, window: op.window, dtype, image, positions: patch.slice(1, 3) },
          begin,
          end,
          op.kind === "patches" ? source! : result,
          op.kind === "patches" ? result : source!,
        ),
      );
    }
    case "gather": {
      const [table, indices] = shapes as [readonly number[], readonly number[]];
      const width = sizeOf(table.slice(1));
      return define(sizeOf(indices), root.size / 4, (code, begin, end, result, tableBase, indexBase) => {
        const [unit, from, to, count] = [
          code.local("i32"),
          code.local("i32"),
          code.local("i32"),
          code.local("i32"),
        ];
        code.for(unit, begin, end, 1, () => {
          clampedIndex(code, indexBase!, unit, table[0]!, from);
          address(code, tableBase!, [from, width * bytes]);
          code.set(from);
          address(code, result, [unit, width * bytes]);
          code.set(to);
          code.i32(width);
          code.set(count);
          run(code, dtype, to, from, count, false);
        });
      });
    }
    case "scatterAdd": {
      const count = sizeOf(shapes[0]!);
      const width = sizeOf(root.shape.slice(1));
      // One thread: rows of the result may be hit in any order.
      return define(1, sizeOf(shapes[1]!), (code, begin, end, result, indexBase, updates) => {
        const [unit, item, from, to, left] = [
          code.local("i32"),
          code.local("i32"),
          code.local("i32"),
          code.local("i32"),
          code.local("i32"),
        ];
        code.for(unit, begin, end, 1, () => {
          code.get(result);
          code.i32(0);
          code.i32(root.size * bytes);
          code.fill();
          code.for(item, { constant: 0 }, { constant: count }, 1, () => {
            clampedIndex(code, indexBase!, item, op.size, to);
            address(code, result, [to, width * bytes]);
            code.set(to);
            address(code, updates!, [item, width * bytes]);
            code.set(from);
            code.i32(width);
            code.set(left);
            run(code, dtype, to, from, left, true);
          });
        });
      });
    }
    case "cumsum":
    case "argMax": {
      const shape = shapes[0]!;
      const extent = shape[op.axis]!;
      const inner = sizeOf(shape.slice(op.axis + 1));
      const outer = sizeOf(shape.slice(0, op.axis));
      const source = operands[0]!.root.dtype;
      const sourceBytes = bytesOf(source);
      return define(outer * inner, sizeOf(shape), (code, begin, end, result, base) => {
        const type = source === "f32" ? "f32" : source === "f64" ? "f64" : "i32";
        const [unit, step, at, bestIndex] = [
          code.local("i32"),
          code.local("i32"),
          code.local("i32"),
          code.local("i32"),
        ];
        const [running, value] = [code.local(type), code.local(type)];
        code.for(unit, begin, end, 1, () => {
          // First element of this line: (unit div inner)·extent·inner + unit mod inner.
          code.get(unit);
          code.i32(inner);
          code.emit("i32.div_u");
          code.i32(extent * inner);
          code.emit("i32.mul");
          code.get(unit);
          code.i32(inner);
          code.emit("i32.rem_u", "i32.add");
          code.set(at);
          if (type === "f32") code.f32(0);
          else if (type === "f64") code.f64(0);
          else code.i32(0);
          code.set(running);
          code.i32(0);
          code.set(bestIndex);
          code.for(step, { constant: 0 }, { constant: extent }, 1, () => {
            address(code, base!, [at, sourceBytes]);
            code.memory(loadName(source));
            code.set(value);
            if (op.kind === "cumsum") {
              address(code, result, [at, bytes]);
              code.get(running);
              code.get(value);
              code.emit(addName(source));
              code.tee(running);
              code.memory(storeName(source));
            } else {
              code.get(step);
              code.emit("i32.eqz");
              code.get(value);
              code.get(running);
              code.emit(type === "i32" ? "i32.gt_s" : `${type}.gt`, "i32.or");
              code.if(() => {
                code.get(value);
                code.set(running);
                code.get(step);
                code.set(bestIndex);
              });
            }
            code.get(at);
            code.i32(inner);
            code.emit("i32.add");
            code.set(at);
          });
          if (op.kind === "argMax") {
            address(code, result, [unit, 4]);
            code.get(bestIndex);
            code.memory("i32.store");
          }
        });
      });
    }
  }
}

/** target = min(max(indices[item], 0), size − 1) */
function clampedIndex(code: Code, indices: Local, item: Local, size: number, target: Local): void {
  address(code, indices, [item, 4]);
  code.memory("i32.load");
  code.tee(target);
  code.i32(0);
  code.get(target);
  code.i32(0);
  code.emit("i32.gt_s", "select");
  code.tee(target);
  code.i32(size - 1);
  code.get(target);
  code.i32(size - 1);
  code.emit("i32.lt_s", "select");
  code.set(target);
}
