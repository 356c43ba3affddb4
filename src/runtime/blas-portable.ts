/**
 * The portable implementation: matrix products in WebAssembly SIMD (gemm-portable.ts) and factorizations over them.
 * It needs nothing but WebAssembly, so browsers and machines without a BLAS run it.
 */
import { ModuleBuilder } from "./assembler.js";
import type { Allocate, Blas, BlasFunctions } from "./blas.js";
import { defineRotate, defineSymv } from "./eigen-kernels.js";
import { double, single } from "./gemm-code.js";
import { defineGemm } from "./gemm-portable.js";
import { type Pair, packingBytes } from "./gemm-workspace.js";
import { defineSolve, type Kernels } from "./lapack-kernels.js";
import { createLapack, createWorkspace } from "./lapack-portable.js";
import { defineMirror, defineSwap, defineTranspose, defineZeroUpper } from "./matrix-moves.js";
import { strassen } from "./strassen.js";
import { lowerByPanels, symmetric } from "./symmetric.js";

export interface PortableOptions {
  readonly allocate: Allocate;
  /** Fused multiply-add: by default whenever the engine has relaxed SIMD. */
  readonly fma?: boolean;
}

/** A function that returns 2·3 + 4 in lane 0, by relaxed_madd. */
function relaxedProbe(): Uint8Array<ArrayBuffer> {
  const builder = new ModuleBuilder({ shared: false, maximumPages: 1 });
  builder.define(
    [],
    ["f32"],
    (code) => {
      code.f32x4(2);
      code.f32x4(3);
      code.f32x4(4);
      code.emit("f32x4.relaxed_madd");
      code.lane("f32x4.extract_lane", 0);
    },
    "probe",
  );
  return builder.toBytes();
}

/** Whether this engine compiles relaxed SIMD with the standard's meaning (early drafts ordered operands otherwise). */
export function hasRelaxedSimd(): boolean {
  const bytes = relaxedProbe();
  if (!WebAssembly.validate(bytes)) return false;
  const memory = new WebAssembly.Memory({ initial: 0, maximum: 1 });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
  return (exports.probe as () => number)() === 10;
}

export function createPortableBlas(memory: WebAssembly.Memory, options: PortableOptions): Blas {
  const fma = options.fma ?? hasRelaxedSimd();
  const shared = typeof SharedArrayBuffer !== "undefined" && memory.buffer instanceof SharedArrayBuffer;
  const builder = new ModuleBuilder({ shared, maximumPages: 65536 });
  const packing = options.allocate(packingBytes);
  for (const kind of [single, double]) {
    defineGemm(builder, kind, fma, packing);
    defineZeroUpper(builder, kind);
    defineMirror(builder, kind, defineTranspose(builder, kind));
    defineSolve(builder, kind, fma);
    defineSwap(builder, kind);
  }
  defineSymv(builder, double, fma);
  defineRotate(builder, fma);
  const module = new WebAssembly.Module(builder.toBytes());
  const exported = new WebAssembly.Instance(module, { env: { memory } }).exports;
  const kernelsOf = (prefix: string) =>
    Object.fromEntries(
      Object.entries(exported).flatMap(([name, value]) =>
        name.startsWith(prefix) ? [[name.slice(1), value]] : [],
      ),
    ) as unknown as Kernels & { readonly pair: Pair };
  const doubles = kernelsOf("d");
  const workspace = createWorkspace(options.allocate);
  const functions = [single, double].flatMap((kind) => {
    const { prefix } = kind;
    const { pair, ...plain } = kernelsOf(prefix);
    const large = strassen(kind, plain.gemm, pair);
    const gemm = symmetric(large, lowerByPanels(plain.gemm, kind.size), plain.mirror);
    const kernels = { ...plain, gemm };
    const lapack = createLapack(prefix, memory, kernels, doubles, workspace);
    return Object.entries({ ...lapack, gemm }).map(([name, value]) => [`${prefix}${name}`, value]);
  });
  return {
    kind: "portable",
    unpacked: 0,
    description: `portable (WebAssembly SIMD, ${fma ? "fused multiply-add" : "multiply and add"})`,
    functions: Object.fromEntries(functions) as BlasFunctions,
  };
}
