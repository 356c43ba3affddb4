/** What a run is told to do. Written into `run.json`, and checked field by field when read back. */
import * as v from "valibot";
import { UserError } from "./errors.js";

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const positive = v.pipe(v.number(), v.finite(), v.gtValue(0));
const name = v.pipe(v.string(), v.regex(/^[a-z][a-zA-Z0-9-]{0,63}$/));
/** Values that JSON and a command line can hold. */
const setting = v.union([v.pipe(v.number(), v.finite()), v.string(), v.boolean()]);
/** A setting of a part of a hybrid has the part's name before it: "first.learningRate". */
const settingName = v.pipe(
  v.string(),
  v.maxLength(256),
  v.regex(/^[a-zA-Z][a-zA-Z0-9]*(\.[a-zA-Z][a-zA-Z0-9]*)*$/),
);
const record = v.record(settingName, setting);

export const targetSchema = v.strictObject({
  metric: v.pipe(v.string(), v.maxLength(64)),
  value: v.pipe(v.number(), v.finite()),
  /** Whether larger or smaller values of the metric are better. */
  goal: v.picklist(["max", "min"]),
});
export type Target = v.InferOutput<typeof targetSchema>;

export const problemSettingsSchema = v.strictObject({
  name,
  options: record,
  /** Of a problem of one's own: the path of its module. */
  file: v.optional(v.pipe(v.string(), v.maxLength(4096))),
});
export type ProblemSettings = v.InferOutput<typeof problemSettingsSchema>;

export const optimizerSettingsSchema = v.strictObject({ name, settings: record });
/** An optimizer by name, with the settings that differ from its own defaults. */
export type OptimizerSettings = v.InferOutput<typeof optimizerSettingsSchema>;

export const engineSettingsSchema = v.strictObject({
  backend: v.optional(v.picklist(["native", "portable"])),
  threads: v.optional(v.pipe(count, v.maxValue(64))),
  /** By which times are told (runtime/clock.ts). */
  clock: v.optional(v.picklist(["wall", "cpu"])),
});
export type EngineSettings = v.InferOutput<typeof engineSettingsSchema>;

export const limitsSchema = v.strictObject({
  target: v.optional(targetSchema),
  steps: count,
  /** Seconds of training. */
  seconds: v.optional(positive),
});
export type Limits = v.InferOutput<typeof limitsSchema>;

export const runSettingsSchema = v.strictObject({
  problem: problemSettingsSchema,
  optimizer: optimizerSettingsSchema,
  seed: v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(2 ** 31 - 1)),
  batch: count,
  limits: limitsSchema,
  /** Steps between evaluations on the test data. */
  evaluateEvery: count,
  /**
   * In place of that: evaluated whenever evaluations took less than this share of the time of training so far. Methods
   * of few dear steps and those of many cheap ones are so measured as finely as each other, in time.
   */
  evaluateShare: v.optional(positive),
  /** A checkpoint is written after so many steps or seconds, whichever comes first, and at the end. */
  checkpoint: v.strictObject({ steps: v.optional(count), seconds: positive }),
  engine: engineSettingsSchema,
});
export type RunSettings = v.InferOutput<typeof runSettingsSchema>;

/**
 * Checks data from a file against a schema.
 *
 * @throws UserError with the file, the field, its value and what was expected.
 */
export function validate<S extends v.GenericSchema>(
  schema: S,
  data: unknown,
  file: string,
): v.InferOutput<S> {
  const result = v.safeParse(schema, data);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const field = v.getDotPath(issue) ?? "the whole file";
  throw new UserError(
    `"${file}" is damaged or of another program: ${field} is ${shorten(issue.received)}, expected ${shorten(issue.expected ?? issue.requirement)}; restore the file or start a new run`,
  );
}

/** Parses JSON from a file. @throws UserError when it is not JSON. */
export function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = (error as Error).message.split("\n")[0]!.slice(0, 100);
    throw new UserError(
      `"${file}" is damaged: it is not JSON (${reason}); restore the file or start a new run`,
      { cause: error },
    );
  }
}

const shorten = (value: unknown): string => {
  const text = String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
};
