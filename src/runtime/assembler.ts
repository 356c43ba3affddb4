/**
 * A WebAssembly assembler: TypeScript calls in, module bytes out.
 *
 * Kernels are generated at run time, thousands of instructions a program, so emission writes bytes directly:
 * one growable buffer a function, no instruction objects. Only what the kernels use is here.
 * Binary format: https://webassembly.github.io/spec/core/binary/ (with threads and relaxed SIMD).
 */
import { type Opcode, opcodes } from "./opcodes.js";

export type ValueType = "i32" | "i64" | "f32" | "f64" | "v128";
/** Index of a parameter or local variable of the function being written. */
export type Local = number & { readonly __local: unique symbol };
/** A function of the module, imported or defined; `call` takes it. */
export interface FunctionRef {
  readonly index: number;
}

const valueTypeByte: Record<ValueType, number> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b };

class Bytes {
  private data = new Uint8Array(256);
  length = 0;

  byte(value: number) {
    if (this.length === this.data.length) this.reserve(1);
    this.data[this.length++] = value;
  }
  bytes(values: ArrayLike<number>) {
    this.reserve(values.length);
    this.data.set(values, this.length);
    this.length += values.length;
  }
  unsigned(value: number) {
    let rest = value;
    while (rest >= 0x80) {
      this.byte((rest % 128) | 0x80);
      rest = Math.floor(rest / 128);
    }
    this.byte(rest);
  }
  signed(value: bigint | number) {
    let rest = BigInt(value);
    for (;;) {
      const low = Number(rest & 0x7fn);
      rest >>= 7n;
      if ((rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)) {
        this.byte(low);
        return;
      }
      this.byte(low | 0x80);
    }
  }
  signed32(value: number) {
    let rest = value | 0;
    for (;;) {
      const low = rest & 0x7f;
      rest >>= 7;
      if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) {
        this.byte(low);
        return;
      }
      this.byte(low | 0x80);
    }
  }
  name(text: string) {
    const utf8 = new TextEncoder().encode(text);
    this.unsigned(utf8.length);
    this.bytes(utf8);
  }
  view(): Uint8Array {
    return this.data.subarray(0, this.length);
  }
  private reserve(extra: number) {
    if (this.length + extra <= this.data.length) return;
    const grown = new Uint8Array(Math.max(2 * this.data.length, this.length + extra));
    grown.set(this.data.subarray(0, this.length));
    this.data = grown;
  }
}

const float32 = new DataView(new ArrayBuffer(16));

/** The body of one function. Methods append one instruction each, operands first, as on the wasm stack. */
export class Code {
  private readonly prologue = new Bytes();
  private readonly body = new Bytes();
  private readonly constants = new Map<string, Local>();
  private readonly localTypes: ValueType[] = [];
  private readonly free = new Map<ValueType, Local[]>();
  private depth = 0;

  constructor(private readonly parameterCount: number) {}

  /** An instruction without immediates: `code.emit("f32x4.add")`. */
  emit(...names: Opcode[]) {
    for (const name of names) {
      const opcode = opcodes[name];
      if (opcode < 0x100) this.body.byte(opcode);
      else {
        this.body.byte(opcode >>> 16);
        this.body.unsigned(opcode & 0xffff);
      }
    }
  }
  /** A load or store; `offset` in bytes is added to the address on the stack. */
  memory(name: Opcode, offset = 0) {
    this.emit(name);
    // Alignment is a hint, except for atomics, where it must be the natural one (4 bytes for all that we use).
    this.body.unsigned(name.includes("atomic") ? 2 : 0);
    this.body.unsigned(offset);
  }
  /** `v128.load32_lane`-like: memory access of one lane. */
  memoryLane(name: Opcode, lane: number, offset = 0) {
    this.memory(name, offset);
    this.body.byte(lane);
  }
  /** `f32x4.extract_lane`, `replace_lane`: immediate lane index. */
  lane(name: Opcode, lane: number) {
    this.emit(name);
    this.body.byte(lane);
  }
  /** `i8x16.shuffle`: 16 byte indices into the two operands (0–31). */
  shuffle(indices: readonly number[]) {
    this.emit("i8x16.shuffle");
    this.body.bytes(indices);
  }
  i32(value: number) {
    this.body.byte(0x41);
    this.body.signed32(value);
  }
  i64(value: bigint) {
    this.body.byte(0x42);
    this.body.signed(value);
  }
  f32(value: number) {
    this.body.byte(0x43);
    float32.setFloat32(0, value, true);
    this.body.bytes(new Uint8Array(float32.buffer, 0, 4));
  }
  f64(value: number) {
    this.body.byte(0x44);
    float32.setFloat64(0, value, true);
    this.body.bytes(new Uint8Array(float32.buffer, 0, 8));
  }
  /** A v128 constant with every f32 lane equal. */
  f32x4(value: number) {
    for (let lane = 0; lane < 4; lane++) float32.setFloat32(4 * lane, value, true);
    this.constant128();
  }
  /** A v128 constant with both f64 lanes equal. */
  f64x2(value: number) {
    for (let lane = 0; lane < 2; lane++) float32.setFloat64(8 * lane, value, true);
    this.constant128();
  }
  /** A v128 constant of four i32 lanes (one value for all, or one each). */
  i32x4(value: number | readonly [number, number, number, number]) {
    for (let lane = 0; lane < 4; lane++)
      float32.setInt32(4 * lane, typeof value === "number" ? value : value[lane]!, true);
    this.constant128();
  }
  /** A v128 constant with both i64 lanes equal. */
  i64x2(value: bigint) {
    for (let lane = 0; lane < 2; lane++) float32.setBigInt64(8 * lane, BigInt.asIntN(64, value), true);
    this.constant128();
  }
  /**
   * Vector constants live in locals that are set once, at the start of the function: engines build a constant
   * anew (several instructions) wherever it stands, also in the middle of a loop.
   */
  private constant128() {
    const words = new Uint32Array(float32.buffer, 0, 4);
    const key = words.join();
    let local = this.constants.get(key);
    if (local === undefined) {
      this.localTypes.push("v128");
      local = (this.parameterCount + this.localTypes.length - 1) as Local;
      this.constants.set(key, local);
      this.prologue.byte(0xfd);
      this.prologue.unsigned(opcodes["v128.const"] & 0xffff);
      this.prologue.bytes(new Uint8Array(float32.buffer, 0, 16));
      this.prologue.byte(0x21);
      this.prologue.unsigned(local);
    }
    this.get(local);
  }

