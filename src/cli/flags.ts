/** What a command line hands to each command: texts and flags, as program.ts declares them; options.ts reads them. */

export interface EngineFlags {
  readonly threads?: string;
  readonly backend?: string;
}
export interface LimitFlags {
  readonly seed?: string;
  readonly batch?: string;
  readonly target?: string;
  readonly steps?: string;
  readonly seconds?: string;
  readonly evaluateEvery?: string;
  readonly out?: string;
  readonly resume?: string;
  readonly json?: boolean;
}
export interface RaceFlags extends EngineFlags, LimitFlags {
  readonly tensorboard?: boolean;
  readonly optimizer?: readonly string[];
  readonly seeds?: string;
}
export interface TrainFlags extends EngineFlags, LimitFlags {
  readonly tensorboard?: boolean;
  readonly optimizer?: string;
  readonly checkpointEvery?: string;
  readonly report?: string;
}
export interface TuneFlags extends EngineFlags, LimitFlags {
  readonly seeds?: string;
  readonly trials?: string;
  readonly over?: string;
  readonly searchSeed?: string;
  /** False with --no-early-stop. */
  readonly earlyStop: boolean;
  readonly sensitivity?: boolean;
}
export interface SuiteFlags extends EngineFlags {
  readonly quick?: boolean;
  readonly full?: boolean;
  readonly only?: readonly string[];
  readonly trials?: string;
  readonly studies?: string;
  readonly clock?: string;
  readonly budget?: string;
  readonly seed?: string;
  readonly out?: string;
  readonly resume?: string;
  readonly json?: boolean;
}
export interface StudyFlags extends EngineFlags {
  readonly quick?: boolean;
  readonly clock?: string;
  readonly seed?: string;
  readonly out?: string;
  readonly resume?: string;
  readonly json?: boolean;
}
export interface ProbeFlags extends EngineFlags {
  readonly run?: string;
  readonly kind?: string;
  readonly seed?: string;
  readonly batch?: string;
  readonly batches?: string;
  readonly top?: string;
  /** File of the page. */
  readonly out?: string;
  readonly json?: boolean;
}
export interface CompareFlags extends EngineFlags {
  readonly seed?: string;
  readonly batch?: string;
  readonly batches?: string;
  readonly top?: string;
  readonly points?: string;
  readonly rho?: string;
  readonly adaptiveRho?: string;
  readonly ascent?: string;
  readonly out?: string;
  readonly resume?: string;
  readonly json?: boolean;
}
export interface NoiseFlags extends EngineFlags {
  readonly run?: string;
  readonly seed?: string;
  readonly smallest?: string;
  readonly batches?: string;
  readonly batch?: string;
  readonly steps?: string;
  readonly refresh?: string;
  readonly error?: string;
  readonly decay?: string;
  readonly optimizer?: string;
  readonly json?: boolean;
}
/** A model, and what it is trained on. */
interface ModelFlags extends EngineFlags {
  readonly batch?: string;
  readonly tokens?: string;
  readonly hardware?: string;
  readonly workers?: string;
  readonly sharded?: boolean;
  readonly precision?: string;
  readonly memory?: string;
  readonly json?: boolean;
}
export interface CostFlags extends ModelFlags {
  readonly optimizer?: readonly string[];
}
export interface AdviseFlags extends ModelFlags {
  readonly task?: string;
  readonly phase?: string;
  readonly budget?: string;
  readonly expertise?: string;
  readonly condition?: string;
  readonly noise?: string;
  readonly dataSeconds?: string;
  readonly fullBatch?: boolean;
  readonly edge?: boolean;
  readonly report?: string;
}
export interface RecommendFlags {
  readonly parameters?: string;
  readonly batch?: string;
  readonly problem?: string;
  readonly phase?: string;
  readonly budget?: string;
  readonly expertise?: string;
  readonly json?: boolean;
}
export interface MetaTrainFlags extends EngineFlags {
  readonly seed?: string;
  readonly steps?: string;
  readonly pairs?: string;
  readonly sigma?: string;
  readonly learningRate?: string;
  readonly validateEvery?: string;
  readonly out?: string;
  readonly resume?: string;
  /** A file of weights; true for those of the package. */
  readonly compare?: string | true;
  readonly problems?: string;
  readonly budgets?: string;
  readonly json?: boolean;
}
export interface InfoFlags {
  readonly json?: boolean;
}
export type ListFlags = InfoFlags;
