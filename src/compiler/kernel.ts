/** Functions that steps become, and the memory that they are called with. */
import type { Code, FunctionRef, Local, ModuleBuilder } from "../runtime/assembler.js";
import type { Reduction, Root } from "./step.js";

/** A compiled loop: call it with [begin, end) of `units`, a scratch address, and the addresses of `arguments`. */
export interface Kernel {
  readonly code: FunctionRef;
  readonly units: number;
  /** Threads' ranges should start at multiples of this. */
  readonly grain: number;
  readonly arguments: readonly KernelArgument[];
  /** Bytes of thread-private scratch. */
  readonly scratch: number;
  /** Rough number of element operations, to decide whether threads pay. */
  readonly work: number;
}
export type KernelArgument =
  | { readonly kind: "memory"; readonly root: Root; readonly offset: number }
  /** Where this thread's share of a reduction goes: `size` elements of the root's dtype. */
  | { readonly kind: "partial"; readonly root: Root; readonly reduction: Reduction; readonly size: number };

/** Emits kernels into a module; equal kernels once. */
export class KernelCache {
  private readonly known = new Map<string, FunctionRef>();
  constructor(readonly module: ModuleBuilder) {}
  define(key: string, parameters: number, write: (code: Code, ...locals: Local[]) => void): FunctionRef {
    const found = this.known.get(key);
    if (found) return found;
    const defined = this.module.define(new Array<"i32">(parameters).fill("i32"), [], write);
    this.known.set(key, defined);
    return defined;
  }
}
