/** The methods by name. */
import { adafactor } from "./adafactor.js";
import { adagrad } from "./adagrad.js";
import { adahessian } from "./adahessian.js";
import { adam } from "./adam.js";
import { adamw } from "./adamw.js";
import { curvatureScheduleMethod } from "./curvature-schedule.js";
import { ekfac } from "./ekfac.js";
import { groupsMethod } from "./groups.js";
import { hessianFree } from "./hessian-free.js";
import { kfac } from "./kfac.js";
import { lamb } from "./lamb.js";
import { lars } from "./lars.js";
import { lbfgs } from "./lbfgs.js";
import { learned } from "./learned.js";
import { lion } from "./lion.js";
import type { Method } from "./method.js";
import { momentum } from "./momentum.js";
import { muon } from "./muon.js";
import { didYouMean } from "./names.js";
import { naturalGradient } from "./natural-gradient.js";
import { nesterov } from "./nesterov.js";
import { newton } from "./newton.js";
import type { Optimizer } from "./optimizer.js";
import { periodicMethod } from "./periodic.js";
import { rmsprop } from "./rmsprop.js";
import { SettingsError } from "./settings.js";
import { sgd } from "./sgd.js";
import { shampoo } from "./shampoo.js";
import { soap } from "./soap.js";
import { sophia } from "./sophia.js";
import { switchToMethod } from "./switch-to.js";

/**
 * Every method by its name.
 *
 *     optimizers.kfac.create({ learningRate: 0.06 }).start(objective).step();
 */
export const optimizers = {
  sgd,
  momentum,
  nesterov,
  adam,
  adamw,
  adagrad,
  rmsprop,
  lion,
  adafactor,
  learned,
  lars,
  lamb,
  adahessian,
  sophia,
  newton,
  lbfgs,
  hessianFree,
  naturalGradient,
  kfac,
  ekfac,
  muon,
  soap,
  shampoo,
  switchTo: switchToMethod(findMethod),
  periodic: periodicMethod(findMethod),
  curvatureSchedule: curvatureScheduleMethod(findMethod),
  groups: groupsMethod(findMethod),
} as const satisfies Record<string, Method>;
export type OptimizerName = keyof typeof optimizers;

/**
 * The method of that name.
 *
 *     findMethod("kfac").options.damping!.default
 *
 * @throws SettingsError naming the nearest ones.
 */
export function findMethod(name: string): Method {
  if (Object.hasOwn(optimizers, name)) return optimizers[name as OptimizerName];
  const names = Object.keys(optimizers);
  throw new SettingsError(
    `there is no optimizer "${name}"${didYouMean(name, names) || `; there are ${names.join(", ")}`}`,
  );
}

/**
 * An optimizer by name, from settings as numbers or as text.
 *
 *     createOptimizer("adam", { learningRate: "0.01", schedule: "cosine", decaySteps: 1000 })
 *
 * @throws SettingsError for an unknown name or setting (with the nearest ones) or a value out of range.
 */
export const createOptimizer = (name: string, settings: Readonly<Record<string, unknown>> = {}): Optimizer =>
  findMethod(name).create(settings);
