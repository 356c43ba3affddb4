/** Which block every parameter lies in, as the table shows it. */
import type { KroneckerBlock } from "../../curvature/kronecker/index.js";
import type { Coverage } from "../optimizer.js";
import type { Preconditioner } from "./preconditioner.js";
import type { RunningFactors } from "./running.js";

/** What stands for the curvature of a block of this kind. */
export const treatmentOf = ({ kind, terms }: Pick<KroneckerBlock, "kind" | "terms">): string =>
  ({
    kronecker: terms > 1 ? "A₁ ⊗ G₁ + A₂ ⊗ G₂" : "A ⊗ G",
    embedding: "diag(A) ⊗ G",
    full: "full",
    diagonal: "diagonal",
  })[kind];

export function coverageOf({ blocks, factors }: RunningFactors, preconditioner: Preconditioner): Coverage[] {
  return blocks.map(({ name, parameters, inputs, outputs, kind, reason }, k) => {
    const { treatment, kept, note } = preconditioner.describe(k);
    const isProduct = kind === "kronecker" || kind === "embedding";
    return {
      name,
      size: parameters.reduce((sum, { size }) => sum + size, 0),
      treatment,
      orders: isProduct ? [inputs, outputs] : [inputs],
      bytes: [...factors[k]!, ...kept].reduce((sum, { data }) => sum + data.byteLength, 0),
      reason: note ? `${reason}; ${note}` : reason,
    };
  });
}
