/**
 * The family of small problems on which an optimizer is meta-trained: dense classifiers and autoencoders of digits made
 * 7×7, and linear least squares of every condition. A problem is drawn in two parts: an architecture, which is
 * compiled, and what is data to it: examples, classes, initial values, order. Everything depends on seeds alone.
 *
 * The two halves share neither widths, nor classes, nor seeds: "training" for meta-training, "test" for what is reported.
 */
import { sampleBatches } from "../../data/batches.js";
import type { Dataset } from "../../data/dataset.js";
import { digits } from "../../data/images.js";
import {
  dense,
  type Loss,
  type Model,
  meanSquared,
  model,
  type Random,
  random,
  relu,
  sequential,
  silu,
  softmaxCrossEntropy,
  tanh,
} from "../../nn/index.js";
import { allocate, type DType } from "../../tensor/dtype.js";

export type Half = "training" | "test";
type Kind = "classifier" | "autoencoder" | "least squares";

/** What is compiled: a model, a loss, the shapes of a batch. */
export interface Architecture {
  readonly kind: Kind;
  /** "49-16-16-3 tanh, batch 32" */
  readonly name: string;
  readonly model: Model;
  readonly loss: Loss;
  readonly inputs: number;
  readonly outputs: number;
  readonly targets: DType;
  readonly batch: number;
}

/** A problem with its data, initial values and order of examples. */
export interface FamilyProblem {
  readonly architecture: Architecture;
  /** The loss of the best constant prediction: what losses are measured by. */
  readonly scale: number;
  readonly initial: Float32Array;
  readonly examples: Dataset;
  /** Writes the batch of a step (from 0). */
  fill(step: number, inputs: Float32Array, targets: Float32Array | Int32Array): void;
}

const widths: Record<Half, readonly number[]> = { training: [8, 16, 32], test: [12, 24, 48] };
const classes: Record<Half, readonly number[]> = { training: [0, 1, 2, 3, 4], test: [5, 6, 7, 8, 9] };
const activations = { relu, tanh, silu } as const;
const pixels = 49;
const exampleCount = 512;

const choose = <T>(rng: Random, list: readonly T[]): T => list[rng.integer(list.length)]!;

/** In turns. */
const kinds: readonly Kind[] = ["classifier", "autoencoder", "classifier", "least squares"];

/**
 * Architecture number `index` of a half. Consecutive ones take turns in kind.
 *
 *     drawArchitecture("training", 0, 3).name   // "classifier 49-16-4 tanh, batch 32"
 */
export function drawArchitecture(half: Half, seed: number, index: number): Architecture {
  const rng = random(seed).stream(`${half} architecture`).stream(index);
  const kind = kinds[index % kinds.length]!;
  const batch = choose(rng, [16, 32, 64]);
  const width = choose(rng, widths[half]);
  const activation = choose(rng, Object.keys(activations) as (keyof typeof activations)[]);
  const between = (hidden: readonly number[]) =>
    hidden.flatMap((units) => [dense(units), activations[activation]()]);
  const hidden = rng.integer(2) === 0 ? [width] : [width, choose(rng, widths[half])];
  const of = (inputs: number, list: readonly number[], outputs: number, loss: Loss): Architecture => ({
    kind,
    name: `${kind} ${[inputs, ...list, outputs].join("-")}${list.length > 0 ? ` ${activation}` : ""}, batch ${batch}`,
    model: model(sequential(...between(list), dense(outputs)), [inputs], "f32"),
    loss,
    inputs,
    outputs,
    targets: kind === "classifier" ? "i32" : "f32",
    batch,
  });
  switch (kind) {
    case "classifier":
      return of(pixels, hidden, choose(rng, [3, 4, 5]), softmaxCrossEntropy());
    case "autoencoder":
      return of(pixels, [width], pixels, meanSquared({ reduction: "elements" }));
    case "least squares":
      return of(width, [], choose(rng, [1, 4]), meanSquared({ reduction: "elements" }));
  }
}