  /** A new (or released) local variable. Not zeroed when it was used before. */
  local(type: ValueType): Local {
    const released = this.free.get(type)?.pop();
    if (released !== undefined) return released;
    this.localTypes.push(type);
    return (this.parameterCount + this.localTypes.length - 1) as Local;
  }
  /** Gives a local back for reuse by later `local(type)` calls. */
  release(type: ValueType, local: Local) {
    const list = this.free.get(type);
    if (list) list.push(local);
    else this.free.set(type, [local]);
  }
  get(local: Local) {
    this.body.byte(0x20);
    this.body.unsigned(local);
  }
  set(local: Local) {
    this.body.byte(0x21);
    this.body.unsigned(local);
  }
  tee(local: Local) {
    this.body.byte(0x22);
    this.body.unsigned(local);
  }
  /** memory.copy: destination, source and byte count from the stack. */
  copy() {
    this.body.bytes([0xfc, 10, 0, 0]);
  }
  /** memory.fill: destination, byte value and byte count from the stack. */
  fill() {
    this.body.bytes([0xfc, 11, 0]);
  }
  getGlobal(index: number) {
    this.body.byte(0x23);
    this.body.unsigned(index);
  }
  call(target: FunctionRef) {
    this.body.byte(0x10);
    this.body.unsigned(target.index);
  }

  /** `block … end`; `exit` inside the body branches behind it. */
  block(body: (label: number) => void) {
    this.structured(0x02, body);
  }
  /** `loop … end`; a branch to the label goes back to the start. */
  loop(body: (label: number) => void) {
    this.structured(0x03, body);
  }
  /** Takes an i32 condition from the stack. */
  if(then: () => void, otherwise?: () => void) {
    this.body.byte(0x04);
    this.body.byte(0x40);
    this.depth++;
    then();
    if (otherwise) {
      this.body.byte(0x05);
      otherwise();
    }
    this.depth--;
    this.body.byte(0x0b);
  }
  branch(label: number) {
    this.body.byte(0x0c);
    this.body.unsigned(this.depth - label);
  }
  /** Takes an i32 condition from the stack. */
  branchIf(label: number) {
    this.body.byte(0x0d);
    this.body.unsigned(this.depth - label);
  }
  return() {
    this.body.byte(0x0f);
  }
  /**
   * for (i = from; i < to; i += step) body(): `from` and `to` are locals or constants; nothing runs when from >= to.
   * `counter` is set to `from` first and holds the first value >= `to` afterwards.
   */
  for(
    counter: Local,
    from: Local | "current" | { constant: number },
    to: Local | { constant: number },
    step: number,
    body: () => void,
  ) {
    const push = (value: Local | { constant: number }) =>
      typeof value === "object" ? this.i32(value.constant) : this.get(value);
    if (from !== "current") {
      push(from);
      this.set(counter);
    }
    this.block((exit) => {
      this.get(counter);
      push(to);
      this.emit("i32.ge_s");
      this.branchIf(exit);
      this.loop((again) => {
        body();
        this.get(counter);
        this.i32(step);
        this.emit("i32.add");
        this.tee(counter);
        push(to);
        this.emit("i32.lt_s");
        this.branchIf(again);
      });
    });
  }
  private structured(opcode: number, body: (label: number) => void) {
    this.body.byte(opcode);
    this.body.byte(0x40);
    this.depth++;
    body(this.depth);
    this.depth--;
    this.body.byte(0x0b);
  }

