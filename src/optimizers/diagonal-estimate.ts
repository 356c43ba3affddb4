/**
 * Estimates of the curvature's diagonal inside a training step, at the price of a product or a gradient:
 *
 *     hutchinson              (1/s) Σ z ⊙ (∇²L z), z random signs              Hutchinson 1990; Bekas et al. 2007
 *     gaussNewtonBartlett     B ĝ ⊙ ĝ, ĝ = ∇ of the mean loss of the B examples at targets that the model draws
 *                             Liu et al. 2024 (Sophia), section 2.3
 *
 * The first is an unbiased estimate of the Hessian's diagonal, the second of the Gauss–Newton matrix's; that one is never
 * negative, needs a loss that is a negative log-likelihood, and leaves out a regulariser.
 */
import { linearPart, orZeros, transpose } from "../autodiff/derivative.js";
import { compile } from "../compiler/compile.js";
import type { Arguments, Objective, TracedLoss } from "../curvature/objective.js";
import { curvatureProduct } from "../curvature/products.js";
import { uniform } from "../nn/sampling.js";
import type { Buffer } from "../runtime/memory.js";
import { full, input, type Tensor } from "../tensor/tensor.js";
import type { Evaluations } from "./optimizer.js";
import { SettingsError } from "./settings.js";

/** How a step gets its estimate. */
export interface DiagonalEstimate {
  /** What it reads beside the objective's arguments, and the buffer of it. */
  readonly input: Tensor;
  readonly buffer: Buffer;
  /** The estimate [n]. */
  trace(traced: TracedLoss, given: Arguments): Tensor;
  /** What must be saved. */
  readonly state: Readonly<Record<string, Buffer>>;
  /** Draws for the estimate of update t + 1; equal numbers draw equally. */
  draw(t: number): void;
  readonly evaluations: Evaluations;
  release(): void;
}

/**
 * By products with random signs. They lie in the state, `probe` [samples, n], drawn one estimate ahead: what is written
 * there before a step is what the step uses.
 */
export function hutchinsonDiagonal(objective: Objective, seed: number, samples: number): DiagonalEstimate {
  const { runtime, dtype, layout } = objective;
  const spec = { dtype, shape: [samples, layout.size] };
  const key = input("draw", objective.key);
  const probe = runtime.buffer(dtype, spec.shape);
  const signs = uniform(key, 0, spec.shape, dtype).lt(0.5).select(full(spec, 1), -1);
  const executable = compile(runtime, { inputs: [key], outputs: [signs] }, { outputs: [probe] });
  const z = input("probe", spec);
  return {
    input: z,
    buffer: probe,
    trace(traced, { parameters }) {
      let sum: Tensor | undefined;
      for (let sample = 0; sample < samples; sample++) {
        const own = z.at(sample);
        const term = own.mul(curvatureProduct("hessian", traced, parameters, own));
        sum = sum ? sum.add(term) : term;
      }
      return samples === 1 ? sum! : sum!.mul(1 / samples);
    },
    state: { probe },
    draw(t) {
      executable.inputs[0]!.data[0] = seed;
      executable.inputs[0]!.data[1] = t;
      executable.run();
    },
    evaluations: { hessianVectorProducts: samples },
    release() {
      executable.release();
      probe.release();
    },
  };
}

/** FLOPs an element of an estimate from so many products: drawing, z ⊙ Hz, and their mean. */
export const hutchinsonFlops = (samples: number): number => 3 * samples + (samples > 1 ? samples : 0);

/**
 * By a gradient at drawn targets.
 * @throws SettingsError when the loss does not say how its targets are distributed.
 */
export function bartlettDiagonal(method: string, objective: Objective, seed: number): DiagonalEstimate {
  const buffer = objective.runtime.buffer("i32", [2]);
  const key = input("draw", objective.key);
  return {
    input: key,
    buffer,
    trace({ outputCurvature }, { parameters }) {
      if (!outputCurvature?.sampleGradient)
        throw new SettingsError(
          `${method}: estimator=gaussNewtonBartlett needs outputCurvature.sampleGradient, the mark of a loss that is a negative log-likelihood; use estimator=hutchinson`,
        );
      const { outputs } = outputCurvature;
      const batch = outputs.shape[0]!;
      const drawn = outputCurvature.sampleGradient(key).mul(1 / batch);
      const gradient = orZeros(transpose(linearPart([outputs], [parameters]), [drawn])[0], parameters);
      return gradient.square().mul(batch);
    },
    state: {},
    draw(t) {
      buffer.data[0] = seed;
      buffer.data[1] = t;
    },
    evaluations: { sampledGradients: 1 },
    release: () => buffer.release(),
  };
}
