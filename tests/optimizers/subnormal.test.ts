import { expect, test } from "vitest";
import { createObjective } from "../../src/curvature/index.js";
import { layoutOf } from "../../src/nn/parameters.js";
import { createOptimizer, type OptimizerName } from "../../src/optimizers/index.js";
import { sweep } from "../../src/optimizers/subnormal.js";
import { createRuntime } from "../../src/runtime/runtime.js";

test("a sweep leaves what matters", () => {
  const single = new Float32Array([1, -1e-40, 0, -1e-20, 2 ** -100, 2 ** -101]);
  sweep(single, "f32");
  expect([...single]).toEqual([1, 0, 0, Math.fround(-1e-20), 2 ** -100, 0]);
  const double = new Float64Array([1e-200, -1e-310]);
  sweep(double, "f64");
  expect([...double]).toEqual([1e-200, 0]);
});

test.each<OptimizerName>(["momentum", "adam", "rmsprop"])(
  "%s keeps no subnormal averages of gradients that stay zero",
  async (name) => {
    const runtime = await createRuntime({ threads: 1 });
    const layout = layoutOf({ x: { dtype: "f32", shape: [4] } });
    const objective = createObjective(runtime, {
      layout,
      parameters: [1, 2, 3, 4],
      batch: [{ dtype: "f32", shape: [4] }],
      trace: (theta, [slope]) => {
        const loss = theta.mul(slope!).sum();
        return { loss, state: undefined, outputs: loss };
      },
    });
    objective.batch[0]!.set([1, -1e-3, 1e-6, 0]);
    const training = createOptimizer(name, {}).start(objective);
    training.step();
    objective.batch[0]!.set([0, 0, 0, 0]);
    // Without sweeps 0.9ᵗ is subnormal from step 830 on, and stays so.
    for (let step = 2; step <= 1100; step++) {
      training.step();
      for (const [part, { data }] of Object.entries(training.state))
        for (const value of data as Float32Array)
          if (value !== 0 && Math.abs(value) < 2 ** -126)
            expect([step, part, value]).toEqual([step, part, "normal or zero"]);
    }
    training.release();
    objective.release();
    await runtime.close();
  },
);
