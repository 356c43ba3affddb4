/**
 * (A + λI) x = b by preconditioned conjugate gradients, for an A known by its products. Hestenes & Stiefel 1952;
 * Nocedal & Wright 2006, "Numerical optimization", algorithm 5.3. With M the preconditioner, positive definite and easy to solve with:
 *
 *     r = b − (A + λI) x,   p = 0,   then
 *     z = M⁻¹r;   p ← z + (rᵀz / last rᵀz) p;   α = rᵀz / pᵀ(A + λI)p;   x ← x + α p;   r ← r − α (A + λI) p
 *
 * Each iteration is one product, one M⁻¹r, and three programs; sums are in f64. Memory: b, x, r and p.
 */
import { compile } from "../compiler/compile.js";
import type { CurvatureOperator } from "../curvature/operator.js";
import type { Buffer } from "../runtime/memory.js";
import type { Runtime } from "../runtime/runtime.js";
import { input, type Tensor } from "../tensor/tensor.js";
import { roundingOf } from "./damping.js";
import { compileInnerProduct, innerProduct } from "./evaluation.js";

/** M⁻¹ as a graph. */
export interface InverseMap {
  /** What M⁻¹ is made of, as they are while the solver runs. */
  readonly buffers: readonly Buffer[];
  /** M⁻¹r [n]; the symbols stand for the buffers, in their order. */
  apply(symbols: readonly Tensor[], residual: Tensor): Tensor;
}

/** M⁻¹ = diag(scaling), positive. @example compileConjugateGradient(runtime, G, { preconditioner: diagonal(scaling) }) */
export const diagonal = (scaling: Buffer): InverseMap => ({
  buffers: [scaling],
  apply: ([m], residual) => residual.mul(m!),
});

export interface ConjugateGradient {
  /** b [n]. */
  readonly rightSide: Buffer;
  /** x [n]: where to begin, then the result. A beginning worse than nothing, φ(x) > 0, is shortened to its best c·x. */
  readonly solution: Buffer;
  /** Products are of the operator's last linearization. */
  solve(options: SolveOptions): Solution;
  release(): void;
}

export interface SolveOptions {
  /** λ. */
  readonly damping: number;
  /** Most iterations. */
  readonly iterations: number;
  /** Why to end after this iteration, or undefined to go on. */
  readonly until: (progress: Progress) => string | undefined;
  /** Called after each iteration, when x is its iterate. */
  readonly visit?: (iterate: Iterate) => void;
}

export interface Iterate {
  readonly iteration: number;
  /** φ(x) = ½ xᵀ(A + λI)x − bᵀx. */
  readonly model: number;
  /** ‖x‖². */
  readonly square: number;
}

export interface Progress extends Iterate {
  /** φ after each iteration so far; the first is where x began. */
  readonly models: readonly number[];
  /** ‖r‖, and ‖b‖. */
  readonly residual: number;
  readonly rightSide: number;
}

export interface Solution extends Iterate {
  readonly products: number;
  /**
   * A word of the rule, or "iterations", "residual" (nothing is left but rounding), "negative curvature" along the
   * direction p that came next, "not finite". x is the last iterate before that.
   */
  readonly ended: string;
}

/**
 * Ends when φ stands still: (φᵢ − φᵢ₋ₖ)/φᵢ < kε with k = max(10, i/10) (Martens 2010, "Deep learning via
 * Hessian-free optimization", section 4.4). φ rather than ‖r‖, since φ is what a step is for.
 */
export const relativeProgress =
  (epsilon = 5e-4) =>
  ({ iteration, models, model }: Progress): string | undefined => {
    const k = Math.max(10, Math.ceil(iteration / 10));
    return iteration > k && model < 0 && (model - models[iteration - k]!) / model < k * epsilon
      ? "progress"
      : undefined;
  };

/** Ends when ‖r‖ ≤ tolerance·‖b‖. */
export const residualBelow =
  (tolerance: number) =>
  ({ residual, rightSide }: Progress): string | undefined =>
    residual <= tolerance * rightSide ? "residual" : undefined;

const scalar = (name: string) => input(name, { dtype: "f64", shape: [] });

/**
 * The solver for an operator; it works in the operator's own vectors.
 *
 *     const cg = compileConjugateGradient(runtime, G);
 *     cg.rightSide.set(b);
 *     cg.solution.data.fill(0);
 *     G.linearize();
 *     cg.solve({ damping: 1e-3, iterations: 100, until: residualBelow(1e-8) }).ended;   // "residual"
 */
