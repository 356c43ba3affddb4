/** WebAssembly kernels under the symmetric eigenproblem (lapack-eigen.ts). */
import type { FunctionRef, Local, ModuleBuilder } from "./assembler.js";
import { accumulate, advance, advanceBy, double, type Kind, multipleOf, subtract } from "./gemm-code.js";

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
