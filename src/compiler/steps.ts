/** Steps that are no loops over one domain: image patches, indexing, running sums. Each becomes one function. */
import type { Code, FunctionRef, Local } from "../runtime/assembler.js";
import { bytesOf, type DType } from "../tensor/dtype.js";
import { sizeOf } from "../tensor/shape.js";
import type { KernelCache } from "./kernel.js";
import { contiguous } from "./layout.js";
import type { ConvStep, PlainStep } from "./schedule.js";

/** A function (begin, end, result, operand…) over `units`, which threads share. */
export interface PlainKernel {
  readonly code: FunctionRef;
  readonly units: number;
  readonly work: number;
}

const loadName = (dtype: DType) => (dtype === "f32" ? "f32.load" : dtype === "f64" ? "f64.load" : "i32.load");
const storeName = (dtype: DType) =>
  dtype === "f32" ? "f32.store" : dtype === "f64" ? "f64.store" : "i32.store";
const addName = (dtype: DType) => (dtype === "f32" ? "f32.add" : dtype === "f64" ? "f64.add" : "i32.add");

/** Pushes start + Σ index·stride. */
function address(code: Code, start: Local, ...terms: readonly (readonly [Local, number])[]): void {
  code.get(start);
  for (const [index, stride] of terms) {
    code.get(index);
    code.i32(stride);
    code.emit("i32.mul", "i32.add");
  }
}

/**
 * for `count` elements (a local): target[i] = source[i], or += when `add`; `source` undefined writes zeros.
 * The three locals are consumed: they end behind the last element.
 */
function run(
  code: Code,
  dtype: DType,
  target: Local,
  source: Local | undefined,
  count: Local,
  add: boolean,
): void {
  const bytes = bytesOf(dtype);
  const lanes = 16 / bytes;
  const wide = dtype === "f64" ? "f64x2.add" : dtype === "f32" ? "f32x4.add" : "i32x4.add";
  const pass = (step: number, one: () => void) => {
    code.block((exit) => {
      code.loop((again) => {
        code.get(count);
        code.i32(step);
        code.emit("i32.lt_s");
        code.branchIf(exit);
        one();
        for (const pointer of source === undefined ? [target] : [target, source]) {
          code.get(pointer);
          code.i32(step * bytes);
          code.emit("i32.add");
          code.set(pointer);
        }
        code.get(count);
        code.i32(step);
        code.emit("i32.sub");
        code.set(count);
        code.branch(again);
      });
    });
  };
  pass(lanes, () => {
    code.get(target);
    if (source === undefined) code.i32x4(0);
    else {
      code.get(source);
      code.memory("v128.load");
      if (add) {
        code.get(target);
        code.memory("v128.load");
        code.emit(wide);
      }
    }
    code.memory("v128.store");
  });
  pass(1, () => {
    code.get(target);
    if (source === undefined) {
      if (dtype === "f64") code.f64(0);
      else if (dtype === "f32") code.f32(0);
      else code.i32(0);
    } else {
      code.get(source);
      code.memory(loadName(dtype));
      if (add) {
        code.get(target);
        code.memory(loadName(dtype));
        code.emit(addName(dtype));
      }
    }
    code.memory(storeName(dtype));
  });
}

/** The kernel that makes patches for a convolution, or folds them back into its input. */
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

/** Elements of a patch that are moved without loops. */
const straightLinePatch = 256;

