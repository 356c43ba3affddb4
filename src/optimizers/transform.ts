/**
 * Parts of first-order methods. A transform takes a direction d ∈ Rⁿ (at first the gradient) to another one, and may
 * keep state; a method is a chain of them, after which θ ← θ − d. Everything happens while a program is traced, so
 * that a chain of any length becomes part of one executable.
 * (The idea is optax's gradient transformation: Babuschkin et al. 2020, The DeepMind JAX Ecosystem.)
 */
import type { Layout } from "../nn/parameters.js";
import type { Shape } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";

/** An array of the state at its beginning: every element is `initial`. In the objective's dtype. */
export interface StateSpec {
  readonly shape: Shape;
  readonly initial: number;
}

/** What a transform is for. */
export interface TransformSpec {
  readonly dtype: "f32" | "f64";
  readonly layout: Layout;
}

/** What a transform may look at beside its direction and state. */
export interface TransformContext extends TransformSpec {
  /** θ [n] before the update. */
  readonly parameters: Tensor;
  /** ∇L(θ) [n] as it came from the objective. */
  readonly gradient: Tensor;
  /** t = 1, 2, …: the number of this update; a scalar of the objective's dtype. */
  readonly step: Tensor;
}

export interface Transformed {
  /** [n] */
  readonly direction: Tensor;
  /** As named by `init`. */
  readonly state: Readonly<Record<string, Tensor>>;
}

export interface Transform {
  /** Names its part of the state in checkpoints. */
  readonly name: string;
  init(spec: TransformSpec): Readonly<Record<string, StateSpec>>;
  update(direction: Tensor, state: Readonly<Record<string, Tensor>>, context: TransformContext): Transformed;
}

/**
 * A transform without state.
 *
 *     const sign = stateless("sign", (direction) => direction.sign());
 */
export function stateless(
  name: string,
  update: (direction: Tensor, context: TransformContext) => Tensor,
): Transform {
  return {
    name,
    init: () => ({}),
    update: (direction, _state, context) => ({ direction: update(direction, context), state: {} }),
  };
}

/** A vector of state as long as θ, beginning at zero. */
export const zeroVector = ({ layout }: TransformSpec): StateSpec => ({ shape: [layout.size], initial: 0 });

/**
 * Transforms one after the other; undefined ones are left out. The state of part p is called "p.name"; the second
 * part of the same name is "p#2".
 *
 *     chain(clipByGlobalNorm(1), scaleByAdam({ beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }))
 */
export function chain(...transforms: readonly (Transform | undefined)[]): Transform {
  const given = transforms.filter((transform) => transform !== undefined);
  const parts = given.map((transform, index) => {
    const before = given.slice(0, index).filter((other) => other.name === transform.name).length;
    return { transform, prefix: before === 0 ? `${transform.name}.` : `${transform.name}#${before + 1}.` };
  });
  const prefixed = <T>(prefix: string, record: Readonly<Record<string, T>>) =>
    Object.entries(record).map(([key, value]) => [prefix + key, value] as const);
  return {
    name: "chain",
    init: (spec) =>
      Object.fromEntries(parts.flatMap((part) => prefixed(part.prefix, part.transform.init(spec)))),
    update(direction, state, context) {
      const next: (readonly [string, Tensor])[] = [];
      let current = direction;
      for (const { transform, prefix } of parts) {
        const own = Object.entries(state).filter(([key]) => key.startsWith(prefix));
        const result = transform.update(
          current,
          Object.fromEntries(own.map(([key, value]) => [key.slice(prefix.length), value])),
          context,
        );
        current = result.direction;
        next.push(...prefixed(prefix, result.state));
      }
      return { direction: current, state: Object.fromEntries(next) };
    },
  };
}
