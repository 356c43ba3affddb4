/** Arrays cut into blocks of bounded extent, each to have a preconditioner of its own (Anil et al. 2020, section 3.2). */
import { concat, type Tensor } from "../tensor/tensor.js";

/** From where to where one block goes along each axis. */
export type Block = readonly (readonly [start: number, limit: number])[];

/**
 * Blocks of at most `size` along every axis, the last axis fastest.
 *
 *     blocksOf([3, 5], 4)   // [[0, 3], [0, 4]] and [[0, 3], [4, 5]]
 */
export function blocksOf(shape: readonly number[], size: number): Block[] {
  return shape.reduce<Block[]>(
    (blocks, extent) =>
      blocks.flatMap((block) =>
        Array.from(
          { length: Math.ceil(extent / size) },
          (_, k): Block => [...block, [k * size, Math.min(extent, (k + 1) * size)]],
        ),
      ),
    [[]],
  );
}

/** One block of an array. */
export const cut = (array: Tensor, block: Block): Tensor =>
  block.reduce((part, [start, limit], axis) => part.slice(axis, start, limit), array);

/** The array of that shape from its blocks, in the order of `blocksOf`. */
export function join(blocks: readonly Tensor[], shape: readonly number[], size: number, axis = 0): Tensor {
  if (axis === shape.length) return blocks[0]!;
  const count = Math.ceil(shape[axis]! / size);
  const each = blocks.length / count;
  return concat(
    Array.from({ length: count }, (_, k) =>
      join(blocks.slice(k * each, (k + 1) * each), shape, size, axis + 1),
    ),
    axis,
  );
}
