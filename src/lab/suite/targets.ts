/**
 * Targets that were found before any suite ran, as AlgoPerf's were: AdamW and momentum, tuned by more trials than a suite
 * has, train anew on some seeds within three quarters of a run's seconds; the target is the better of their median
 * results. `npx tsx scripts/suite-targets.ts` writes the file.
 */
import { readFileSync } from "node:fs";
import * as v from "valibot";
import { parseJson, validate } from "../files.js";
import type { Quality } from "../score.js";
import { median } from "../score.js";
import { optimizerSettingsSchema, type Target, targetSchema } from "../settings.js";

const tunedSchema = v.strictObject({
  problem: v.string(),
  target: targetSchema,
  /** Seconds of training that every run had. */
  seconds: v.number(),
  trials: v.number(),
  results: v.array(
    v.strictObject({
      optimizer: optimizerSettingsSchema,
      /** The best value of each seed. */
      values: v.array(v.number()),
    }),
  ),
});
export type TunedTarget = v.InferOutput<typeof tunedSchema>;

export const targetsSchema = v.strictObject({
  format: v.literal("thalweg-targets"),
  command: v.string(),
  created: v.string(),
  machine: v.string(),
  targets: v.array(tunedSchema),
});

export const targetsFile = new URL("../../../assets/suite-targets.json", import.meta.url);

export const readTargets = (): v.InferOutput<typeof targetsSchema> => {
  const path = targetsFile.pathname;
  return validate(targetsSchema, parseJson(readFileSync(targetsFile, "utf8"), path), path);
};

/** The better of the medians, rounded to three digits on the easier side. */
export function targetOf(results: TunedTarget["results"], { metric, goal }: Quality): Target {
  const medians = results.map(({ values }) => median(values)).filter(Number.isFinite);
  const best = goal === "min" ? Math.min(...medians) : Math.max(...medians);
  const unit = 10 ** (Math.floor(Math.log10(Math.abs(best))) - 2);
  const value = Number(((goal === "min" ? Math.ceil : Math.floor)(best / unit) * unit).toPrecision(3));
  return { metric, value, goal };
}
