/** How the methods of a suite did on one problem: what its tables are made of. */
import { labelsOf } from "../race.js";
import { median } from "../score.js";
import type { SuiteRecord, Trial } from "./record.js";

/** A method that reached the target on most studies. */
export interface Arrival {
  readonly optimizer: string;
  /** t(o, p). */
  readonly seconds: number;
  /** Median with the chosen settings on seeds that no trial saw; ∞ where most of them missed. */
  readonly again: number;
}

export interface Results {
  /** Fastest first. */
  readonly arrived: readonly Arrival[];
  readonly missed: readonly string[];
  /** Those that cannot run on the problem. */
  readonly unusable: readonly string[];
}

/** @param problem the id of one that is finished. */
export function resultsOf({ settings, trials, standings }: SuiteRecord, problem: string): Results {
  const p = standings!.problems.indexOf(problem);
  const own = trials.filter((trial) => trial.problem === problem);
  const arrived = standings!.optimizers
    .filter(({ times }) => Number.isFinite(times[p]!))
    .map(({ optimizer, times }) => ({ optimizer, seconds: times[p]!, again: again(own, optimizer) }))
    .toSorted((a, b) => a.seconds - b.seconds);
  const others = labelsOf(settings.optimizers).filter(
    (label) => !arrived.some(({ optimizer }) => optimizer === label),
  );
  const cannot = (label: string) =>
    own.some(({ optimizer, trial, end }) => optimizer === label && trial === 0 && end === "unusable");
  return {
    arrived,
    missed: others.filter((label) => !cannot(label)),
    unusable: others.filter(cannot),
  };
}

const again = (trials: readonly Trial[], optimizer: string): number =>
  median(
    trials
      .filter((one) => one.optimizer === optimizer && one.trial === "fresh")
      .map(({ seconds }) => seconds ?? Number.POSITIVE_INFINITY),
  );
