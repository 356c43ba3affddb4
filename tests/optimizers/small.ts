/** A small problem for tests: y ≈ tanh(x W + b)·V with three arrays, one of them a vector. */
import { createObjective, curvatureOf, type Objective } from "../../src/curvature/index.js";
import { meanSquared } from "../../src/nn/index.js";
import { layoutOf } from "../../src/nn/parameters.js";
import type { Optimizer, StepReport } from "../../src/optimizers/index.js";
import type { Runtime } from "../../src/runtime/runtime.js";
import type { Tensor } from "../../src/tensor/tensor.js";

/** Numbers in (−1, 1) that look random and never change. */
export const numbers = (count: number, seed = 1): number[] =>
  Array.from({ length: count }, (_, k) => {
    const x = Math.sin((k + 1) * 12.9898 + seed * 78.233) * 43758.5453;
    return 2 * (x - Math.floor(x)) - 1;
  });

export const shapes = { W: [3, 4], b: [4], V: [4, 2] };

export function smallObjective(runtime: Runtime, dtype: "f32" | "f64" = "f64"): Objective {
  const layout = layoutOf(
    Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, { dtype, shape }])),
  );
  const objective = createObjective(runtime, {
    layout,
    parameters: numbers(layout.size),
    batch: [
      { dtype, shape: [5, 3] },
      { dtype, shape: [5, 2] },
    ],
    trace(theta, [x, y]) {
      const p = layout.views(theta) as Readonly<Record<string, Tensor>>;
      const outputs = x!.matmul(p.W!).add(p.b!).tanh().matmul(p.V!);
      return {
        loss: outputs.sub(y!).square().mean(),
        state: undefined,
        outputs,
        outputCurvature: curvatureOf(meanSquared({ reduction: "elements" }), outputs, y!),
      };
    },
  });
  objective.batch[0]!.set(numbers(15, 2));
  objective.batch[1]!.set(numbers(10, 3));
  return objective;
}

/** θ after each of `steps` updates of the small problem, and the reports. */
export function trajectory(
  runtime: Runtime,
  optimizer: Optimizer,
  steps: number,
  dtype: "f32" | "f64" = "f64",
): { parameters: number[][]; reports: StepReport[] } {
  const objective = smallObjective(runtime, dtype);
  const training = optimizer.start(objective);
  const reports: StepReport[] = [];
  const parameters: number[][] = [];
  for (let k = 0; k < steps; k++) {
    reports.push(training.step());
    parameters.push([...objective.parameters.data]);
  }
  training.release();
  objective.release();
  return { parameters, reports };
}
