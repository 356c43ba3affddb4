/** What each method costs on a model, and which one to use. */
export { type Question, type Recommendation, recommendOptimizer } from "./recommend.js";
