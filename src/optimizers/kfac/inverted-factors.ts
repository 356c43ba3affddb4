/**
 * K-FAC's inverse: (A + πγI)⁻¹ ⊗ (G + γ/π I)⁻¹ of each Kronecker block, (F + γ²I)⁻¹ of full and diagonal ones.
 * Memory: inverses as large as the factors.
 */
import {
  type BlockUses,
  createInverter,
  factoredDamping,
  factorShapes,
  type InverseMethod,
  meanDiagonal,
  solveBlock,
  vectorOfBlocks,
} from "../../curvature/kronecker/index.js";
import type { Buffer } from "../../runtime/memory.js";
import type { Runtime } from "../../runtime/runtime.js";
import { input } from "../../tensor/tensor.js";
import { dampedInverse } from "./damped-inverse.js";
import type { Preconditioner } from "./preconditioner.js";

export function invertedFactors(
  runtime: Runtime,
  dtype: "f32" | "f64",
  blocks: readonly BlockUses[],
  factors: readonly (readonly Buffer[])[],
  method: InverseMethod,
): Preconditioner {
  const inverses = blocks.map((block) => factorShapes(block).map((shape) => runtime.buffer(dtype, shape)));
  const orders = inverses.flat().flatMap(({ shape }) => (shape.length === 2 ? [shape[0]!] : []));
  const inverter = createInverter(runtime, dtype, method, Math.max(1, ...orders));
  const invertFactor = dampedInverse(inverter, dtype);
  return {
    state: Object.fromEntries(
      blocks.flatMap(({ parameters: [first] }, k) =>
        inverses[k]!.map((buffer, side) => [`inverse.${first!.name}.${side === 0 ? "A" : "G"}`, buffer]),
      ),
    ),
    symbols: () => inverses.flat().map((buffer) => input("inverse", buffer)),
    direction(symbols, gradient) {
      let next = 0;
      const matrices = blocks.map((block, k) =>
        solveBlock(
          block,
          gradient,
          inverses[k]!.map(() => symbols[next++]!),
        ),
      );
      return vectorOfBlocks(blocks, matrices);
    },
    invert(gamma) {
      let condition = 1;
      let raised = 0;
      blocks.forEach((_, k) => {
        const [A, G] = factors[k] as [Buffer, Buffer?];
        const [toA, toG] = inverses[k] as [Buffer, Buffer?];
        const shift = G
          ? factoredDamping(meanDiagonal(A), meanDiagonal(G), gamma)
          : { a: gamma * gamma, g: 0 };
        for (const result of [invertFactor(A, shift.a, toA), G && toG && invertFactor(G, shift.g, toG)]) {
          if (!result) continue;
          condition = Math.max(condition, result.condition);
          raised += result.raised;
        }
      });
      return { condition, raised };
    },
    observe: () => new Map(),
    release() {
      inverter.release();
      for (const buffer of inverses.flat()) buffer.release();
    },
  };
}
