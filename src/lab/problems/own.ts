/**
 * A problem of the user's own: a module whose default export is a problem kind, as the library's are.
 *
 *     thalweg race ./valley.ts:width=0.01 -o adam -o newton
 *
 * Node reads TypeScript itself from version 22.18 on; before, tsx does where the user has it.
 */
import { existsSync } from "node:fs";
import nodeModule, { createRequire, register } from "node:module";
import { basename, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import * as v from "valibot";
import { UserError } from "../errors.js";
import { count, natural } from "../numbers.js";
import type { Problem, ProblemInstance, ProblemKind } from "../problem.js";
import { targetSchema } from "../settings.js";

/** Whether a text is the path of a module rather than a name. */
export const isModulePath = (text: string): boolean => /\.[cm]?[jt]s$/.test(text);

const callable = v.function();
const kindSchema = v.looseObject({
  name: v.pipe(v.string(), v.regex(/^[a-z][a-zA-Z0-9-]{0,63}$/, 'a name such as "my-problem"')),
  description: v.string(),
  options: v.record(v.string(), v.looseObject({ default: v.unknown(), read: callable })),
  open: callable,
});
const problemSchema = v.looseObject({
  summary: v.string(),
  examples: v.optional(natural),
  defaults: v.object({
    batch: count,
    steps: count,
    evaluateEvery: count,
    target: v.optional(targetSchema),
  }),
  suggested: v.record(v.string(), v.record(v.string(), v.union([v.number(), v.string(), v.boolean()]))),
  metrics: v.pipe(
    v.record(v.string(), v.picklist(["min", "max"])),
    v.check((metrics) => Object.keys(metrics).length > 0, "at least one metric"),
  ),
  start: callable,
});

const instanceSchema = v.object({
  objective: v.object({ runtime: v.object({}), layout: v.object({}) }),
  sameBatch: v.boolean(),
  load: callable,
  evaluate: callable,
  release: callable,
});

/**
 * The kind that a module exports. What it opens and starts is checked, and its errors name the file.
 *
 * @throws UserError when there is no such file, it cannot be loaded, or exports no problem kind.
 */
export async function importProblem(file: string): Promise<ProblemKind> {
  const path = resolve(file);
  if (!existsSync(path)) throw new UserError(`there is no file "${file}"; give the path of a module`);
  if (/\.[cm]?ts$/.test(path)) await readTypeScript(path);
  sharePackage();
  const module = (await attempt(file, "cannot be loaded", () => import(pathToFileURL(path).href))) as {
    readonly default?: unknown;
  };
  if (module.default === undefined)
    throw new UserError(
      `"${file}" has no default export; write: export default { name, description, options, open }`,
    );
  const kind = check(kindSchema, module.default, file, "its default export") as unknown as ProblemKind;
  return { ...kind, open: (options) => opened(file, kind, options) };
}

function opened(file: string, kind: ProblemKind, options: Parameters<ProblemKind["open"]>[0]) {
  const problem = rethrown(file, "cannot be opened", () => kind.open(options));
  const checked = check(problemSchema, problem, file, "what open returns") as unknown as Omit<
    Problem,
    "settings"
  >;
  demandTarget(file, checked);
  return {
    ...checked,
    start: (...given: Parameters<Problem["start"]>) =>
      started(
        file,
        rethrown(file, "cannot be started", () => checked.start(...given)),
        Object.keys(checked.metrics),
      ),
  };
}

/** @throws UserError when the target is of another metric than the problem's, or of its other direction. */
function demandTarget(file: string, { metrics, defaults: { target } }: Omit<Problem, "settings">): void {
  if (!target || metrics[target.metric] === target.goal) return;
  const known = Object.entries(metrics).map(([metric, goal]) => `${metric} (${goal})`);
  throw new UserError(
    `"${file}": the target of what open returns is of ${target.metric} (${target.goal}), its metrics are ${known.join(", ")}; ` +
      "give one of these, with its direction as goal",
  );
}

/** An instance whose errors name the file, and whose metrics are those that the problem names. */
function started(file: string, given: ProblemInstance, metrics: readonly string[]): ProblemInstance {
  check(instanceSchema, given, file, "what start returns");
  const measured = (what: string, measure: () => Record<string, number>) => () => {
    const values = rethrown(file, `fails in ${what}`, measure);
    const missing = metrics.find((metric) => typeof values?.[metric] !== "number");
    if (missing === undefined) return values;
    throw new UserError(
      `"${file}": what ${what} returns has no number ${missing}, which metrics names; docs/problems.md shows a complete one`,
    );
  };
  // Everything else is its own, getters and what it inherits too.
  return Object.assign(Object.create(given) as ProblemInstance, {
    load(step: number) {
      try {
        given.load(step);
      } catch (error) {
        throw explained(file, "fails in load", error);
      }
    },
    evaluate: measured("evaluate", () => given.evaluate()),
    ...(given.test ? { test: measured("test", () => given.test!()) } : {}),
  });
}

function check<S extends v.GenericSchema>(schema: S, value: unknown, file: string, what: string) {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const field = v.getDotPath(issue);
  const place = field ? `${field} of ${what}` : what;
  const wrong =
    issue.received === "undefined"
      ? "is missing"
      : `is ${issue.received}, expected ${issue.expected ?? issue.message}`;
  throw new UserError(`"${file}": ${place} ${wrong}; docs/problems.md shows a complete one`);
}

/** Errors that are sentences already stay as they are; others are the file's. */
function explained(file: string, what: string, error: unknown): unknown {
  if (!(error instanceof Error) || /^(User|Settings|Data|Shape|Runtime)Error$/.test(error.name)) return error;
  if ((error as NodeJS.ErrnoException).code === "ERR_REQUIRE_CYCLE_MODULE")
    return new UserError(
      `"${file}" is no ES module: write "type": "module" in the package.json beside it, or rename it to .mts`,
      { cause: error },
    );
  return new UserError(`"${file}" ${what}: ${error.message.split("\n")[0]}`, { cause: error });
}
async function attempt<T>(file: string, what: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw explained(file, what, error);
  }
}
function rethrown<T>(file: string, what: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw explained(file, what, error);
  }
}