/** `count` elements, known now: target = source, or += when `add`. */
function straight(
  code: Code,
  dtype: DType,
  target: Local,
  targetOffset: number,
  source: Local,
  sourceOffset: number,
  count: number,
  add: boolean,
): void {
  const bytes = bytesOf(dtype);
  const lanes = 16 / bytes;
  const wide = dtype === "f64" ? "f64x2.add" : dtype === "f32" ? "f32x4.add" : "i32x4.add";
  for (let at = 0; at < count; at += at + lanes <= count ? lanes : 1) {
    const vector = at + lanes <= count;
    code.get(target);
    code.get(source);
    code.memory(vector ? "v128.load" : loadName(dtype), sourceOffset + at * bytes);
    if (add) {
      code.get(target);
      code.memory(vector ? "v128.load" : loadName(dtype), targetOffset + at * bytes);
      code.emit(vector ? wide : addName(dtype));
    }
    code.memory(vector ? "v128.store" : storeName(dtype), targetOffset + at * bytes);
  }
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
      const [examples, height, width, channels] = image as [number, number, number, number];
      const [oh, ow] = [patch[1]!, patch[2]!];
      const { kernel, stride, padding, dilation } = op.window;
      const patchSize = kernel[0] * kernel[1] * channels;
      const imageBytes = height * width * channels * bytes;
      // Units are rows of positions for patches, whole images for fold (rows overlap there).
      const units = op.kind === "patches" ? examples * oh : examples;
      return define(units, sizeOf(patch) / 4, (code, begin, end, result, source) => {
        const local = () => code.local("i32");
        const [unit, example, row, column, ky, kx, y, x, from, to, count] = [
          local(),
          local(),
          local(),
          local(),
          local(),
          local(),
          local(),
          local(),
          local(),
          local(),
          local(),
        ];
        const [imageBase, patchBase] = op.kind === "patches" ? [source!, result] : [result, source!];
        const position = () => {
          // The patch at (example, row, column): kernel rows of kernel[1]·channels values.
          const patchAddress = local();
          code.get(patchBase);
          code.get(example);
          code.i32(oh);
          code.emit("i32.mul");
          code.get(row);
          code.emit("i32.add");
          code.i32(ow);
          code.emit("i32.mul");
          code.get(column);
          code.emit("i32.add");
          code.i32(patchSize * bytes);
          code.emit("i32.mul", "i32.add");
          code.set(patchAddress);
          const edges = () => {
            code.for(ky, { constant: 0 }, { constant: kernel[0] }, 1, () => {
              code.get(row);
              code.i32(stride[0]);
              code.emit("i32.mul");
              code.get(ky);
              code.i32(dilation[0]);
              code.emit("i32.mul", "i32.add");
              code.i32(padding[0][0]);
              code.emit("i32.sub");
              code.set(y);
              const inside = (value: Local, extent: number) => {
                code.get(value);
                code.i32(extent);
                code.emit("i32.lt_u");
              };
              /** Moves kernel columns [kx, kx + length) (`length` a local), reading the image or zeros. */
              const move = (length: Local, zero: boolean) => {
                // patch side
                code.get(patchAddress);
                code.get(ky);
                code.i32(kernel[1]);
                code.emit("i32.mul");
                code.get(kx);
                code.emit("i32.add");
                code.i32(channels * bytes);
                code.emit("i32.mul", "i32.add");
                code.set(op.kind === "patches" ? to : from);
                // image side
                if (!zero) {
                  code.get(imageBase);
                  code.get(example);
                  code.i32(imageBytes);
                  code.emit("i32.mul", "i32.add");
                  code.get(y);
                  code.i32(width);
                  code.emit("i32.mul");
                  code.get(x);
                  code.emit("i32.add");
                  code.i32(channels * bytes);
                  code.emit("i32.mul", "i32.add");
                  code.set(op.kind === "patches" ? from : to);
                }
                code.get(length);
                code.i32(channels);
                code.emit("i32.mul");
                code.set(count);
                if (zero) {
                  if (op.kind === "patches") run(code, dtype, to, undefined, count, false);
                } else run(code, dtype, to, from, count, op.kind === "fold");
              };
              const length = local();
              inside(y, height);
              code.if(
                () => {
                  const startX = () => {
                    code.get(column);
                    code.i32(stride[1]);
                    code.emit("i32.mul");
                    code.i32(padding[1][0]);
                    code.emit("i32.sub");
                  };
                  if (dilation[1] === 1) {
                    // Neighbouring kernel columns are neighbours in memory: zeros, one run, zeros.
                    const [lowest, highest] = [local(), local()];
                    startX();
                    code.set(x);
                    const clamp = (target: Local, push: () => void) => {
                      // target = min(max(value, 0), kernel width)
                      push();
                      code.set(target);
                      code.get(target);
                      code.i32(0);
                      code.get(target);
                      code.i32(0);
                      code.emit("i32.gt_s", "select");
                      code.set(target);
                      code.get(target);
                      code.i32(kernel[1]);
                      code.get(target);
                      code.i32(kernel[1]);
                      code.emit("i32.lt_s", "select");
                      code.set(target);
                    };
                    clamp(lowest, () => {
                      code.i32(0);
                      code.get(x);
                      code.emit("i32.sub");
                    });
                    clamp(highest, () => {
                      code.i32(width);
                      code.get(x);
                      code.emit("i32.sub");
                    });
                    const between = (low: () => void, high: () => void, zero: boolean) => {
                      low();
                      code.set(kx);
                      high();
                      code.get(kx);
                      code.emit("i32.sub");
                      code.set(length);
                      if (!zero) {
                        startX();
                        code.get(kx);
                        code.emit("i32.add");
                        code.set(x);
                      }
                      code.get(length);
                      code.i32(0);
                      code.emit("i32.gt_s");
                      code.if(() => move(length, zero));
                    };
                    if (op.kind === "patches")
                      between(
                        () => code.i32(0),
                        () => code.get(lowest),
                        true,
                      );
                    between(
                      () => code.get(lowest),
                      () => code.get(highest),
                      false,
                    );
                    if (op.kind === "patches")
                      between(
                        () => code.get(highest),
                        () => code.i32(kernel[1]),
                        true,
                      );
                    code.release("i32", lowest);
                    code.release("i32", highest);
                  } else {
                    code.for(kx, { constant: 0 }, { constant: kernel[1] }, 1, () => {
                      startX();
                      code.get(kx);
                      code.i32(dilation[1]);
                      code.emit("i32.mul", "i32.add");
                      code.set(x);
                      code.i32(1);
                      code.set(length);
                      inside(x, width);
                      code.if(
                        () => move(length, false),
                        () => move(length, true),
                      );
                    });
                  }
                },
                () => {
                  if (op.kind !== "patches") return;
                  code.i32(0);
                  code.set(kx);
                  code.i32(kernel[1]);
                  code.set(length);
                  move(length, true);
                },
              );
              code.release("i32", length);
            });
          };
          // Inside the image, a patch of moderate size is moved by straight-line code.
          const spanY = (kernel[0] - 1) * dilation[0] + 1;
          if (dilation[1] !== 1 || patchSize > straightLinePatch || spanY > height || kernel[1] > width)
            edges();
          else {
            const start = (index: Local, axis: 0 | 1) => {
              code.get(index);
              code.i32(stride[axis]);
              code.emit("i32.mul");
              code.i32(padding[axis][0]);
              code.emit("i32.sub");
            };
            start(row, 0);
            code.tee(y);
            code.i32(height - spanY + 1);
            code.emit("i32.lt_u");
            start(column, 1);
            code.tee(x);
            code.i32(width - kernel[1] + 1);
            code.emit("i32.lt_u", "i32.and");
            code.if(() => {
              code.get(imageBase);
              code.get(example);
              code.i32(imageBytes);
              code.emit("i32.mul", "i32.add");
              code.get(y);
              code.i32(width);
              code.emit("i32.mul");
              code.get(x);
              code.emit("i32.add");
              code.i32(channels * bytes);
              code.emit("i32.mul", "i32.add");
              code.set(from);
              const [inImage, inPatch] = [
                width * dilation[0] * channels * bytes,
                kernel[1] * channels * bytes,
              ];
              for (let line = 0; line < kernel[0]; line++) {
                if (op.kind === "patches")
                  straight(
                    code,
                    dtype,
                    patchAddress,
                    line * inPatch,
                    from,
                    line * inImage,
                    kernel[1] * channels,
                    false,
                  );
                else
                  straight(
                    code,
                    dtype,
                    from,
                    line * inImage,
                    patchAddress,
                    line * inPatch,
                    kernel[1] * channels,
                    true,
                  );
              }
            }, edges);
          }
          code.release("i32", patchAddress);
        };
        code.for(unit, begin, end, 1, () => {
          if (op.kind === "patches") {
            code.get(unit);
            code.i32(oh);
            code.emit("i32.div_u");
            code.set(example);
            code.get(unit);
            code.i32(oh);
            code.emit("i32.rem_u");
            code.set(row);
            code.for(column, { constant: 0 }, { constant: ow }, 1, position);
          } else {
            code.get(unit);
            code.set(example);
            address(code, imageBase, [example, imageBytes]);
            code.i32(0);
            code.i32(imageBytes);
            code.fill();
            code.for(row, { constant: 0 }, { constant: oh }, 1, () =>
              code.for(column, { constant: 0 }, { constant: ow }, 1, position),
            );
          }
        });
      });
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
