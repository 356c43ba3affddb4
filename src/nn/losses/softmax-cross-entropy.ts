/**
 * Cross-entropy of softmax probabilities p = softmax(o) over the last axis:
 *   ℓ = logΣexp(o) − Σₖ qₖ oₖ,   ∂ℓ/∂o = p − q,   H = diag(p) − p pᵀ = S Sᵀ with S = (I − p 1ᵀ) diag(√p).
 * The Hessian does not depend on the targets q, and equals the Fisher information.
 */
import { formatShape, ShapeError, sameShape } from "../../tensor/shape.js";
import { iota, type Tensor } from "../../tensor/tensor.js";
import { streamNumber } from "../random.js";
import { categorical } from "../sampling.js";
import { type Loss, loss, sumPerExample } from "./loss.js";

export interface SoftmaxCrossEntropyOptions {
  /** Integer targets of this value count neither in the loss nor in the mean (padding of texts). */
  readonly ignore?: number;
}

/**
 * Softmax cross-entropy of logits [batch, ..., classes], with targets either class numbers, i32 [batch, ...], or
 * probabilities [batch, ..., classes] whose rows sum to 1. Several positions in an example (a text) count by their
 * mean: the value is the mean over all positions that are not ignored. With `ignore`, how much one example weighs
 * therefore depends on how many positions its whole batch keeps.
 *
 *     softmaxCrossEntropy().value(logits, labels)
 *     softmaxCrossEntropy({ ignore: -1 }).value(logits, tokens)    // [batch, t, vocabulary], i32 [batch, t]
 */
export function softmaxCrossEntropy({ ignore }: SoftmaxCrossEntropyOptions = {}): Loss {
  const name = "softmaxCrossEntropy";
  const stream = streamNumber(name);

  const hard = (outputs: Tensor, targets: Tensor): boolean => {
    const integer = targets.dtype === "i32";
    const expected = integer ? outputs.shape.slice(0, -1) : outputs.shape;
    if (outputs.rank < 2 || !sameShape(targets.shape, expected))
      throw new ShapeError(
        `${name}: logits must be [batch, ..., classes] and ${integer ? "i32 targets [batch, ...]" : "targets i32 [batch, ...], or probabilities of the same shape"}; ` +
          `they are ${formatShape(outputs.shape)} and ${targets.dtype} ${formatShape(targets.shape)}`,
      );
    return integer;
  };

  /** How much each position counts, [batch, ...]: with it, the value is (1/batch) Σ weight · ℓ. A number if equal. */
  const weights = (outputs: Tensor, targets: Tensor): Tensor | number => {
    const batch = outputs.shape[0]!;
    if (ignore === undefined || !hard(outputs, targets))
      return (batch * outputs.shape.at(-1)!) / outputs.size;
    const kept = targets.ne(ignore).cast(outputs.dtype);
    return kept.mul(kept.sum().max(1).reciprocal().mul(batch));
  };
  /** Weights that stretch over the classes. */
  const overClasses = (weight: Tensor | number) =>
    typeof weight === "number" ? weight : weight.reshape([...weight.shape, 1]);
  const sqrt = (weight: Tensor | number) => (typeof weight === "number" ? Math.sqrt(weight) : weight.sqrt());

  /** Σₖ qₖ xₖ: for class numbers, a choice by comparison, without an array of one-hot rows. */
  const pick = (x: Tensor, targets: Tensor): Tensor =>
    hard(x, targets) ? oneHot(targets, x).select(x, 0).sum(-1) : x.mul(targets).sum(-1);
  const oneHot = (targets: Tensor, like: Tensor) =>
    iota(like.shape, -1).eq(targets.reshape([...targets.shape, 1]));

  const sampleTargets = (outputs: Tensor, key: Tensor, targets?: Tensor): Tensor => {
    const drawn = categorical(key, stream, outputs.softmax(-1));
    return ignore !== undefined && targets?.dtype === "i32"
      ? targets.eq(ignore).select(targets, drawn)
      : drawn;
  };

  return loss({
    name,
    perExample: (outputs, targets) =>
      sumPerExample(outputs.logSumExp(-1).sub(pick(outputs, targets)).mul(weights(outputs, targets))),
    curvatureProduct(outputs, targets, tangent) {
      const p = outputs.softmax(-1);
      const product = p.mul(tangent.sub(p.mul(tangent).sum(-1, true)));
      return product.mul(overClasses(weights(outputs, targets))).mul(1 / outputs.shape[0]!);
    },
    curvatureFactor(outputs, targets, vector) {
      const p = outputs.softmax(-1);
      const scaled = p.sqrt().mul(vector);
      return scaled.sub(p.mul(scaled.sum(-1, true))).mul(overClasses(sqrt(weights(outputs, targets))));
    },
    sampleTargets,
    sampleGradient(outputs, targets, key) {
      const p = outputs.softmax(-1);
      const drawn = oneHot(categorical(key, stream, p), p).cast(p.dtype);
      return p.sub(drawn).mul(overClasses(sqrt(weights(outputs, targets))));
    },
    metrics: {
      /** Share of positions, ignored ones left out, whose largest logit is the target's. */
      accuracy(outputs, targets) {
        const classes = hard(outputs, targets) ? targets : targets.argMax(-1);
        const correct = outputs.argMax(-1).eq(classes).cast(outputs.dtype);
        return correct
          .mul(weights(outputs, targets))
          .sum()
          .mul(1 / outputs.shape[0]!);
      },
    },
  });
}
