/** Vectors of floats while code is written: what elementary functions are made of. */
import type { Code, Local } from "./assembler.js";
import type { Opcode } from "./opcodes.js";

/** Whether polynomials use fused multiply-add (relaxed SIMD); set once, before the first kernel is emitted. */
let fused = false;
export function useFusedMultiplyAdd(available: boolean): void {
  fused = available;
}

export type FloatType = "f32" | "f64";

type Suffix<P extends string> = Opcode extends infer O ? (O extends `${P}.${infer S}` ? S : never) : never;
type FloatSuffix = Suffix<"f32x4"> & Suffix<"f64x2">;

/** Values in locals and the operations on them, for one float type. */
export class Vectors {
  private readonly taken: Local[] = [];
  constructor(
    readonly code: Code,
    readonly type: FloatType,
  ) {}
  /** A new local that holds what is on the stack. */
  hold(): Local {
    const local = this.code.local("v128");
    this.taken.push(local);
    this.code.set(local);
    return local;
  }
  number(value: number): void {
    if (this.type === "f32") this.code.f32x4(value);
    else this.code.f64x2(value);
  }
  emit(...names: FloatSuffix[]): void {
    for (const name of names) this.code.emit(`${this.type === "f32" ? "f32x4" : "f64x2"}.${name}`);
  }
  /** Σ coefficients[k] xᵏ by Horner's rule, left on the stack. */
  polynomial(x: Local, coefficients: readonly number[]): void {
    this.number(coefficients.at(-1)!);
    for (let k = coefficients.length - 2; k >= 0; k--) {
      this.code.get(x);
      if (fused) {
        this.number(coefficients[k]!);
        this.code.emit(this.type === "f32" ? "f32x4.relaxed_madd" : "f64x2.relaxed_madd");
        continue;
      }
      this.emit("mul");
      this.number(coefficients[k]!);
      this.emit("add");
    }
  }
  release(): void {
    for (const local of this.taken) this.code.release("v128", local);
  }
}

type Emitter = (v: Vectors) => void;
/** A function of what is on the stack, made of the operations on vectors. */
export const emitter =
  (body: Emitter) =>
  (code: Code, type: FloatType): void => {
    const v = new Vectors(code, type);
    body(v);
    v.release();
  };

export const factorial = (n: number): number => (n <= 1 ? 1 : n * factorial(n - 1));
export const series = (count: number, term: (k: number) => number) =>
  Array.from({ length: count }, (_, k) => term(k));

/** min(max(x, low), high), NaN kept. */
export function clamp(v: Vectors, x: Local, low: number, high: number): Local {
  v.code.get(x);
  v.number(high);
  v.emit("pmin");
  v.number(low);
  v.emit("pmax");
  return v.hold();
}

/** Gives the result on the stack, positive or already signed, the sign of x; sums in between lose that of −0. */
export function withSignOf(v: Vectors, x: Local): void {
  v.code.get(x);
  v.number(-0);
  v.code.emit("v128.and", "v128.or");
}
