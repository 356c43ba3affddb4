/** A model, a loss, and examples to learn from and to be tested on. */
import { compile, type Executable } from "../../compiler/compile.js";
import { createObjective } from "../../curvature/objective.js";
import { curvatureOf } from "../../curvature/output-curvature.js";
import { type BatchSampler, type Sampling, sampleBatches } from "../../data/batches.js";
import type { Dataset } from "../../data/dataset.js";
import type { Loss, Metric } from "../../nn/losses/loss.js";
import type { Model } from "../../nn/model.js";
import { layoutOf } from "../../nn/parameters.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { Spec } from "../../tensor/array.js";
import { sizeOf } from "../../tensor/shape.js";
import { input } from "../../tensor/tensor.js";
import type { Problem, ProblemInstance } from "../problem.js";

/** Batches of examples that are drawn as they are needed. */
export type DrawBatches = (size: number, seed: number) => Pick<BatchSampler, "fill">;

export interface Supervised {
  readonly model: Model;
  readonly loss: Loss;
  readonly data: {
    readonly train: Dataset | DrawBatches;
    readonly test: Dataset;
    /** What runs are measured on in the place of the test. */
    readonly validation?: Dataset | undefined;
  };
  readonly sampling?: Sampling;
  /** What is measured beside the loss; the loss's own metrics where absent. */
  readonly metrics?: Readonly<Record<string, Metric>>;
  /** Whether all of a training data set is measured too: "trainingLoss" beside "loss". */
  readonly measuresTraining?: boolean;
}

/** Elements of inputs, or of outputs where these are more, that are evaluated at once. */
const chunkElements = 2 ** 20;

/**
 * `start` of a problem with a model, a loss and examples.
 *
 *     start: startSupervised({ model: classifier, loss: softmaxCrossEntropy(), data: digits() })
 */
export const startSupervised =
  (problem: Supervised): Problem["start"] =>
  (runtime, { seed, batch }) => {
    const { model, loss } = problem;
    const { train, test, validation } = problem.data;
    const { layout } = model;
    const sampler =
      typeof train === "function" ? train(batch, seed) : sampleBatches(train, batch, seed, problem.sampling);
    const initial = model.init(seed);
    const stateLayout = layoutOf(model.state, model.dtype);
    const hasState = stateLayout.size > 0;
    const objective = createObjective(runtime, {
      layout,
      parameters: layout.flatten(initial.parameters).data,
      batch: specsOf(test, batch, model.dtype),
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
    const measure = measuring(runtime, problem, objective);
    const [inputs, targets] = objective.batch;
    return {
      objective,
      sameBatch: typeof train !== "function" && batch === train.size && !problem.sampling?.shift,
      load(step) {
        sampler.fill(step, inputs!.data, targets!.data);
        objective.key.data[1] = step;
      },
      evaluate: () => ({
        ...(problem.measuresTraining && typeof train !== "function"
          ? mapKeys(measure.run(train), trainingName)
          : {}),
        ...measure.run(validation ?? test),
      }),
      ...(validation ? { test: () => measure.run(test) } : {}),
      ...(typeof train !== "function" && { evaluateTraining: () => measure.run(train) }),
      release() {
        measure.release();
        objective.release();
      },
    };
  };

/** One batch of a data set as the model wants it. */
function specsOf(data: Dataset, batch: number, dtype: "f32" | "f64"): [Spec, Spec] {
  const of = (values: Dataset["inputs"]) => (values instanceof Int32Array ? "i32" : dtype);
  return [
    { dtype: of(data.inputs), shape: [batch, ...data.inputShape] },
    { dtype: of(data.targets), shape: [batch, ...data.targetShape] },
  ];
}

/** "error" → "trainingError". */
const trainingName = (metric: string) => `training${metric[0]!.toUpperCase()}${metric.slice(1)}`;
const mapKeys = (values: Readonly<Record<string, number>>, rename: (key: string) => string) =>
  Object.fromEntries(Object.entries(values).map(([key, value]) => [rename(key), value]));

/** Means of the loss and the metrics over a data set, in chunks of equal size and a last, smaller one. */
function measuring(
  runtime: Runtime,
  { model, loss, metrics = loss.metrics, data }: Supervised,
  { parameters, state }: ProblemInstance["objective"],
): { run(data: Dataset): Record<string, number>; release(): void } {
  const names = ["loss", ...Object.keys(metrics)];
  const stateLayout = layoutOf(model.state, model.dtype);

  const compileFor = (size: number): Executable => {
    const [inputSpec, targetSpec] = specsOf(data.test, size, model.dtype);
    const theta = input("parameters", parameters);
    const inputs = input("inputs", inputSpec);
    const targets = input("targets", targetSpec);
    const statistics = state && input("model state", state);
    const outputs = model.apply(
      model.layout.views(theta),
      inputs,
      statistics ? { state: stateLayout.views(statistics) } : {},
    );
    const values = [loss.value, ...Object.values(metrics)].map((metric) => metric(outputs, targets));
    return compile(
      runtime,
      { inputs: [inputs, targets, theta, ...(statistics ? [statistics] : [])], outputs: values },
      { inputs: [undefined, undefined, parameters, ...(state ? [state] : [])] },
    );
  };
  const compiled = new Map<number, Executable>();
  const executableFor = (size: number): Executable => {
    const executable = compiled.get(size) ?? compileFor(size);
    compiled.set(size, executable);
    return executable;
  };

  return {
    run({ size: total, inputs, targets }) {
      const [width, depth] = [inputs.length / total, targets.length / total];
      const elements = Math.max(width, sizeOf(model.outputShape));
      const chunk = Math.min(total, Math.max(1, Math.floor(chunkElements / elements)));
      const sums = names.map(() => 0);
      for (let first = 0; first < total; first += chunk) {
        const size = Math.min(chunk, total - first);
        const executable = executableFor(size);
        executable.inputs[0]!.set(inputs.subarray(first * width, (first + size) * width));
        executable.inputs[1]!.set(targets.subarray(first * depth, (first + size) * depth));
        executable.run();
        executable.outputs.forEach((output, index) => {
          sums[index]! += (output.data[0]! * size) / total;
        });
      }
      return Object.fromEntries(names.map((name, index) => [name, sums[index]!]));
    },
    release() {
      for (const executable of compiled.values()) executable.release();
    },
  };
}
