/**
 * Long-range recurrence: sequences whose answer depends on a few elements far in the past, between them noise. Hochreiter
 * & Schmidhuber 1997, "Long short-term memory" (sections 5.4 to 5.6), from which the tasks come; Martens & Sutskever
 * 2011, "Learning recurrent neural networks with Hessian-free optimization", where curvature solved them with a plain
 * recurrent network; copying as in Arjovsky, Shah, Bengio 2016, "Unitary evolution recurrent neural networks". All
 * sequences of a problem are of one length T.
 *
 *     addition, multiplication   xₜ = (uₜ, mₜ), u uniform on [0, 1], m = 1 at one place of the first T/10 and at one of
 *                                the rest of the first half, else 0. After T steps: the mean, or the product, of the
 *                                two marked u. Solved: within 0.04.
 *     temporal-order             xₜ one of six symbols: a, b, c or d, but X or Y at one place from T/10 to T/5 and at one
 *                                from T/2 to 3T/5. After T steps: which of XX, XY, YX, YY.
 *     copy-memory                S symbols of eight, T − 1 blanks, a signal; then the S symbols again, blanks before.
 *
 * A network that does not look back has a mean squared error of 1/24 (addition), 7/144 (multiplication), or is right
 * in one of four, or of eight.
 */
import type { Dataset } from "../../data/dataset.js";
import {
  dense,
  gru,
  initialisers,
  lstm,
  model,
  type Random,
  random,
  rnn,
  sequential,
} from "../../nn/index.js";
import {
  choice,
  count,
  type Options,
  positiveCount,
  SettingsError,
  type SettingsOf,
} from "../../optimizers/settings.js";
import { formatCount } from "../format.js";
import type { Problem, ProblemKind } from "../problem.js";
import { copyMemory, type Task, temporalOrder, twoNumbers } from "./sequence-tasks.js";
import { type DrawBatches, startSupervised } from "./supervised.js";

const cells = { rnn, lstm, gru } as const;
const recurrentWeights = {
  orthogonal: initialisers.orthogonal(),
  // 15 a unit, such that the spectral radius is about 1.
  sparse: initialisers.sparse(15, 1 / Math.sqrt(15)),
} as const;

const shared = {
  hidden: positiveCount(50, "hidden units"),
  cell: choice("rnn", ["rnn", "lstm", "gru"], "the recurrent layer; rnn is the plain tanh network"),
  initial: choice(
    "orthogonal",
    ["orthogonal", "sparse"],
    "recurrent weights at the start; sparse has 15 a unit",
  ),
  examples: count(0, "training sequences, seen again and again; 0 draws new ones for each step"),
  precision: choice("f32", ["f32", "f64"], "numbers of the model"),
} as const satisfies Options;

/** Sequences in the test. */
const tested = 2000;

function recurrentProblem(
  task: Task,
  { hidden, cell, initial, examples, precision }: SettingsOf<typeof shared>,
  given: Pick<Problem, "defaults" | "suggested" | "metrics">,
): Omit<Problem, "settings"> {
  const [steps, width] = task.inputShape;
  const network = model(
    sequential(
      cells[cell](hidden, {
        output: task.targetShape[0] === steps ? "sequence" : "last",
        recurrent: recurrentWeights[initial],
      }),
      dense(task.outputs),
    ),
    task.inputShape,
    precision,
  );
  const test = sequences(task, "test", tested, random(0).stream("sequences of the test"));
  const seen = examples > 0 ? `${formatCount(examples)} sequences` : "new sequences each step";
  return {
    summary: `${cell} of ${hidden} units over ${steps} steps of ${width} numbers, ${formatCount(network.layout.size)} parameters; ${seen} to learn, ${formatCount(tested)} to test`,
    ...given,
    start: startSupervised({
      model: network,
      loss: task.loss,
      data: {
        train:
          examples > 0
            ? sequences(task, "training", examples, random(0).stream("sequences"))
            : (size, seed) => freshBatches(task, size, seed),
        test,
      },
      metrics: task.metrics,
    }),
  };
}