let shares = false;

/**
 * Lets modules import this copy of the package, wherever they and it are: to another copy's tensors and layers it is a
 * stranger, and a command that is installed globally has no copy beside the module.
 */
function sharePackage(): void {
  if (shares) return;
  shares = true;
  const parentURL = import.meta.url;
  const own = /^thalweg(\/|$)/;
  // Hooks can be in this thread from Node 22.15 on; before, they are a module of their own.
  if (nodeModule.registerHooks)
    nodeModule.registerHooks({
      resolve: (name, context, next) => next(name, own.test(name) ? { ...context, parentURL } : context),
    });
  else {
    const given = `{ ...context, parentURL: ${JSON.stringify(parentURL)} }`;
    const hook = `export const resolve = (name, context, next) => next(name, ${own}.test(name) ? ${given} : context);`;
    register(`data:text/javascript,${encodeURIComponent(hook)}`);
  }
}

let reads = Boolean((process.features as { readonly typescript?: unknown }).typescript);

/** Lets this process import TypeScript. @throws UserError where neither Node nor tsx can. */
async function readTypeScript(path: string): Promise<void> {
  if (reads) return;
  let tsx: string;
  try {
    tsx = createRequire(path).resolve("tsx/esm");
  } catch (error) {
    throw new UserError(
      `"${basename(path)}" is TypeScript, which Node reads from version 22.18 on and this is ${process.version}; ` +
        "npm install tsx beside it, or give a .mjs file",
      { cause: error },
    );
  }
  // It registers itself, as with node --import tsx/esm.
  await import(pathToFileURL(tsx).href);
  reads = true;
}
