/**
 * When factors are estimated and when inverted, and what the t-th estimate weighs in their average:
 *
 *     F ← β F + (1 − β) F_batch,   β = ρ(1 − ρᵗ⁻¹)/(1 − ρᵗ)
 *
 * keeps the bias-corrected average itself: the weights ρᵗ⁻ˢ of the estimates always sum to 1. Begun with I, β = ρ.
 */
import type { Buffer } from "../../runtime/memory.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { KroneckerSettings } from "./settings.js";

export interface RefreshIntervals {
  /** i32 [4]: estimates so far; estimates and updates at the last inversion; inversions. */
  readonly state: Buffer;
  /** Every `factorInterval` updates, and until there was an inversion. */
  estimateIsDue(update: number): boolean;
  /** After `inverseInterval` updates; sooner while the average is young: whenever its batches have doubled. */
  inversionIsDue(update: number): boolean;
  /** β of the next estimate. */
  readonly weight: number;
  /** An estimate was averaged; inverses are those of the averages. */
  estimated(): void;
  inverted(update: number): void;
  readonly inversions: number;
}

/** @example const intervals = refreshIntervals(runtime, { ...kfac.defaults, factorInterval: 1 }); */
export function refreshIntervals(
  runtime: Runtime,
  {
    factorInterval,
    inverseInterval,
    factorDecay: rho,
    factorStart,
  }: Pick<KroneckerSettings, "factorInterval" | "inverseInterval" | "factorDecay" | "factorStart">,
): RefreshIntervals {
  const state = runtime.buffer("i32", [4]);
  return {
    state,
    estimateIsDue: (update) => state.data[3] === 0 || update % factorInterval === 0,
    inversionIsDue(update) {
      const { data } = state;
      if (data[0] === 0) return false;
      return data[3] === 0 || update - data[2]! >= inverseInterval || data[0]! >= 2 * data[1]!;
    },
    get weight() {
      const t = state.data[0]! + 1;
      if (rho === 0 || factorStart === "identity") return rho;
      return (rho * (1 - rho ** (t - 1))) / (1 - rho ** t);
    },
    estimated: () => void state.data[0]!++,
    inverted(update) {
      const { data } = state;
      data[1] = data[0]!;
      data[2] = update;
      data[3]!++;
    },
    get inversions() {
      return state.data[3]!;
    },
  };
}
