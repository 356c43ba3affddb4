export {
  type Arguments,
  argumentsOf,
  createObjective,
  gradientOf,
  type Objective,
  type ObjectiveOptions,
  type ParameterLayout,
  type ParameterLeaf,
  type TracedLoss,
  type TraceLoss,
} from "./objective.js";
