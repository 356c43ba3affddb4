/** WebAssembly kernels that move the elements of a matrix and compute nothing. */
import type { Code, FunctionRef, Local, ModuleBuilder } from "./assembler.js";
import { advance, advanceBy, define, type Kind, multipleOf, shuffleOf } from "./gemm-code.js";

/** A local with the bytes that so many elements take. */
const bytesOf = (code: Code, kind: Kind, elements: Local): Local =>
  define(code, "i32", () => {
    code.get(elements);
    code.i32(kind.shift);
    code.emit("i32.shl");
  });

/** `<prefix>zeroupper(n, a, lda)`: the strict upper triangle of A becomes 0. */
export function defineZeroUpper(builder: ModuleBuilder, kind: Kind): FunctionRef {
  return builder.define(
    ["i32", "i32", "i32"],
    [],
    (code, n, a, lda) => {
      const stride = bytesOf(code, kind, lda!);
      const row = code.local("i32");
      code.for(row, { constant: 1 }, n!, 1, () => {
        code.get(a!);
        code.get(row);
        code.i32(kind.shift);
        code.emit("i32.shl", "i32.add");
        code.i32(0);
        code.get(n!);
        code.get(row);
        code.emit("i32.sub");
        code.i32(kind.shift);
        code.emit("i32.shl");
        code.fill();
        advanceBy(code, a!, stride);
      });
    },
    `${kind.prefix}zeroupper`,
  );
}

/** `<prefix>transpose(rows, columns, from, fromStride, to, toStride)`: to = fromᵀ, strides in bytes. */
export function defineTranspose(builder: ModuleBuilder, kind: Kind): FunctionRef {
  const { size, lanes } = kind;
  return builder.define(
    ["i32", "i32", "i32", "i32", "i32", "i32"],
    [],
    (code, rows, columns, from, fromStride, to, toStride) => {
      const [row, column, source, target, pointer] = Array.from({ length: 5 }, () => code.local("i32"));
      const values = Array.from({ length: lanes }, () => code.local("v128"));
      const halves = Array.from({ length: lanes }, () => code.local("v128"));
      const scalarColumns = (count: number) => {
        // The rest of these `count` rows, element by element.
        code.for(column!, "current", columns!, 1, () => {
          for (let index = 0; index < count; index++) {
            code.get(target!);
            code.get(source!);
            if (index > 0) {
              code.get(fromStride!);
              code.i32(index);
              code.emit("i32.mul", "i32.add");
            }
            code.memory(`${kind.scalar}.load`);
            code.memory(`${kind.scalar}.store`, index * size);
          }
          advance(code, source!, size);
          advanceBy(code, target!, toStride!);
        });
      };
      const begin = () => {
        code.get(from!);
        code.set(source!);
        code.get(to!);
        code.set(target!);
        code.i32(0);
        code.set(column!);
      };
      const wholeRows = multipleOf(code, rows!, lanes);
      const wholeColumns = multipleOf(code, columns!, lanes);
      code.for(row!, { constant: 0 }, wholeRows, lanes, () => {
        begin();
        code.for(column!, "current", wholeColumns, lanes, () => {
          code.get(source!);
          code.set(pointer!);
          values.forEach((value, index) => {
            code.get(pointer!);
            code.memory("v128.load");
            code.set(value);
            if (index + 1 < lanes) advanceBy(code, pointer!, fromStride!);
          });
          const combine = (target: Local, a: Local, b: Local, elements: readonly number[], width: number) => {
            code.get(a);
            code.get(b);
            code.shuffle(shuffleOf(width, elements));
            code.set(target);
          };
          if (lanes === 2) {
            combine(halves[0]!, values[0]!, values[1]!, [0, 2], 8);
            combine(halves[1]!, values[0]!, values[1]!, [1, 3], 8);
          } else {
            const [h0, h1, h2, h3] = halves;
            combine(h0!, values[0]!, values[1]!, [0, 4, 1, 5], 4);
            combine(h1!, values[2]!, values[3]!, [0, 4, 1, 5], 4);
            combine(h2!, values[0]!, values[1]!, [2, 6, 3, 7], 4);
            combine(h3!, values[2]!, values[3]!, [2, 6, 3, 7], 4);
            combine(values[0]!, h0!, h1!, [0, 2], 8);
            combine(values[1]!, h0!, h1!, [1, 3], 8);
            combine(values[2]!, h2!, h3!, [0, 2], 8);
            combine(values[3]!, h2!, h3!, [1, 3], 8);
          }
          for (const value of lanes === 2 ? halves : values) {
            code.get(target!);
            code.get(value);
            code.memory("v128.store");
            advanceBy(code, target!, toStride!);
          }
          advance(code, source!, 16);
        });
        scalarColumns(lanes);
        for (let index = 0; index < lanes; index++) advanceBy(code, from!, fromStride!);
        advance(code, to!, 16);
      });
      code.for(row!, "current", rows!, 1, () => {
        begin();
        scalarColumns(1);
        advanceBy(code, from!, fromStride!);
        advance(code, to!, size);
      });
    },
    `${kind.prefix}transpose`,
  );
}

