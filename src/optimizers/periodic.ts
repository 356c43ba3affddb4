/**
 * A step of an expensive method now and then, cheap ones between. With N = every and t = 1, 2, …
 *
 *     θ ← outer(θ) where N divides t, else θ ← inner(θ)
 *
 * Where the curvature changes slowly, one expensive step corrects what many cheap ones
 * leave; Shamanskii 1967 ("A modification of Newton's method") keeps a factored Hessian for several steps in this spirit.
 *
 * Both move the same θ and model state and keep their own states: an inner momentum goes on after an outer step, and each
 * counts its own updates, by which its schedule runs. (Methods that keep a preconditioner between refreshes, as kfac,
 * shampoo, soap and sophia do, have intervals of their own: use those where the cheap steps should use the curvature.)
 *
 * every = 1 is the outer method. Memory: the states of both. FLOPs: (N − 1)/N of the inner's step, 1/N of the outer's.
 */
import type { Objective } from "../curvature/objective.js";
import { scalars } from "./costs.js";
import { defineHybrid, mixed, part, settingsOfParts, statesOf } from "./hybrid.js";
import type { Method } from "./method.js";
import type { Optimizer, StepReport, Training } from "./optimizer.js";
import { positiveCount } from "./settings.js";

export interface Periodic {
  readonly inner: Optimizer;
  readonly outer: Optimizer;
  /** N */
  readonly every: number;
}

/**
 *     periodic({ inner: adam.create(), outer: newton.create({ curvature: "gaussNewton" }), every: 50 })
 *
 * @throws RangeError when `every` is no whole number of at least 1.
 */
export function periodic({ inner, outer, every }: Periodic): Optimizer {
  if (!Number.isInteger(every) || every < 1)
    throw new RangeError(`periodic: every is ${every}; use a whole number of at least 1`);
  return {
    name: "periodic",
    settings: { inner: inner.name, outer: outer.name, every, ...settingsOfParts({ inner, outer }) },
    start: (objective) => start(objective, { inner, outer, every }),
  };
}

function start(objective: Objective, { inner, outer, every }: Periodic): Training {
  const parts = { inner: inner.start(objective), outer: outer.start(objective) };
  const count = objective.runtime.buffer("i32", []);
  return {
    state: { step: count, ...statesOf(parts) },
    ...(parts.outer.coverage && { coverage: parts.outer.coverage }),
    step(): StepReport {
      const isOuter = ++count.data[0]! % every === 0;
      const report = parts[isOuter ? "outer" : "inner"].step();
      return {
        ...report,
        diagnostics: { ...report.diagnostics, method: (isOuter ? outer : inner).name },
      };
    },
    release() {
      for (const each of [parts.inner, parts.outer, count]) each.release();
    },
  };
}

const options = {
  inner: part("adam", "the method of most steps; inner.<setting> sets what it has"),
  outer: part("hessianFree", "the method of every N-th step; outer.<setting> sets what it has"),
  every: positiveCount(20, "N: updates from one step of the outer method to its next", {
    typical: [2, 200],
    sensitivity: "medium",
  }),
};

export const periodicMethod = (find: (name: string) => Method) =>
  defineHybrid(
    {
      name: "periodic",
      family: "hybrid",
      description:
        "An expensive step now and then, cheap ones between: curvature at a small part of its cost.",
      reference: "In the spirit of Shamanskii 1967, A modification of Newton's method",
      parts: ["inner", "outer"],
      options,
      asks: { questions: ["gradients", "losses", "gaussNewtonVectorProducts"], batch: "any" },
      treats: [{ arrays: "all", how: "as the method of the step does" }],
      costs(parts, shape, { every }) {
        const both = mixed([
          [1 - 1 / every, parts.inner.costs(shape)],
          [1 / every, parts.outer.costs(shape)],
        ]);
        return { ...both, state: [...both.state, scalars()] };
      },
    },
    find,
    ({ every }, { inner, outer }) => periodic({ inner, outer, every }),
  );
