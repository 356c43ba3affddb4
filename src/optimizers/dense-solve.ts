/** Solutions of (A + λI) d = −g for a dense symmetric A, by LAPACK in the runtime's memory. */
import type { CurvatureKind, DenseCurvature, Objective } from "../curvature/index.js";
import { denseCurvature } from "../curvature/index.js";
import { productCost } from "../curvature/operator.js";
import type { BlasFunctions } from "../runtime/blas.js";
import type { Buffer } from "../runtime/memory.js";
import type { Runtime } from "../runtime/runtime.js";
import { bytesOf } from "../tensor/dtype.js";
import { SettingsError } from "./settings.js";

const routines = (functions: BlasFunctions, dtype: "f32" | "f64") =>
  dtype === "f32"
    ? {
        gemm: functions.sgemm,
        potrf: functions.spotrf,
        trsm: functions.strsm,
        syevd: functions.ssyevd,
        gesv: functions.sgesv,
      }
    : {
        gemm: functions.dgemm,
        potrf: functions.dpotrf,
        trsm: functions.dtrsm,
        syevd: functions.dsyevd,
        gesv: functions.dgesv,
      };

/**
 * The dense curvature of an objective for a method that needs it; products with it are made in blocks for which the
 * limit has room beside the matrices.
 * @throws SettingsError saying how much memory `matrices` of them, or they and one product, need when that is above
 * the limit.
 */
export function denseFor(
  method: string,
  objective: Objective,
  kind: CurvatureKind,
  { matrices, limitMiB }: { readonly matrices: number; readonly limitMiB: number },
): DenseCurvature {
  const n = objective.layout.size;
  const limit = limitMiB * 2 ** 20;
  const bytes = matrices * n * n * bytesOf(objective.dtype);
  const refuse = (needed: number, what: string, cure: string) =>
    new SettingsError(
      `${method}: ${n.toLocaleString("en")} parameters need ${format(needed)} for dense curvature${what}, memoryLimit is ${format(limit)}; ` +
        `use a method that needs products only (hessianFree, lbfgs, naturalGradient with solver=cg)${cure}, or raise memoryLimit`,
    );
  if (bytes > limit) throw refuse(bytes, "", "");
  const workspace = limit - bytes;
  const { bytes: one } = productCost(objective, kind, 1, {});
  if (one > workspace)
    throw refuse(bytes + one, " and one product with it on this batch", ", a smaller batch");
  return denseCurvature(objective, kind, { limit, workspace });
}

/**
 * A curvature averaged over its computations: A ← βA + (1 − β)A_now, begun with I, or with zero and then
 * bias-corrected, so that the weights always sum to 1.
 *
 *     averaged(runtime, denseCurvature(objective, "gaussNewton"), { decay: 0.9, start: "identity" })
 */
export function averaged(
  runtime: Pick<Runtime, "buffer">,
  curvature: DenseCurvature,
  { decay, start }: { readonly decay: number; readonly start: "zero" | "identity" },
): DenseCurvature & { readonly state: Readonly<Record<string, Buffer>> } {
  const { matrix } = curvature;
  const average = runtime.buffer(matrix.dtype, matrix.shape);
  const computed = runtime.buffer("i32", []);
  if (start === "identity") addToDiagonal(average, 1);
  return {
    matrix,
    state: { curvature: average, curvatures: computed },
    compute(draw) {
      curvature.compute(draw);
      const t = ++computed.data[0]!;
      const beta = start === "identity" ? decay : (decay * (1 - decay ** (t - 1))) / (1 - decay ** t);
      const [from, to] = [matrix.data, average.data];
      for (let k = 0; k < to.length; k++) from[k] = to[k] = beta * to[k]! + (1 - beta) * from[k]!;
    },
    release() {
      curvature.release();
      average.release();
      computed.release();
    },
  };
}

const format = (bytes: number) =>
  bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** d ← −(A + λI)⁻¹ g. Returns whether it succeeded; after a failure d means nothing. */
export type DampedSolve = (lambda: number) => boolean;

interface System {
  readonly matrix: Buffer;
  readonly gradient: Buffer;
  /** d [n]. */
  readonly solution: Buffer;
}

function addToDiagonal({ data, shape }: Buffer, lambda: number): void {
  const n = shape[0]!;
  for (let i = 0; i < n; i++) data[i * (n + 1)]! += lambda;
}

function negated({ gradient, solution }: System): void {
  const [g, d] = [gradient.data, solution.data];
  for (let i = 0; i < d.length; i++) d[i] = -g[i]!;
}

const allFinite = (values: ArrayLike<number>): boolean => {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i]!)) return false;
  return true;
};

/** By LU with pivoting: for any invertible A + λI, definite or not. The matrix is destroyed. FLOPs: ⅔n³. */
export function solveIndefinite(functions: BlasFunctions, system: System): DampedSolve {
  const { matrix, solution } = system;
  const n = solution.size;
  const { gesv } = routines(functions, solution.dtype as "f32" | "f64");
  return (lambda) => {
    addToDiagonal(matrix, lambda);
    negated(system);
    return gesv(n, 1, matrix.address, n, solution.address, 1) === 0 && allFinite(solution.data);
  };
}

/**
 * By Cholesky's factors in a matrix of its own, so that A stays and another λ can be tried. Fails where A + λI is not
 * positive definite. FLOPs: ⅓n³.
 */
export function solveDefinite(
  functions: BlasFunctions,
  system: System & { readonly factor: Buffer },
): DampedSolve {
  const { matrix, factor, solution } = system;
  const n = solution.size;
  const { potrf, trsm } = routines(functions, solution.dtype as "f32" | "f64");
  return (lambda) => {
    factor.data.set(matrix.data);
    addToDiagonal(factor, lambda);
    negated(system);
    if (potrf(n, factor.address, n) !== 0) return false;
    trsm(1, 0, n, 1, 1, factor.address, n, solution.address, 1);
    trsm(1, 1, n, 1, 1, factor.address, n, solution.address, 1);
    return allFinite(solution.data);
  };
}

/** A in its eigenvectors, in place of A. FLOPs: about 9n³. */
export interface EigenSystem {
  /** Ascending, after `decompose`. */
  readonly eigenvalues: Buffer;
  /** Returns whether the iteration converged to finite numbers. */
  decompose(): boolean;
  /** out ← Q v: components along the eigenvectors. */
  into(v: Buffer, out: Buffer): void;
  /** out ← Qᵀ v. */
  from(v: Buffer, out: Buffer): void;
  release(): void;
}

/** @example const eigen = eigenSystem(runtime, H.matrix); H.compute(); eigen.decompose(); */
export function eigenSystem(
  runtime: {
    readonly blas: { readonly functions: BlasFunctions };
    buffer(dtype: "f32" | "f64", shape: readonly number[]): Buffer;
  },
  matrix: Buffer,
): EigenSystem {
  const dtype = matrix.dtype as "f32" | "f64";
  const n = matrix.shape[0]!;
  const { syevd, gemm } = routines(runtime.blas.functions, dtype);
  const eigenvalues = runtime.buffer(dtype, [n]);
  const product = (transposed: 0 | 1) => (v: Buffer, out: Buffer) =>
    gemm(transposed, 0, n, 1, n, 1, matrix.address, n, v.address, 1, 0, out.address, 1);
  return {
    eigenvalues,
    // LAPACK may not return from numbers that are none.
    decompose: () =>
      allFinite(matrix.data) &&
      syevd(n, matrix.address, n, eigenvalues.address) === 0 &&
      allFinite(eigenvalues.data),
    into: product(0),
    from: product(1),
    release: eigenvalues.release,
  };
}
