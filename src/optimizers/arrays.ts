/** A transform for some arrays of the parameters only: different methods for matrices and for the rest. */
import { layoutOf } from "../nn/parameters.js";
import { concat, type Tensor } from "../tensor/tensor.js";
import type { Mask } from "./decay.js";
import type { Transform, TransformSpec } from "./transform.js";

/**
 * The transform on the arrays that the mask chooses, as if there were no others; the rest of the direction passes as it
 * is. Its state is as long as what is chosen.
 *
 *     chain(onArrays(masks.matrices, orthogonalizedMomentum()), onArrays(vectors, scaleByAdam()))
 */
export function onArrays(mask: Mask, transform: Transform): Transform {
  const restricted = ({ dtype, layout }: TransformSpec): TransformSpec => ({
    dtype,
    layout: layoutOf(
      Object.fromEntries(
        layout.entries.filter((entry) => mask(entry)).map(({ name, shape }) => [name, { dtype, shape }]),
      ),
      dtype,
    ),
  });
  return {
    name: transform.name,
    init: (spec) => {
      const own = restricted(spec);
      return own.layout.size > 0 ? transform.init(own) : {};
    },
    update(direction, state, context) {
      const { entries } = context.layout;
      const own = restricted(context);
      if (own.layout.size === 0) return { direction, state: {} };
      const slice = (vector: Tensor, { offset, size }: { offset: number; size: number }) =>
        vector.slice(0, offset, offset + size);
      const chosen = (vector: Tensor) =>
        concat(entries.filter((entry) => mask(entry)).map((entry) => slice(vector, entry)));
      const result = transform.update(chosen(direction), state, {
        ...context,
        ...own,
        parameters: chosen(context.parameters),
        gradient: chosen(context.gradient),
      });
      const parts = entries.map((entry) =>
        mask(entry) ? slice(result.direction, own.layout.entry(entry.name)) : slice(direction, entry),
      );
      return { direction: concat(parts), state: result.state };
    },
  };
}
