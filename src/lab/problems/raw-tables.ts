/**
 * Linear models on real tables whose columns are as they were measured, so that the Hessian's condition is that of their
 * units: a least-squares and a logistic regression. Both losses are convex, and their minimum is known (linear-fit.ts):
 * what is measured is the share of the reducible loss that is left, on all the rows to learn,
 *
 *     suboptimality = (L(θ) − L*) / (L(0) − L*)
 *
 * The data are in assets/, their sources and licences in assets/tables-LICENSE.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Dataset } from "../../data/dataset.js";
import { readTable } from "../../data/table.js";
import {
  binaryCrossEntropyWithLogits,
  dense,
  initialisers,
  type Loss,
  meanSquared,
  model,
} from "../../nn/index.js";
import { choice, count, type Options } from "../../optimizers/settings.js";
import { formatCount } from "../format.js";
import type { Problem, ProblemKind } from "../problem.js";
import { fitLinear, type LinearLoss, logisticLoss, squaredLoss } from "./linear-fit.js";
import { startSupervised } from "./supervised.js";

const options = {
  columns: choice("raw", ["raw", "standardised"], "as they were measured, or with mean 0 and deviation 1"),
  splitSeed: count(0, "which rows are kept for the test (a fifth)"),
} as const satisfies Options;

interface Table {
  readonly name: string;
  readonly description: string;
  readonly file: string;
  readonly target: string;
  readonly loss: Loss;
  readonly linearLoss: LinearLoss;
  readonly metrics: Problem["metrics"];
  /** Adam's best learning rate of 0.01, 0.1 and 1. */
  readonly adam: number;
}

const assets = fileURLToPath(new URL("../../../assets", import.meta.url));

/** Class numbers 0 and 1 as values. */
const asValues = (data: Dataset): Dataset => ({
  ...data,
  targetShape: [1],
  targets: Float32Array.from(data.targets),
});

const linearModel = ({ name, description, file, target, ...table }: Table): ProblemKind<typeof options> => ({
  name,
  task: "regression",
  description,
  options,
  open({ columns, splitSeed }) {
    const parts = readTable(join(assets, file), {
      target,
      seed: splitSeed,
      standardised: columns === "standardised",
    });
    const data = { train: asValues(parts.train), test: asValues(parts.test) };
    const { train, test } = data;
    const { atZero, least, curvature, condition } = fitLinear(train, table.linearLoss);
    const zero = initialisers.zeros();
    const network = model(dense(1, { weight: zero, bias: zero }), train.inputShape, "f64");
    const start = startSupervised({ model: network, loss: table.loss, data, measuresTraining: true });
    return {
      summary:
        `${network.layout.size} parameters, condition ${condition.toExponential(1)}; ` +
        `${formatCount(train.size)} rows to learn, ${formatCount(test.size)} to test`,
      examples: train.size,
      defaults: {
        batch: train.size,
        steps: 20_000,
        evaluateEvery: 1,
        target: { metric: "suboptimality", value: 1e-6, goal: "min" },
      },
      suggested: {
        // Gradient descent is stable up to two over the largest eigenvalue.
        sgd: { learningRate: 1 / curvature },
        momentum: { learningRate: 1 / curvature, momentum: 0.99 },
        nesterov: { learningRate: 1 / curvature, momentum: 0.99 },
        adam: { learningRate: table.adam },
        lbfgs: { memory: 20 },
        // One block holds all parameters: with exact factors and next to no damping it is Newton's step, or near it.
        kfac: { step: "quadratic", estimator: "exact", damping: 1e-8, leastDamping: 1e-12 },
      },
      metrics: table.metrics,
      start(runtime, how) {
        const instance = start(runtime, how);
        return {
          ...instance,
          evaluate() {
            const measured = instance.evaluate();
            return { suboptimality: (measured.trainingLoss! - least) / (atZero - least), ...measured };
          },
        };
      },
    };
  },
});

export const rawTables = [
  linearModel({
    name: "regression-penguins",
    description: "least squares on raw columns: how long a penguin's flipper is, from its bill and mass; f64",
    file: "penguins.csv",
    target: "flipperLength",
    loss: meanSquared(),
    linearLoss: squaredLoss,
    metrics: { suboptimality: "min", loss: "min" },
    adam: 0.1,
  }),
  linearModel({
    name: "logistic-tumours",
    description: "logistic regression on raw columns: whether a tumour is malignant, from its cells; f64",
    file: "tumours.csv",
    target: "diagnosis",
    loss: binaryCrossEntropyWithLogits(),
    linearLoss: logisticLoss,
    metrics: { suboptimality: "min", accuracy: "max", loss: "min" },
    adam: 0.01,
  }),
] as const;
