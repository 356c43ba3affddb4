/**
 * Loss and gradient with factors, in ONE program: the factors share the forward pass, and "empirical" ones the
 * backward pass. A second program without factors serves the steps between estimates.
 */
import { compile } from "../../compiler/compile.js";
import type { FactorOptions } from "../../curvature/kronecker/index.js";
import {
  type Arguments,
  argumentsOf,
  gradientOf,
  type Objective,
  type TracedLoss,
} from "../../curvature/objective.js";
import type { Buffer } from "../../runtime/memory.js";
import { innerProduct, type Point } from "../evaluation.js";
import type { Preconditioner } from "./preconditioner.js";
import { compileFactorEstimate, type RunningFactors } from "./running.js";

export interface FactorEvaluation {
  readonly gradient: Buffer;
  /** Loss and gradient at θ. */
  run(): Point;
  /** The same, and β·average + (1 − β)·estimate. `finite` says whether the estimate was; else nothing moved. */
  estimate(beta: number): Point & { readonly factorsFinite: boolean };
  /** What the preconditioner observes only, on the present batch; undefined where it observes nothing. */
  readonly observe: (() => void) | undefined;
  /** The model's state becomes what the last evaluation made of it. */
  keepState(): void;
  release(): void;
}

export function compileFactorEvaluation(
  objective: Objective,
  running: RunningFactors,
  preconditioner: Preconditioner,
  options: FactorOptions,
): FactorEvaluation {
  const { runtime, dtype, layout, state } = objective;
  const gradient = runtime.buffer(dtype, [layout.size]);
  const outputsOf = (traced: TracedLoss, { parameters }: Arguments) => {
    const g = gradientOf(traced.loss, parameters);
    return [g, traced.loss, innerProduct(g, g), ...(traced.state ? [traced.state] : [])];
  };
  const given = argumentsOf(objective);
  const traced = objective.trace(given.parameters, given.batch, given.state, given.key);
  const plain = compile(
    runtime,
    { inputs: given.inputs, outputs: outputsOf(traced, given) },
    { inputs: given.buffers, outputs: [gradient] },
  );
  const estimating = compileFactorEstimate(objective, running, options, {
    observer: preconditioner,
    beside: { outputs: outputsOf, buffers: [gradient] },
  });
  const observing = estimating.observes
    ? compileFactorEstimate(objective, running, options, { averages: false, observer: preconditioner })
    : undefined;

  let latest: readonly Buffer[] = plain.outputs;
  const point = (outputs: readonly Buffer[]): Point => {
    latest = outputs;
    const loss = outputs[1]!.data[0]!;
    const gradientNorm = Math.sqrt(outputs[2]!.data[0]!);
    return { loss, gradientNorm, finite: Number.isFinite(loss) && Number.isFinite(gradientNorm) };
  };
  return {
    gradient,
    run() {
      plain.run();
      return point(plain.outputs);
    },
    estimate(beta) {
      const factorsFinite = estimating.run(beta);
      return { ...point(estimating.beside), factorsFinite };
    },
    observe: observing && (() => void observing.run(0)),
    keepState() {
      const after = latest[3];
      if (after) state!.data.set(after.data);
    },
    release() {
      for (const part of [plain, estimating, gradient]) part.release();
      observing?.release();
    },
  };
}
