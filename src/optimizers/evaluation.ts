/** Loss and gradient at θ for methods whose step is more than one program, and the model's state that comes of it. */
import { compile } from "../compiler/compile.js";
import { argumentsOf, gradientOf, type Objective } from "../curvature/objective.js";
import type { CurvatureKind } from "../curvature/products.js";
import type { Buffer } from "../runtime/memory.js";
import type { Runtime } from "../runtime/runtime.js";
import { reachable } from "../tensor/program.js";
import { input, type Tensor } from "../tensor/tensor.js";

/** The loss at one θ, and the length of its gradient. */
export interface Point {
  readonly loss: number;
  readonly gradientNorm: number;
  /** Whether both are finite. */
  readonly finite: boolean;
}

/** What a step reports that begins where numbers end. */
export const notFinite = {
  accepted: false,
  fallback: "the loss or its gradient is not finite; the step was not taken",
} as const;

export interface Evaluation {
  /** ∇L [n] of the last `run`. */
  readonly gradient: Buffer;
  /** Whether equal θ and batch give equal results: there is no model state, and nothing is drawn. */
  readonly repeatable: boolean;
  /** At θ, batch, model state and key as they are now. */
  run(): Point;
  /** The model's state becomes what the last `run` made of it; until then it does not move. */
  keepState(): void;
  release(): void;
}

/**
 * u·v, summed in f64 whatever the vectors' type: decisions (curvature, step lengths, ratios) hang on it.
 *
 *     innerProduct(gradient, direction)
 */
export const innerProduct = (u: Tensor, v: Tensor): Tensor => u.cast("f64").mul(v.cast("f64")).sum();

/** u·v of two buffers [n] whenever it is run. @example compileInnerProduct(runtime, gradient, direction).run(); */
export function compileInnerProduct(
  runtime: Runtime,
  u: Buffer,
  v: Buffer,
): { run(): number; release(): void } {
  const [left, right] = [input("u", u), input("v", v)];
  const executable = compile(
    runtime,
    { inputs: [left, right], outputs: [innerProduct(left, right)] },
    { inputs: [u, v] },
  );
  return {
    run() {
      executable.run();
      return executable.outputs[0]!.data[0]!;
    },
    release: executable.release,
  };
}

/** @example const { loss, finite } = compileEvaluation(objective).run(); */
export function compileEvaluation(objective: Objective): Evaluation {
  const { runtime, state } = objective;
  const given = argumentsOf(objective);
  const traced = objective.trace(given.parameters, given.batch, given.state, given.key);
  const gradient = gradientOf(traced.loss, given.parameters);
  const executable = compile(
    runtime,
    {
      inputs: given.inputs,
      outputs: [traced.loss, gradient, innerProduct(gradient, gradient), ...(state ? [traced.state!] : [])],
    },
    { inputs: given.buffers },
  );
  const [lossOut, gradientOut, squareOut, stateOut] = executable.outputs as [Buffer, Buffer, Buffer, Buffer?];
  return {
    gradient: gradientOut,
    repeatable: !state && !reachable([traced.loss]).includes(given.key),
    run() {
      executable.run();
      const loss = lossOut.data[0]!;
      const gradientNorm = Math.sqrt(squareOut.data[0]!);
      return { loss, gradientNorm, finite: Number.isFinite(loss) && Number.isFinite(gradientNorm) };
    },
    keepState() {
      if (stateOut) state!.data.set(stateOut.data);
    },
    release: executable.release,
  };
}

/** Under what name products of a curvature are counted. */
export const productsOf: Readonly<Record<CurvatureKind, string>> = {
  hessian: "hessianVectorProducts",
  gaussNewton: "gaussNewtonVectorProducts",
  fisher: "fisherVectorProducts",
  sampledFisher: "fisherVectorProducts",
  empiricalFisher: "empiricalFisherVectorProducts",
};
