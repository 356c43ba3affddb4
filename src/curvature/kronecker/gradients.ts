/**
 * Gradients by pre-activations. For a use s, the derivative of the outputs along a perturbation of s is a linear map;
 * its transpose takes gradients by the outputs to g. Those by the outputs are, for example i,
 *
 *     "sampled"     gᵢ with E[gᵢ gᵢᵀ] = Hᵢ: targets drawn from the model's distribution. One backward pass a draw
 *     "exact"       the columns of Sᵢ, Sᵢ Sᵢᵀ = Hᵢ: the expectation itself. A backward pass for each output
 *     "empirical"   the gradient at the targets of the data. The backward pass of the loss, shared with it. No
 *                   approximation of the Fisher in general (Kunstner, Balles, Hennig 2019)
 */
import { type LinearMap, linearMap, orZeros, pullback, transpose } from "../../autodiff/derivative.js";
import { batch as batchOver } from "../../autodiff/vmap.js";
import { uniform } from "../../nn/sampling.js";
import { rulesOf } from "../../tensor/primitives/index.js";
import { reachable } from "../../tensor/program.js";
import { constant, full, input, iota, stack, type Tensor } from "../../tensor/tensor.js";
import type { OutputCurvature } from "../output-curvature.js";

export type Estimator = "sampled" | "exact" | "empirical";

export interface Backward {
  /** Gradients g [draws, ...s.shape] by each pre-activation. */
  readonly gradients: ReadonlyMap<Tensor, Tensor>;
  /** Σ over draws and examples of weight · g gᵀ is the mean over the batch. */
  readonly weight: number;
}

/** Outputs of one example for which "exact" is allowed: its cost grows with them. */
const exactLimit = 256;

/**
 * Gradients by the outputs, [draws, ...outputs], and their weight.
 * @throws Error when the loss cannot be sampled, or an example has too many outputs for "exact".
 */
function outputGradients(curvature: OutputCurvature, estimator: Estimator, draws: number, key: Tensor) {
  const { outputs } = curvature;
  const examples = outputs.shape[0]!;
  switch (estimator) {
    case "sampled": {
      const { sampleGradient } = curvature;
      if (!sampleGradient)
        throw new Error(
          'Kronecker factors: "sampled" needs outputCurvature.sampleGradient, the mark of a loss that is a negative log-likelihood; use "exact"',
        );
      const each = Array.from({ length: draws }, (_, draw) => sampleGradient(drawKey(key, draw)));
      return { gradients: stack(each), weight: 1 / (examples * draws) };
    }
    case "exact": {
      const width = outputs.size / examples;
      if (width > exactLimit)
        throw new Error(
          `Kronecker factors: "exact" takes a backward pass for each of the ${width} outputs of an example, at most ${exactLimit}; use "sampled"`,
        );
      const columns = [width, examples, width];
      const units = iota(columns, 0).eq(iota(columns, 2)).cast(outputs.dtype);
      const unit = input("unit", outputs);
      const [gradients] = batchOver(
        [curvature.factor(unit)],
        new Map([[unit, units.reshape([width, ...outputs.shape])]]),
        width,
      );
      return { gradients: gradients!, weight: 1 / examples };
    }
    case "empirical": {
      const losses = curvature.perExample?.();
      if (!losses)
        throw new Error(
          'Kronecker factors: "empirical" needs outputCurvature.perExample; return it from the objective\'s trace (curvatureOf makes it from an nn loss)',
        );
      // (1/batch)·gᵢ, as the loss's own backward pass has it, so that both are one in the program.
      const loss = losses.mean();
      const gradient = orZeros(pullback([loss], [outputs], [full(loss, 1)])[0], outputs);
      return { gradients: stack([gradient]), weight: examples };
    }
  }
}

const drawKey = (key: Tensor, draw: number) => (draw === 0 ? key : key.add(constant([draw, 0], "i32")));

/**
 * Gradients by the pre-activations of a traced loss, or of a summand of it. `key` (i32 [2]) is drawn with; draw s uses (first + s, second).
 */
