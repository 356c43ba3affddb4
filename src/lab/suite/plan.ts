/** From rows and names to the complete settings of a suite. */
import { UserError } from "../errors.js";
import type { Problem } from "../problem.js";
import { labelsOf } from "../race.js";
import type { EngineSettings, OptimizerSettings, Target } from "../settings.js";
import type { SuiteProblem, SuiteSettings } from "./settings.js";
import { baseline, type Row } from "./table.js";
import { readTargets } from "./targets.js";

/** A row for a problem that the table does not have: with its own target. */
export const ownRow = (problem: string): Row => ({ problem, seconds: 10, source: "the problem's own" });

/** @throws UserError when there is no target, or none of that metric. */
function targetFor(row: Row, { metrics, defaults }: Problem): Target {
  if (row.target === "tuned") {
    const found = readTargets().targets.find(({ problem }) => problem === row.problem);
    if (found) return found.target;
    throw new UserError(`"${row.problem}" has no frozen target yet; run npx tsx scripts/suite-targets.ts`);
  }
  if (row.target) {
    const goal = metrics[row.target.metric];
    if (goal) return { ...row.target, goal };
    throw new UserError(`"${row.problem}" has no metric ${row.target.metric}`);
  }
  if (defaults.target) return defaults.target;
  throw new UserError(`"${row.problem}" has no target, and a suite measures the time to one`);
}

/** A row with all that its problem says. */
export function suiteProblem(row: Row, problem: Problem): SuiteProblem {
  const { batch, evaluateEvery } = problem.defaults;
  return {
    id: row.problem,
    problem: problem.settings,
    target: targetFor(row, problem),
    source: row.source,
    seconds: row.seconds,
    batches: { any: batch, large: batch, full: batch, ...row.batches },
    evaluateEvery,
  };
}

export interface Extent {
  readonly trials: number;
  readonly studies: number;
  readonly seed: number;
  readonly engine: EngineSettings;
  readonly deadline: number | undefined;
}

/** Settings of a suite; the baseline is AdamW where it takes part, or the first. */
export function planSuite(
  problems: readonly SuiteProblem[],
  optimizers: readonly OptimizerSettings[],
  { trials, studies, seed, engine, deadline }: Extent,
): SuiteSettings {
  const labels = labelsOf([...optimizers]);
  return {
    problems: [...problems],
    optimizers: [...optimizers],
    baseline: labels.includes(baseline) ? baseline : labels[0]!,
    trials,
    studies,
    seed,
    ...(deadline === undefined ? {} : { deadline }),
    engine,
  };
}
