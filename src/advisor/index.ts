/** What each method costs on a model, and which one to use. */
export { AdvisorError } from "./error.js";
export { findHardware, type Hardware, hardware, productRate } from "./hardware.js";
export { measureHardware } from "./measure.js";
export { type Question, type Recommendation, recommendOptimizer } from "./recommend.js";