export function backward(
  curvature: OutputCurvature,
  preactivations: readonly Tensor[],
  estimator: Estimator,
  { draws, key }: { readonly draws: number; readonly key: Tensor },
): Backward {
  const { outputs } = curvature;
  const { gradients: given, weight } = outputGradients(curvature, estimator, draws, key);
  const map = perturbations(outputs, preactivations);
  const count = given.shape[0]!;
  const pulled = throughBatch(outputs, given, (c) =>
    transpose(map, [c]).map((g, k) => orZeros(g, preactivations[k]!)),
  );
  return {
    gradients: new Map(preactivations.map((s, k) => [s, pulled[k]!.reshape([count, ...s.shape])])),
    weight,
  };
}

/** pull(c) for each c of `given` [draws, ...]; a single one without the batching. */
function throughBatch(like: Tensor, given: Tensor, pull: (c: Tensor) => Tensor[]): Tensor[] {
  const draws = given.shape[0]!;
  if (draws === 1) return pull(given.reshape(like.shape));
  const cotangent = input("cotangent", like);
  return batchOver(pull(cotangent), new Map([[cotangent, given]]), draws);
}

/** The derivative of y along perturbations of tensors that y is computed from: forward mode with a source at each. */
function perturbations(y: Tensor, at: readonly Tensor[]): LinearMap {
  const placeholders = at.map((tensor, k) => input(`perturbation ${k}`, tensor));
  const source = new Map(at.map((tensor, k) => [tensor, placeholders[k]!]));
  const tangent = new Map<Tensor, Tensor>();
  for (const tensor of reachable([y])) {
    const through = tensor.inputs.some((operand) => tangent.has(operand))
      ? rulesOf(tensor.op).jvp(
          tensor.op,
          tensor.inputs,
          tensor.inputs.map((operand) => tangent.get(operand)),
          tensor,
        )
      : undefined;
    const own = source.get(tensor);
    const sum = through && own ? through.add(own) : (through ?? own);
    if (sum) tangent.set(tensor, sum);
  }
  return linearMap(placeholders, [tangent.get(y)]);
}

/**
 * An estimate of the diagonal (1/batch) Σᵢ Jᵢᵀ Hᵢ Jᵢ by one backward pass of the whole batch a draw: with random vᵢ,
 * independent among examples, of mean zero and E[vᵢ vᵢᵀ] = Hᵢ, E[(Σᵢ Jᵢᵀ vᵢ)²] = Σᵢ diag(Jᵢᵀ Hᵢ Jᵢ). Unbiased (Liu
 * et al. 2023, "Sophia", section 2.3, for sampled targets); "exact" and "empirical" get signs at random.
 */
export function sampledDiagonal(
  curvature: OutputCurvature,
  theta: Tensor,
  estimator: Estimator,
  { draws, key }: { readonly draws: number; readonly key: Tensor },
): Tensor {
  const { outputs } = curvature;
  const sign = (shape: readonly number[]) =>
    uniform(key, signStream, shape, outputs.dtype)
      .lt(0.5)
      .select(full({ dtype: outputs.dtype, shape }, 1), -1);
  let given: Tensor;
  let weight: number;
  if (estimator === "exact") {
    given = stack([curvature.factor(sign(outputs.shape))]);
    weight = 1 / outputs.shape[0]!;
  } else {
    ({ gradients: given, weight } = outputGradients(curvature, estimator, draws, key));
    if (estimator === "empirical")
      given = given.mul(sign([outputs.shape[0]!, ...outputs.shape.slice(1).map(() => 1)]));
  }
  const [pulled] = throughBatch(outputs, given, (c) => [
    orZeros(pullback([outputs], [theta], [c])[0], theta),
  ]);
  return pulled!.reshape([given.shape[0]!, theta.size]).square().sum(0).mul(weight);
}

/** Of the signs; no layer and no loss draws from it. */
const signStream = 0x5169;