/** `<prefix>mirror(n, a, lda)`: the lower triangle of A is copied to the upper one. */
export function defineMirror(builder: ModuleBuilder, kind: Kind, transpose: FunctionRef): FunctionRef {
  // Tiles that stay in cache; within the diagonal ones rows go one by one.
  const tile = 32;
  return builder.define(
    ["i32", "i32", "i32"],
    [],
    (code, n, a, lda) => {
      const stride = bytesOf(code, kind, lda!);
      const [top, left, row, rows, one] = Array.from({ length: 5 }, () => code.local("i32"));
      const element = (i: Local, j: Local) => {
        code.get(a!);
        code.get(i);
        code.get(stride);
        code.emit("i32.mul", "i32.add");
        code.get(j);
        code.i32(kind.shift);
        code.emit("i32.shl", "i32.add");
      };
      const copy = (i: Local, j: Local, countI: Local, countJ: () => void) => {
        code.get(countI);
        countJ();
        element(i, j);
        code.get(stride);
        element(j, i);
        code.get(stride);
        code.call(transpose);
      };
      code.i32(1);
      code.set(one!);
      code.for(top!, { constant: 0 }, n!, tile, () => {
        // rows = min(tile, n - top)
        code.get(n!);
        code.get(top!);
        code.emit("i32.sub");
        code.tee(rows!);
        code.i32(tile);
        code.emit("i32.gt_s");
        code.if(() => {
          code.i32(tile);
          code.set(rows!);
        });
        code.for(left!, { constant: 0 }, top!, tile, () => copy(top!, left!, rows!, () => code.i32(tile)));
        advanceBy(code, rows!, top!);
        code.for(row!, top!, rows!, 1, () =>
          copy(row!, top!, one!, () => {
            code.get(row!);
            code.get(top!);
            code.emit("i32.sub");
          }),
        );
      });
    },
    `${kind.prefix}mirror`,
  );
}

/** `<prefix>swap(count, a, b)`: exchanges two runs of elements. */
export function defineSwap(builder: ModuleBuilder, kind: Kind): FunctionRef {
  return builder.define(
    ["i32", "i32", "i32"],
    [],
    (code, count, a, b) => {
      const i = code.local("i32");
      const whole = multipleOf(code, count!, kind.lanes);
      const exchange = (type: "v128" | "f32" | "f64", bytes: number) => {
        const load = type === "v128" ? "v128.load" : (`${type}.load` as const);
        const store = type === "v128" ? "v128.store" : (`${type}.store` as const);
        const held = define(code, type, () => {
          code.get(a!);
          code.memory(load);
        });
        code.get(a!);
        code.get(b!);
        code.memory(load);
        code.memory(store);
        code.get(b!);
        code.get(held);
        code.memory(store);
        advance(code, a!, bytes);
        advance(code, b!, bytes);
      };
      code.for(i, { constant: 0 }, whole, kind.lanes, () => exchange("v128", 16));
      code.for(i, "current", count!, 1, () => exchange(kind.scalar, kind.size));
    },
    `${kind.prefix}swap`,
  );
}
