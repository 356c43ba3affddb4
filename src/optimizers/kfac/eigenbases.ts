/**
 * EKFAC's inverse: eigenvectors of the factors, refreshed as K-FAC's inverses are, and second moments S in them,
 * estimated on every batch that factors are. At new eigenvectors S begins as the product of the eigenvalues, which is
 * K-FAC's own, and this batch is observed at once:
 *
 *     S ← ρ S + (1 − ρ) S_batch,    direction E_Aᵀ [(E_A M E_Gᵀ) / (S + λ)] E_G,    λ = γ²
 *
 * Full and diagonal blocks are inverted as in K-FAC. Memory: eigenvectors as large as the factors, S as large as θ.
 */
import {
  type BlockUses,
  createInverter,
  factorShapes,
  hasEigenbasis,
  matrixOfBlock,
  type Sharing,
  secondMoments,
  solveBlock,
  solveInEigenbasis,
  vectorOfBlocks,
} from "../../curvature/kronecker/index.js";
import type { Buffer } from "../../runtime/memory.js";
import type { Runtime } from "../../runtime/runtime.js";
import { input, type Tensor } from "../../tensor/tensor.js";
import { treatmentOf } from "./coverage.js";
import { dampedInverse } from "./damped-inverse.js";
import type { Preconditioner } from "./preconditioner.js";

/** The buffers of one block: of a Kronecker block E_A, E_G, S; of an embedding E_G, S; else an inverse. */
interface Kept {
  readonly block: BlockUses;
  readonly names: readonly string[];
  readonly buffers: readonly Buffer[];
  /** Index of the first one among all. */
  readonly first: number;
}

export function eigenbases(
  runtime: Runtime,
  dtype: "f32" | "f64",
  blocks: readonly BlockUses[],
  factors: readonly (readonly Buffer[])[],
  { sharing, decay }: { readonly sharing: Sharing; readonly decay: number },
): Preconditioner {
  const sum = blocks.find(({ terms }) => terms > 1);
  if (sum)
    throw new Error(
      `ekfac: the loss is a sum of ${sum.terms} means over different examples, which share no eigenbasis; use kfac`,
    );
  let count = 0;
  const kept = blocks.map((block): Kept => {
    const shapes = factorShapes(block);
    const square = shapes.filter((shape) => shape.length === 2);
    const names = hasEigenbasis(block)
      ? block.kind === "kronecker"
        ? ["basis.A", "basis.G", "moments"]
        : ["basis.G", "moments"]
      : ["inverse"];
    const all = hasEigenbasis(block) ? [...square, [block.inputs, block.outputs]] : shapes;
    const first = count;
    count += all.length;
    return { block, names, buffers: all.map((shape) => runtime.buffer(dtype, shape)), first };
  });
  const orders = factors.flat().flatMap(({ shape }) => (shape.length === 2 ? [shape[0]!] : []));
  const largest = Math.max(1, ...orders);
  const inverter = createInverter(runtime, dtype, "eigen", largest);
  const invertFactor = dampedInverse(inverter, dtype);
  const valuesOf = new Map(
    factors.flat().map((factor) => [factor, runtime.buffer(dtype, [factor.shape[0]!])]),
  );

  const symbolsOf = ({ first, buffers }: Kept, symbols: readonly Tensor[]) =>
    symbols.slice(first, first + buffers.length);
  const basesOf = (symbols: readonly Tensor[]): [Tensor | undefined, Tensor] =>
    symbols.length === 3 ? [symbols[0], symbols[1]!] : [undefined, symbols[0]!];

  /** Eigenvalues of one factor, ascending, and its eigenvectors; a diagonal factor is its own. */
  const decompose = (factor: Buffer, basis: Buffer | undefined): Buffer => {
    const values = valuesOf.get(factor)!;
    if (!basis) values.data.set(factor.data);
    else if (!inverter.decompose(factor, basis, values)) {
      // Without eigenvectors the coordinates serve: S is then the diagonal of the block.
      const n = factor.shape[0]!;
      basis.data.fill(0);
      for (let k = 0; k < n; k++) {
        basis.data[k * (n + 1)] = 1;
        values.data[k] = factor.data[k * (n + 1)]!;
      }
    }
    return values;
  };

  return {
    state: Object.fromEntries(
      kept.flatMap(({ block, names, buffers }) =>
        buffers.map((buffer, k) => [`${names[k]}.${block.parameters[0]!.name}`, buffer]),
      ),
    ),
    symbols: () => kept.flatMap(({ buffers }) => buffers.map((buffer) => input("basis", buffer))),
    direction(symbols, gradient, gamma) {
      const damping = gamma.mul(gamma);
      const matrices = kept.map((each) => {
        const own = symbolsOf(each, symbols);
        const matrix = matrixOfBlock(each.block, gradient);
        if (!hasEigenbasis(each.block)) return solveBlock(each.block, matrix, own);
        return solveInEigenbasis(matrix, basesOf(own), own.at(-1)!.add(damping));
      });
      return vectorOfBlocks(blocks, matrices);
    },
    invert(gamma) {
      let condition = 1;
      let raised = 0;
      kept.forEach(({ block, buffers }, k) => {
        const [A, G] = factors[k] as [Buffer, Buffer?];
        if (!G) {
          const result = invertFactor(A, gamma * gamma, buffers[0]!);
          condition = Math.max(condition, result.condition);
          raised += result.raised;
          return;
        }
        const moments = buffers.at(-1)!.data;
        const a = decompose(A, block.kind === "kronecker" ? buffers[0] : undefined).data;
        const g = decompose(G, buffers.at(-2)).data;
        let [least, most] = [Number.POSITIVE_INFINITY, 0];
        for (let i = 0; i < a.length; i++)
          for (let j = 0; j < g.length; j++) {
            const moment = a[i]! * g[j]!;
            moments[i * g.length + j] = moment;
            least = Math.min(least, moment);
            most = Math.max(most, moment);
          }
        condition = Math.max(condition, (most + gamma * gamma) / (least + gamma * gamma));
      });
      return { condition, raised };
    },
    observe(symbols, { blocks: traced, terms: [term] }) {
      const observed = new Map<number, Tensor>();
      kept.forEach((each, k) => {
        if (!hasEigenbasis(each.block)) return;
        const own = symbolsOf(each, symbols);
        const fresh = secondMoments(traced[k]!, term!, sharing, basesOf(own));
        observed.set(
          each.first + own.length - 1,
          own
            .at(-1)!
            .mul(decay)
            .add(fresh.mul(1 - decay)),
        );
      });
      return observed;
    },
    describe(k) {
      const { block, buffers } = kept[k]!;
      const own = treatmentOf(block);
      return { treatment: hasEigenbasis(block) ? `eigenbasis of ${own}` : own, kept: buffers };
    },
    release() {
      inverter.release();
      for (const buffer of [...kept.flatMap(({ buffers }) => buffers), ...valuesOf.values()])
        buffer.release();
    },
  };
}