export function compileConjugateGradient(
  runtime: Runtime,
  operator: CurvatureOperator,
  { preconditioner }: { readonly preconditioner?: InverseMap | undefined } = {},
): ConjugateGradient {
  const { tangent, product } = operator;
  const dtype = tangent.dtype as "f32" | "f64";
  const vector = () => runtime.buffer(dtype, tangent.shape);
  const [rightSide, solution, residual] = [vector(), vector(), vector()];

  const [b, x, r, p, Ap] = ["b", "x", "r", "p", "Ap"].map((name) => input(name, tangent)) as Five;
  const symbols = (preconditioner?.buffers ?? []).map((buffer) => input("preconditioner", buffer));
  const [lambda, alpha, last, scale] = [scalar("lambda"), scalar("alpha"), scalar("last rz"), scalar("c")];
  const times = (a: Tensor, v: Tensor) => v.mul(a.cast(dtype));
  /** φ(x) = −½ xᵀ(r + b), ‖x‖², ‖r‖². */
  const measures = (at: Tensor, left: Tensor) => [
    innerProduct(at, left.add(b)).mul(-0.5),
    innerProduct(at, at),
    innerProduct(left, left),
  ];

  // x/c is in p's place, so that its product can be taken.
  const [start, first] = [times(scale, p), b.sub(times(scale, Ap.add(times(lambda, p))))];
  const begin = compile(
    runtime,
    {
      inputs: [b, p, Ap, lambda, scale],
      outputs: [start, first, ...measures(start, first), innerProduct(b, b)],
    },
    { inputs: [rightSide, tangent, product], outputs: [solution, residual] },
  );
  const alongStart = compileInnerProduct(runtime, rightSide, tangent);
  const z = preconditioner ? preconditioner.apply(symbols, r) : r;
  const rz = innerProduct(r, z);
  const turn = compile(
    runtime,
    { inputs: [r, p, last, ...symbols], outputs: [z.add(times(rz.div(last), p)), rz] },
    { inputs: [residual, tangent, undefined, ...(preconditioner?.buffers ?? [])], outputs: [tangent] },
  );
  const curvature = compile(
    runtime,
    { inputs: [p, Ap, lambda], outputs: [innerProduct(p, Ap).add(lambda.mul(innerProduct(p, p)))] },
    { inputs: [tangent, product] },
  );
  const [nextX, nextR] = [x.add(times(alpha, p)), r.sub(times(alpha, Ap.add(times(lambda, p))))];
  const advance = compile(
    runtime,
    { inputs: [b, x, r, p, Ap, lambda, alpha], outputs: [nextX, nextR, ...measures(nextX, nextR)] },
    { inputs: [rightSide, solution, residual, tangent, product], outputs: [solution, residual] },
  );
  const numberOf = (buffer: Buffer | undefined) => buffer!.data[0]!;
  const rounding = 10 * roundingOf(dtype);

  return {
    rightSide,
    solution,
    solve({ damping, iterations, until, visit }) {
      for (const buffer of [begin.inputs[3]!, curvature.inputs[2]!, advance.inputs[5]!])
        buffer.data[0] = damping;
      tangent.data.set(solution.data);
      const fromZero = solution.data.every((value: number) => value === 0);
      begin.inputs[4]!.data[0] = 1;
      if (fromZero) product.data.fill(0);
      else {
        operator.run();
        curvature.run();
        // φ(cx) = ½c² xᵀ(A + λI)x − c bᵀx
        const [bend, slope] = [numberOf(curvature.outputs[0]), alongStart.run()];
        if (bend > 2 * slope) begin.inputs[4]!.data[0] = Math.max(0, slope / bend);
      }
      begin.run();
      let products = fromZero ? 0 : 1;
      // Nothing is left of what is in p's place.
      let along = Number.POSITIVE_INFINITY;
      const [, , model, square, left, right] = begin.outputs.map(numberOf) as number[];
      const b = Math.sqrt(right!);
      let now: Iterate = { iteration: 0, model: model!, square: square! };
      let size = Math.sqrt(left!);
      const models = [model!];
      const finish = (ended: string): Solution => ({ ...now, products, ended });

      while (now.iteration < iterations) {
        if (size <= rounding * b) return finish("residual");
        turn.inputs[2]!.data[0] = along;
        turn.run();
        along = numberOf(turn.outputs[1]);
        operator.run();
        products++;
        curvature.run();
        const bend = numberOf(curvature.outputs[0]);
        if (!Number.isFinite(bend) || !Number.isFinite(along)) return finish("not finite");
        if (bend <= 0) return finish("negative curvature");
        advance.inputs[6]!.data[0] = along / bend;
        advance.run();
        const [, , nextModel, nextSquare, nextLeft] = advance.outputs.map(numberOf) as number[];
        size = Math.sqrt(nextLeft!);
        now = { iteration: now.iteration + 1, model: nextModel!, square: nextSquare! };
        models.push(nextModel!);
        visit?.(now);
        const ended = until({ ...now, models, residual: size, rightSide: b });
        if (ended !== undefined) return finish(ended);
      }
      return finish("iterations");
    },
    release() {
      for (const part of [begin, alongStart, turn, curvature, advance, rightSide, solution, residual])
        part.release();
    },
  };
}

type Five = [Tensor, Tensor, Tensor, Tensor, Tensor];
