export {
  type Arguments,
  argumentsOf,
  createObjective,
  gradientOf,
  type Objective,
  type ObjectiveOptions,
  type TracedLoss,
  type TraceLoss,
} from "./objective.js";
