/**
 * (A + λI) x = b by preconditioned conjugate gradients, for an A known by its products. Hestenes & Stiefel 1952;
 * Nocedal & Wright 2006, "Numerical optimization", algorithm 5.3. With M the preconditioner's diagonal:
 *
 *     r = b − (A + λI) x,   z = r/M,   p = z
 *     α = rᵀz / pᵀ(A + λI)p;   x ← x + α p;   r ← r − α (A + λI) p;   z ← r/M;   p ← z + (r⁺ᵀz⁺ / rᵀz) p
 *
 * Each iteration is one product and two programs; sums are in f64. Memory: b, x, r and p (and 1/M).
 */
import { compile } from "../compiler/compile.js";
import type { CurvatureOperator } from "../curvature/operator.js";
import type { Buffer } from "../runtime/memory.js";
import type { Runtime } from "../runtime/runtime.js";
import { input, type Tensor } from "../tensor/tensor.js";
import { roundingOf } from "./damping.js";
import { innerProduct } from "./evaluation.js";

export interface ConjugateGradient {
  /** b [n]. */
  readonly rightSide: Buffer;
  /** x [n]: where to begin, then the result. */
  readonly solution: Buffer;
  /** 1/M [n], positive; absent without preconditioning. */
  readonly scaling: Buffer | undefined;
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
  { preconditioned = false }: { readonly preconditioned?: boolean } = {},
): ConjugateGradient {
  const { tangent, product } = operator;
  const dtype = tangent.dtype as "f32" | "f64";
  const vector = () => runtime.buffer(dtype, tangent.shape);
  const [rightSide, solution, residual] = [vector(), vector(), vector()];
  const scaling = preconditioned ? vector() : undefined;

  const [b, x, r, p, Ap] = ["b", "x", "r", "p", "Ap"].map((name) => input(name, tangent)) as Five;
  const m = scaling && input("scaling", scaling);
  const [lambda, alpha, rz] = [scalar("lambda"), scalar("alpha"), scalar("rz")];
  const times = (a: Tensor, v: Tensor) => v.mul(a.cast(dtype));
  const scaled = (v: Tensor) => (m ? v.mul(m) : v);
  /** φ(x) = −½ xᵀ(r + b), ‖x‖², ‖r‖². */
  const measures = (at: Tensor, left: Tensor) => [
    innerProduct(at, left.add(b)).mul(-0.5),
    innerProduct(at, at),
    innerProduct(left, left),
  ];

  // x is in p's place, so that its product can be taken.
  const first = b.sub(Ap).sub(times(lambda, p));
  const begin = compile(
    runtime,
    {
      inputs: [b, p, Ap, lambda, ...(m ? [m] : [])],
      outputs: [
        first,
        scaled(first),
        innerProduct(first, scaled(first)),
        ...measures(p, first),
        innerProduct(b, b),
      ],
    },
    {
      inputs: [rightSide, tangent, product, undefined, ...(scaling ? [scaling] : [])],
      outputs: [residual, tangent],
    },
  );
  const curvature = compile(
    runtime,
    { inputs: [p, Ap, lambda], outputs: [innerProduct(p, Ap).add(lambda.mul(innerProduct(p, p)))] },
    { inputs: [tangent, product] },
  );
  const [nextX, nextR] = [x.add(times(alpha, p)), r.sub(times(alpha, Ap.add(times(lambda, p))))];
  const nextRz = innerProduct(nextR, scaled(nextR));
  const advance = compile(
    runtime,
    {
      inputs: [b, x, r, p, Ap, lambda, alpha, rz, ...(m ? [m] : [])],
      outputs: [nextX, nextR, scaled(nextR).add(times(nextRz.div(rz), p)), nextRz, ...measures(nextX, nextR)],
    },
    {
      inputs: [
        ...[rightSide, solution, residual, tangent, product, undefined, undefined, undefined],
        ...(scaling ? [scaling] : []),
      ],
      outputs: [solution, residual, tangent],
    },
  );
  const numberOf = (buffer: Buffer | undefined) => buffer!.data[0]!;
  const rounding = 10 * roundingOf(dtype);

  return {
    rightSide,
    solution,
    scaling,
    solve({ damping, iterations, until, visit }) {
      for (const buffer of [begin.inputs[3]!, curvature.inputs[2]!, advance.inputs[5]!])
        buffer.data[0] = damping;
      tangent.data.set(solution.data);
      const fromZero = solution.data.every((value: number) => value === 0);
      if (fromZero) product.data.fill(0);
      else operator.run();
      begin.run();
      let products = fromZero ? 0 : 1;
      let along = numberOf(begin.outputs[2]);
      const [, , , model, square, left, right] = begin.outputs.map(numberOf) as number[];
      const b = Math.sqrt(right!);
      let now: Iterate = { iteration: 0, model: model!, square: square! };
      let size = Math.sqrt(left!);
      const models = [model!];
      const finish = (ended: string): Solution => ({ ...now, products, ended });

      while (now.iteration < iterations) {
        if (size <= rounding * b) return finish("residual");
        operator.run();
        products++;
        curvature.run();
        const bend = numberOf(curvature.outputs[0]);
        if (!Number.isFinite(bend) || !Number.isFinite(along)) return finish("not finite");
        if (bend <= 0) return finish("negative curvature");
        advance.inputs[6]!.data[0] = along / bend;
        advance.inputs[7]!.data[0] = along;
        advance.run();
        const [, , , nextAlong, nextModel, nextSquare, nextLeft] = advance.outputs.map(numberOf) as number[];
        along = nextAlong!;
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
      for (const part of [begin, curvature, advance, rightSide, solution, residual]) part.release();
      scaling?.release();
    },
  };
}

type Five = [Tensor, Tensor, Tensor, Tensor, Tensor];
