/** What each method costs on a model, and which one to use. */
export { type Advice, advise } from "./advise.js";
export {
  type Amount,
  allCosts,
  costsOf,
  gradientFlops,
  type MethodCosts,
  type Setting,
} from "./costs.js";
export type { Counterfactual } from "./counterfactuals.js";
export { AdvisorError } from "./error.js";
export { findHardware, type Hardware, hardware } from "./hardware.js";
export { measureHardware } from "./measure.js";
export { type Architecture, activationsOf, factorEntries, forwardFlops } from "./model.js";
export type { Candidate, Ranking, Reason } from "./ranking.js";
export { readConfig } from "./read/config.js";
export { isLayerList, readLayerList } from "./read/layer-list.js";
export { separateProjections } from "./read/layers.js";
export { type ReadOptions, readModel } from "./read/model-file.js";
export { architectureOf } from "./read/objective.js";
export { type Question, type Recommendation, recommendOptimizer } from "./recommend.js";
export { adviceReport } from "./report.js";
export { type Evidence, type Situation, type Task, tasks } from "./situation.js";
export { startingSettings } from "./start.js";
