/** `thalweg list`: problems and optimizers, and what can be set of each. */
import pc from "picocolors";
import { UserError } from "../lab/errors.js";
import { problems } from "../lab/problems/registry.js";
import { didYouMean } from "../optimizers/names.js";
import { optimizers } from "../optimizers/registry.js";
import type { Options } from "../optimizers/settings.js";
import type { ListFlags } from "./options.js";
import { formatTable, plain, print, printJson } from "./text.js";

interface Item {
  readonly kind: "problem" | "optimizer";
  readonly name: string;
  readonly description: string;
  readonly reference?: string;
  readonly options: Options;
}

export async function list(name: string | undefined, { json = false }: ListFlags): Promise<void> {
  const items: Item[] = [
    ...problems.map(({ name, description, options }) => ({
      kind: "problem" as const,
      name,
      description,
      options,
    })),
    ...Object.values(optimizers).map(({ name, description, reference, options }) => ({
      kind: "optimizer" as const,
      name,
      description,
      reference,
      options: options as Options,
    })),
  ];
  if (name === undefined) showAll(items, json);
  else {
    const item = items.find((candidate) => candidate.name === name);
    if (!item) {
      const names = items.map((candidate) => candidate.name);
      throw new UserError(
        `there is no problem or optimizer "${name}"${didYouMean(name, names) || `; there are ${names.join(", ")}`}`,
      );
    }
    if (json) printJson(describe(item));
    else show(item);
  }
}

const describe = (item: Item) => ({
  ...item,
  options: Object.entries(item.options).map(([name, { default: fallback, range, about }]) => ({
    name,
    default: fallback,
    range,
    about,
  })),
});

function showAll(items: readonly Item[], json: boolean): void {
  if (json) {
    printJson(items.map(describe));
    return;
  }
  for (const kind of ["problem", "optimizer"] as const) {
    const columns = [{ title: kind }, { title: "" }];
    const own = items.filter((item) => item.kind === kind);
    print(
      formatTable(
        columns,
        own.map(({ name, description }) => [name, description]),
      ),
    );
    print("");
  }
  print("Options of one: thalweg list <name>. Given as name:option=value,option=value.");
}

function show({ name, description, reference, options }: Item): void {
  print(plain(`${pc.bold(name)}: ${description}`));
  if (reference) print(plain(reference));
  print("");
  const columns = [{ title: "option" }, { title: "default" }, { title: "values" }, { title: "" }];
  print(
    formatTable(
      columns,
      Object.entries(options).map(([option, { default: fallback, range, about }]) => [
        option,
        String(fallback),
        range,
        about,
      ]),
    ),
  );
}
