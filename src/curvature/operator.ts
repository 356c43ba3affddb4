/**
 * Curvature as a linear operator. What does not depend on the vector (the forward pass, the factors of its
 * derivatives) is one program, run by `linearize`; what does is another, run by `apply`. So ten products pay for one
 * forward pass, as in conjugate gradients (Martens 2010, "Deep learning via Hessian-free optimization").
 */
import { splitLinear } from "../autodiff/split.js";
import { batch as batchOver } from "../autodiff/vmap.js";
import { compile, type Executable } from "../compiler/compile.js";
import { cost, flopsOf } from "../compiler/cost.js";
import { simplify } from "../compiler/simplify.js";
import type { Buffer } from "../runtime/memory.js";
import type { Data } from "../tensor/dtype.js";
import { input } from "../tensor/tensor.js";
import { argumentsOf, type Objective } from "./objective.js";
import { type CurvatureKind, curvatureProduct, hiddenStates } from "./products.js";

/** A symmetric matrix A [size, size] known by its products. */
export interface LinearOperator {
  readonly size: number;
  /** out ← A·v; both [size] and distinct. Allocates nothing. */
  apply(v: Data, out: Data): void;
}

export interface CurvatureOperator extends LinearOperator {
  readonly kind: CurvatureKind;
  /**
   * Takes θ, batch, model state and key as they are now; `apply` refers to this moment until the next call. The
   * model's state does not move. `draw` numbers the sampled targets of "sampledFisher": equal draws, equal products.
   */
  linearize(draw?: number): void;
  /** The vector that `run` reads and the product that it writes: bind a program to them, and nothing is copied. */
  readonly tangent: Buffer;
  readonly product: Buffer;
  /** product ← A·tangent. */
  run(): void;
  /**
   * With the option `structure`: c, the weight of structural damping's S in the products that follow; 0 at first. Absent
   * without the option, and where no layer marks hidden states.
   */
  readonly structure: Buffer | undefined;
  /** Bytes that the linearization holds between products. */
  readonly heldBytes: number;
  release(): void;
}

export interface CurvatureOptions {
  /** Of "sampledFisher": draws of targets for each example; default 1. */
  readonly samples?: number;
  /** Of "sampledFisher"; default 0. */
  readonly seed?: number;
  /** Whether c·S, of the hidden states of recurrent layers, is added (products.ts); default false. */
  readonly structure?: boolean;
}

/**
 * The curvature of an objective as an operator on vectors [n]. A mean over the batch, as the loss.
 * `kind` is "hessian", "gaussNewton", "fisher" (closed form), "sampledFisher" or "empiricalFisher" (products.ts has
 * their equations and sources).
 *
 *     const G = curvatureOperator(objective, "gaussNewton");
 *     G.linearize();                       // once for this θ and this batch
 *     for (…) G.apply(direction, result);  // result ← G·direction
 *     G.release();
 *
 * @throws Error when the objective's trace does not return what the kind needs.
 */
export function curvatureOperator(
  objective: Objective,
  kind: CurvatureKind,
  options: CurvatureOptions = {},
): CurvatureOperator {
  const { layout } = objective;
  const { known, dependent, take, structure } = compileProduct(objective, kind, undefined, options);
  const tangent = dependent.inputs.at(-1)!;
  const product = dependent.outputs[0]!;
  let linearized = false;
  const run = () => {
    if (!linearized) throw new Error("curvatureOperator: call linearize() before the first product");
    dependent.run();
  };
  return {
    kind,
    size: layout.size,
    tangent,
    product,
    structure,
    heldBytes: known.outputs.reduce((sum, { data }) => sum + data.byteLength, 0),
    linearize(draw = 0) {
      take(draw);
      linearized = true;
    },
    run,
    apply(v, out) {
      if (v.length !== layout.size || out.length !== layout.size)
        throw new Error(
          `curvatureOperator: vectors of ${v.length} and ${out.length} elements where θ has ${layout.size}`,
        );
      if (v !== tangent.data) tangent.data.set(v);
      run();
      if (out !== product.data) out.set(product.data);
    },
    release() {
      dependent.release();
      known.release();
    },
  };
}

export interface CompiledProduct {
  /** Residuals of θ and the batch. */
  readonly known: Executable;
  /** Inputs: the residuals, …, the tangent [n] (or [rows, n]); output: the product in the same shape. */
  readonly dependent: Executable;
  /** The weight of S, f64, an input of `dependent`. */
  readonly structure: Buffer | undefined;
  /** Runs the known part. */
  take(draw: number): void;
}

/** The two programs of a product, traced; with `rows`, of as many products at once, tangent and product [rows, n]. */
function traceProduct(
  objective: Objective,
  kind: CurvatureKind,
  rows: number | undefined,
  { samples = 1, structure = false }: CurvatureOptions,
) {
  if (!Number.isInteger(samples) || samples < 1)
    throw new RangeError(`curvature: ${samples} samples; use a whole number, at least 1`);
  const given = argumentsOf(objective);
  const { parameters, batch, state, key } = given;
  const one = input("tangent", parameters);
  const drawKey = input("draw", key);
  const traced = objective.trace(parameters, batch, state, key);
  const weight =
    structure && hiddenStates(traced).length > 0 ? [input("structure", { dtype: "f64", shape: [] })] : [];
  let tangent = one;
  let product = curvatureProduct(kind, traced, parameters, one, {
    draws: { key: drawKey, count: samples },
    ...(weight[0] && { structure: weight[0] }),
  });
  if (rows !== undefined) {
    tangent = input("tangents", { dtype: one.dtype, shape: [rows, one.size] });
    [product] = batchOver([product], new Map([[one, tangent]]), rows) as [typeof product];
  }
  // Simplified first: equal residuals are then one, and are stored once.
  const program = simplify({ inputs: [...given.inputs, drawKey, ...weight, tangent], outputs: [product] });
  return { given, weighted: weight.length > 0, split: splitLinear(program, [...weight, tangent]) };
}

/** The two programs of a product, compiled. */
export function compileProduct(
  objective: Objective,
  kind: CurvatureKind,
  rows: number | undefined,
  options: CurvatureOptions,
): CompiledProduct {
  const { runtime } = objective;
  const { samples = 1, seed = 0 } = options;
  const { given, weighted, split } = traceProduct(objective, kind, rows, options);
  const known = compile(runtime, split.known, { inputs: given.buffers });
  const dependent = compile(runtime, split.dependent, { inputs: known.outputs });
  const draws = known.inputs[given.inputs.length]!;
  return {
    known,
    dependent,
    structure: weighted ? dependent.inputs.at(-2) : undefined,
    take(draw) {
      draws.data[0] = seed;
      draws.data[1] = draw * samples;
      known.run();
    },
  };
}

/**
 * What `compileProduct` takes beside the objective's own (residuals, vectors, activations), and the FLOPs of one run of
 * what depends on the tangents. Compiles nothing.
 */
export function productCost(
  objective: Objective,
  kind: CurvatureKind,
  rows: number | undefined,
  options: CurvatureOptions,
): { readonly bytes: number; readonly flops: number } {
  const { split } = traceProduct(objective, kind, rows, options);
  const [known, dependent] = [cost(split.known), cost(split.dependent)];
  return {
    bytes: known.arenaBytes + dependent.boundBytes + dependent.arenaBytes,
    flops: flopsOf(dependent),
  };
}
