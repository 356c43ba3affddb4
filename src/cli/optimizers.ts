/** `thalweg optimizers`: the catalogue, and all that it says of one method. */
import pc from "picocolors";
import {
  batches,
  costRows,
  describeMethod,
  evaluationsOf,
  exampleName,
  memoryFormula,
  questionsOf,
  typicalText,
} from "../lab/catalogue.js";
import { families, findMethod, type Method, type Option, optimizers } from "../optimizers/index.js";
import type { ListFlags } from "./flags.js";
import { formatTable, plain, print, printJson } from "./text.js";

export async function showOptimizers(name: string | undefined, { json = false }: ListFlags): Promise<void> {
  if (name !== undefined) {
    const method = findMethod(name);
    if (json) printJson(describeMethod(method));
    else showMethod(method);
    return;
  }
  const methods: readonly Method[] = Object.values(optimizers);
  if (json) {
    printJson(methods.map(describeMethod));
    return;
  }
  for (const family of families) {
    const own = methods.filter((method) => method.family === family);
    const columns = [{ title: family }, { title: "state" }, { title: "a step asks" }, { title: "" }];
    const rows = own.map((method) => [
      method.name,
      memoryFormula(method),
      evaluationsOf(method),
      method.description,
    ]);
    print(`${formatTable(columns, rows)}\n`);
  }
  print(
    plain(
      "n: parameters; in, out: a layer's inputs (a bias is one more) and outputs; axis: each axis of an array.\n" +
        "All of one: thalweg optimizers <name>. Settings are given as name:setting=value,setting=value.",
    ),
  );
}

export function showMethod(method: Method): void {
  print(plain(`${pc.bold(method.name)}: ${method.description}`));
  print(plain(`${method.reference}\n`));
  print(plain(`family   ${method.family}`));
  print(plain(`asks     ${questionsOf(method)}`));
  print(plain(`a step   ${evaluationsOf(method)}, with the default settings`));
  print(plain(`batches  ${batches[method.asks.batch]}\n`));
  print(
    `${formatTable(
      [{ title: "arrays" }, { title: "treated" }],
      method.treats.map(({ arrays, how }) => [arrays, how]),
    )}\n`,
  );
  print(
    `${formatTable(
      [{ title: "cost" }, { title: "formula" }, { title: exampleName, align: "right" }],
      costRows(method),
    )}\n`,
  );
  const columns = ["setting", "default", "typical", "sensitivity", "values", ""].map((title) => ({ title }));
  const rows = Object.entries<Option<unknown>>(method.options).map(([name, option]) => [
    name,
    String(option.default),
    typicalText(option),
    option.sensitivity ?? "",
    option.range,
    option.about,
  ]);
  print(formatTable(columns, rows));
}
