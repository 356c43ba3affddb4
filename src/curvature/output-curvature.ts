/**
 * What a loss knows of its curvature by the model's outputs: what separates Gauss–Newton and Fisher from the Hessian.
 * The convention is that of nn/losses/loss.ts: with ℓᵢ the loss of example i and oᵢ its outputs,
 *
 *     loss = (1/batch) Σᵢ ℓᵢ(oᵢ) + regulariser(θ),   Hᵢ = ∂²ℓᵢ/∂oᵢ² = Sᵢ Sᵢᵀ
 */
import type { Loss } from "../nn/losses/loss.js";
import { concat, constant, type Tensor } from "../tensor/tensor.js";

/** Functions traced on one batch: they hold its outputs and targets. */
export interface OutputCurvature {
  /** [batch, ...], from which the loss is computed. */
  readonly outputs: Tensor;
  /** (1/batch) Hᵢ·tᵢ for a tangent with the outputs' shape. Symmetric and positive semidefinite. */
  product(tangent: Tensor): Tensor;
  /** Sᵢ·vᵢ, not divided by the batch size. */
  factor(vector: Tensor): Tensor;
  /**
   * A random gradient gᵢ by the outputs with E[gᵢ gᵢᵀ] = Hᵢ; key i32 [2]. Present where the loss is the negative
   * log-likelihood of a distribution: then Hᵢ is its Fisher information.
   */
  sampleGradient?(key: Tensor): Tensor;
  /** ℓᵢ, [batch], without the regulariser: what the empirical Fisher is made of. */
  perExample?(): Tensor;
  /** Of a loss that is a sum of means over different examples, each summand's; Kronecker factors are made for each. */
  readonly terms?: readonly OutputCurvature[];
}

/**
 * The output curvature of a loss on one batch, outputs [batch, ...].
 *
 *     trace(theta, [x, y]) {
 *       const outputs = net.apply(net.layout.views(theta), x!);
 *       return { loss: loss.value(outputs, y!), outputCurvature: curvatureOf(loss, outputs, y!) };
 *     }
 */
export function curvatureOf(loss: Loss, outputs: Tensor, targets: Tensor): OutputCurvature {
  return {
    outputs,
    product: (tangent) => loss.curvatureProduct(outputs, targets, tangent),
    factor: (vector) => loss.curvatureFactor(outputs, targets, vector),
    ...(loss.sampleGradient && {
      sampleGradient: (key: Tensor) => loss.sampleGradient!(outputs, targets, key),
    }),
    perExample: () => loss.perExample(outputs, targets),
  };
}

/**
 * The output curvature of a loss that is the sum of several means over different examples, such as the interior and the
 * boundary of a differential equation: L = Σₜ (1/Nₜ) Σᵢ ℓₜᵢ. As one mean over all N = Σ Nₜ examples, an example of term t
 * counts N/Nₜ times. The outputs of the terms [Nₜ, ...] differ in their number of examples only.
 *
 *     const [inside, edge] = [curvatureOf(loss, residual, source), curvatureOf(loss, u, values)];
 *     return { loss: loss.value(residual, source).add(loss.value(u, values)),
 *       outputCurvature: sumOfMeans([inside, edge]) };
 */
export function sumOfMeans(terms: readonly OutputCurvature[]): OutputCurvature {
  const outputs = concat(terms.map((term) => term.outputs));
  const total = outputs.shape[0]!;
  const count = (term: OutputCurvature) => term.outputs.shape[0]!;
  const starts = terms.map((_, t) => terms.slice(0, t).reduce((sum, term) => sum + count(term), 0));
  const part = (x: Tensor, t: number) => x.slice(0, starts[t]!, starts[t]! + count(terms[t]!));
  const joined = (pick: (term: OutputCurvature, t: number) => Tensor, power: number) =>
    concat(terms.map((term, t) => pick(term, t).mul((total / count(term)) ** power)));
  const all = <K extends "sampleGradient" | "perExample">(name: K) => terms.every((term) => term[name]);
  return {
    outputs,
    terms,
    product: (tangent) => concat(terms.map((term, t) => term.product(part(tangent, t)))),
    factor: (vector) => joined((term, t) => term.factor(part(vector, t)), 0.5),
    ...(all("sampleGradient") && {
      // Each term draws with a key of its own: what two losses draw with one key is the same.
      sampleGradient: (key: Tensor) =>
        joined((term, t) => term.sampleGradient!(key.add(constant([t * 0x9e3779, 0], "i32"))), 0.5),
    }),
    ...(all("perExample") && { perExample: () => joined((term) => term.perExample!(), 1) }),
  };
}
