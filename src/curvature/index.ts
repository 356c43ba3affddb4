export { averageGradient, averageOperator, type Batches } from "./average.js";
export { type DenseCurvature, type DenseOptions, denseCurvature } from "./dense.js";
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
export {
  type CurvatureOperator,
  type CurvatureOptions,
  curvatureOperator,
  type LinearOperator,
} from "./operator.js";
export { curvatureOf, type OutputCurvature } from "./output-curvature.js";
export { type PerExampleGradients, type PerExampleOptions, perExampleGradients } from "./per-example.js";
export { type CurvatureKind, curvatureProduct, type Draws } from "./products.js";
