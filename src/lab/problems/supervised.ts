/** A model, a loss, and examples to learn from and to be tested on. */
import { compile, type Executable } from "../../compiler/compile.js";
import { createObjective } from "../../curvature/objective.js";
import { curvatureOf } from "../../curvature/output-curvature.js";
import { type Sampling, sampleBatches } from "../../data/batches.js";
import type { Dataset, Split } from "../../data/dataset.js";
import type { Loss } from "../../nn/losses/loss.js";
import type { Model } from "../../nn/model.js";
import { layoutOf } from "../../nn/parameters.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { Spec } from "../../tensor/array.js";
import { input } from "../../tensor/tensor.js";
import type { Problem, ProblemInstance } from "../problem.js";

export interface Supervised {
  readonly model: Model;
  readonly loss: Loss;
  readonly data: Split;
  readonly sampling?: Sampling;
}

/** Elements of inputs that are evaluated at once. */
const chunkElements = 2 ** 20;

/** `start` of a problem with a model, a loss and examples. */
export const startSupervised =
  (problem: Supervised): Problem["start"] =>
  (runtime, { seed, batch }) => {
    const { model, loss, data } = problem;
    const { layout } = model;
    const sampler = sampleBatches(data.train, batch, seed, problem.sampling);
    const initial = model.init(seed);
    const stateLayout = layoutOf(model.state, model.dtype);
    const hasState = stateLayout.size > 0;
    const objective = createObjective(runtime, {
      layout,
      parameters: layout.flatten(initial.parameters).data,
      batch: specsOf(data.train, batch, model.dtype),
      ...(hasState ? { state: stateLayout.flatten(initial.state).data } : {}),
      trace(theta, [inputs, targets], state, key) {
        const { outputs, state: after } = model.forward(layout.views(theta), inputs!, {
          training: true,
          key,
          ...(state ? { state: stateLayout.views(state) } : {}),
        });
        return {
          loss: loss.value(outputs, targets!),
          state: hasState ? stateLayout.flattenTensors(after) : undefined,
          outputCurvature: curvatureOf(loss, outputs, targets!),
        };
      },
    });
    objective.key.data[0] = seed;
    const test = testing(runtime, problem, objective);
    const [inputs, targets] = objective.batch;
    return {
      objective,
      sameBatch: batch === data.train.size && !problem.sampling?.shift,
      load(step) {
        sampler.fill(step, inputs!.data, targets!.data);
        objective.key.data[1] = step;
      },
      evaluate: test.run,
      release() {
        test.release();
        objective.release();
      },
    };
  };

/** One batch of a data set as the model wants it. */
function specsOf(data: Dataset, batch: number, dtype: "f32" | "f64"): [Spec, Spec] {
  return [
    { dtype, shape: [batch, ...data.inputShape] },
    { dtype: data.targets instanceof Int32Array ? "i32" : dtype, shape: [batch, ...data.targetShape] },
  ];
}

/** Means of the loss and its metrics over the test data, in chunks of equal size and a last, smaller one. */
function testing(
  runtime: Runtime,
  { model, loss, data }: Supervised,
  { parameters, state }: ProblemInstance["objective"],
): { run(): Record<string, number>; release(): void } {
  const { test } = data;
  const width = test.inputs.length / test.size;
  const depth = test.targets.length / test.size;
  const chunk = Math.min(test.size, Math.max(1, Math.floor(chunkElements / width)));
  const names = ["loss", ...Object.keys(loss.metrics)];
  const stateLayout = layoutOf(model.state, model.dtype);

  const compileFor = (size: number): Executable => {
    const [inputSpec, targetSpec] = specsOf(test, size, model.dtype);
    const theta = input("parameters", parameters);
    const inputs = input("inputs", inputSpec);
    const targets = input("targets", targetSpec);
    const statistics = state && input("model state", state);
    const outputs = model.apply(
      model.layout.views(theta),
      inputs,
      statistics ? { state: stateLayout.views(statistics) } : {},
    );
    const values = [loss.value, ...Object.values(loss.metrics)].map((metric) => metric(outputs, targets));
    return compile(
      runtime,
      { inputs: [inputs, targets, theta, ...(statistics ? [statistics] : [])], outputs: values },
      { inputs: [undefined, undefined, parameters, ...(state ? [state] : [])] },
    );
  };
  const compiled = new Map<number, Executable>();
  const sizes = Array.from({ length: Math.ceil(test.size / chunk) }, (_, k) =>
    Math.min(chunk, test.size - k * chunk),
  );
  for (const size of sizes) if (!compiled.has(size)) compiled.set(size, compileFor(size));

  return {
    run() {
      const sums = names.map(() => 0);
      sizes.forEach((size, k) => {
        const executable = compiled.get(size)!;
        const first = k * chunk;
        executable.inputs[0]!.set(test.inputs.subarray(first * width, (first + size) * width));
        executable.inputs[1]!.set(test.targets.subarray(first * depth, (first + size) * depth));
        executable.run();
        executable.outputs.forEach((output, index) => {
          sums[index]! += (output.data[0]! * size) / test.size;
        });
      });
      return Object.fromEntries(names.map((name, index) => [name, sums[index]!]));
    },
    release() {
      for (const executable of compiled.values()) executable.release();
    },
  };
}
