/**
 * Points inside where a network errs: a residual r is known everywhere, without the solution, and where it is large the
 * next points are drawn,
 *
 *     p(x) ∝ 1 + |r(x)| / mean |r|,
 *
 * half of them anywhere in the box. Wu, Zhu, Tan, Kartha, Lu 2023, "A comprehensive study of non-adaptive and
 * residual-based adaptive sampling for physics-informed neural networks" (RAD, k = c = 1).
 */
import { compile } from "../../compiler/compile.js";
import type { Objective } from "../../curvature/objective.js";
import type { Model, Random } from "../../nn/index.js";
import type { Runtime } from "../../runtime/runtime.js";
import { input } from "../../tensor/tensor.js";
import { drawInside, type Equation, pointsOf, valuesAt } from "./collocation.js";

/** Candidates to points. */
const candidates = 5;

export interface ResidualPoints {
  /** The points inside of the objective's batch ← new ones, by the residual at the present θ. */
  draw(rng: Random): void;
  release(): void;
}

/** @example residualPoints(runtime, equation, network, objective).draw(random(0)) */
export function residualPoints(
  runtime: Runtime,
  equation: Equation,
  network: Model,
  { parameters, batch }: Objective,
): ResidualPoints {
  const points = batch[0]!;
  const size = points.shape[0]!;
  const d = equation.box.length;
  const [xSpec, fSpec] = pointsOf(equation, network.dtype, candidates * size, 1);
  const [x, f] = [input("candidates", xSpec!), input("f", fSpec!)];
  const theta = input("parameters", parameters);
  const u = network.apply(network.layout.views(theta), x);
  const executable = compile(
    runtime,
    { inputs: [x, f, theta], outputs: [equation.operator(u, x).sub(f).abs()] },
    { inputs: [undefined, undefined, parameters] },
  );
  const [places, values] = executable.inputs as [typeof points, typeof points];
  const residuals = executable.outputs[0]!.data;
  const keys = new Float64Array(values.size);
  const order = Int32Array.from(keys, (_, k) => k);
  return {
    draw(rng) {
      drawInside(equation, places, rng.stream("candidates"));
      valuesAt(equation.source, places, values);
      executable.run();
      let mean = 0;
      for (const r of residuals) mean += Number(r) / residuals.length;
      // Without replacement: the first to ring of clocks with rates p (Efraimidis & Spirakis 2006).
      const clock = rng.stream("clocks");
      for (let k = 0; k < keys.length; k++) {
        order[k] = k;
        keys[k] = -Math.log(1 - clock.uniform()) / (1 + (mean > 0 ? residuals[k]! / mean : 0));
      }
      order.sort((a, b) => keys[a]! - keys[b]!);
      for (let k = 0; k < size; k++)
        for (let i = 0; i < d; i++) points.data[k * d + i] = places.data[order[k]! * d + i]!;
    },
    release: executable.release,
  };
}
