/** First-order training of a real network: running statistics, dropout, one and two threads. */
import { expect, test } from "vitest";
import { createObjective } from "../../src/curvature/index.js";
import { batchNorm, dense, dropout, layoutOf, model, relu, sequential } from "../../src/nn/index.js";
import { createOptimizer, type Optimizer } from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { numbers } from "./small.js";

const network = model(sequential(dense(120), batchNorm(), relu(), dropout(0.3), dense(10)), [60]);
const statistics = layoutOf(network.state, "f32");
const batch = 200;

function start(runtime: Runtime, optimizer: Optimizer) {
  const { parameters, state } = network.init(0);
  const objective = createObjective(runtime, {
    layout: network.layout,
    parameters: network.layout.flatten(parameters).data,
    state: statistics.flatten(state).data,
    batch: [
      { dtype: "f32", shape: [batch, 60] },
      { dtype: "f32", shape: [batch, 10] },
    ],
    trace(theta, [x, y], statisticsVector, key) {
      const { outputs, state } = network.forward(network.layout.views(theta), x!, {
        training: true,
        key,
        state: statistics.views(statisticsVector!),
      });
      return { loss: outputs.sub(y!).square().mean(), state: statistics.flattenTensors(state), outputs };
    },
  });
  objective.batch[0]!.set(numbers(batch * 60, 2));
  objective.batch[1]!.set(numbers(batch * 10, 3));
  objective.key.data[0] = 11;
  const training = optimizer.start(objective);
  return {
    step: () => training.step().loss,
    buffers: { parameters: objective.parameters, statistics: objective.state!, ...training.state },
    release() {
      training.release();
      objective.release();
    },
  };
}

const adamw = createOptimizer("adamw", { learningRate: 0.01, clipNorm: 0.5, warmupSteps: 3 });
const steps = (run: ReturnType<typeof start>, count: number) => Array.from({ length: count }, run.step);

test.each([1, 2])("learns, and resumes to the bit, on %i threads", async (threads) => {
  const runtime = await createRuntime({ threads });
  const before = runtime.used;
  const whole = start(runtime, adamw);
  const losses = steps(whole, 30);
  expect(losses.at(-1)).toBeLessThan(0.7 * losses[0]!);

  const first = start(runtime, adamw);
  expect(steps(first, 17)).toEqual(losses.slice(0, 17));
  const second = start(runtime, adamw);
  for (const [name, buffer] of Object.entries(first.buffers))
    second.buffers[name as keyof typeof second.buffers].set(buffer.copy());
  expect(steps(second, 13)).toEqual(losses.slice(17));
  expect([...second.buffers.parameters.data]).toEqual([...whole.buffers.parameters.data]);
  expect([...second.buffers.statistics.data]).toEqual([...whole.buffers.statistics.data]);

  for (const run of [whole, first, second]) run.release();
  expect(runtime.used).toBe(before);
  await runtime.close();
});

test("one and two threads train alike", async () => {
  const losses: number[][] = [];
  for (const threads of [1, 2]) {
    const runtime = await createRuntime({ threads });
    const run = start(runtime, adamw);
    losses.push(steps(run, 10));
    run.release();
    await runtime.close();
  }
  losses[0]!.forEach((loss, k) => {
    expect(losses[1]![k]! / loss).toBeCloseTo(1, 3);
  });
});
