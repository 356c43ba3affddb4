import { ShapeError } from "../tensor/shape.js";
import { type Layer, layer, nameOf } from "./layer.js";
import { streamNumber } from "./random.js";
import { uniform } from "./sampling.js";

/**
 * In training, sets each element to 0 with probability `rate` and divides the others by 1 − rate, so that the
 * expectation stays; identity in evaluation (Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014).
 * What is dropped depends on the key of the application and on the layer's path.
 *
 *     net.apply(parameters, x, { training: true, key })
 *
 * @throws ShapeError when training without a key.
 */
export function dropout(rate: number): Layer {
  if (!(rate >= 0 && rate < 1)) throw new RangeError(`dropout: rate ${rate} is not in [0, 1)`);
  return layer({
    kind: "dropout",
    declare: (inputShape) => ({ parameters: {}, state: {}, outputShape: inputShape }),
    apply(_parameters, x, context) {
      if (!context.training || rate === 0) return x;
      const name = nameOf(context, "dropout");
      if (!context.key) throw new ShapeError(`dropout: "${name}" needs a key (i32 [2]) when training`);
      const kept = uniform(context.key, streamNumber(name), x.shape, x.dtype).ge(rate);
      return kept.select(x.mul(1 / (1 - rate)), 0);
    },
  });
}
