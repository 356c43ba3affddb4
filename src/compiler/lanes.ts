/**
 * Single operations on SIMD lanes. A kernel works on four lanes, or on two when it touches f64; values of 4-byte
 * types then sit in the two low lanes. bool is a 4-byte mask of all ones or zeros in registers, 0 or 1 in memory.
 */
import type { Code, Local } from "../runtime/assembler.js";
import { elementary, pow } from "../runtime/math.js";
import type { DType } from "../tensor/dtype.js";
import type { HashOp, Node } from "./expression.js";
import type { ElementwiseOp } from "./step.js";

export type Lanes = 2 | 4;

/** Pushes a constant in all lanes. */
export function pushNumber(code: Code, dtype: DType, value: number): void {
  if (dtype === "f32") code.f32x4(value);
  else if (dtype === "f64") code.f64x2(value);
  else if (dtype === "i32") code.i32x4(value);
  else code.i32x4(value ? -1 : 0);
}

/** Address on the stack → one vector of consecutive elements, or one element in all lanes (`splat`). */
export function load(code: Code, dtype: DType, lanes: Lanes, mode: "vector" | "splat", offset = 0): void {
  if (dtype === "f64") code.memory(mode === "vector" ? "v128.load" : "v128.load64_splat", offset);
  else if (mode === "splat") code.memory("v128.load32_splat", offset);
  else code.memory(lanes === 4 ? "v128.load" : "v128.load64_zero", offset);
  if (dtype === "bool") {
    code.i32x4(0);
    code.emit("i32x4.ne");
  }
}

/** Elements `stride` bytes apart, starting at the address in `address`. */
export function loadStrided(code: Code, dtype: DType, lanes: Lanes, address: Local, stride: number): void {
  const [first, lane] =
    dtype === "f64"
      ? (["v128.load64_zero", "v128.load64_lane"] as const)
      : (["v128.load32_zero", "v128.load32_lane"] as const);
  const value = code.local("v128");
  code.get(address);
  code.memory(first);
  code.set(value);
  for (let index = 1; index < lanes; index++) {
    code.get(address);
    code.i32(index * stride);
    code.emit("i32.add");
    code.get(value);
    code.memoryLane(lane, index);
    code.set(value);
  }
  code.get(value);
  code.release("v128", value);
  if (dtype === "bool") {
    code.i32x4(0);
    code.emit("i32x4.ne");
  }
}

/** Turns a register value into its memory form (bool masks into 0 or 1). */
export function toMemory(code: Code, dtype: DType): void {
  if (dtype !== "bool") return;
  code.i32x4(1);
  code.emit("v128.and");
}

/** Address and value on the stack; writes all lanes, or the lowest one. */
export function store(code: Code, dtype: DType, lanes: Lanes, mode: "vector" | "lane", offset = 0): void {
  if (mode === "lane")
    code.memoryLane(dtype === "f64" ? "v128.store64_lane" : "v128.store32_lane", 0, offset);
  else if (dtype === "f64" || lanes === 4) code.memory("v128.store", offset);
  else code.memoryLane("v128.store64_lane", 0, offset);
}

/** Writes the lanes of `value` to addresses `stride` bytes apart. */
export function storeStrided(
  code: Code,
  dtype: DType,
  lanes: Lanes,
  address: Local,
  stride: number,
  value: Local,
): void {
  for (let index = 0; index < lanes; index++) {
    code.get(address);
    code.i32(index * stride);
    code.emit("i32.add");
    code.get(value);
    code.memoryLane(dtype === "f64" ? "v128.store64_lane" : "v128.store32_lane", index);
  }
}

/** Two f64x2 comparison results → one mask in the low 4-byte lanes. */
function narrowMask(code: Code): void {
  const mask = code.local("v128");
  code.tee(mask);
  code.get(mask);
  code.shuffle([0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11]);
  code.release("v128", mask);
}

