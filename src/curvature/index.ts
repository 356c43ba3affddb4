/** What can be asked of a problem: loss, gradient, curvature, and estimates of its trace and spectrum. */
export { type ActivationLayer, type ActivationMoments, activationMoments } from "./activations.js";
export { averageGradient, averageOperator, type Batches } from "./average.js";
export { diagonalBlock } from "./block.js";
export { type Condition, type ConditionOptions, condition } from "./condition.js";
export { type DenseCurvature, type DenseOptions, denseCurvature } from "./dense.js";
export {
  type Estimate,
  type HutchinsonEstimate,
  type HutchinsonOptions,
  hutchinson,
  hutchPlusPlus,
} from "./hutchinson.js";
export {
  type Estimator,
  type FactorOptions,
  type KroneckerBlock,
  type KroneckerFactors,
  kroneckerBlocks,
  kroneckerFactors,
  type Sharing,
} from "./kronecker/index.js";
export {
  type Eigenpair,
  type EigenpairOptions,
  type Eigenpairs,
  extremeEigenpairs,
  type LanczosProcess,
  lanczosProcess,
} from "./lanczos.js";
export {
  type ArrayShape,
  type LayerShape,
  type ModelShape,
  modelShapeOf,
  parameterCount,
} from "./model-shape.js";
export {
  type BatchSpread,
  batchSpread,
  bestDecay,
  type Drift,
  exampleNoise,
  gradientNoise,
  type Noise,
  rowsNeeded,
  type SizeSpread,
  type Staleness,
  staleness,
  twoBatchNoise,
} from "./noise.js";
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
export { curvatureOf, type OutputCurvature, sumOfMeans } from "./output-curvature.js";
export { type PerExampleGradients, type PerExampleOptions, perExampleGradients } from "./per-example.js";
export { type CurvatureKind, curvatureProduct, type Draws } from "./products.js";
export {
  broadened,
  magnitudeQuantile,
  type SpectralDensity,
  type SpectralDensityOptions,
  type Spectrum,
  spectralDensity,
} from "./spectral-density.js";
export { type TridiagonalEigen, tridiagonalEigen } from "./tridiagonal.js";
