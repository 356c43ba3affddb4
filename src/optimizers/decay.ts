/**
 * Two penalties that coincide for plain gradient descent and nowhere else (Loshchilov & Hutter 2019, "Decoupled weight
 * decay regularization"): `l2` adds λθ to the gradient, so that moments and preconditioners see it; `decoupledDecay`
 * adds λθ to the finished direction. Both take a mask of the arrays that they apply to.
 */
import type { Entry } from "../nn/parameters.js";
import { allocate } from "../tensor/dtype.js";
import { constant, type Tensor } from "../tensor/tensor.js";
import type { Schedule } from "./schedule.js";
import { choice } from "./settings.js";
import { stateless, type Transform, type TransformContext } from "./transform.js";

/** Which arrays of the parameters are meant. */
export type Mask = (entry: Pick<Entry, "name" | "shape">) => boolean;

/**
 * Masks by name: `matrices` leaves out biases, gains and other arrays with fewer than two axes.
 *
 *     decoupledDecay(0.1, masks.matrices)
 */
export const masks = {
  all: () => true,
  matrices: ({ shape }) => shape.length >= 2,
} as const satisfies Record<string, Mask>;
export type MaskName = keyof typeof masks;

/** A method's setting of the mask. */
export const decayOption = choice(
  "matrices",
  ["matrices", "all"],
  "which arrays shrink: those with two or more axes, or all",
);

/** λ·mask·θ [n]; the mask is a constant vector, unless it holds for all or for none. */
function penalty(
  strength: number,
  mask: Mask,
  { parameters, layout, dtype }: TransformContext,
): Tensor | undefined {
  const chosen = layout.entries.filter((entry) => mask(entry));
  if (strength === 0 || chosen.length === 0) return undefined;
  if (chosen.length === layout.entries.length) return parameters.mul(strength);
  const data = allocate(dtype, layout.size);
  for (const { offset, size } of chosen) data.fill(strength, offset, offset + size);
  return parameters.mul(constant({ dtype, shape: [layout.size], data }));
}

function addPenalty(name: string, strength: number, mask: Mask): Transform {
  if (!(strength >= 0 && Number.isFinite(strength)))
    throw new RangeError(`${name}: the strength is ${strength}; use a number of at least 0`);
  return stateless(name, (direction, context) => {
    const extra = penalty(strength, mask, context);
    return extra ? direction.add(extra) : direction;
  });
}

/**
 * d ← d + λ·mask·θ, first in a chain: the gradient of L(θ) + ½λ‖mask·θ‖².
 *
 *     chain(l2(1e-4), traceMomentum({ decay: 0.9 }))
 *
 * @throws RangeError when λ is negative or not finite.
 */
export const l2 = (strength: number, mask: Mask = masks.all): Transform => addPenalty("l2", strength, mask);

/**
 * d ← d + λ·mask·θ, last in a chain: with the learning rate η after it, θ ← (1 − ηλ·mask)θ − ηd.
 *
 *     chain(scaleByAdam(), decoupledDecay(0.01, masks.matrices))   // AdamW
 */
export const decoupledDecay = (strength: number, mask: Mask = masks.all): Transform =>
  addPenalty("decay", strength, mask);

/**
 * Decay that comes before the rest: θ' = (1 − ηλ·mask)θ is what `transform` sees as the parameters, and
 * θ ← θ' − ηd with its direction d. η is the schedule that the chain is used with. The gradient is that at θ.
 */
export function decayBefore(strength: number, mask: Mask, rate: Schedule, transform: Transform): Transform {
  return {
    ...transform,
    update(direction, state, context) {
      const extra = penalty(strength, mask, context);
      if (!extra) return transform.update(direction, state, context);
      const parameters = context.parameters.sub(extra.mul(rate(context.step.sub(1))));
      const result = transform.update(direction, state, { ...context, parameters });
      return { ...result, direction: result.direction.add(extra) };
    },
  };
}
