/** Clipping by the global norm: Pascanu, Mikolov, Bengio 2013, "On the difficulty of training recurrent neural networks". */
import { stateless, type Transform } from "./transform.js";

/**
 * d ← d·min(1, c/‖d‖₂), the norm over all parameters together. Below the threshold d is unchanged to the bit.
 * One more pass over the direction; no state.
 *
 *     chain(clipByGlobalNorm(1), traceMomentum({ decay: 0.9 }))
 *
 * @throws RangeError when the threshold is not above 0.
 */
export function clipByGlobalNorm(threshold: number): Transform {
  if (!(threshold > 0))
    throw new RangeError(`clipByGlobalNorm: the threshold is ${threshold}; use a number above 0`);
  return stateless("clip", (direction) => {
    const norm = direction.square().sum().sqrt();
    return direction.mul(norm.le(threshold).select(1, norm.reciprocal().mul(threshold)));
  });
}