/** Pushes op(inputs); `push` puts an operand on the stack. */
export function apply(
  code: Code,
  op: ElementwiseOp | HashOp,
  dtype: DType,
  inputs: readonly Node[],
  push: (node: Node) => void,
): void {
  const [a, b] = inputs as [Node, Node];
  const type = a.dtype;
  const wide = type === "f64" ? "f64x2" : "f32x4";
  const both = () => {
    push(a);
    push(b);
  };
  switch (op.kind) {
    case "add":
    case "sub":
    case "mul":
      both();
      code.emit(type === "i32" ? `i32x4.${op.kind}` : `${wide}.${op.kind}`);
      return;
    case "div":
      both();
      code.emit(`${wide}.div`);
      return;
    case "max":
    case "min":
      both();
      // Not pmax and pmin, which are shorter but lose NaN and the order of −0 and 0.
      code.emit(type === "i32" ? `i32x4.${op.kind}_s` : `${wide}.${op.kind}`);
      return;
    case "pow":
      both();
      pow(code, type as "f32" | "f64");
      return;
    case "neg":
    case "abs":
      push(a);
      code.emit(type === "i32" ? `i32x4.${op.kind}` : `${wide}.${op.kind}`);
      return;
    case "floor":
    case "sqrt":
      push(a);
      code.emit(`${wide}.${op.kind}`);
      return;
    case "sign": {
      const x = code.local("v128");
      push(a);
      code.set(x);
      if (type === "i32") {
        // (x < 0) − (x > 0) on masks of −1
        for (const compare of ["i32x4.lt_s", "i32x4.gt_s"] as const) {
          code.get(x);
          code.i32x4(0);
          code.emit(compare);
        }
        code.emit("i32x4.sub");
      } else {
        // ±1 where |x| > 0; ±0 and NaN are themselves
        pushNumber(code, type, 1);
        code.get(x);
        pushNumber(code, type, -0);
        code.emit("v128.and", "v128.or");
        code.get(x);
        code.get(x);
        code.emit(`${wide}.abs`);
        pushNumber(code, type, 0);
        code.emit(`${wide}.gt`, "v128.bitselect");
      }
      code.release("v128", x);
      return;
    }
    case "exp":
    case "expm1":
    case "log":
    case "log1p":
    case "tanh":
    case "sigmoid":
    case "erf":
    case "sin":
    case "cos":
      push(a);
      elementary[op.kind](code, type as "f32" | "f64");
      return;
    case "not":
      push(a);
      code.emit("v128.not");
      return;
    case "and":
    case "or":
      both();
      code.emit(`v128.${op.kind}`);
      return;
    case "lt":
    case "le":
    case "eq":
    case "ne":
      both();
      if (type === "f64") {
        code.emit(`f64x2.${op.kind}`);
        narrowMask(code);
      } else if (type === "f32") code.emit(`f32x4.${op.kind}`);
      else code.emit(op.kind === "lt" || op.kind === "le" ? `i32x4.${op.kind}_s` : `i32x4.${op.kind}`);
      return;
    case "select":
      push(inputs[1]!);
      push(inputs[2]!);
      push(inputs[0]!);
      if (dtype === "f64") code.emit("i64x2.extend_low_i32x4_s");
      code.emit("v128.bitselect");
      return;
    case "cast":
      push(a);
      cast(code, type, op.dtype);
      return;
    case "xor":
      both();
      code.emit("v128.xor");
      return;
    case "mix": {
      const x = code.local("v128");
      push(a);
      code.set(x);
      const shiftXor = (bits: number) => {
        code.get(x);
        code.get(x);
        code.i32(bits);
        code.emit("i32x4.shr_u", "v128.xor");
      };
      const times = (factor: number) => {
        code.i32x4(factor);
        code.emit("i32x4.mul");
        code.set(x);
      };
      shiftXor(16);
      times(0x21f0aaad);
      shiftXor(15);
      times(0x735a2d97);
      shiftXor(15);
      code.release("v128", x);
      return;
    }
    case "uniform":
      push(a);
      if (dtype === "f64") {
        code.emit("f64x2.convert_low_i32x4_u");
        code.f64x2(2 ** -32);
        code.emit("f64x2.mul");
      } else {
        code.i32(8);
        code.emit("i32x4.shr_u", "f32x4.convert_i32x4_s");
        code.f32x4(2 ** -24);
        code.emit("f32x4.mul");
      }
      return;
  }
}

function cast(code: Code, from: DType, to: DType): void {
  if (to === "bool") {
    if (from === "f64") {
      code.f64x2(0);
      code.emit("f64x2.ne");
      narrowMask(code);
    } else {
      pushNumber(code, from, 0);
      code.emit(from === "f32" ? "f32x4.ne" : "i32x4.ne");
    }
    return;
  }
  if (from === "bool") {
    code.i32x4(1);
    code.emit("v128.and");
    cast(code, "i32", to);
    return;
  }
  const route = `${from}>${to}` as const;
  if (route === "f32>f64") code.emit("f64x2.promote_low_f32x4");
  else if (route === "f64>f32") code.emit("f32x4.demote_f64x2_zero");
  else if (route === "i32>f32") code.emit("f32x4.convert_i32x4_s");
  else if (route === "i32>f64") code.emit("f64x2.convert_low_i32x4_s");
  else if (route === "f32>i32") code.emit("i32x4.trunc_sat_f32x4_s");
  else if (route === "f64>i32") code.emit("i32x4.trunc_sat_f64x2_s_zero");
}

/** The reduction of two vectors on the stack. */
export function combine(code: Code, dtype: DType, reduction: "sum" | "max"): void {
  if (dtype === "i32") code.emit(reduction === "sum" ? "i32x4.add" : "i32x4.max_s");
  else if (dtype === "f64") code.emit(reduction === "sum" ? "f64x2.add" : "f64x2.max");
  else code.emit(reduction === "sum" ? "f32x4.add" : "f32x4.max");
}
export function pushIdentity(code: Code, dtype: DType, reduction: "sum" | "max"): void {
  pushNumber(code, dtype, reduction === "sum" ? 0 : dtype === "i32" ? -0x80000000 : -Infinity);
}

/** The reduction over the lanes of the vector in `value`, left in all lanes of it. */
export function acrossLanes(
  code: Code,
  dtype: DType,
  lanes: Lanes,
  reduction: "sum" | "max",
  value: Local,
): void {
  const rotate = (bytes: number) => {
    code.get(value);
    code.get(value);
    code.get(value);
    code.shuffle(Array.from({ length: 16 }, (_, k) => (k + bytes) % 16));
    combine(code, dtype, reduction);
    code.set(value);
  };
  if (dtype === "f64") rotate(8);
  else if (lanes === 4) {
    rotate(8);
    rotate(4);
  } else {
    // Two low lanes hold data: add lane 1 to lane 0, then spread.
    code.get(value);
    code.get(value);
    code.get(value);
    code.shuffle([4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3]);
    combine(code, dtype, reduction);
    code.set(value);
    code.get(value);
    code.get(value);
    code.shuffle([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
    code.set(value);
  }
}
