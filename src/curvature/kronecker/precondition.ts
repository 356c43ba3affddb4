/** Products with inverses of the blocks, as graphs: g [n] ↦ F⁻¹g [n], block by block. */
import { concat, type Tensor } from "../../tensor/tensor.js";
import type { BlockUses } from "./blocks.js";

/** The block's part of a vector [n] as a matrix [inputs, outputs], a bias its last row. */
export function matrixOfBlock(block: BlockUses, vector: Tensor): Tensor {
  const { parameters, transposed, inputs, outputs } = block;
  const [weight, bias] = parameters;
  const { offset, size } = weight!;
  const part = (start: number, length: number) => vector.slice(0, start, start + length);
  if (isOnePiece(block)) return part(offset, inputs * outputs).reshape([inputs, outputs]);
  const rows = part(offset, size);
  const matrix = transposed ? rows.reshape([outputs, -1]).transpose() : rows.reshape([-1, outputs]);
  return bias ? concat([matrix, part(bias.offset, bias.size).reshape([-1, outputs])]) : matrix;
}

/** Whether the bias lies right behind the weight: the matrix is then a view. */
const isOnePiece = ({ parameters: [weight, bias], transposed }: BlockUses): boolean =>
  !transposed && (bias === undefined || bias.offset === weight!.offset + weight!.size);

interface Piece {
  readonly offset: number;
  readonly values: Tensor;
}

/** The pieces of θ that a block's matrix [inputs, outputs] consists of. */
function piecesOf(block: BlockUses, matrix: Tensor): Piece[] {
  const [weight, bias] = block.parameters;
  if (isOnePiece(block)) return [{ offset: weight!.offset, values: matrix.reshape([-1]) }];
  const split = weight!.size / block.outputs;
  const rows = matrix.slice(0, 0, split);
  const values = (block.transposed ? rows.transpose() : rows).reshape([-1]);
  const own = { offset: weight!.offset, values };
  return bias ? [own, { offset: bias.offset, values: matrix.slice(0, split).reshape([-1]) }] : [own];
}

/** The vector [n] whose blocks are these matrices [inputs, outputs]. */
export function vectorOfBlocks(blocks: readonly BlockUses[], matrices: readonly Tensor[]): Tensor {
  const pieces = blocks.flatMap((block, k) => piecesOf(block, matrices[k]!));
  pieces.sort((a, b) => a.offset - b.offset);
  return concat(pieces.map(({ values }) => values));
}

/** F⁻¹M of one block's matrix from the inverses of its damped factors: A⁻¹ M G⁻¹. */
export function solveBlock(block: BlockUses, matrix: Tensor, inverses: readonly Tensor[]): Tensor {
  const [a, g] = inverses as [Tensor, Tensor];
  switch (block.kind) {
    case "kronecker":
      return a.matmul(matrix.matmul(g));
    case "embedding":
      return matrix.matmul(g).mul(a.reshape([-1, 1]));
    case "full":
      return a.matmul(matrix);
    case "diagonal":
      return matrix.mul(a.reshape([-1, 1]));
  }
}
