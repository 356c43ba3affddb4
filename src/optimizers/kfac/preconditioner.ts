/** What kfac and ekfac differ in: how the blocks of the curvature are inverted. */
import type { TracedFactors } from "../../curvature/kronecker/index.js";
import type { Buffer } from "../../runtime/memory.js";
import type { Tensor } from "../../tensor/tensor.js";

export interface Inversion {
  /** Largest ‖F + εI‖·‖(F + εI)⁻¹‖ (Frobenius) of a damped factor: at least its condition number. */
  readonly condition: number;
  /** Factors that needed more than their share of the damping. */
  readonly raised: number;
}

export interface Preconditioner {
  /** Complete: a resumed training computes nothing of it again. */
  readonly state: Readonly<Record<string, Buffer>>;
  /** Symbols for the buffers of `state`, in their order: inputs of programs that call `direction`. */
  symbols(): readonly Tensor[];
  /** F⁻¹g [n]. */
  direction(symbols: readonly Tensor[], gradient: Tensor, gamma: Tensor): Tensor;
  /** What stands for the inverse of block k, and what is kept for it beside its factors. */
  describe(k: number): {
    readonly treatment: string;
    readonly kept: readonly Buffer[];
    readonly note?: string;
  };
  /** New inverses from the factors as they are now. */
  invert(gamma: number): Inversion;
  /**
   * New values of some of the state from every batch that factors are estimated on, by index of `state`; empty where
   * there are none. Their EMA is taken here.
   */
  observe(symbols: readonly Tensor[], traced: TracedFactors): ReadonlyMap<number, Tensor>;
  release(): void;
}
