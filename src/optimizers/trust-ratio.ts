/**
 * Layerwise trust ratios: the direction of each array is given a length in proportion to that of its parameters.
 * You, Gitman, Ginsburg 2017 (LARS); You et al. 2020 (LAMB). With p and d the part of one array in θ and in the direction:
 *
 *     d ← c ‖p‖ / (‖d‖ + ε) · d          and d unchanged where a norm is 0
 */
import type { Entry } from "../nn/parameters.js";
import { concat, type Tensor } from "../tensor/tensor.js";
import type { Mask } from "./decay.js";
import { stateless, type Transform } from "./transform.js";

/** ‖x‖₂. */
export const length = (x: Tensor): Tensor => x.square().sum().sqrt();

/** c·top/bottom, and 1 where one of `norms` is 0. */
export const ratioOrOne = (top: Tensor, bottom: Tensor, norms: readonly [Tensor, Tensor]): Tensor =>
  norms[0].gt(0).and(norms[1].gt(0)).select(top.div(bottom), 1);

/** Vectors [n] array by array: those of the mask through `map`, the others as in the first vector. */
export function mapArrays(
  entries: readonly Entry[],
  mask: Mask,
  vectors: readonly Tensor[],
  map: (...parts: Tensor[]) => Tensor,
): Tensor {
  const parts = entries.map((entry) => {
    const own = vectors.map((vector) => vector.slice(0, entry.offset, entry.offset + entry.size));
    return mask(entry) ? map(...own) : own[0]!;
  });
  return parts.length === 0 ? vectors[0]! : concat(parts);
}

/**
 * The ratio of ‖p‖ to ‖d‖ for the arrays of the mask. `mostNorm` bounds ‖p‖ (0: not); `epsilon` is added to ‖d‖.
 *
 *     chain(scaleByAdam(), decoupledDecay(0.01), trustRatio({ mask: masks.matrices }))   // LAMB
 *
 * One pass for the norms and one to scale; no state.
 */
export function trustRatio(
  options: { readonly mask?: Mask; readonly mostNorm?: number; readonly epsilon?: number } = {},
): Transform {
  const { mask = () => true, mostNorm = 0, epsilon = 0 } = options;
  return stateless("trust", (direction, { layout, parameters }) =>
    mapArrays(layout.entries, mask, [direction, parameters], (d, p) => {
      const norms = [length(p!), length(d!)] as const;
      const top = mostNorm > 0 ? norms[0].min(mostNorm) : norms[0];
      return d!.mul(ratioOrOne(top, norms[1].add(epsilon), norms));
    }),
  );
}
