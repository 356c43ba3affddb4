export { adafactor } from "./adafactor.js";
export { adagrad } from "./adagrad.js";
export { adahessian } from "./adahessian.js";
export { adam, biasCorrection, scaleByAdam } from "./adam.js";
export { adamw } from "./adamw.js";
export { onArrays } from "./arrays.js";
export { type Asks, type Family, families, type Question, type Treatment } from "./catalogue.js";
export { clipByGlobalNorm } from "./clip.js";
export { type Costs, type Size, type StatePart, total, type Work } from "./costs.js";
export { curvatureSchedule } from "./curvature-schedule.js";
export { decoupledDecay, l2, type Mask, type MaskName, masks } from "./decay.js";
export { ekfac } from "./ekfac.js";
export { type FirstOrderStep, firstOrder, scaleBySchedule, traceFirstOrderStep } from "./first-order.js";
export { type Group, groups, type Selection } from "./groups.js";
export { hessianFree } from "./hessian-free.js";
export { kfac } from "./kfac.js";
export { lamb } from "./lamb.js";
export { lars } from "./lars.js";
export { lbfgs } from "./lbfgs.js";
export { learned, learnedStep } from "./learned.js";
export { lion } from "./lion.js";
export {
  type About,
  defineMethod,
  firstOrderMethod,
  type Method,
  rateOptions,
  scheduleOf,
} from "./method.js";
export { momentum, traceMomentum } from "./momentum.js";
export { muon, orthogonalize } from "./muon.js";
export { didYouMean, nearestNames } from "./names.js";
export { naturalGradient } from "./natural-gradient.js";
export { nesterov } from "./nesterov.js";
export { newton } from "./newton.js";
export type { Coverage, Diagnostics, Evaluations, Optimizer, StepReport, Training } from "./optimizer.js";
export { type Periodic, periodic } from "./periodic.js";
export { createOptimizer, findMethod, type OptimizerName, optimizers } from "./registry.js";
export { rmsprop } from "./rmsprop.js";
export {
  constant,
  cosine,
  exponential,
  linear,
  type Schedule,
  scheduleValues,
  stepwise,
  warmUp,
} from "./schedule.js";
export {
  type Option,
  type Options,
  readSettings,
  type Sensitivity,
  SettingsError,
  type SettingsOf,
  type Typical,
} from "./settings.js";
export { sgd } from "./sgd.js";
export { shampoo } from "./shampoo.js";
export { soap } from "./soap.js";
export { sophia } from "./sophia.js";
export { type Phase, phases } from "./stopwatch.js";
export type { When } from "./switch-detectors.js";
export { type SwitchTo, switchTo } from "./switch-to.js";
export {
  chain,
  type StateSpec,
  stateless,
  type Transform,
  type TransformContext,
  type Transformed,
  type TransformSpec,
} from "./transform.js";
export { trustRatio } from "./trust-ratio.js";
