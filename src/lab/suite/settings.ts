/** What a suite is told to do, complete before it begins: written into suite.json, and the same when it is resumed. */
import * as v from "valibot";
import { UserError } from "../errors.js";
import { formatSeconds } from "../format.js";
import { count, natural } from "../numbers.js";
import {
  engineSettingsSchema,
  optimizerSettingsSchema,
  problemSettingsSchema,
  targetSchema,
} from "../settings.js";

const positive = v.pipe(v.number(), v.finite(), v.gtValue(0));
/** More trials or studies than that nobody waits for, and a file that says so is damaged. */
const repetitions = v.pipe(count, v.maxValue(10_000));

export const suiteProblemSchema = v.strictObject({
  /** Its row: "autoencoder:encoder=128-32". */
  id: v.pipe(v.string(), v.maxLength(1000)),
  problem: problemSettingsSchema,
  target: targetSchema,
  /** Where the target comes from. */
  source: v.string(),
  /** Seconds of training of a run. */
  seconds: positive,
  batches: v.strictObject({ any: count, large: count, full: count }),
  evaluateEvery: count,
});
export type SuiteProblem = v.InferOutput<typeof suiteProblemSchema>;

export const suiteSettingsSchema = v.strictObject({
  problems: v.pipe(v.array(suiteProblemSchema), v.minLength(1)),
  optimizers: v.pipe(v.array(optimizerSettingsSchema), v.minLength(1), v.maxLength(64)),
  /** The optimizer that ratios are to. */
  baseline: v.string(),
  /** Of a study: the first has the settings that suit the problem, the others quasi-random ones. */
  trials: repetitions,
  studies: repetitions,
  seed: v.pipe(natural, v.maxValue(2 ** 30)),
  /** Seconds, by the clock of the engine, after which no further run is begun. */
  deadline: v.optional(positive),
  engine: engineSettingsSchema,
});
export type SuiteSettings = v.InferOutput<typeof suiteSettingsSchema>;

/** Runs of one optimizer on one problem: the trials of each study, and one with its best settings on a new seed. */
export const runsOfCell = ({ trials, studies }: Pick<SuiteSettings, "trials" | "studies">): number =>
  studies * (trials + 1);

/** Evaluations take this share of the time of training, and are not in it. */
export const evaluateShare = 0.3;

/**
 * What a run takes, of its seconds of training: less than all, since those that arrive end early, though evaluations come
 * on top; and in seconds, for compilation and files.
 */
const [share, overhead] = [0.8, 0.7];

export const plannedRun = (seconds: number): number => share * seconds + overhead;
/** Seconds that the suite is expected to take. */
export const plannedSeconds = (settings: SuiteSettings): number =>
  settings.problems.reduce(
    (sum, { seconds }) => sum + settings.optimizers.length * runsOfCell(settings) * plannedRun(seconds),
    0,
  );

/**
 * The same suite within a budget: the seconds of all runs are shortened by one factor, equal for all.
 *
 * @param budget seconds. @throws UserError when a run would have less than a twentieth of its time.
 */
export function withinBudget(settings: SuiteSettings, budget: number): SuiteSettings {
  const runs = settings.problems.length * settings.optimizers.length * runsOfCell(settings);
  const training = plannedSeconds(settings) - runs * overhead;
  const factor = Math.min(1, (budget - runs * overhead) / training);
  if (factor < 1 / 20)
    throw new UserError(
      `${runs} runs do not fit into ${formatSeconds(budget)}; give a longer --budget, fewer --trials or --studies, or --only`,
    );
  return {
    ...settings,
    problems: settings.problems.map((problem) => ({
      ...problem,
      seconds: Number((factor * problem.seconds).toPrecision(3)),
    })),
  };
}
