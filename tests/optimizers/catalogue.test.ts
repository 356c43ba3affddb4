/** Every entry of the catalogue learns, as it is: exclusive or, by a small network, from the same start. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { createObjective, curvatureOf, type Objective } from "../../src/curvature/index.js";
import { dense, model, sequential, softmaxCrossEntropy, tanh } from "../../src/nn/index.js";
import { random } from "../../src/nn/random.js";
import { families, type Method, optimizers } from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const examples = 64;

/** Points of four quadrants, away from the axes; the class is whether the signs agree. */
function exclusiveOr(): Objective {
  const net = model(sequential(dense(16), tanh(), dense(2)), [2], "f64");
  const rng = random(3);
  const loss = softmaxCrossEntropy();
  const objective = createObjective(runtime, {
    layout: net.layout,
    parameters: net.layout.flatten(net.init(rng).parameters).data,
    batch: [
      { dtype: "f64", shape: [examples, 2] },
      { dtype: "i32", shape: [examples] },
    ],
    trace(theta, [x, y]) {
      const outputs = net.apply(net.layout.views(theta), x!);
      return {
        loss: loss.value(outputs, y!),
        state: undefined,
        outputCurvature: curvatureOf(loss, outputs, y!),
      };
    },
  });
  const points = Array.from({ length: examples }, (_, k) =>
    [k & 1, k & 2].map((bit) => (bit ? 1 : -1) * (0.3 + 1.2 * rng.uniform())),
  );
  objective.batch[0]!.set(points.flat());
  objective.batch[1]!.set(points.map(([a, b]) => Number(a! * b! > 0)));
  return objective;
}

test.each(Object.values<Method>(optimizers))("$name, with its defaults", (method) => {
  expect(families).toContain(method.family);
  const objective = exclusiveOr();
  const training = method.create().start(objective);
  let loss = objective.loss();
  expect(loss).toBeGreaterThan(0.5);
  let steps = 0;
  for (; loss > 0.1 && steps < 6_000; steps++) loss = training.step().loss;
  expect(loss).toBeLessThan(0.1);
  training.release();
  objective.release();
});
