/**
 * The inner points of a row: the loops that walk them, by vectors along the last axis and one by one behind the last
 * whole vector, and where an access is at the current point.
 */
import type { Code, Local } from "../runtime/assembler.js";
import { bytesOf } from "../tensor/dtype.js";
import { sizeOf } from "../tensor/shape.js";
import type { Access, Pattern } from "./expression.js";
import type { Lanes } from "./lanes.js";

/** An element of the last axis: known when the code is written, or when it runs. */
export type Bound = Local | { readonly constant: number };

/** What is done at a vector of points, or at one; `second`: of a pair of vectors. */
type Body = (mode: "vector" | "lane", second?: boolean) => void;

/** @param pointer the address of each access at the row's first point. */
export function innerPoints(code: Code, inner: readonly number[], lanes: Lanes, pointer: readonly Local[]) {
  const at = code.local("i32"); // position along the last axis, in elements
  const scaled = { 4: code.local("i32"), 8: code.local("i32"), 1: at } as const;
  const linear = code.local("i32"); // number of the inner point, for scratch and kept sums
  const middle = inner.slice(0, -1);
  const indices = middle.map(() => code.local("i32"));

  /** Set while the row is written out: the inner point, known at compile time. */
  let fixed: { readonly indices: readonly number[]; readonly at: number } | undefined;
  const fixedOffset = (strides: readonly number[]): number =>
    [...fixed!.indices, fixed!.at].reduce((sum, index, axis) => sum + index * strides[axis]!, 0);

  /** Pushes the byte address of an access at the current point; what is left to add is returned. */
  const pushAddress = (access: Access): number => {
    if (fixed) {
      code.get(pointer[access.parameter]!);
      const rest = fixedOffset(access.pattern.inner);
      if (rest >= 0) return rest;
      code.i32(rest);
      code.emit("i32.add");
      return 0;
    }
    const bytes = bytesOf(access.dtype) as 4 | 8;
    const last = access.pattern.inner.at(-1)!;
    code.get(pointer[access.parameter]!);
    if (last === bytes) {
      code.get(scaled[bytes]);
      code.emit("i32.add");
    } else if (last !== 0) {
      code.get(at);
      code.i32(last);
      code.emit("i32.mul", "i32.add");
    }
    middle.forEach((_, axis) => {
      const stride = access.pattern.inner[axis]!;
      if (stride === 0) return;
      code.get(indices[axis]!);
      code.i32(stride);
      code.emit("i32.mul", "i32.add");
    });
    return 0;
  };
  /** An address in a local, for accesses of single lanes. */
  const holdAddress = (access: Access): Local => {
    const rest = pushAddress(access);
    const address = code.local("i32");
    if (rest !== 0) {
      code.i32(rest);
      code.emit("i32.add");
    }
    code.set(address);
    return address;
  };
  /** Pushes base + linear·bytes of the current point; what is left to add is returned. */
  const pushLinear = (base: Local, bytes: number, shift = 0): number => {
    code.get(base);
    if (fixed)
      return fixedOffset(middle.map((_, axis) => sizeOf(inner.slice(axis + 1))).concat(1)) * bytes + shift;
    code.get(linear);
    code.i32(bytes);
    code.emit("i32.mul", "i32.add");
    return shift;
  };
  /** Pushes row + constant + Σ index·stride of the current point. */
  const pushIndex = (row: Local, { inner: strides }: Pattern, constant: number): void => {
    code.get(row);
    if (fixed) code.i32(constant + fixedOffset(strides));
    else {
      code.get(at);
      code.i32(strides.at(-1)!);
      code.emit("i32.mul", "i32.add");
      middle.forEach((_, axis) => {
        code.get(indices[axis]!);
        code.i32(strides[axis]!);
        code.emit("i32.mul", "i32.add");
      });
      code.i32(constant);
    }
    code.emit("i32.add");
  };

  const setScaled = () => {
    code.get(at);
    code.i32(2);
    code.emit("i32.shl");
    code.set(scaled[4]);
    if (lanes === 2) {
      code.get(at);
      code.i32(3);
      code.emit("i32.shl");
      code.set(scaled[8]);
    }
    code.get(at);
    middle.forEach((_, axis) => {
      code.get(indices[axis]!);
      code.i32(sizeOf(inner.slice(axis + 1)));
      code.emit("i32.mul", "i32.add");
    });
    code.set(linear);
  };
  const push = (bound: Bound) => (typeof bound === "object" ? code.i32(bound.constant) : code.get(bound));
  const alongLast = (from: Bound, to: Bound, pairs: boolean, body: Body) => {
    const vectorEnd = code.local("i32");
    // Last multiple of the vector length above `from`.
    push(from);
    push(to);
    push(from);
    code.emit("i32.sub");
    code.i32(-lanes);
    code.emit("i32.and", "i32.add");
    code.set(vectorEnd);
    if (pairs) {
      const pairEnd = code.local("i32");
      push(from);
      code.get(vectorEnd);
      push(from);
      code.emit("i32.sub");
      code.i32(-2 * lanes);
      code.emit("i32.and", "i32.add");
      code.set(pairEnd);
      const move = (by: number) => {
        code.get(at);
        code.i32(by);
        code.emit("i32.add");
        code.set(at);
      };
      code.for(at, from, pairEnd, 2 * lanes, () => {
        setScaled();
        body("vector");
        move(lanes);
        setScaled();
        body("vector", true);
        move(-lanes);
      });
      code.get(pairEnd);
      code.set(at);
      code.for(at, "current", vectorEnd, lanes, () => {
        setScaled();
        body("vector");
      });
      code.release("i32", pairEnd);
    } else
      code.for(at, from, vectorEnd, lanes, () => {
        setScaled();
        body("vector");
      });
    const whole =
      typeof from === "object" && typeof to === "object" && (to.constant - from.constant) % lanes === 0;
    if (!whole) {
      code.get(vectorEnd);
      code.set(at);
      code.for(at, "current", to, 1, () => {
        setScaled();
        body("lane");
      });
    }
    code.release("i32", vectorEnd);
  };
  /** Loops over all points, from … to of the last axis; in pairs of vectors where `pairs` is set. */
  const walk = (from: Bound, to: Bound, pairs: boolean, body: Body): void => {
    const nest = (axis: number) => {
      if (axis === middle.length) alongLast(from, to, pairs, body);
      else code.for(indices[axis]!, { constant: 0 }, { constant: middle[axis]! }, 1, () => nest(axis + 1));
    };
    nest(0);
  };
  /** The whole row without loops. */
  const writeOut = (body: Body, known: readonly number[] = []): void => {
    if (known.length < middle.length) {
      for (let index = 0; index < middle[known.length]!; index++) writeOut(body, [...known, index]);
      return;
    }
    const extent = inner.at(-1)!;
    const whole = extent - (extent % lanes);
    for (let position = 0; position < extent; position += position < whole ? lanes : 1) {
      fixed = { indices: known, at: position };
      body(position < whole ? "vector" : "lane");
    }
  };
  const release = () => {
    for (const local of [at, scaled[4], scaled[8], linear, ...indices]) code.release("i32", local);
  };
  return { pushAddress, holdAddress, pushLinear, pushIndex, walk, writeOut, release };
}
