/**
 * Small WebAssembly kernels under the factorizations: what is neither a matrix product nor worth being scalar.
 */
import type { FunctionRef, Local, ModuleBuilder } from "./assembler.js";
import type { BlasFunctions } from "./blas.js";
import {
  accumulate,
  advance,
  advanceBy,
  define,
  double,
  type Kind,
  multipleOf,
  shuffleOf,
  subtract,
} from "./gemm-code.js";

/** The WebAssembly functions of one dtype; strides are in bytes. `symv` and `rotate` are there in f64 only. */
export interface Kernels {
  gemm: BlasFunctions["sgemm"];
  solve(
    n: number,
    t: number,
    rowStride: number,
    columnStride: number,
    b: number,
    bStride: number,
    width: number,
    unit: number,
  ): void;
  transpose(
    rows: number,
    columns: number,
    from: number,
    fromStride: number,
    to: number,
    toStride: number,
  ): void;
  zeroupper(n: number, a: number, lda: number): void;
  mirror(n: number, a: number, lda: number): void;
  swap(count: number, a: number, b: number): void;
  symv(n: number, a: number, stride: number, x: number, y: number): void;
  rotate(columns: number, z: number, stride: number, sweeps: number, count: number, rotations: number): void;
}

/** `<prefix>zeroupper(n, a, lda)`: the strict upper triangle of A becomes 0. */
export function defineZeroUpper(builder: ModuleBuilder, kind: Kind): FunctionRef {
  return builder.define(
    ["i32", "i32", "i32"],
    [],
    (code, n, a, lda) => {
      const stride = define(code, "i32", () => {
        code.get(lda!);
        code.i32(kind.shift);
        code.emit("i32.shl");
      });
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
      const stride = define(code, "i32", () => {
        code.get(lda!);
        code.i32(kind.shift);
        code.emit("i32.shl");
      });
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

/**
 * `<prefix>solve(n, t, rowStride, columnStride, b, bStride, width, unit)`: T X = B by forward substitution, X over B,
 * T lower triangular n×n, B n×width; strides in bytes. Negative strides from the last element on make it the backward
 * substitution of an upper triangle, and exchanged strides that of a transpose.
 */
export function defineSolve(builder: ModuleBuilder, kind: Kind, fma: boolean): FunctionRef {
  const strip = (vectors: number) =>
    builder.define(
      Array.from({ length: 7 }, () => "i32"),
      [],
      (code, n, t, rowStride, columnStride, b, bStride, unit) => {
        const scalar = vectors === 0;
        const type = scalar ? kind.scalar : "v128";
        const count = scalar ? 1 : vectors;
        const sums = Array.from({ length: count }, () => code.local(type));
        const others = Array.from({ length: count }, () => code.local(type));
        const factor = code.local(type);
        const [i, j, entry, above, current] = Array.from({ length: 5 }, () => code.local("i32"));
        const load = scalar ? (`${kind.scalar}.load` as const) : "v128.load";
        const store = scalar ? (`${kind.scalar}.store` as const) : "v128.store";
        const loadFactor = () => {
          code.get(entry!);
          code.memory(scalar ? load : kind.splatLoad);
          code.set(factor);
        };
        code.get(b!);
        code.set(current!);
        code.for(i!, { constant: 0 }, n!, 1, () => {
          sums.forEach((sum, index) => {
            code.get(current!);
            code.memory(load, 16 * index);
            code.set(sum);
          });
          code.get(t!);
          code.set(entry!);
          code.get(b!);
          code.set(above!);
          code.for(j!, { constant: 0 }, i!, 1, () => {
            loadFactor();
            others.forEach((other, index) => {
              code.get(above!);
              code.memory(load, 16 * index);
              code.set(other);
            });
            sums.forEach((sum, index) => {
              if (!scalar) {
                subtract(code, kind, fma, sum, factor, others[index]!);
                return;
              }
              code.get(sum);
              code.get(factor);
              code.get(others[index]!);
              code.emit(`${kind.scalar}.mul`, `${kind.scalar}.sub`);
              code.set(sum);
            });
            advanceBy(code, entry!, columnStride!);
            advanceBy(code, above!, bStride!);
          });
          code.get(unit!);
          code.emit("i32.eqz");
          code.if(() => {
            loadFactor();
            for (const sum of sums) {
              code.get(sum);
              code.get(factor);
              code.emit(scalar ? `${kind.scalar}.div` : `${kind.shape}.div`);
              code.set(sum);
            }
          });
          sums.forEach((sum, index) => {
            code.get(current!);
            code.get(sum);
            code.memory(store, 16 * index);
          });
          advanceBy(code, current!, bStride!);
          advanceBy(code, t!, rowStride!);
        });
      },
    );
  const strips = [4, 1, 0].map((vectors) => ({
    columns: vectors === 0 ? 1 : vectors * kind.lanes,
    solve: strip(vectors),
  }));
  return builder.define(
    Array.from({ length: 8 }, () => "i32"),
    [],
    (code, n, t, rowStride, columnStride, b, bStride, width, unit) => {
      const done = code.local("i32");
      strips.forEach(({ columns, solve }, index) => {
        const end = multipleOf(code, width!, columns);
        code.for(done, index === 0 ? { constant: 0 } : "current", end, columns, () => {
          for (const argument of [n!, t!, rowStride!, columnStride!, b!, bStride!, unit!]) code.get(argument);
          code.call(solve);
          advance(code, b!, columns * kind.size);
        });
      });
    },
    `${kind.prefix}solve`,
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

/** `<prefix>symv(n, a, stride, x, y)`: y = A x from the lower triangle of A, which is read once; stride in bytes. */
export function defineSymv(builder: ModuleBuilder, kind: Kind, fma: boolean): FunctionRef {
  const { size, lanes, scalar } = kind;
  const group = 4;
  return builder.define(
    ["i32", "i32", "i32", "i32", "i32"],
    [],
    (code, n, a, stride, x, y) => {
      const [i, j, xj, yj] = Array.from({ length: 4 }, () => code.local("i32"));
      const rows = Array.from({ length: group }, () => code.local("i32"));
      const entries = Array.from({ length: group }, () => code.local("v128"));
      const sums = Array.from({ length: group }, () => code.local("v128"));
      const factors = Array.from({ length: group }, () => code.local("v128"));
      const [part, target] = [code.local("v128"), code.local("v128")];
      const [sum, entry, factor] = [code.local(scalar), code.local(scalar), code.local(scalar)];
      code.get(y!);
      code.i32(0);
      code.get(n!);
      code.i32(kind.shift);
      code.emit("i32.shl");
      code.fill();
      /** Scalar element A[row, column] off the diagonal, `column` at xj and yj; sum += A x[column], y[column] += A factor. */
      const corner = () => {
        code.get(sum);
        code.get(entry);
        code.get(xj!);
        code.memory(`${scalar}.load`);
        code.emit(`${scalar}.mul`, `${scalar}.add`);
        code.set(sum);
        code.get(yj!);
        code.get(yj!);
        code.memory(`${scalar}.load`);
        code.get(entry);
        code.get(factor);
        code.emit(`${scalar}.mul`, `${scalar}.add`);
        code.memory(`${scalar}.store`);
        advance(code, xj!, size);
        advance(code, yj!, size);
      };
      /** The end of a row: the diagonal element, at `pointer` + offset; then y[row] += sum, row at xj and yj. */
      const diagonal = (pointer: Local, offset: number) => {
        code.get(yj!);
        code.get(yj!);
        code.memory(`${scalar}.load`);
        code.get(sum);
        code.get(pointer);
        code.memory(`${scalar}.load`, offset);
        code.get(factor);
        code.emit(`${scalar}.mul`, `${scalar}.add`, `${scalar}.add`);
        code.memory(`${scalar}.store`);
      };
      const elementOfX = (row: Local, offset: number) => {
        code.get(x!);
        code.get(row);
        code.i32(kind.shift);
        code.emit("i32.shl", "i32.add");
        code.memory(`${scalar}.load`, offset);
      };
      const whole = multipleOf(code, n!, group);
      code.for(i!, { constant: 0 }, whole, group, () => {
        rows.forEach((row, index) => {
          code.get(index === 0 ? a! : rows[index - 1]!);
          if (index > 0) {
            code.get(stride!);
            code.emit("i32.add");
          }
          code.set(row);
          elementOfX(i!, index * size);
          code.emit(`${kind.shape}.splat`);
          code.set(factors[index]!);
          code.i32x4(0);
          code.set(sums[index]!);
        });
        code.get(x!);
        code.set(xj!);
        code.get(y!);
        code.set(yj!);
        code.for(j!, { constant: 0 }, i!, lanes, () => {
          code.get(xj!);
          code.memory("v128.load");
          code.set(part);
          code.get(yj!);
          code.memory("v128.load");
          code.set(target);
          rows.forEach((row, index) => {
            code.get(row);
            code.memory("v128.load");
            code.set(entries[index]!);
            accumulate(code, kind, fma, sums[index]!, entries[index]!, part);
            accumulate(code, kind, fma, target, entries[index]!, factors[index]!);
            advance(code, row, 16);
          });
          code.get(yj!);
          code.get(target);
          code.memory("v128.store");
          advance(code, xj!, 16);
          advance(code, yj!, 16);
        });
        // The triangle on the diagonal.
        rows.forEach((row, index) => {
          for (let lane = 0; lane < lanes; lane++) {
            code.get(sums[index]!);
            code.lane(`${kind.shape}.extract_lane`, lane);
            if (lane > 0) code.emit(`${scalar}.add`);
          }
          code.set(sum);
          elementOfX(i!, index * size);
          code.set(factor);
          for (let column = 0; column < index; column++) {
            code.get(row);
            code.memory(`${scalar}.load`, column * size);
            code.set(entry);
            corner();
          }
          diagonal(row, index * size);
          advance(code, xj!, -index * size);
          advance(code, yj!, -index * size);
        });
        code.get(rows[group - 1]!);
        code.get(i!);
        code.i32(kind.shift);
        code.emit("i32.shl", "i32.sub");
        code.get(stride!);
        code.emit("i32.add");
        code.set(a!);
      });
      code.for(i!, "current", n!, 1, () => {
        elementOfX(i!, 0);
        code.set(factor);
        code.get(a!);
        code.set(rows[0]!);
        code.get(x!);
        code.set(xj!);
        code.get(y!);
        code.set(yj!);
        if (scalar === "f32") code.f32(0);
        else code.f64(0);
        code.set(sum);
        code.for(j!, { constant: 0 }, i!, 1, () => {
          code.get(rows[0]!);
          code.memory(`${scalar}.load`);
          code.set(entry);
          corner();
          advance(code, rows[0]!, size);
        });
        diagonal(rows[0]!, 0);
        advanceBy(code, a!, stride!);
      });
    },
    `${kind.prefix}symv`,
  );
}

/** Columns of Z that `rotate` keeps side by side. */
export const rotationStrip = 8;

/**
 * `drotate(strips, z, rows, sweeps, count, rotations)`: applies `count` sweeps of plane rotations to the rows of Z, which
 * lies in strips of 8 columns, each strip row after row. A sweep is two i32 (first, last): rotations of the rows
 * (i, i+1) for i = first, first−1, …, last, each two elements (c, s) that follow one another at `rotations`:
 * row i+1 ← s·row i + c·row i+1, row i ← c·row i − s·row i+1. All sweeps go over one strip before the next one.
 */
export function defineRotate(builder: ModuleBuilder, fma: boolean): FunctionRef {
  const kind = double;
  const vectors = rotationStrip / kind.lanes;
  const stride = rotationStrip * kind.size;
  const strip = builder.define(
    Array.from({ length: 4 }, () => "i32"),
    [],
    (code, z, sweeps, count, rotations) => {
      const carried = Array.from({ length: vectors }, () => code.local("v128"));
      const [cosine, sine, upper, mixed] = Array.from({ length: 4 }, () => code.local("v128"));
      const [sweep, left, row] = Array.from({ length: 3 }, () => code.local("i32"));
      code.for(sweep!, { constant: 0 }, count!, 1, () => {
        code.get(z!);
        code.get(sweeps!);
        code.memory("i32.load");
        code.i32(stride);
        code.emit("i32.mul", "i32.add");
        code.set(row!);
        // left = first − last + 1
        code.get(sweeps!);
        code.memory("i32.load");
        code.get(sweeps!);
        code.memory("i32.load", 4);
        code.emit("i32.sub");
        code.i32(1);
        code.emit("i32.add");
        code.set(left!);
        advance(code, sweeps!, 8);
        carried.forEach((value, index) => {
          code.get(row!);
          code.memory("v128.load", stride + 16 * index);
          code.set(value);
        });
        code.loop((again) => {
          [cosine!, sine!].forEach((factor, index) => {
            code.get(rotations!);
            code.memory(kind.splatLoad, index * kind.size);
            code.set(factor);
          });
          carried.forEach((lower, index) => {
            const scaled = (value: Local) => {
              code.get(value);
              code.get(cosine!);
              code.emit("f64x2.mul");
              code.set(mixed!);
            };
            code.get(row!);
            code.memory("v128.load", 16 * index);
            code.set(upper!);
            scaled(lower);
            accumulate(code, kind, fma, mixed!, sine!, upper!);
            code.get(row!);
            code.get(mixed!);
            code.memory("v128.store", stride + 16 * index);
            scaled(upper!);
            subtract(code, kind, fma, mixed!, sine!, lower);
            code.get(mixed!);
            code.set(lower);
          });
          advance(code, rotations!, 2 * kind.size);
          advance(code, row!, -stride);
          advance(code, left!, -1);
          code.get(left!);
          code.branchIf(again);
        });
        carried.forEach((value, index) => {
          code.get(row!);
          code.get(value);
          code.memory("v128.store", stride + 16 * index);
        });
      });
    },
  );
  return builder.define(
    Array.from({ length: 6 }, () => "i32"),
    [],
    (code, strips, z, rows, sweeps, count, rotations) => {
      const done = code.local("i32");
      code.for(done, { constant: 0 }, strips!, 1, () => {
        for (const argument of [z!, sweeps!, count!, rotations!]) code.get(argument);
        code.call(strip);
        code.get(z!);
        code.get(rows!);
        code.i32(stride);
        code.emit("i32.mul", "i32.add");
        code.set(z!);
      });
    },
    "drotate",
  );
}
