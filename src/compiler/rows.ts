/** The rows of a loop, one after the other: where each pattern of access is, without a multiplication a row. */
import type { Code, Local } from "../runtime/assembler.js";
import type { Pattern } from "./expression.js";

/**
 * for row in [begin, end): keeps each pattern's byte offset of the row in `offset`, moved like an odometer:
 * one addition a row, and a correction where an axis wraps around.
 */
export function overRows(
  code: Code,
  extents: readonly number[],
  begin: Local,
  end: Local,
  patterns: readonly Pattern[],
  offset: readonly Local[],
  body: () => void,
): void {
  const row = code.local("i32");
  const index = extents.map(() => code.local("i32"));
  const rest = code.local("i32");
  code.get(begin);
  code.set(rest);
  for (let axis = extents.length - 1; axis >= 0; axis--) {
    if (axis === 0) {
      code.get(rest);
      code.set(index[0]!);
      continue;
    }
    code.get(rest);
    code.i32(extents[axis]!);
    code.emit("i32.rem_u");
    code.set(index[axis]!);
    code.get(rest);
    code.i32(extents[axis]!);
    code.emit("i32.div_u");
    code.set(rest);
  }
  patterns.forEach((pattern, p) => {
    code.i32(0);
    pattern.outer.forEach((stride, axis) => {
      if (stride === 0) return;
      code.get(index[axis]!);
      code.i32(stride);
      code.emit("i32.mul", "i32.add");
    });
    code.set(offset[p]!);
  });
  const advance = (axis: number) => {
    patterns.forEach((pattern, p) => {
      const wrapped = axis + 1 < extents.length ? extents[axis + 1]! * pattern.outer[axis + 1]! : 0;
      const delta = pattern.outer[axis]! - wrapped;
      if (delta === 0) return;
      code.get(offset[p]!);
      code.i32(delta);
      code.emit("i32.add");
      code.set(offset[p]!);
    });
    if (axis === 0) return;
    code.get(index[axis]!);
    code.i32(1);
    code.emit("i32.add");
    code.tee(index[axis]!);
    code.i32(extents[axis]!);
    code.emit("i32.eq");
    code.if(() => {
      code.i32(0);
      code.set(index[axis]!);
      advance(axis - 1);
    });
  };
  code.for(row, begin, end, 1, () => {
    body();
    advance(extents.length - 1);
  });
  for (const local of [row, rest, ...index]) code.release("i32", local);
}
