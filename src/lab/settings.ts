/** What a run is told to do. Written into `run.json`, and checked field by field when read back. */
import * as v from "valibot";
import { count, finite, positive, seed } from "./numbers.js";

const name = v.pipe(v.string(), v.regex(/^[a-z][a-zA-Z0-9-]{0,63}$/));
/** Values that JSON and a command line can hold. */
const setting = v.union([finite, v.string(), v.boolean()]);
/** A setting of a part of a hybrid has the part's name before it: "first.learningRate". */
const settingName = v.pipe(
  v.string(),
  v.maxLength(256),
  v.regex(/^[a-zA-Z][a-zA-Z0-9]*(\.[a-zA-Z][a-zA-Z0-9]*)*$/),
);
const record = v.record(settingName, setting);

export const targetSchema = v.strictObject({
  metric: v.pipe(v.string(), v.maxLength(64)),
  value: finite,
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
  /** Without a target: what is compared, where the problem does not measure a loss. */
  quality: v.optional(v.pick(targetSchema, ["metric", "goal"])),
  steps: count,
  /** Seconds of training. */
  seconds: v.optional(positive),
});
export type Limits = v.InferOutput<typeof limitsSchema>;

export const runSettingsSchema = v.strictObject({
  problem: problemSettingsSchema,
  optimizer: optimizerSettingsSchema,
  seed,
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
