/** Curvature as a dense matrix [n, n]: for small n, and as the reference of everything that avoids it. */
import type { Buffer } from "../runtime/memory.js";
import { bytesOf } from "../tensor/dtype.js";
import type { Objective } from "./objective.js";
import { type CurvatureOptions, compileProduct } from "./operator.js";
import type { CurvatureKind } from "./products.js";

export interface DenseCurvature {
  /** [n, n] after `compute`, in the runtime's memory: LAPACK may work on it in place. Symmetric up to rounding. */
  readonly matrix: Buffer;
  /** Fills the matrix at θ, batch, model state and key as they are now; `draw` as of `CurvatureOperator.linearize`. */
  compute(draw?: number): void;
  release(): void;
}

export interface DenseOptions extends CurvatureOptions {
  /** Bytes that the matrix may take; default 512 MiB (n = 8,192 in f64). */
  readonly limit?: number;
  /** Columns computed at once, each with activations of its own; default 16. */
  readonly block?: number;
}

/**
 * The dense matrix of a curvature (kinds as of `curvatureOperator`; a mean over the batch), from products with blocks
 * of unit vectors. n² numbers; about n times the FLOPs of a product.
 *
 *     const H = denseCurvature(objective, "hessian");
 *     H.compute();
 *     runtime.blas.functions.dpotrf(n, H.matrix.address, n);
 *
 * @throws RangeError when the matrix would need more memory than the limit.
 */
export function denseCurvature(
  objective: Objective,
  kind: CurvatureKind,
  options: DenseOptions = {},
): DenseCurvature {
  const { runtime, dtype, layout } = objective;
  const n = layout.size;
  const { limit = 512 * 2 ** 20, block = 16 } = options;
  const bytes = n * n * bytesOf(dtype);
  if (bytes > limit)
    throw new RangeError(
      `denseCurvature: the matrix of ${n.toLocaleString("en")} parameters would need ${mebibytes(bytes)}, the limit is ${mebibytes(limit)}; ` +
        "use curvatureOperator, which needs products only, or raise limit",
    );
  const rows = Math.min(block, n);
  const { known, dependent, take } = compileProduct(objective, kind, rows, options);
  const tangents = dependent.inputs.at(-1)!;
  const products = dependent.outputs[0]!;
  const matrix = runtime.buffer(dtype, [n, n]);
  return {
    matrix,
    compute(draw = 0) {
      take(draw);
      // The last block begins early where n is no multiple: some rows are then computed twice.
      for (let next = 0; next < n; next += rows) {
        const first = Math.min(next, n - rows);
        const unit = tangents.data.fill(0);
        for (let row = 0; row < rows; row++) unit[row * n + first + row] = 1;
        dependent.run();
        matrix.data.set(products.data, first * n);
      }
    },
    release() {
      dependent.release();
      known.release();
      matrix.release();
    },
  };
}

const mebibytes = (bytes: number) =>
  `${(bytes / 2 ** 20).toLocaleString("en", { maximumFractionDigits: 1 })} MiB`;