/** A data set of drawn sequences. */
function sequences(task: Task, name: string, size: number, rng: Random): Dataset {
  const { inputShape, targetShape, classes } = task;
  const [width, depth] = [inputShape[0] * inputShape[1], targetShape[0] ?? 1];
  const inputs = new Float32Array(size * width);
  const targets = classes ? new Int32Array(size * depth) : new Float32Array(size * depth);
  for (let k = 0; k < size; k++)
    task.draw(rng, inputs.subarray(k * width, (k + 1) * width), targets.subarray(k * depth, (k + 1) * depth));
  return { name: `sequences (${name})`, size, inputShape, inputs, targetShape, targets };
}

/** Batches of sequences that are seen once, drawn from the seed and the number of the step. */
function freshBatches(task: Task, size: number, seed: number): ReturnType<DrawBatches> {
  const x = new Float32Array(task.inputShape[0] * task.inputShape[1]);
  const depth = task.targetShape[0] ?? 1;
  const y = task.classes ? new Int32Array(depth) : new Float32Array(depth);
  return {
    fill(step, inputs, targets) {
      const rng = random(seed).stream(`batch ${step}`);
      for (let k = 0; k < size; k++) {
        task.draw(rng, x.fill(0), y);
        inputs.set(x, k * x.length);
        targets.set(y, k * depth);
      }
    },
  };
}

/** @throws SettingsError where the places that a task names are none. */
function needLength(name: string, steps: number, least: number): void {
  if (steps < least)
    throw new SettingsError(`${name}: length is ${steps}; use a whole number of at least ${least}`);
}

const solvedAt = (metric: string): Pick<Problem, "defaults"> => ({
  defaults: {
    batch: 100,
    steps: 20_000,
    evaluateEvery: 100,
    target: { metric, value: 0.99, goal: "max" },
  },
});
/** The best of the grids in docs/scenarios.md. */
const suggested = {
  sgd: { learningRate: 0.1, clipNorm: 1 },
  momentum: { learningRate: 0.03, clipNorm: 1 },
  nesterov: { learningRate: 0.03, clipNorm: 1 },
  adam: { learningRate: 1e-3, clipNorm: 1 },
  hessianFree: { structuralDamping: 0.1, iterations: 100 },
};

const kind = <O extends Options>(definition: ProblemKind<O>) => definition;
const numberOptions = {
  length: positiveCount(50, "T: numbers in a sequence, at least 20"),
  ...shared,
} as const;
const orderOptions = {
  length: positiveCount(50, "T: symbols in a sequence, at least 10"),
  ...shared,
} as const;
const copyOptions = {
  length: positiveCount(50, "T: steps between the symbols and the signal"),
  symbols: positiveCount(10, "S: symbols to copy"),
  ...shared,
} as const;
const numberMetrics = { solved: "max", squaredError: "min", loss: "min" } as const;
const classMetrics = { accuracy: "max", loss: "min" } as const;

function openNumbers(
  name: string,
  given: SettingsOf<typeof numberOptions>,
  combine: (a: number, b: number) => number,
) {
  needLength(name, given.length, 20);
  return recurrentProblem(twoNumbers(given.length, combine), given, {
    ...solvedAt("solved"),
    suggested,
    metrics: numberMetrics,
  });
}

export const recurrentProblems = [
  kind({
    name: "addition",
    task: "recurrent",
    description: "the mean of two marked numbers far back in a sequence of noise, by a recurrent network",
    options: numberOptions,
    open: (given) => openNumbers("addition", given, (a, b) => (a + b) / 2),
  }),
  kind({
    name: "multiplication",
    task: "recurrent",
    description: "the product of two marked numbers far back in a sequence of noise, by a recurrent network",
    options: numberOptions,
    open: (given) => openNumbers("multiplication", given, (a, b) => a * b),
  }),
  kind({
    name: "temporal-order",
    task: "recurrent",
    description: "in which order two symbols came, far back in a sequence of others, by a recurrent network",
    options: orderOptions,
    open(given) {
      needLength("temporal-order", given.length, 10);
      return recurrentProblem(temporalOrder(given.length), given, {
        ...solvedAt("accuracy"),
        suggested,
        metrics: classMetrics,
      });
    },
  }),
  kind({
    name: "copy-memory",
    task: "recurrent",
    description: "symbols repeated after a long wait, by a recurrent network",
    options: copyOptions,
    open: (given) =>
      recurrentProblem(copyMemory(given.length, given.symbols), given, {
        ...solvedAt("accuracy"),
        suggested,
        metrics: classMetrics,
      }),
  }),
];
