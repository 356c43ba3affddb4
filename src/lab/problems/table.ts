/** A table of the user's own: dense layers predict one column from the others. */
import { readTable } from "../../data/table.js";
import { huber, meanSquared, model, softmaxCrossEntropy } from "../../nn/index.js";
import { choice, count, type Options, SettingsError, text } from "../../optimizers/settings.js";
import { formatCount } from "../format.js";
import type { ProblemKind } from "../problem.js";
import { activationOption, hiddenOption, mlp } from "./networks.js";
import { startSupervised } from "./supervised.js";

const options = {
  file: text("", "a CSV file with a header", "the path of a CSV file", (path) => path !== ""),
  target: text("", "the column to predict", "the name of a column", (name) => name !== ""),
  features: text("", 'columns to predict from, joined by "+"; default: all others', "names of columns"),
  task: choice(
    "auto",
    ["auto", "classification", "regression"],
    "auto: classification when the target is text or at most 20 whole numbers",
  ),
  loss: choice("squared", ["squared", "huber"], "of a regression"),
  splitSeed: count(0, "which rows are kept for the test (a fifth)"),
  hidden: hiddenOption("64-64"),
  activation: activationOption(),
  precision: choice("f32", ["f32", "f64"], "numbers of the model"),
} as const satisfies Options;

export const tableProblem: ProblemKind<typeof options> = {
  name: "table",
  task: "regression",
  description: "a CSV file of your own; table:file=houses.csv,target=price",
  options,
  open(given) {
    for (const name of ["file", "target"] as const)
      if (given[name] === "")
        throw new SettingsError(
          `table: needs ${name}, ${options[name].about}; table:file=houses.csv,target=price`,
        );
    const data = readTable(given.file, {
      target: given.target,
      seed: given.splitSeed,
      ...(given.features === "" ? {} : { features: given.features.split("+") }),
      ...(given.task === "auto" ? {} : { task: given.task }),
    });
    const { classes } = data.train;
    const outputs = classes?.length ?? 1;
    const network = model(
      mlp(given.hidden, given.activation, outputs),
      data.train.inputShape,
      given.precision,
    );
    const widths = [data.train.inputShape[0]!, ...(given.hidden === "none" ? [] : [given.hidden]), outputs];
    const regression = given.loss === "huber" ? huber() : meanSquared();
    const rows = `${formatCount(data.train.size)} rows to learn, ${formatCount(data.test.size)} to test`;
    return {
      summary: `${widths.join("-")} ${given.activation}, ${formatCount(network.layout.size)} parameters; ${rows}`,
      // What can be reached is not known of a table of one's own.
      examples: data.train.size,
      defaults: {
        batch: Math.min(64, data.train.size),
        steps: 5000,
        evaluateEvery: 50,
        target: undefined,
      },
      suggested: {
        sgd: { learningRate: 0.05 },
        momentum: { learningRate: 0.01 },
        nesterov: { learningRate: 0.01 },
      },
      metrics: classes ? { accuracy: "max", loss: "min" } : { loss: "min" },
      start: startSupervised({
        model: network,
        loss: classes ? softmaxCrossEntropy() : regression,
        data,
      }),
    };
  },
};
