/**
 * K-FAC's inverse: (A + πγI)⁻¹ ⊗ (G + γ/π I)⁻¹ of each Kronecker block, (F + γ²I)⁻¹ of full and diagonal ones.
 * Memory: inverses as large as the factors.
 */
import {
  createInverter,
  factoredDamping,
  factorShapes,
  type InverseMethod,
  matrixOfBlock,
  meanDiagonal,
  solveBlock,
  vectorOfBlocks,
} from "../../curvature/kronecker/index.js";
import type { Buffer } from "../../runtime/memory.js";
import type { Runtime } from "../../runtime/runtime.js";
import { input, type Tensor } from "../../tensor/tensor.js";
import { treatmentOf } from "./coverage.js";
import { dampedInverse } from "./damped-inverse.js";
import type { RunningFactors } from "./evaluation.js";
import type { Preconditioner } from "./preconditioner.js";

/** What is added to the factors of a block: πγ and γ/π to A and G, γ² to one matrix or diagonal. */
export const dampingOf = ([A, G]: readonly Buffer[], gamma: number): { a: number; g: number } =>
  G ? factoredDamping(meanDiagonal(A!), meanDiagonal(G), gamma) : { a: gamma * gamma, g: 0 };

export interface InvertedFactors extends Preconditioner {
  /** (A + πγI)⁻¹ and (G + γ/π I)⁻¹ of each block. */
  readonly inverses: readonly (readonly Buffer[])[];
  /** Those of `symbols` that are each block's. */
  perBlock(symbols: readonly Tensor[]): readonly (readonly Tensor[])[];
}

export function invertedFactors(
  runtime: Runtime,
  dtype: "f32" | "f64",
  { blocks, factors }: RunningFactors,
  method: InverseMethod,
): InvertedFactors {
  const inverses = blocks.map((block) => factorShapes(block).map((shape) => runtime.buffer(dtype, shape)));
  const orders = inverses.flat().flatMap(({ shape }) => (shape.length === 2 ? [shape[0]!] : []));
  const inverter = createInverter(runtime, dtype, method, Math.max(1, ...orders));
  const invertFactor = dampedInverse(inverter, dtype);
  const perBlock = (symbols: readonly Tensor[]) => {
    let next = 0;
    return inverses.map((list) => list.map(() => symbols[next++]!));
  };
  return {
    inverses,
    perBlock,
    state: Object.fromEntries(
      blocks.flatMap(({ parameters: [first] }, k) =>
        inverses[k]!.map((buffer, side) => [`inverse.${first!.name}.${side === 0 ? "A" : "G"}`, buffer]),
      ),
    ),
    symbols: () => inverses.flat().map((buffer) => input("inverse", buffer)),
    direction(symbols, gradient) {
      const own = perBlock(symbols);
      const matrices = blocks.map((block, k) => solveBlock(block, matrixOfBlock(block, gradient), own[k]!));
      return vectorOfBlocks(blocks, matrices);
    },
    invert(gamma) {
      let condition = 1;
      let raised = 0;
      blocks.forEach((_, k) => {
        const [A, G] = factors[k] as [Buffer, Buffer?];
        const [toA, toG] = inverses[k] as [Buffer, Buffer?];
        const shift = dampingOf(factors[k]!, gamma);
        for (const result of [invertFactor(A, shift.a, toA), G && toG && invertFactor(G, shift.g, toG)]) {
          if (!result) continue;
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
      for (const buffer of inverses.flat()) buffer.release();
    },
  };
}
