import type { LinearOperator } from "./operator.js";

/**
 * The diagonal block of an operator that belongs to some of θ, A[offset …, offset …] of the given size: the curvature
 * of one layer by itself. A product costs one of the whole.
 *
 *     const H = curvatureOperator(objective, "hessian");
 *     H.linearize();
 *     for (const entry of objective.layout.entries) hutchinson(diagonalBlock(H, entry)).trace;
 */
export function diagonalBlock(
  operator: LinearOperator,
  { offset, size }: { readonly offset: number; readonly size: number },
): LinearOperator {
  if (!(offset >= 0 && size >= 1 && offset + size <= operator.size))
    throw new RangeError(
      `diagonalBlock: elements ${offset} to ${offset + size} are not within the ${operator.size} of the operator`,
    );
  const padded = new Float64Array(operator.size);
  const product = new Float64Array(operator.size);
  const part = product.subarray(offset, offset + size);
  return {
    size,
    apply(v, out) {
      padded.set(v, offset);
      operator.apply(padded, product);
      out.set(part);
    },
  };
}
