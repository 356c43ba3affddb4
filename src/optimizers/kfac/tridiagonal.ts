/**
 * The inverse of a block-tridiagonal approximation (Martens & Grosse 2015, section 4.3). Its model is a chain: given the
 * gradients of layer j behind it, those of layer i are independent of all others. With F_ij = A× ⊗ G× for a link i → j,
 *
 *     Ψ = F_ij F_jj⁻¹ = Ψ_A ⊗ Ψ_G,   Ψ_A = A× Aⱼ⁻¹,   Ψ_G = G× Gⱼ⁻¹
 *     Σ = F_ii − Ψ F_jj Ψᵀ = Aᵢ ⊗ Gᵢ − C_A ⊗ C_G,   C_A = Ψ_A A×ᵀ,   C_G = Ψ_G G×ᵀ
 *
 * F⁻¹ = Ξᵀ Λ Ξ, with Ξ the identity less Ψ beside its diagonal, and Λ of Σ⁻¹, or F⁻¹ where nothing is behind. On matrices:
 *
 *     Uᵢ = Mᵢ − Ψ_A Mⱼ Ψ_Gᵀ,   Sᵢ = Σ⁻¹Uᵢ,   Xⱼ = Sⱼ − Ψ_Aᵀ Sᵢ Ψ_G
 *
 * Σ⁻¹ from K Aᵢ Kᵀ = I, K C_A Kᵀ = diag(s) of each side: Σ⁻¹U = K_Aᵀ [(K_A U K_Gᵀ) / (1 − s_A s_Gᵀ)] K_G (appendix B).
 * Factors on the diagonal are damped as without links; then s < 1, up to rounding.
 *
 * Memory: for each link 2(in·in' + out·out') with its factors, and in² + out² beside the inverses. FLOPs: for each link
 * two eigendecompositions (9n³) and some products of the widths at a refresh; twice the products of an update and more.
 */
import {
  createSimultaneous,
  crossShapes,
  type InverseMethod,
  type Link,
  matrixOfBlock,
  meanDiagonal,
  solveInEigenbasis,
  vectorOfBlocks,
} from "../../curvature/kronecker/index.js";
import type { Buffer } from "../../runtime/memory.js";
import type { Runtime } from "../../runtime/runtime.js";
import { input, type Tensor } from "../../tensor/tensor.js";
import { roundingOf } from "../damping.js";
import { dampingOf, invertedFactors } from "./inverted-factors.js";
import type { Preconditioner } from "./preconditioner.js";
import type { RunningFactors } from "./running.js";

/** What is kept of a link: Ψ_A, Ψ_G, K_A, K_G, s_A, s_G. */
const parts = ["psi.A", "psi.G", "K.A", "K.G", "s.A", "s.G"] as const;
type Part = Readonly<Record<(typeof parts)[number], Buffer>>;

