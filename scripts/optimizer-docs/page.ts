/** The generated part of the documentation's pages: what the catalogue knows. */
import { readFileSync } from "node:fs";
import {
  batches,
  costRows,
  evaluationsOf,
  exampleName,
  memoryFormula,
  questionsOf,
  typicalText,
} from "../../src/lab/catalogue.js";
import { families, type Method, type Option, optimizers } from "../../src/optimizers/index.js";
import { markdownTable, marks } from "../markdown.js";

const { begin, end } = marks("docs:optimizers", "the catalogue");
const table = (titles: readonly string[], rows: readonly (readonly string[])[]): string =>
  markdownTable(
    titles,
    titles.map(() => "---"),
    rows,
  );

/** hessianFree → hessian-free.ts, in which it is defined. */
const sourceOf = (name: string) => `${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}.ts`;

/** The equations with which the source begins: the indented lines of its first comment. */
function equationsOf(name: string): string {
  const source = readFileSync(new URL(`../../src/optimizers/${sourceOf(name)}`, import.meta.url), "utf8");
  const [comment] = source.split("*/") as [string];
  const indented = comment
    .split("\n")
    .filter((line) => /^ \*( {5}.*)?$/.test(line))
    .map((line) => line.slice(7))
    .join("\n");
  return indented.replace(/\n{3,}/g, "\n\n").trim();
}

/** What comes before what is written by hand. */
function generated(method: Method): string {
  const { name, description, reference, family, asks, treats } = method;
  const settings = Object.entries<Option<unknown>>(method.options).map(([setting, option]) => [
    `\`${setting}\``,
    option.default === "" ? "" : String(option.default),
    typicalText(option),
    option.sensitivity ?? "",
    option.range,
    option.about,
  ]);
  return [
    `# ${name}`,
    begin,
    description,
    `${reference}. Source: [\`src/optimizers/${sourceOf(name)}\`](../../src/optimizers/${sourceOf(name)}).`,
    `\`\`\`text\n${equationsOf(name)}\n\`\`\``,
    `![${name}: its path in a narrow valley, and the loss at each step](pictures/${name}.svg)`,
    table(
      ["", ""],
      [
        ["family", family],
        ["asks the objective for", questionsOf(method)],
        ["a step with the defaults", evaluationsOf(method)],
        ["batches", batches[asks.batch]],
      ],
    ),
    table(
      ["arrays", "treated"],
      treats.map(({ arrays, how }) => [arrays, how]),
    ),
    `Costs with the default settings, as formulas and for ${exampleName}; the work is that of a step beside what it asks:`,
    table(["cost", "formula", exampleName], costRows(method)),
    table(["setting", "default", "typical", "sensitivity", "values", "meaning"], settings),
    end,
  ].join("\n\n");
}

/** The page of a method: its generated part, and after it what `before` has there. */
export function pageOf(method: Method, before: string): string {
  const own = before.includes(end)
    ? before.slice(before.indexOf(end) + end.length)
    : `\n\n${before.trim()}\n`;
  return generated(method) + own;
}

/** The index: the methods by family, and after it what `before` has there. */
export function indexOf(before: string): string {
  const methods: readonly Method[] = Object.values(optimizers);
  const tables = families.map((family) => {
    const rows = methods
      .filter((method) => method.family === family)
      .map((method) => [
        `[${method.name}](${method.name}.md)`,
        memoryFormula(method),
        evaluationsOf(method),
        method.description,
      ]);
    return `## ${family[0]!.toUpperCase()}${family.slice(1)}\n\n${table(["", "state", "a step asks", ""], rows)}`;
  });
  const made = [
    "# Optimizers",
    begin,
    "The catalogue, as `thalweg optimizers` prints it. n is the number of parameters; in and out are a layer's inputs (a bias is one more) and outputs; axis is each axis of an array. State is what is kept beside the parameters and saved with them.",
    ...tables,
    end,
  ].join("\n\n");
  return made + (before.includes(end) ? before.slice(before.indexOf(end) + end.length) : "\n");
}