  /** The function's bytes, as the code section wants them. */
  finish(): Uint8Array {
    const head = new Bytes();
    const runs: { type: ValueType; count: number }[] = [];
    for (const type of this.localTypes) {
      const last = runs.at(-1);
      if (last?.type === type) last.count++;
      else runs.push({ type, count: 1 });
    }
    head.unsigned(runs.length);
    for (const run of runs) {
      head.unsigned(run.count);
      head.byte(valueTypeByte[run.type]);
    }
    const out = new Bytes();
    out.unsigned(head.length + this.prologue.length + this.body.length + 1);
    out.bytes(head.view());
    out.bytes(this.prologue.view());
    out.bytes(this.body.view());
    out.byte(0x0b);
    return out.view();
  }
}

interface Signature {
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/**
 * A module under construction. Import functions before defining any (wasm numbers imports first).
 * The memory is imported as `env.memory`, functions as `env.<name>`.
 */
export class ModuleBuilder {
  private readonly types: Signature[] = [];
  private readonly imports: { name: string; type: number }[] = [];
  private readonly globals: string[] = [];
  private readonly functions: { type: number; code: Uint8Array; export?: string }[] = [];

  constructor(private readonly memory: { shared: boolean; maximumPages: number }) {}

  importFunction(name: string, parameters: readonly ValueType[], results: readonly ValueType[]): FunctionRef {
    if (this.functions.length > 0) throw new Error("imports come before definitions");
    this.imports.push({ name, type: this.type(parameters, results) });
    return { index: this.imports.length - 1 };
  }
  /** An immutable i32 global `env.<name>`; returns its index for `getGlobal`. */
  importGlobal(name: string): number {
    this.globals.push(name);
    return this.globals.length - 1;
  }
  /** Defines a function; `write` receives its code and the parameters' locals. */
  define(
    parameters: readonly ValueType[],
    results: readonly ValueType[],
    write: (code: Code, ...parameters: Local[]) => void,
    exportAs?: string,
  ): FunctionRef {
    const code = new Code(parameters.length);
    write(code, ...parameters.map((_, index) => index as Local));
    this.functions.push({
      type: this.type(parameters, results),
      code: code.finish(),
      ...(exportAs === undefined ? {} : { export: exportAs }),
    });
    return { index: this.imports.length + this.functions.length - 1 };
  }

  toBytes(): Uint8Array<ArrayBuffer> {
    const out = new Bytes();
    out.bytes([0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    const section = (id: number, write: (section: Bytes) => void) => {
      const content = new Bytes();
      write(content);
      out.byte(id);
      out.unsigned(content.length);
      out.bytes(content.view());
    };
    section(1, (s) => {
      s.unsigned(this.types.length);
      for (const { parameters, results } of this.types) {
        s.byte(0x60);
        for (const list of [parameters, results]) {
          s.unsigned(list.length);
          for (const type of list) s.byte(valueTypeByte[type]);
        }
      }
    });
    section(2, (s) => {
      s.unsigned(1 + this.imports.length + this.globals.length);
      s.name("env");
      s.name("memory");
      s.byte(0x02);
      s.byte(this.memory.shared ? 0x03 : 0x01);
      s.unsigned(0);
      s.unsigned(this.memory.maximumPages);
      for (const { name, type } of this.imports) {
        s.name("env");
        s.name(name);
        s.byte(0x00);
        s.unsigned(type);
      }
      for (const name of this.globals) {
        s.name("env");
        s.name(name);
        s.bytes([0x03, 0x7f, 0x00]);
      }
    });
    section(3, (s) => {
      s.unsigned(this.functions.length);
      for (const { type } of this.functions) s.unsigned(type);
    });
    section(7, (s) => {
      const exported = this.functions.flatMap((f, index) =>
        f.export === undefined ? [] : [{ name: f.export, index }],
      );
      s.unsigned(exported.length);
      for (const { name, index } of exported) {
        s.name(name);
        s.byte(0x00);
        s.unsigned(this.imports.length + index);
      }
    });
    section(10, (s) => {
      s.unsigned(this.functions.length);
      for (const { code } of this.functions) s.bytes(code);
    });
    return out.view().slice();
  }

  private type(parameters: readonly ValueType[], results: readonly ValueType[]): number {
    const key = (signature: Signature) => `${signature.parameters.join()}>${signature.results.join()}`;
    const wanted = key({ parameters, results });
    const found = this.types.findIndex((signature) => key(signature) === wanted);
    if (found >= 0) return found;
    this.types.push({ parameters, results });
    return this.types.length - 1;
  }
}
