/**
 * Pieces of code that the generators of products and factorizations share.
 */
import type { Code, Local, ValueType } from "./assembler.js";
import type { Opcode } from "./opcodes.js";

/** Everything in the generated code that depends on the dtype. */
export interface Kind {
  readonly prefix: "s" | "d";
  readonly scalar: "f32" | "f64";
  readonly shape: "f32x4" | "f64x2";
  /** Bytes of an element, and its binary logarithm. */
  readonly size: number;
  readonly shift: number;
  /** Elements of a vector. */
  readonly lanes: number;
  readonly splatLoad: Opcode;
}
export const single: Kind = {
  prefix: "s",
  scalar: "f32",
  shape: "f32x4",
  size: 4,
  shift: 2,
  lanes: 4,
  splatLoad: "v128.load32_splat",
};
export const double: Kind = {
  prefix: "d",
  scalar: "f64",
  shape: "f64x2",
  size: 8,
  shift: 3,
  lanes: 2,
  splatLoad: "v128.load64_splat",
};

/** target += amount, a constant number of bytes. */
export function advance(code: Code, target: Local, bytes: number) {
  code.get(target);
  code.i32(bytes);
  code.emit("i32.add");
  code.set(target);
}
/** target += amount, a local. */
export function advanceBy(code: Code, target: Local, amount: Local) {
  code.get(target);
  code.get(amount);
  code.emit("i32.add");
  code.set(target);
}
/** A new local that holds the value which `push` leaves on the stack. */
export function define(code: Code, type: ValueType, push: () => void): Local {
  const local = code.local(type);
  push();
  code.set(local);
  return local;
}
/** accumulator += a·b */
export function accumulate(code: Code, kind: Kind, fma: boolean, accumulator: Local, a: Local, b: Local) {
  if (fma) {
    code.get(a);
    code.get(b);
    code.get(accumulator);
    code.emit(`${kind.shape}.relaxed_madd`);
  } else {
    code.get(accumulator);
    code.get(a);
    code.get(b);
    code.emit(`${kind.shape}.mul`, `${kind.shape}.add`);
  }
  code.set(accumulator);
}

/** accumulator −= a·b */
export function subtract(code: Code, kind: Kind, fma: boolean, accumulator: Local, a: Local, b: Local) {
  if (fma) {
    code.get(a);
    code.get(b);
    code.get(accumulator);
    code.emit(`${kind.shape}.relaxed_nmadd`);
  } else {
    code.get(accumulator);
    code.get(a);
    code.get(b);
    code.emit(`${kind.shape}.mul`, `${kind.shape}.sub`);
  }
  code.set(accumulator);
}

/** A local with the largest multiple of `divisor`, a power of 2, that is not above `value`. */
export function multipleOf(code: Code, value: Local, divisor: number): Local {
  return define(code, "i32", () => {
    code.get(value);
    code.i32(-divisor);
    code.emit("i32.and");
  });
}

/** Byte indices of an element shuffle. */
export function shuffleOf(size: number, elements: readonly number[]): number[] {
  return elements.flatMap((element) => Array.from({ length: size }, (_, byte) => element * size + byte));
}

/** Pushes a scalar constant. */
export function constant(code: Code, kind: Kind, value: number) {
  if (kind.size === 4) code.f32(value);
  else code.f64(value);
}

/** target = the first `count` elements at address + offset, zeros behind them. */
export function loadPartial(
  code: Code,
  kind: Kind,
  count: number,
  target: Local,
  address: Local,
  offset: number,
) {
  const bytes = count * kind.size;
  code.get(address);
  if (bytes === 16) code.memory("v128.load", offset);
  else code.memory(bytes === 4 ? "v128.load32_zero" : "v128.load64_zero", offset);
  code.set(target);
  if (bytes !== 12) return;
  code.get(address);
  code.get(target);
  code.memoryLane("v128.load32_lane", 2, offset + 8);
  code.set(target);
}
/** Stores the first `count` elements of `value` at address + offset. */
export function storePartial(
  code: Code,
  kind: Kind,
  count: number,
  value: Local,
  address: Local,
  offset: number,
) {
  const bytes = count * kind.size;
  code.get(address);
  code.get(value);
  if (bytes === 16) code.memory("v128.store", offset);
  else if (bytes === 4) code.memoryLane("v128.store32_lane", 0, offset);
  else code.memoryLane("v128.store64_lane", 0, offset);
  if (bytes !== 12) return;
  code.get(address);
  code.get(value);
  code.memoryLane("v128.store32_lane", 2, offset + 8);
}

/** Parameters of a function of so many addresses, counts and strides. */
export const i32s = (count: number): ValueType[] => Array.from({ length: count }, () => "i32");
