/** Folders of reference trajectories: problems.json and one <problem>.<optimizer>.json for each run. See tests/vectors/README.md. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";

const number = v.pipe(v.number(), v.finite());
const numbers = v.array(number);
const shape = v.array(v.pipe(v.number(), v.integer(), v.minValue(0)));
type Nested = number | Nested[];
const nested: v.GenericSchema<Nested> = v.lazy(() => v.union([number, v.array(nested)]));

const problemSchema = v.looseObject({
  data: v.record(v.string(), nested),
  data_shapes: v.optional(v.record(v.string(), shape), {}),
  params: v.record(v.string(), numbers),
  param_shapes: v.record(v.string(), shape),
  initial_loss: number,
  initial_gradient: v.record(v.string(), numbers),
});
export type ProblemFile = v.InferOutput<typeof problemSchema>;

const trajectorySchema = v.looseObject({
  problem: v.string(),
  optimizer: v.string(),
  reference: v.optional(v.string(), ""),
  dtype: v.string(),
  hyperparameters: v.record(v.string(), v.unknown()),
  steps: v.pipe(v.number(), v.integer(), v.minValue(1)),
  loss: v.pipe(numbers, v.minLength(2)),
  params: v.record(v.string(), numbers),
  params_after_step_1: v.optional(v.record(v.string(), numbers)),
  amplification: v.nullish(number),
  kind: v.optional(v.literal("final-only")),
  gradient_norm_at_end: v.nullish(number),
});
/** One run of a reference; fields of a method's own (z, factors, …) come along. */
export type Trajectory = v.InferOutput<typeof trajectorySchema>;

/** What is wrong with a folder or a file, in one line. */
export class FormatError extends Error {
  override readonly name = "FormatError";
}

/** The value as the schema describes it. @throws FormatError naming the place in it. */
export function parse<S extends v.GenericSchema>(name: string, schema: S, value: unknown): v.InferOutput<S> {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const issue = result.issues[0];
  const place = v.getDotPath(issue);
  throw new FormatError(`${name}: ${place ? `${place}: ` : ""}${issue.message}`);
}

function readJson(folder: string, name: string): unknown {
  let text: string;
  try {
    text = readFileSync(join(folder, name), "utf8");
  } catch (error) {
    throw new FormatError(`${name}: cannot be read (${(error as Error).message})`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FormatError(`${name}: is not JSON (${(error as Error).message.split("\n")[0]})`);
  }
}

const sizeOf = (list: readonly number[]) => list.reduce((product, n) => product * n, 1);

/** The problems of a folder. @throws FormatError */
export function readProblems(folder: string): Readonly<Record<string, ProblemFile>> {
  const name = "problems.json";
  const problems = parse(name, v.record(v.string(), problemSchema), readJson(folder, name));
  for (const [problem, { params, param_shapes, initial_gradient }] of Object.entries(problems))
    for (const [parameter, values] of Object.entries(params)) {
      const given = param_shapes[parameter];
      if (!given || sizeOf(given) !== values.length)
        throw new FormatError(
          `${name}: ${problem}: ${parameter} has ${values.length} values, its shape is ${given ? `[${given.join(", ")}]` : "missing"}`,
        );
      if (initial_gradient[parameter]?.length !== values.length)
        throw new FormatError(
          `${name}: ${problem}: initial_gradient.${parameter} does not have ${values.length} values`,
        );
    }
  return problems;
}

/** Names of the trajectory files of a folder. @throws FormatError when it cannot be listed or has none. */
export function listTrajectories(folder: string): string[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    throw new FormatError(`${folder}: cannot be listed (${(error as Error).message})`);
  }
  const files = names.filter((name) => name.endsWith(".json") && name !== "problems.json").sort();
  if (files.length === 0) throw new FormatError(`${folder}: there is no <problem>.<optimizer>.json in it`);
  return files;
}

/** One trajectory, consistent with its problem. @throws FormatError */
export function readTrajectory(
  folder: string,
  name: string,
  problems: Readonly<Record<string, ProblemFile>>,
): Trajectory {
  const file = parse(name, trajectorySchema, readJson(folder, name));
  const problem = Object.hasOwn(problems, file.problem) ? problems[file.problem] : undefined;
  if (!problem) throw new FormatError(`${name}: problem "${file.problem}" is not in problems.json`);
  const points = file.kind === "final-only" ? 2 : file.steps + 1;
  if (file.loss.length !== points)
    throw new FormatError(
      `${name}: loss has ${file.loss.length} values; ${points} belong to ${file.steps} steps`,
    );
  for (const [field, params] of Object.entries({ params: file.params, first: file.params_after_step_1 }))
    for (const [parameter, values] of Object.entries(params ? problem.params : {}))
      if (params?.[parameter]?.length !== values.length)
        throw new FormatError(
          `${name}: ${field === "first" ? "params_after_step_1" : field}.${parameter} has ${params?.[parameter]?.length ?? "no"} values, not ${values.length}`,
        );
  return file;
}
