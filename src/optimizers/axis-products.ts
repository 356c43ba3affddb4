/**
 * Products of arrays of any rank with matrices along one axis, and their Gram matrices: the parts of methods whose
 * preconditioner is a Kronecker product with one factor an axis. For a matrix G, along axis 0 and 1:
 *
 *     multiplyAlong(G, 0, P) = Pᵀ G,   multiplyAlong(G, 1, P) = G P
 *     gramAlong(G, 0) = G Gᵀ,          gramAlong(G, 1) = Gᵀ G
 */
import type { Tensor } from "../tensor/tensor.js";

/** The array as a matrix whose columns are the axis, and the permutation that brought it there. */
function withLast(array: Tensor, axis: number): { matrix: Tensor; axes: number[]; shape: readonly number[] } {
  const axes = [...array.shape.keys()].filter((other) => other !== axis).concat(axis);
  const moved = array.permute(axes);
  return { matrix: moved.reshape([-1, array.shape[axis]!]), axes, shape: moved.shape };
}

/** Σᵢ array[…, i, …] P[i, j]: every vector x along the axis becomes Pᵀx. */
export function multiplyAlong(array: Tensor, axis: number, P: Tensor): Tensor {
  const { matrix, axes, shape } = withLast(array, axis);
  const product = matrix.matmul(P).reshape([...shape.slice(0, -1), P.shape[1]!]);
  return product.permute(axes.map((_, at) => axes.indexOf(at)));
}

/** Σ x xᵀ over the vectors x along the axis. */
export function gramAlong(array: Tensor, axis: number): Tensor {
  const { matrix } = withLast(array, axis);
  return matrix.transpose().matmul(matrix);
}
