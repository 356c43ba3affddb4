/**
 * K-FAC's inverse: (A + πγI)⁻¹ ⊗ (G + γ/π I)⁻¹ of each Kronecker block, (F + γ²I)⁻¹ of full and diagonal ones; of a
 * block that is a sum of two products, (Σₜ (Aₜ + πₜγI) ⊗ (Gₜ + γ/πₜ I))⁻¹ by a common basis.
 * Memory: inverses as large as the factors (of a sum half as large, and scales as large as the block's part of θ).
 */
import {
  type BlockUses,
  createInverter,
  createPencil,
  factoredDamping,
  factorShapes,
  type InverseMethod,
  matrixOfBlock,
  meanDiagonal,
  solveBlock,
  solveInEigenbasis,
  vectorOfBlocks,
} from "../../curvature/kronecker/index.js";
import type { Buffer } from "../../runtime/memory.js";
import type { Runtime } from "../../runtime/runtime.js";
import { input, type Tensor } from "../../tensor/tensor.js";
import { treatmentOf } from "./coverage.js";
import { dampedInverse } from "./damped-inverse.js";
import { invertSum } from "./inverted-sum.js";
import type { Preconditioner } from "./preconditioner.js";
import type { RunningFactors } from "./running.js";

/** What is added to the factors of a block: πγ and γ/π to A and G, γ² to one matrix or diagonal. */
export const dampingOf = ([A, G]: readonly Buffer[], gamma: number): { a: number; g: number } =>
  G ? factoredDamping(meanDiagonal(A!), meanDiagonal(G), gamma) : { a: gamma * gamma, g: 0 };

export interface InvertedFactors extends Preconditioner {
  /** F⁻¹g [n]; the damping is in the inverses. */
  direction(symbols: readonly Tensor[], gradient: Tensor): Tensor;
  /** (A + πγI)⁻¹ and (G + γ/π I)⁻¹ of each block; X, Y and S of a sum. */
  readonly inverses: readonly (readonly Buffer[])[];
  /** F⁻¹M of block k, from those of `symbols` that are its own. */
  solve(symbols: readonly Tensor[], k: number, matrix: Tensor): Tensor;
}

export function invertedFactors(
  runtime: Runtime,
  dtype: "f32" | "f64",
  { blocks, factors }: RunningFactors,
  method: InverseMethod,
): InvertedFactors {
  const sum = blocks.find(({ terms }) => terms > 2);
  if (sum)
    throw new Error(
      `kfac: the loss is a sum of ${sum.terms} means over different examples, at most 2 have an inverse; join some of them`,
    );
  const inverses = blocks.map((block) =>
    (isSum(block)
      ? [...factorShapes({ ...block, terms: 1 }), [block.inputs, block.outputs]]
      : factorShapes(block)
    ).map((shape) => runtime.buffer(dtype, shape)),
  );
  const orders = factors.flat().flatMap(({ shape }) => (shape.length === 2 ? [shape[0]!] : []));
  const largest = Math.max(1, ...orders);
  const inverter = createInverter(runtime, dtype, method, largest);
  const pencil = blocks.some(isSum) ? createPencil(runtime, dtype, largest) : undefined;
  const invertFactor = dampedInverse(inverter, dtype);
  const starts = inverses.map((_, k) => inverses.slice(0, k).flat().length);
  const solve = (symbols: readonly Tensor[], k: number, matrix: Tensor) => {
    const own = symbols.slice(starts[k]!, starts[k]! + inverses[k]!.length);
    return isSum(blocks[k]!)
      ? solveInEigenbasis(matrix, [own[0], own[1]!], own[2]!)
      : solveBlock(blocks[k]!, matrix, own);
  };
  const invertProduct = ([A, G]: readonly Buffer[], [toA, toG]: readonly Buffer[], gamma: number) => {
    const shift = dampingOf(G ? [A!, G] : [A!], gamma);
    return [invertFactor(A!, shift.a, toA!), ...(G ? [invertFactor(G, shift.g, toG!)] : [])];
  };
  return {
    inverses,
    solve,
    state: Object.fromEntries(
      blocks.flatMap((block, k) => {
        const name = block.parameters[0]!.name;
        const part = isSum(block) ? "basis" : "inverse";
        return inverses[k]!.map((buffer, index) => [
          index < 2 ? `${part}.${name}.${"AG"[index]}` : `scales.${name}`,
          buffer,
        ]);
      }),
    ),
    symbols: () => inverses.flat().map((buffer) => input("inverse", buffer)),
    direction(symbols, gradient) {
      const matrices = blocks.map((block, k) => solve(symbols, k, matrixOfBlock(block, gradient)));
      return vectorOfBlocks(blocks, matrices);
    },
    invert(gamma) {
      let condition = 1;
      let raised = 0;
      blocks.forEach((block, k) => {
        const results = isSum(block)
          ? [invertSum(pencil!, factors[k]!, inverses[k]!, gamma)]
          : invertProduct(factors[k]!, inverses[k]!, gamma);
        for (const result of results) {
          condition = Math.max(condition, result.condition);
          raised += result.raised;
        }
      });
      return { condition, raised };
    },
    observe: () => new Map(),
    describe: (k) => ({ treatment: treatmentOf(blocks[k]!), kept: inverses[k]! }),
    release() {
      inverter.release();
      pencil?.release();
      for (const buffer of inverses.flat()) buffer.release();
    },
  };
}

const isSum = ({ terms }: BlockUses): boolean => terms > 1;