/** Problem number `index` of an architecture: its data, initial values and order. */
export function drawProblem(
  half: Half,
  architecture: Architecture,
  seed: number,
  index: number,
): FamilyProblem {
  const rng = random(seed).stream(`${half} problem`).stream(index);
  const examples =
    architecture.kind === "least squares"
      ? linearExamples(architecture, rng)
      : digitExamples(half, architecture, rng);
  const order = rng.integer(2 ** 31 - 1);
  // Initial values a little too small, or too large.
  const factor = Math.exp(rng.uniform(Math.log(0.5), Math.log(2)));
  const values = architecture.model.layout.flatten(
    architecture.model.init(rng.integer(2 ** 31 - 1)).parameters,
  );
  const sampler = sampleBatches(examples, architecture.batch, order);
  return {
    architecture,
    examples,
    scale: architecture.kind === "classifier" ? Math.log(architecture.outputs) : variance(examples),
    initial: Float32Array.from(values.data, (value) => factor * value),
    fill: (step, inputs, targets) => {
      sampler.fill(step, inputs, targets);
    },
  };
}

/** y = x·W + noise, where the directions of x have variances i^−a: a least-squares problem of that condition. */
function linearExamples({ inputs, outputs }: Architecture, rng: Random): Dataset {
  const exponent = rng.uniform(0, 2);
  const noise = rng.uniform(0, 0.3);
  const x = allocate("f32", exampleCount * inputs) as Float32Array;
  const y = allocate("f32", exampleCount * outputs) as Float32Array;
  const normals = (count: number) => Float64Array.from({ length: count }, () => rng.normal());
  const mixing = normals(inputs * inputs);
  const truth = normals(inputs * outputs);
  for (let n = 0; n < exampleCount; n++) {
    const z = normals(inputs).map((value, i) => value * (i + 1) ** (-exponent / 2));
    for (let j = 0; j < inputs; j++) {
      let sum = 0;
      for (let i = 0; i < inputs; i++) sum += z[i]! * mixing[i * inputs + j]!;
      x[n * inputs + j] = sum / Math.sqrt(inputs);
    }
    for (let k = 0; k < outputs; k++) {
      let sum = 0;
      for (let j = 0; j < inputs; j++) sum += x[n * inputs + j]! * truth[j * outputs + k]!;
      y[n * outputs + k] = sum / Math.sqrt(inputs) + noise * rng.normal();
    }
  }
  return {
    name: "least squares",
    size: exampleCount,
    inputShape: [inputs],
    inputs: x,
    targetShape: [outputs],
    targets: y,
  };
}

/** Examples of some classes of the half, as many as the classifier tells apart, or all of them. */
function digitExamples(half: Half, { kind, outputs }: Architecture, rng: Random): Dataset {
  const { byClass } = smallDigits();
  const remaining = [...classes[half]];
  const count = kind === "classifier" ? outputs : remaining.length;
  const chosen = Array.from({ length: count }, () => remaining.splice(rng.integer(remaining.length), 1)[0]!);
  const inputs = new Float32Array(exampleCount * pixels);
  const labels = new Int32Array(exampleCount);
  for (let n = 0; n < exampleCount; n++) {
    const label = rng.integer(count);
    inputs.set(choose(rng, byClass[chosen[label]!]!), n * pixels);
    labels[n] = label;
  }
  const classifies = kind === "classifier";
  return {
    name: kind,
    size: exampleCount,
    inputShape: [pixels],
    inputs,
    targetShape: classifies ? [] : [pixels],
    targets: classifies ? labels : inputs,
  };
}

let pooled: { readonly byClass: readonly (readonly Float32Array[])[] } | undefined;

/** The training digits, averaged over squares of 4×4 pixels, by class. */
function smallDigits() {
  if (pooled) return pooled;
  const { train } = digits();
  const byClass: Float32Array[][] = Array.from({ length: 10 }, () => []);
  for (let n = 0; n < train.size; n++) {
    const small = new Float32Array(pixels);
    for (let at = 0; at < 784; at++)
      small[Math.floor(at / 112) * 7 + Math.floor((at % 28) / 4)]! += train.inputs[n * 784 + at]! / 16;
    byClass[train.targets[n]!]!.push(small);
  }
  pooled = { byClass };
  return pooled;
}

/** Mean squared deviation of the targets from their mean, element by element. */
function variance({ size, targets }: Dataset): number {
  const width = targets.length / size;
  let sum = 0;
  for (let k = 0; k < width; k++) {
    let [mean, square] = [0, 0];
    for (let n = 0; n < size; n++) {
      const value = targets[n * width + k]!;
      mean += value / size;
      square += value ** 2 / size;
    }
    sum += square - mean ** 2;
  }
  return sum / width;
}
