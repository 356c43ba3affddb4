/** `thalweg list`: the problems, the optimizers, and what can be set of each. */
import pc from "picocolors";
import { describeMethod } from "../lab/catalogue.js";
import { UserError } from "../lab/errors.js";
import type { ProblemKind } from "../lab/problem.js";
import { importProblem, isModulePath } from "../lab/problems/own.js";
import { problems } from "../lab/problems/registry.js";
import { didYouMean } from "../optimizers/names.js";
import { type OptimizerName, optimizers } from "../optimizers/registry.js";
import type { ListFlags } from "./flags.js";
import { showMethod } from "./optimizers.js";
import { formatTable, plain, print, printJson } from "./text.js";

export async function list(name: string | undefined, { json = false }: ListFlags): Promise<void> {
  if (name === undefined) {
    if (json) printJson({ problems: problems.map(describe), optimizers: Object.keys(optimizers) });
    else showAll();
    return;
  }
  const problem = isModulePath(name)
    ? await importProblem(name)
    : problems.find((candidate) => candidate.name === name);
  const method = Object.hasOwn(optimizers, name) ? optimizers[name as OptimizerName] : undefined;
  if (problem) {
    if (json) printJson(describe(problem));
    else show(problem);
  } else if (method) {
    if (json) printJson(describeMethod(method));
    else showMethod(method);
  } else {
    const names = [...problems.map((candidate) => candidate.name), ...Object.keys(optimizers)];
    throw new UserError(
      `there is no problem or optimizer "${name}"${didYouMean(name, names) || `; there are ${names.join(", ")}`}`,
    );
  }
}

const describe = ({ name, description, options }: ProblemKind) => ({
  name,
  description,
  options: Object.entries(options).map(([option, { read: _, ...about }]) => ({ name: option, ...about })),
});

function showAll(): void {
  const rows = problems.map(({ name, description }) => [name, description]);
  print(`${formatTable([{ title: "problem" }, { title: "" }], rows)}\n`);
  print(plain(`optimizers: ${Object.keys(optimizers).join(", ")}\n`));
  print("Options of one: thalweg list <name>. Given as name:option=value,option=value.");
  print("What optimizers do and cost: thalweg optimizers.");
}

function show({ name, description, options }: ProblemKind): void {
  print(plain(`${pc.bold(name)}: ${description}\n`));
  const columns = [{ title: "option" }, { title: "default" }, { title: "values" }, { title: "" }];
  const rows = Object.entries(options).map(([option, { default: fallback, range, about }]) => [
    option,
    String(fallback),
    range,
    about,
  ]);
  print(formatTable(columns, rows));
}
