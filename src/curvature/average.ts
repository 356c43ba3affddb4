/**
 * Means over several batches of one size, as of one large batch: L = (1/K) Σₖ Lₖ, hence ∇L and every curvature are the
 * means of those of the batches. Sums are in f64. (Not so for models that normalize by statistics of the batch: there
 * the mean over batches is the definition.)
 */
import type { Objective } from "./objective.js";
import type { CurvatureOperator, LinearOperator } from "./operator.js";

export interface Batches {
  readonly count: number;
  /** Writes batch k (0 … count − 1) into the objective's batch; the key too, where the model draws. */
  load(k: number): void;
}

/**
 * The loss and the gradient [n] over several batches; the last one stays in the objective.
 *
 *     const { loss, gradient } = averageGradient(objective, { count: 10, load: (k) => fill(objective.batch, k) });
 */
export function averageGradient(
  objective: Objective,
  batches: Batches,
): { readonly loss: number; readonly gradient: Float64Array } {
  needSome(batches);
  const gradient = new Float64Array(objective.layout.size);
  let loss = 0;
  for (let k = 0; k < batches.count; k++) {
    batches.load(k);
    const one = objective.gradient();
    loss += one.loss / batches.count;
    addTo(gradient, one.gradient.data, 1 / batches.count);
  }
  return { loss, gradient };
}

/**
 * The mean of an operator over several batches. Every product loads and linearizes each batch in turn, at θ as it is
 * then: count forward passes a product, and no memory but one vector. Draw k of "sampledFisher" belongs to batch k.
 *
 *     const G = curvatureOperator(objective, "gaussNewton");
 *     const mean = averageOperator(G, { count: 10, load: (k) => fill(objective.batch, k) });
 *     extremeEigenpairs(mean, { largest: 5 });
 */
export function averageOperator(operator: CurvatureOperator, batches: Batches): LinearOperator {
  needSome(batches);
  const sum = new Float64Array(operator.size);
  return {
    size: operator.size,
    apply(v, out) {
      sum.fill(0);
      for (let k = 0; k < batches.count; k++) {
        batches.load(k);
        operator.linearize(k);
        operator.tangent.data.set(v);
        operator.run();
        addTo(sum, operator.product.data, 1 / batches.count);
      }
      out.set(sum);
    },
  };
}

function needSome({ count }: Batches): void {
  if (!Number.isInteger(count) || count < 1)
    throw new RangeError(`batches: their count is ${count}; use a whole number, at least 1`);
}

function addTo(sum: Float64Array, values: ArrayLike<number>, weight: number): void {
  for (let k = 0; k < sum.length; k++) sum[k]! += weight * values[k]!;
}