export function tridiagonalInverse(
  runtime: Runtime,
  dtype: "f32" | "f64",
  running: RunningFactors,
  method: InverseMethod,
): Preconditioner {
  const { blocks, factors, links, cross } = running;
  const diagonal = invertedFactors(runtime, dtype, running, method);
  const kept = links.map(({ from, to }): Part => {
    const [i, j] = [blocks[from]!, blocks[to]!];
    const sides = [[i.inputs], [i.outputs]];
    const shapes = [...crossShapes(i, j), ...sides.map(([n]) => [n!, n!]), ...sides];
    return Object.fromEntries(parts.map((part, k) => [part, runtime.buffer(dtype, shapes[k]!)])) as Part;
  });
  const largest = Math.max(1, ...links.flatMap(({ from }) => [blocks[from]!.inputs, blocks[from]!.outputs]));
  const simultaneous = createSimultaneous(runtime, dtype, largest);
  const C = runtime.buffer(dtype, [largest * largest]);
  const gemm = dtype === "f64" ? runtime.blas.functions.dgemm : runtime.blas.functions.sgemm;
  const behind = new Map(links.map(({ from }, k) => [from, k]));
  const before = new Map(links.map(({ to }, k) => [to, k]));
  const own = kept.flatMap((part) => Object.values(part));

  const conditional = (part: readonly Tensor[], matrix: Tensor) => {
    const [, , KA, KG, sA, sG] = part as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
    const left = sA
      .reshape([-1, 1])
      .mul(sG.reshape([1, -1]))
      .neg()
      .add(1);
    return solveInEigenbasis(matrix, [KA, KG], left.max(Math.sqrt(roundingOf(dtype))));
  };

  return {
    state: {
      ...diagonal.state,
      ...Object.fromEntries(
        links.flatMap(({ from }, k) =>
          parts.map((part) => [`${part}.${blocks[from]!.parameters[0]!.name}`, kept[k]![part]]),
        ),
      ),
    },
    symbols: () => [...diagonal.symbols(), ...own.map((buffer) => input("link", buffer))],
    direction(symbols, gradient) {
      const first = symbols.length - own.length;
      const partOf = (k: number) =>
        symbols.slice(first + k * parts.length, first + (k + 1) * parts.length) as [Tensor, Tensor];
      const M = blocks.map((block) => matrixOfBlock(block, gradient));
      const S = blocks.map((_, i) => {
        const k = behind.get(i);
        if (k === undefined) return diagonal.solve(symbols, i, M[i]!);
        const [psiA, psiG] = partOf(k);
        const U = M[i]!.sub(psiA.matmul(M[links[k]!.to]!).matmul(psiG.transpose()));
        return conditional(partOf(k), U);
      });
      const X = S.map((solved, j) => {
        const k = before.get(j);
        if (k === undefined) return solved;
        const [psiA, psiG] = partOf(k);
        return solved.sub(psiA.transpose().matmul(S[links[k]!.from]!).matmul(psiG));
      });
      return vectorOfBlocks(blocks, X);
    },
    invert(gamma) {
      const { condition, raised } = diagonal.invert(gamma);
      let failed = 0;
      links.forEach(({ from, to }: Link, k) => {
        const { a, g } = dampingOf(factors[from]!, gamma);
        const sides = [
          ["A", a, 0],
          ["G", g, 1],
        ] as const;
        const done = sides.map(([side, shift, index]) => {
          const [between, inverse] = [cross[k]![index]!, diagonal.inverses[to]![index]!];
          const factor = factors[from]![index]!;
          const [psi, K, s] = (["psi", "K", "s"] as const).map((part) => kept[k]![`${part}.${side}`]) as [
            Buffer,
            Buffer,
            Buffer,
          ];
          // Ψ ← × F_jj⁻¹, C ← Ψ ×ᵀ
          const [n, m] = between.shape as [number, number];
          gemm(0, 0, n, m, m, 1, between.address, m, inverse.address, m, 0, psi.address, m);
          gemm(0, 1, n, n, m, 1, psi.address, m, between.address, m, 0, C.address, n);
          const least = Math.max(shift, roundingOf(dtype) * meanDiagonal(factor));
          return simultaneous.diagonalize(factor, least, C, K, s);
        });
        if (done.every(Boolean)) return;
        // Without its link a block stands as it would alone.
        failed++;
        for (const side of ["A", "G"] as const) {
          kept[k]![`psi.${side}`].data.fill(0);
          kept[k]![`s.${side}`].data.fill(0);
        }
      });
      return { condition, raised: raised + failed };
    },
    observe: () => new Map(),
    describe(k) {
      const [link, linked] = [behind.get(k), before.get(k)];
      const names = [
        ...(linked === undefined ? [] : [`behind ${blocks[links[linked]!.from]!.name}`]),
        ...(link === undefined ? [] : [`before ${blocks[links[link]!.to]!.name}`]),
      ];
      const plain = diagonal.describe(k);
      if (names.length === 0) return { ...plain, note: "in no chain of dense layers: block-diagonal" };
      const extra = link === undefined ? [] : [...Object.values(kept[link]!), ...cross[link]!];
      return { treatment: "A ⊗ G, tridiagonal", kept: [...plain.kept, ...extra], note: names.join(", ") };
    },
    release() {
      diagonal.release();
      simultaneous.release();
      C.release();
      for (const buffer of own) buffer.release();
    },
  };
}
