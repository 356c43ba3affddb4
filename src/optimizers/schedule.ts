/**
 * Learning rates over time. A schedule is a function of k, the number of updates already done (0 at the first), traced
 * into the training step: changing the rate recompiles nothing, and a resumed run continues on the same curve.
 */
import { evaluate } from "../tensor/evaluate.js";
import { trace } from "../tensor/program.js";
import { full, type Tensor } from "../tensor/tensor.js";

/** Rates at k, elementwise: same shape and dtype. */
export type Schedule = (k: Tensor) => Tensor;

function check(name: string, conditions: Readonly<Record<string, readonly [number, boolean, string]>>): void {
  for (const [what, [value, holds, range]] of Object.entries(conditions))
    if (!holds) throw new RangeError(`${name}: ${what} is ${value}; use ${range}`);
}
const positive = (value: number) => [value, value > 0 && Number.isFinite(value), "a number above 0"] as const;
const notNegative = (value: number) =>
  [value, value >= 0 && Number.isFinite(value), "a number of at least 0"] as const;
const count = (value: number) =>
  [value, Number.isInteger(value) && value > 0, "a whole number of at least 1"] as const;

/**
 * η(k) = rate.
 *
 *     constant(1e-3)
 *
 * @throws RangeError for values out of range.
 */
export function constant(rate: number): Schedule {
  check("constant schedule", { rate: positive(rate) });
  return (k) => full(k, rate);
}

/** min(k/steps, 1); divided, so that it is 1 exactly at the end. */
const progress = (k: Tensor, steps: number) => k.min(steps).div(steps);

/**
 * η(k) = to + (from − to)(1 − min(k/steps, 1)).
 *
 *     linear({ from: 0.1, to: 0.001, steps: 1000 })
 *
 * @throws RangeError for values out of range.
 */
export function linear({ from, to = 0, steps }: { from: number; to?: number; steps: number }): Schedule {
  check("linear schedule", { from: notNegative(from), to: notNegative(to), steps: count(steps) });
  return (k) =>
    progress(k, steps)
      .neg()
      .add(1)
      .mul(from - to)
      .add(to);
}

/**
 * η(k) = to + ½ (from − to)(1 + cos(π min(k/steps, 1))). Loshchilov & Hutter 2017 (SGDR), without restarts.
 *
 *     cosine({ from: 1e-3, steps: 5000 })
 *
 * @throws RangeError for values out of range.
 */
export function cosine({ from, to = 0, steps }: { from: number; to?: number; steps: number }): Schedule {
  check("cosine schedule", { from: notNegative(from), to: notNegative(to), steps: count(steps) });
  return (k) =>
    progress(k, steps)
      .mul(Math.PI)
      .cos()
      .add(1)
      .mul((from - to) / 2)
      .add(to);
}

/**
 * η(k) = rate·factor^⌊k/every⌋.
 *
 *     stepwise({ rate: 0.1, factor: 0.1, every: 1000 })   // 0.1, from update 1000 on 0.01, …
 *
 * @throws RangeError for values out of range.
 */
export function stepwise(options: { rate: number; factor: number; every: number }): Schedule {
  const { rate, factor, every } = options;
  check("step schedule", { rate: positive(rate), factor: positive(factor), every: count(every) });
  // Divided, not multiplied by 1/every: k/every must be a whole number exactly where it should.
  return (k) => k.div(every).floor().mul(Math.log(factor)).exp().mul(rate);
}

/**
 * η(k) = rate·factor^(k/every).
 *
 *     exponential({ rate: 0.1, factor: 0.5, every: 1000 })   // halves within 1000 updates
 *
 * @throws RangeError for values out of range.
 */
export function exponential(options: { rate: number; factor: number; every: number }): Schedule {
  const { rate, factor, every } = options;
  check("exponential schedule", { rate: positive(rate), factor: positive(factor), every: count(every) });
  return (k) =>
    k
      .mul(Math.log(factor) / every)
      .exp()
      .mul(rate);
}

/**
 * Rises to the first value of `then` over the first `steps` updates, then follows it from its beginning:
 * η(k) = then(0)·(k + 1)/steps for k < steps, then(k − steps) afterwards. Update `steps` has the full rate.
 *
 *     warmUp(100, cosine({ from: 1e-3, steps: 5000 }))
 *
 * @throws RangeError for values out of range.
 */
export function warmUp(steps: number, then: Schedule): Schedule {
  check("warm-up", { steps: count(steps) });
  return (k) => {
    const rest = then(k.sub(steps).max(0));
    return k.lt(steps).select(
      k
        .add(1)
        .mul(1 / steps)
        .mul(rest),
      rest,
    );
  };
}

/**
 * The first `count` rates, for tables and plots: f64 [count].
 *
 *     scheduleValues(linear({ from: 1, steps: 4 }), 5)   // 1, 0.75, 0.5, 0.25, 0
 */
export function scheduleValues(schedule: Schedule, count: number): Float64Array {
  const k = {
    dtype: "f64" as const,
    shape: [count],
    data: Float64Array.from({ length: count }, (_, i) => i),
  };
  return evaluate(
    trace((x) => schedule(x!), k),
    [k],
  )[0]!.data as Float64Array;
}
