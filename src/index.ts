/**
 * Thalweg: tensors traced into programs, differentiated, and compiled to WebAssembly and a BLAS.
 *
 *     import { compile, createRuntime, grad, trace } from "thalweg";
 *
 * Layers are in `thalweg/nn`, optimizers in `thalweg/optimizers`, data sets in `thalweg/data`.
 */
export {
  grad,
  hessian,
  hessianVectorProduct,
  jacobian,
  jvp,
  linearize,
  pullback,
  pushforward,
  valueAndGrad,
  vjp,
  vmap,
} from "./autodiff/index.js";
export { compile, type Executable } from "./compiler/compile.js";
export { type Cost, cost } from "./compiler/cost.js";
export type { Bindings } from "./compiler/plan.js";
export { profile, type StepTime } from "./compiler/profile.js";
export type { Blas } from "./runtime/blas.js";
export type { Buffer, Memory } from "./runtime/memory.js";
export { createRuntime, type Runtime, type RuntimeOptions } from "./runtime/runtime.js";
export { array, type NDArray, type Spec } from "./tensor/array.js";
export type { DType } from "./tensor/dtype.js";
export { evaluate } from "./tensor/evaluate.js";
export type { Mark, Op, Window } from "./tensor/op.js";
export { type Program, trace } from "./tensor/program.js";
export { scan } from "./tensor/scan.js";
export { type Shape, ShapeError } from "./tensor/shape.js";
export {
  concat,
  constant,
  full,
  input,
  iota,
  type Operand,
  ones,
  scatterAdd,
  stack,
  Tensor,
  zeros,
} from "./tensor/tensor.js";
export type { Tree } from "./tensor/tree.js";
