/** Problems, runs on disk, races and reports. Node only. */
export {
  choice,
  count,
  decayRate,
  flag,
  fraction,
  notNegative,
  type Options,
  positive,
  positiveCount,
  type SettingsOf,
  text,
} from "../optimizers/settings.js";
export { type DriftOptions, type FactorDrift, measureDrift } from "./drift.js";
export { UserError } from "./errors.js";
export {
  type Comparison,
  type ComparisonOptions,
  type ComparisonSettings,
  readComparison,
  runComparison,
} from "./generalization/comparison.js";
export type { Line, Solution } from "./generalization/measured.js";
export { barrier, separation } from "./generalization/path.js";
export { type Sharpness, type SharpnessOptions, sharpness } from "./generalization/sharpness.js";
export { findSubjects, type Subject } from "./generalization/subjects.js";
export { openSurface, type Surface, type SurfaceOptions } from "./generalization/surface.js";
export { describeEnvironment, describeMachine, type Environment } from "./machine.js";
export { measureNoise, type NoiseMeasurement, type NoiseOptions } from "./noise.js";
export { type Probe, type ProbeOptions, probe } from "./probe.js";
export type { Problem, ProblemInstance, ProblemKind, RunDefaults } from "./problem.js";
export { loadProblem, openProblem, problems } from "./problems/registry.js";
export { type Supervised, startSupervised } from "./problems/supervised.js";
export {
  type Entry,
  type RaceOptions,
  type RaceRecord,
  type RaceSettings,
  readRace,
  readRaceSettings,
  runRace,
} from "./race.js";
export { type ReportContext, raceReport, runReport } from "./report.js";
export { meets, type RunOptions, type RunStatus, restore, type Session, train } from "./run.js";
export { type Checkpoint, type Measurement, type RunRecord, type RunResult, readRun } from "./run-record.js";
export { describeReached, type Outcome, outcomeOf, rank, type Score, scoreOf } from "./score.js";
export { type Range, rangesOf, searchPoints } from "./search.js";
export { type Sensitivity, sensitivity } from "./sensitivity.js";
export { modelArrays, openSession, optimizerFor } from "./session.js";
export type { Limits, OptimizerSettings, ProblemSettings, RunSettings, Target } from "./settings.js";
export { type StopReason, stopReasons } from "./stop.js";
export { createRun, type RunStore, resumeRun } from "./store.js";
export { findStudy, studies } from "./studies/registry.js";
export { readStudy, runStudy, type StudyRecord, type StudySettings } from "./studies/run-study.js";
export type { Lab, Point, Reading, Study, Task } from "./studies/study.js";
export {
  benchmarkScore,
  type Cell,
  performanceRatios,
  profileAt,
  type Standings,
  standingsOf,
} from "./suite/performance.js";
export { readSuite, type SuiteRecord, type Trial as SuiteTrial } from "./suite/record.js";
export { runSuite } from "./suite/suite.js";
export { writeEvents } from "./tensorboard.js";
export { decodeTensors, encodeTensors, type NamedArray } from "./tensors.js";
export { type Trial, type TuneOptions, type TuneRecord, type TuneSettings, tune } from "./tune.js";
