/**
 * Copies of operands into panels, which the micro-kernel reads in order: a panel holds, depth by depth, the elements of
 * as many rows of op(A), or columns of op(B), as the kernel takes at once.
 */
import type { FunctionRef, ModuleBuilder } from "./assembler.js";
import {
  advance,
  advanceBy,
  define,
  i32s,
  type Kind,
  loadPartial,
  shuffleOf,
  storePartial,
} from "./gemm-code.js";

/** Scalar copy of a corner: (outer, inner, from, fromOuter, fromInner, to, toOuter, toInner), strides in bytes. */
export function copyKernel(builder: ModuleBuilder, kind: Kind): FunctionRef {
  return builder.define(
    i32s(8),
    [],
    (code, outer, inner, from, fromOuter, fromInner, to, toOuter, toInner) => {
      const i = code.local("i32");
      const j = code.local("i32");
      const source = code.local("i32");
      const target = code.local("i32");
      code.for(i, { constant: 0 }, outer!, 1, () => {
        code.get(from!);
        code.set(source);
        code.get(to!);
        code.set(target);
        code.for(j, { constant: 0 }, inner!, 1, () => {
          code.get(target);
          code.get(source);
          code.memory(`${kind.scalar}.load`);
          code.memory(`${kind.scalar}.store`);
          advanceBy(code, source, fromInner!);
          advanceBy(code, target, toInner!);
        });
        advanceBy(code, from!, fromOuter!);
        advanceBy(code, to!, toOuter!);
      });
    },
  );
}

/**
 * Packs `count` rows (of op(A), or columns of op(B)) of depth k into panels of `width`:
 * (count, k, from, stride, to). In the source either the depth is the outer, strided direction ("contiguous": a
 * panel's `width` elements lie side by side) or the inner one ("transposed").
 */
export function packKernel(
  builder: ModuleBuilder,
  kind: Kind,
  width: number,
  transposed: boolean,
  copy: FunctionRef,
): FunctionRef {
  const { size, lanes } = kind;
  return builder.define(i32s(5), [], (code, count, k, from, stride, to) => {
    const source = code.local("i32");
    const depth = code.local("i32");
    const done = code.local("i32");
    const whole = define(code, "i32", () => {
      code.get(count!);
      code.get(count!);
      code.i32(width);
      code.emit("i32.rem_u", "i32.sub");
    });
    /** Copies what whole vectors do not cover: `rows` from row 0, `depths` from the current source on. */
    const copyRest = (rows: () => void, depths: () => void) => {
      rows();
      depths();
      code.get(source);
      if (transposed) code.get(stride!);
      else code.i32(size);
      if (transposed) code.i32(size);
      else code.get(stride!);
      code.get(to!);
      code.i32(size);
      code.i32(width * size);
      code.call(copy);
    };
    const nextPanel = () => {
      code.get(from!);
      if (transposed) {
        code.get(stride!);
        code.i32(width);
        code.emit("i32.mul");
      } else code.i32(width * size);
      code.emit("i32.add");
      code.set(from!);
    };
    code.for(done, { constant: 0 }, whole, width, () => {
      code.get(from!);
      code.set(source);
      if (!transposed) {
        const value = code.local("v128");
        code.for(depth, { constant: 0 }, k!, 1, () => {
          for (let element = 0; element < width; element += lanes) {
            const part = Math.min(lanes, width - element);
            loadPartial(code, kind, part, value, source, element * size);
            storePartial(code, kind, part, value, to!, element * size);
          }
          advanceBy(code, source, stride!);
          advance(code, to!, width * size);
        });
        code.release("v128", value);
      } else {
        const rows = Array.from({ length: width }, () => code.local("v128"));
        const pair = code.local("v128");
        const row = code.local("i32");
        const wholeDepth = define(code, "i32", () => {
          code.get(k!);
          code.i32(-lanes);
          code.emit("i32.and");
        });
        code.for(depth, { constant: 0 }, wholeDepth, lanes, () => {
          code.get(source);
          code.set(row);
          for (let index = 0; index < width; index++) {
            code.get(row);
            code.memory("v128.load");
            code.set(rows[index]!);
            if (index + 1 < width) advanceBy(code, row, stride!);
          }
          // Two rows at a time: element pairs of each depth, stored as 8 bytes (f32) or 16 bytes (f64).
          for (let index = 0; index + 1 < width; index += 2)
            for (let half = 0; half < 2; half++) {
              code.get(rows[index]!);
              code.get(rows[index + 1]!);
              if (lanes === 2) code.shuffle(shuffleOf(8, [half, 2 + half]));
              else code.shuffle(shuffleOf(4, [2 * half, 4 + 2 * half, 2 * half + 1, 5 + 2 * half]));
              code.set(pair);
              for (let part = 0; part < lanes / 2; part++) {
                const offset = ((half * lanes) / 2 + part) * width * size + index * size;
                code.get(to!);
                code.get(pair);
                if (lanes === 2) code.memory("v128.store", offset);
                else code.memoryLane("v128.store64_lane", part, offset);
              }
            }
          if (width % 2 === 1)
            for (let lane = 0; lane < lanes; lane++) {
              code.get(to!);
              code.get(rows[width - 1]!);
              code.memoryLane(
                lanes === 2 ? "v128.store64_lane" : "v128.store32_lane",
                lane,
                (lane * width + width - 1) * size,
              );
            }
          advance(code, source, lanes * size);
          advance(code, to!, lanes * width * size);
        });
        copyRest(
          () => code.i32(width),
          () => {
            code.get(k!);
            code.get(wholeDepth);
            code.emit("i32.sub");
          },
        );
        code.get(to!);
        code.get(k!);
        code.get(wholeDepth);
        code.emit("i32.sub");
        code.i32(width * size);
        code.emit("i32.mul", "i32.add");
        code.set(to!);
      }
      nextPanel();
    });
    code.get(from!);
    code.set(source);
    copyRest(
      () => {
        code.get(count!);
        code.get(whole);
        code.emit("i32.sub");
      },
      () => code.get(k!),
    );
  });
}
