/**
 * How far a model's predictions have moved between two θ: the mean over the batch of KL(p₀ ‖ p), p₀ the model's
 * distribution at the origin. With o the outputs, Δ = o(θ) − o(θ₀), ℓ the loss as a function of the outputs:
 *
 *     KL = ℓ(o(θ)) − ℓ(o(θ₀)) − ∇ℓ(o(θ₀))ᵀΔ
 *
 * exactly, whatever the targets, where ℓ is a negative log-likelihood and the outputs its natural parameters (softmax
 * and Bernoulli logits, the mean of a normal of fixed variance): the targets' part of ℓ is linear in o and cancels. One
 * sees that in ∇²ℓ, which then does not read them. For other losses, and those that do not say that they are a
 * likelihood (no `sampleGradient`; a surrogate for a policy among them),
 *
 *     KL ≈ ½ Δᵀ H(o(θ₀)) Δ,   H the output curvature.
 */
import { orZeros, pullback, pushforward } from "../autodiff/derivative.js";
import { compile } from "../compiler/compile.js";
import { argumentsOf, type Objective } from "../curvature/objective.js";
import type { OutputCurvature } from "../curvature/output-curvature.js";
import type { Buffer } from "../runtime/memory.js";
import { reachable } from "../tensor/program.js";
import { full, input, type Tensor } from "../tensor/tensor.js";
import { SettingsError } from "./settings.js";

export interface Divergence {
  /** At θ as it is now: the loss, and KL from `origin` to θ. Two forward passes. */
  run(): { readonly loss: number; readonly divergence: number };
  release(): void;
}

/**
 *     const { loss, divergence } = compileDivergence("naturalGradient", objective, ray.origin).run();
 *
 * @throws SettingsError when the objective does not know its output curvature.
 */
export function compileDivergence(method: string, objective: Objective, origin: Buffer): Divergence {
  const given = argumentsOf(objective);
  const from = input("origin", origin);
  const traceAt = (parameters: Tensor) => {
    const traced = objective.trace(parameters, given.batch, given.state, given.key);
    if (!traced.outputCurvature)
      throw new SettingsError(
        `${method}: a trust region needs outputCurvature of the objective (curvatureOf makes it from an nn loss); use globalization=none`,
      );
    return { ...traced, curvature: traced.outputCurvature };
  };
  const [then, now] = [traceAt(from), traceAt(given.parameters)];
  const { outputs } = then.curvature;
  const delta = now.curvature.outputs.sub(outputs);
  const divergence =
    bregmanDivergence(then.curvature, now.curvature, given.batch) ??
    delta.mul(then.curvature.product(delta)).sum().mul(0.5);
  const executable = compile(
    objective.runtime,
    { inputs: [...given.inputs, from], outputs: [now.loss, divergence] },
    { inputs: [...given.buffers, origin] },
  );
  return {
    run() {
      executable.run();
      return { loss: executable.outputs[0]!.data[0]!, divergence: executable.outputs[1]!.data[0]! };
    },
    release: executable.release,
  };
}

/** ℓ(o) − ℓ(o₀) − ∇ℓ(o₀)ᵀ(o − o₀), the mean over the batch, where it is the Kullback–Leibler divergence. */
function bregmanDivergence(
  then: OutputCurvature,
  now: OutputCurvature,
  batch: readonly Tensor[],
): Tensor | undefined {
  if (!then.sampleGradient || !then.perExample || !now.perExample) return undefined;
  const { outputs } = then;
  const before = then.perExample().mean();
  const slope = orZeros(pullback([before], [outputs], [full(before, 1)])[0], outputs);
  const bend = pushforward([slope], [outputs], [input("tangent", outputs)])[0];
  const readsTargets = bend && reachable([bend], new Set([outputs])).some((tensor) => batch.includes(tensor));
  if (readsTargets) return undefined;
  return now
    .perExample()
    .mean()
    .sub(before)
    .sub(slope.mul(now.outputs.sub(outputs)).sum());
}
