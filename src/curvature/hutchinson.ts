/**
 * Trace and diagonal from products with random signs: E[zᵀAz] = tr A, E[z ⊙ Az] = diag A (Hutchinson 1990; Bekas,
 * Kokiopoulou, Saad 2007). Signs have the smallest variance of independent elements: 2 Σ_{i≠j} A²ᵢⱼ for the trace.
 */
import { random } from "../nn/random.js";
import type { LinearOperator } from "./operator.js";
import { inner, norm, orthogonalize, rademacher, scale } from "./vector.js";

/** A mean of independent samples, and the standard deviation of that mean, itself estimated from them. */
export interface Estimate {
  readonly value: number;
  readonly standardError: number;
}

export interface HutchinsonOptions {
  /** Products, at least 2; default 100. */
  readonly samples?: number;
  readonly seed?: number;
  /** Parts of the vector (a layout's entries) whose traces are wanted too, by the same products. */
  readonly blocks?: readonly { readonly name: string; readonly offset: number; readonly size: number }[];
}

export interface HutchinsonEstimate {
  readonly trace: Estimate;
  /** [n], and its standard errors. */
  readonly diagonal: Float64Array;
  readonly diagonalError: Float64Array;
  /** Traces of the diagonal blocks; where the blocks tile the vector, their values sum to the trace. */
  readonly blocks: readonly { readonly name: string; readonly trace: Estimate }[];
}

/**
 * Unbiased estimates of an operator's trace and diagonal.
 *
 *     const { trace, blocks } = hutchinson(H, { samples: 200, seed: 1, blocks: objective.layout.entries });
 *     `${trace.value} ± ${trace.standardError}`;
 */
export function hutchinson(operator: LinearOperator, options: HutchinsonOptions = {}): HutchinsonEstimate {
  const { samples = 100, seed = 0, blocks = [] } = options;
  if (!Number.isInteger(samples) || samples < 2)
    throw new RangeError(`hutchinson: ${samples} samples; use a whole number, at least 2`);
  const n = operator.size;
  const rng = random(seed).stream("hutchinson");
  const [z, Az] = [new Float64Array(n), new Float64Array(n)];
  const elements = running(n);
  const traces = running(1);
  const parts = running(blocks.length);
  for (let sample = 0; sample < samples; sample++) {
    rademacher(z, rng);
    operator.apply(z, Az);
    for (let k = 0; k < n; k++) Az[k]! *= z[k]!;
    const sum = (from: number, to: number) => {
      let total = 0;
      for (let k = from; k < to; k++) total += Az[k]!;
      return total;
    };
    elements.add(Az);
    traces.add([sum(0, n)]);
    parts.add(blocks.map(({ offset, size }) => sum(offset, offset + size)));
  }
  const errors = parts.standardErrors();
  return {
    trace: { value: traces.means[0]!, standardError: traces.standardErrors()[0]! },
    diagonal: elements.means,
    diagonalError: elements.standardErrors(),
    blocks: blocks.map(({ name }, k) => ({
      name,
      trace: { value: parts.means[k]!, standardError: errors[k]! },
    })),
  };
}

/**
 * The trace as that of a low-rank part, found first, and Hutchinson's estimate of the rest:
 * tr QᵀAQ + E[zᵀ(I − QQᵀ) A (I − QQᵀ) z] with Q a basis of A·signs (Meyer, Musco, Musco, Woodruff 2021, "Hutch++").
 * `products` counts all, at least 6. For semidefinite operators the error falls as 1/products, not as 1/√products.
 *
 *     hutchPlusPlus(G, { products: 90 }).value
 */
export function hutchPlusPlus(
  operator: LinearOperator,
  { products = 99, seed = 0 }: { readonly products?: number; readonly seed?: number } = {},
): Estimate {
  if (!Number.isInteger(products) || products < 6)
    throw new RangeError(`hutchPlusPlus: ${products} products; use a whole number, at least 6`);
  const n = operator.size;
  const rng = random(seed).stream("hutch++");
  const rank = Math.min(n, Math.floor(products / 3));
  const [z, Az] = [new Float64Array(n), new Float64Array(n)];
  const Q: Float64Array[] = [];
  for (let k = 0; k < rank; k++) {
    rademacher(z, rng);
    operator.apply(z, Az);
    const size = norm(Az);
    const q = Float64Array.from(Az);
    orthogonalize(q, Q);
    // What is left of a vector within the span of the others is rounding.
    if (norm(q) <= 1e-10 * size) break;
    scale(q, 1 / norm(q));
    Q.push(q);
  }
  let known = 0;
  for (const q of Q) {
    operator.apply(q, Az);
    known += inner(q, Az);
  }
  const rest = running(1);
  for (let sample = 0; sample < products - 2 * rank; sample++) {
    rademacher(z, rng);
    orthogonalize(z, Q);
    operator.apply(z, Az);
    rest.add([inner(z, Az)]);
  }
  return { value: known + rest.means[0]!, standardError: rest.standardErrors()[0]! };
}

/** Means and standard errors of samples as they come (Welford 1962). */
function running(size: number) {
  const means = new Float64Array(size);
  const squares = new Float64Array(size);
  let count = 0;
  return {
    means,
    add(sample: ArrayLike<number>) {
      count++;
      for (let k = 0; k < size; k++) {
        const difference = sample[k]! - means[k]!;
        means[k]! += difference / count;
        squares[k]! += difference * (sample[k]! - means[k]!);
      }
    },
    standardErrors: () => squares.map((square) => Math.sqrt(square / (count * (count - 1)))),
  };
}
