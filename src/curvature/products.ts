/**
 * Products of curvature matrices with a vector, as graphs. With J the Jacobian of the outputs by θ, Hᵢ the curvature
 * of example i's loss by its outputs, ∇²r the Hessian of the regulariser (zero where there is none):
 *
 *     hessian           ∇²L                                        Pearlmutter 1994, "Fast exact multiplication by the Hessian"
 *     gaussNewton       (1/batch) Σᵢ Jᵢᵀ Hᵢ Jᵢ + ∇²r               Schraudolph 2002, "Fast curvature matrix–vector products"
 *     fisher            the same, Hᵢ = E[gᵢ gᵢᵀ]                   Amari 1998; Martens 2014, "New insights …", section 9
 *     sampledFisher     (1/batch) Σᵢ mean over draws of Jᵢᵀ gᵢ gᵢᵀ Jᵢ + ∇²r, gᵢ at sampled targets
 *     empiricalFisher   (1/batch) Σᵢ ∇ℓᵢ ∇ℓᵢᵀ + ∇²r, at the targets of the data. No approximation of the Fisher in
 *                       general (Kunstner, Balles, Hennig 2019)
 *
 * All but the Hessian are positive semidefinite where the regulariser is convex. To each may be added c·S, with hᵢₜ the
 * t-th hidden state of example i that recurrent layers mark:
 *
 *     S = (1/batch) Σᵢ Σₜ (∂hᵢₜ/∂θ)ᵀ (∂hᵢₜ/∂θ)
 *
 * the Hessian at d = 0 of the distance ½ Σₜ ‖hₜ(θ + d) − hₜ(θ)‖², a mean over examples (Martens & Sutskever 2011,
 * "Learning recurrent neural networks with Hessian-free optimization", section 3.2: structural damping).
 */
import { applyLinear, linearPart, orZeros, transpose } from "../autodiff/derivative.js";
import { sumPerExample } from "../nn/losses/loss.js";
import { reachable } from "../tensor/program.js";
import { constant, type Tensor } from "../tensor/tensor.js";
import { gradientOf, type TracedLoss } from "./objective.js";
import type { OutputCurvature } from "./output-curvature.js";

export type CurvatureKind = "hessian" | "gaussNewton" | "fisher" | "sampledFisher" | "empiricalFisher";

/** What `sampledFisher` draws with. */
export interface Draws {
  /** i32 [2]; draw s uses the key (first, second + s). */
  readonly key: Tensor;
  /** Draws of targets for each example, averaged. */
  readonly count: number;
}

/**
 * The product of a curvature matrix of a traced loss with a tangent [n]: [n]. For programs that use it in a larger
 * step; `curvatureOperator` compiles it alone. `structure` is c, a scalar, where c·S is added.
 *
 *     const given = argumentsOf(objective);
 *     const traced = objective.trace(given.parameters, given.batch, given.state, given.key);
 *     const Hv = curvatureProduct("hessian", traced, given.parameters, v);
 *
 * @throws Error when the traced loss lacks what the kind needs.
 */
export function curvatureProduct(
  kind: CurvatureKind,
  traced: TracedLoss,
  parameters: Tensor,
  tangent: Tensor,
  { draws, structure }: { readonly draws?: Draws; readonly structure?: Tensor } = {},
): Tensor {
  const hidden = structure ? hiddenStates(traced) : [];
  const kept = hidden.map((state): Summand => {
    const weight = structure!.cast(state.dtype).mul(1 / state.shape[0]!);
    return { of: state, middle: (Jt) => Jt.mul(weight) };
  });
  const exact = kind === "hessian" ? traced.loss : traced.regulariser;
  const summands = kind === "hessian" ? kept : [semidefinite(kind, traced, draws), ...kept];
  const product = summands.length > 0 ? sandwiches(summands, parameters, tangent) : undefined;
  const bent = exact && hessianOf(exact, parameters, tangent);
  return product && bent ? product.add(bent) : (product ?? bent)!;
}

/** What recurrent layers marked as hidden states, [batch, units] each. */
export const hiddenStates = ({ loss }: TracedLoss): Tensor[] =>
  reachable([loss]).filter(({ op }) => op.kind === "mark" && op.mark.layer === "hidden");

/** Forward over reverse; as a linear map, so that known factors are joined. */
const hessianOf = (loss: Tensor, parameters: Tensor, tangent: Tensor): Tensor =>
  orZeros(applyLinear(linearPart([gradientOf(loss, parameters)], [parameters]), [tangent])[0], parameters);

/** Jᵀ·middle(J·t), J the Jacobian of a function of θ. */
interface Summand {
  readonly of: Tensor;
  readonly middle: (Jt: Tensor) => Tensor;
}

/** Σ Jᵀ·middle(J·t), all with one pass forwards and one backwards. */
function sandwiches(summands: readonly Summand[], parameters: Tensor, tangent: Tensor): Tensor {
  const J = linearPart(
    summands.map(({ of }) => of),
    [parameters],
  );
  const Jt = applyLinear(J, [tangent]);
  const middles = summands.map(({ of, middle }, k) => middle(orZeros(Jt[k], of)));
  return orZeros(transpose(J, middles)[0], parameters);
}

function semidefinite(
  kind: Exclude<CurvatureKind, "hessian">,
  traced: TracedLoss,
  draws: Draws | undefined,
): Summand {
  const curvature = need(kind, traced.outputCurvature, "outputCurvature");
  const { outputs } = curvature;
  switch (kind) {
    case "gaussNewton":
      return { of: outputs, middle: curvature.product };
    case "fisher":
      needSampling(kind, curvature);
      return { of: outputs, middle: curvature.product };
    case "sampledFisher": {
      const sample = needSampling(kind, curvature);
      const { key, count } = need(kind, draws, "draws");
      const middle = (Jt: Tensor) => {
        let sum: Tensor | undefined;
        for (let draw = 0; draw < count; draw++) {
          const g = sample(key.add(constant([0, draw], "i32")));
          const along = sumPerExample(g.mul(Jt)); // gᵢᵀ(J t)ᵢ, [batch]
          const term = g.mul(along.reshape([along.size, ...Array<number>(g.rank - 1).fill(1)]));
          sum = sum ? sum.add(term) : term;
        }
        return sum!.mul(1 / (count * outputs.shape[0]!));
      };
      return { of: outputs, middle };
    }
    case "empiricalFisher": {
      const losses = need(kind, curvature.perExample, "outputCurvature.perExample")();
      return { of: losses, middle: (Jt) => Jt.mul(1 / losses.size) };
    }
  }
}

function need<T>(kind: CurvatureKind, value: T | undefined, name: string): T {
  if (value === undefined)
    throw new Error(
      `curvature: "${kind}" needs ${name}; return it from the objective's trace (curvatureOf makes it from an nn loss)`,
    );
  return value;
}

function needSampling(kind: CurvatureKind, curvature: OutputCurvature): (key: Tensor) => Tensor {
  if (!curvature.sampleGradient)
    throw new Error(
      `curvature: "${kind}" needs outputCurvature.sampleGradient, the mark of a loss that is a negative log-likelihood; use "gaussNewton"`,
    );
  return curvature.sampleGradient;
}
