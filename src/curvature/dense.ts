/** Curvature as a dense matrix [n, n]: for small n, and as the reference of everything that avoids it. */
import { compile } from "../compiler/compile.js";
import { cost, flopsOf } from "../compiler/cost.js";
import { random } from "../nn/random.js";
import type { Buffer } from "../runtime/memory.js";
import { bytesOf } from "../tensor/dtype.js";
import { argumentsOf, type Objective } from "./objective.js";
import { type CurvatureOptions, compileProduct, curvatureOperator, productCost } from "./operator.js";
import type { CurvatureKind } from "./products.js";
import { curvatureRows } from "./rows.js";

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
  /** Bytes that computing it may take beside the matrix, activations of the batch above all; default 1 GiB. */
  readonly workspace?: number;
  /** Columns computed at once, each with activations of its own; default 16, or what the workspace allows. */
  readonly block?: number;
}

/**
 * The dense matrix of a curvature (kinds as of `curvatureOperator`; a mean over the batch): n² numbers.
 *
 * Gauss–Newton and Fisher matrices are RᵀR with R [rows, n] from one backward pass an output (rows.ts), where that takes
 * fewer FLOPs than n products: rows·n², in one matrix product. So it is with few outputs, and with convolutions, whose
 * weights are used at many places. That this is the curvature (no example depends on others) is checked at the first
 * `compute`, on a product with a random vector. Everything else comes from products with blocks of unit vectors: about n
 * times the FLOPs of a product, in blocks that the workspace has room for.
 *
 *     const H = denseCurvature(objective, "hessian");
 *     H.compute();
 *     runtime.blas.functions.dpotrf(n, H.matrix.address, n);
 *
 * @throws RangeError when the matrix would need more memory than the limit, or one product more than the workspace.
 */
export function denseCurvature(
  objective: Objective,
  kind: CurvatureKind,
  options: DenseOptions = {},
): DenseCurvature {
  const { runtime, dtype, layout } = objective;
  const n = layout.size;
  const { limit = 512 * 2 ** 20, workspace = 2 ** 30 } = options;
  const bytes = n * n * bytesOf(dtype);
  if (bytes > limit)
    throw new RangeError(
      `denseCurvature: the matrix of ${n.toLocaleString("en")} parameters would need ${mebibytes(bytes)}, the limit is ${mebibytes(limit)}; ` +
        "use curvatureOperator, which needs products only, or raise limit",
    );
  const matrix = runtime.buffer(dtype, [n, n]);
  const columns = () => byColumns(objective, kind, matrix, { ...options, workspace });
  let rows: Filler | undefined;
  let filler: Filler;
  try {
    rows = byRows(objective, kind, matrix, workspace);
    filler = rows ?? columns();
  } catch (error) {
    matrix.release();
    throw error;
  }
  let verified = false;
  return {
    matrix,
    compute(draw = 0) {
      filler.fill(draw);
      if (!rows || verified) return;
      verified = isCurvature(objective, kind, matrix);
      if (verified) return;
      rows.release();
      rows = undefined;
      filler = columns();
      filler.fill(draw);
    },
    release() {
      filler.release();
      matrix.release();
    },
  };
}

interface Filler {
  fill(draw: number): void;
  release(): void;
}

/** RᵀR, where there is an R that the workspace has room for, and less work than in n products. */
function byRows(
  objective: Objective,
  kind: CurvatureKind,
  matrix: Buffer,
  workspace: number,
): Filler | undefined {
  const given = argumentsOf(objective);
  const traced = objective.trace(given.parameters, given.batch, given.state, given.key);
  const applies =
    kind === "gaussNewton" || (kind === "fisher" && traced.outputCurvature?.sampleGradient !== undefined);
  const R = applies ? curvatureRows(traced, given.parameters, objective.layout) : undefined;
  if (!R || R.size * bytesOf(R.dtype) > workspace) return undefined;
  const program = { inputs: given.inputs, outputs: [R.transpose().matmul(R)] };
  const counted = cost(program);
  if (counted.arenaBytes > workspace) return undefined;
  // Of a matrix times its own transpose one triangle is computed (runtime/symmetric.ts).
  const n = objective.layout.size;
  if (flopsOf(counted) - R.size * n > n * productCost(objective, kind, undefined, {}).flops) return undefined;
  const executable = compile(objective.runtime, program, { inputs: given.buffers, outputs: [matrix] });
  return { fill: () => executable.run(), release: executable.release };
}

/** Whether the matrix times a random vector is the product that needs no assumption. */
function isCurvature(objective: Objective, kind: CurvatureKind, { data }: Buffer): boolean {
  const n = objective.layout.size;
  const operator = curvatureOperator(objective, kind);
  operator.linearize();
  const [v, rng] = [operator.tangent.data, random(0)];
  for (let k = 0; k < n; k++) v[k] = rng.normal();
  operator.run();
  let [difference, size] = [0, 0];
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let j = 0; j < n; j++) sum += data[i * n + j]! * v[j]!;
    difference += (sum - operator.product.data[i]!) ** 2;
    size += operator.product.data[i]! ** 2;
  }
  operator.release();
  const tolerance = objective.dtype === "f64" ? 1e-8 : 1e-3;
  // Numbers that are none are no reason to doubt the graph.
  return !(difference > tolerance ** 2 * size);
}

/** A·E for blocks E of unit vectors. */
function byColumns(
  objective: Objective,
  kind: CurvatureKind,
  matrix: Buffer,
  options: DenseOptions & { readonly workspace: number },
): Filler {
  const n = objective.layout.size;
  const rows = columnsAtOnce(objective, kind, options);
  const { known, dependent, take } = compileProduct(objective, kind, rows, options);
  const tangents = dependent.inputs.at(-1)!;
  const products = dependent.outputs[0]!;
  return {
    fill(draw) {
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
    },
  };
}

/** The largest block that the workspace has room for: the one wanted, or a half, a quarter, … of it. */
function columnsAtOnce(
  objective: Objective,
  kind: CurvatureKind,
  options: DenseOptions & { readonly workspace: number },
): number {
  const { workspace } = options;
  for (let rows = Math.min(options.block ?? 16, objective.layout.size); ; rows = Math.floor(rows / 2)) {
    const { bytes } = productCost(objective, kind, rows, options);
    if (bytes <= workspace) return rows;
    if (rows === 1)
      throw new RangeError(
        `denseCurvature: one product with the curvature of this batch needs ${mebibytes(bytes)}, the workspace is ${mebibytes(workspace)}; ` +
          "use a smaller batch, or raise workspace",
      );
  }
}

const mebibytes = (bytes: number) =>
  `${(bytes / 2 ** 20).toLocaleString("en", { maximumFractionDigits: 1 })} MiB`;
