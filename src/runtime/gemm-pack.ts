/**
 * Copies of operands into panels, which the micro-kernel reads in order: a panel holds, depth by depth, the elements of
 * as many rows of op(A), or columns of op(B), as the kernel takes at once. An operand may be the sum of two blocks
 * (`Other`), which is made on the way.
 */
import type { Code, FunctionRef, Local, ModuleBuilder } from "./assembler.js";
import {
  accumulate,
  advance,
  advanceBy,
  define,
  i32s,
  type Kind,
  loadPartial,
  shuffleOf,
  storePartial,
} from "./gemm-code.js";

/** Where it is written what a block is added to: the bytes from one to the other, and the factor of the other. */
export interface Other {
  readonly distance: number;
  readonly factor: number;
}

const loadDistance = (code: Code, { distance }: Other): Local =>
  define(code, "i32", () => {
    code.i32(distance);
    code.memory("i32.load");
  });

/** Scalar copy of a corner: (outer, inner, from, fromOuter, fromInner, to, toOuter, toInner), strides in bytes. */
export function copyKernel(builder: ModuleBuilder, kind: Kind, other?: Other): FunctionRef {
  return builder.define(
    i32s(8),
    [],
    (code, outer, inner, from, fromOuter, fromInner, to, toOuter, toInner) => {
      const distance = other && loadDistance(code, other);
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
          if (other) {
            code.get(source);
            code.get(distance!);
            code.emit("i32.add");
            code.memory(`${kind.scalar}.load`);
            code.i32(other.factor);
            code.memory(`${kind.scalar}.load`);
            code.emit(`${kind.scalar}.mul`, `${kind.scalar}.add`);
          }
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
  fma: boolean,
  other?: Other,
): FunctionRef {
  const { size, lanes } = kind;
  return builder.define(i32s(5), [], (code, count, k, from, stride, to) => {
    const source = code.local("i32");
    const added = other && {
      distance: loadDistance(code, other),
      factor: define(code, "v128", () => {
        code.i32(other.factor);
        code.memory(kind.splatLoad);
      }),
      address: code.local("i32"),
      value: code.local("v128"),
    };
    /** value = the first `part` elements at address + offset, of the sum where there is one. */
    const load = (part: number, value: Local, address: Local, offset: number) => {
      loadPartial(code, kind, part, value, address, offset);
      if (!added) return;
      code.get(address);
      code.get(added.distance);
      code.emit("i32.add");
      code.set(added.address);
      loadPartial(code, kind, part, added.value, added.address, offset);
      accumulate(code, kind, fma, value, added.value, added.factor);
    };
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
    const nextPanels = (panels: number) => {
      code.get(from!);
      if (transposed) {
        code.get(stride!);
        code.i32(panels * width);
        code.emit("i32.mul");
      } else code.i32(panels * width * size);
      code.emit("i32.add");
      code.set(from!);
    };
    /** Some panels side by side, whose rows are read along whole lines of the cache. */
    const straight = (panels: number) => {
      const value = code.local("v128");
      const bytes = define(code, "i32", () => {
        code.get(k!);
        code.i32(width * size);
        code.emit("i32.mul");
      });
      const targets = [to!];
      for (let panel = 1; panel < panels; panel++)
        targets.push(
          define(code, "i32", () => {
            code.get(targets[panel - 1]!);
            code.get(bytes);
            code.emit("i32.add");
          }),
        );
      code.for(depth, { constant: 0 }, k!, 1, () => {
        targets.forEach((target, panel) => {
          for (let element = 0; element < width; element += lanes) {
            const part = Math.min(lanes, width - element);
            load(part, value, source, (panel * width + element) * size);
            storePartial(code, kind, part, value, target, element * size);
          }
          advance(code, target, width * size);
        });
        advanceBy(code, source, stride!);
      });
      // The last target has come to where the next panel begins.
      code.get(targets[panels - 1]!);
      code.set(to!);
    };
    if (!transposed) {
      const together = 4;
      const wide = define(code, "i32", () => {
        code.get(whole);
        code.get(whole);
        code.i32(together * width);
        code.emit("i32.rem_u", "i32.sub");
      });
      code.for(done, { constant: 0 }, wide, together * width, () => {
        code.get(from!);
        code.set(source);
        straight(together);
        nextPanels(together);
      });
      code.get(wide);
      code.set(done);
    }
    code.for(done, transposed ? { constant: 0 } : "current", whole, width, () => {
      code.get(from!);
      code.set(source);
      if (!transposed) straight(1);
      else {
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
            load(lanes, rows[index]!, row, 0);
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
      nextPanels(1);
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
