/** What steps cost: each by itself, by the clock of the runtime. */
import type { StepReport } from "../../optimizers/optimizer.js";
import type { Problem } from "../problem.js";
import { openSession } from "../session.js";
import type { OptimizerSettings, RunSettings } from "../settings.js";
import type { Lab } from "./study.js";

export interface TimedStep {
  readonly seconds: number;
  readonly report: StepReport;
}

/** The first steps of a training, each with its time; the batches' are not in it. */
export async function timeSteps(
  lab: Lab,
  problem: Problem,
  optimizer: OptimizerSettings,
  { batch, count }: Pick<RunSettings, "batch"> & { readonly count: number },
): Promise<readonly TimedStep[]> {
  const settings = {
    problem: problem.settings,
    optimizer,
    seed: lab.seed,
    batch,
    limits: { steps: count },
    evaluateEvery: count,
    checkpoint: { seconds: 3600 },
    engine: {},
  };
  const session = openSession(lab.runtime, problem, settings);
  const { clock } = lab.runtime;
  const steps: TimedStep[] = [];
  try {
    for (let k = 0; k < count; k++) {
      if (k % 16 === 0) await lab.pause();
      session.load(k);
      const began = clock();
      const report = session.step();
      steps.push({ seconds: clock() - began, report });
      if (report.stop) break;
    }
  } finally {
    session.release();
  }
  return steps;
}

/** Infinite where there is none. */
export const least = (values: readonly number[]): number =>
  values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
