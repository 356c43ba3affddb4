/** Settings to begin with: the catalogue's defaults, changed where the situation asks for it. */
import { type OptimizerName, optimizers } from "../optimizers/registry.js";
import { costsOf } from "./costs.js";
import type { Context } from "./situation.js";

type Settings = Record<string, number | string | boolean>;

/** A step of a method with refreshes may take so many times as long as its gradient. */
const bearable = 1.5;

/**
 * What differs from the defaults.
 *
 *     startingSettings("kfac", context)   // { inverseInterval: 50 }
 */
export function startingSettings(method: OptimizerName, context: Context): Settings {
  const defaults: Readonly<Record<string, unknown>> = optimizers[method].defaults;
  const { task, batch, workers } = context.situation;
  const settings: Settings = {};
  const set = (name: string, value: number | string | boolean) => {
    if (Object.hasOwn(defaults, name) && defaults[name] !== value) settings[name] = value;
  };
  if (task === "fine-tuning" && optimizers[method].family === "first order") {
    // Devlin et al. 2019: 2e-5 to 5e-5 for Adam; a thirtieth of what trains from nothing.
    set("learningRate", scaled(method, 1 / 30));
    set("schedule", "linear");
    set("decaySteps", 1000);
    set("warmupSteps", 100);
  }
  if (task === "language-model") {
    set("schedule", "cosine");
    set("decaySteps", 10_000);
    set("warmupSteps", 500);
    set("clipNorm", 1);
    set("weightDecay", 0.1);
    if (method === "adam" || method === "adamw") set("beta2", 0.95);
  }
  if (task === "recurrent") set("clipNorm", 1);
  if (task === "differential-equation") {
    if (method === "newton" || method === "hessianFree") set("curvature", "gaussNewton");
    if (method === "kfac" || method === "ekfac") {
      set("estimator", "exact");
      set("step", "quadratic");
      set("damping", 1e-8);
      set("leastDamping", 1e-12);
      set("factorInterval", 1);
      set("inverseInterval", 1);
      return settings;
    }
  }
  // A step that sees more examples may be longer: as the root, which holds for Adam (Malladi et al. 2022).
  if (batch * workers > 1024 && optimizers[method].family === "first order" && task !== "fine-tuning")
    set("learningRate", scaled(method, Math.min(4, Math.sqrt((batch * workers) / 256))));
  if (method === "soap") {
    const axis = longestAxis(context);
    if (axis > optimizers.soap.defaults.largestAxis) set("largestAxis", axis);
  }
  for (const interval of ["inverseInterval", "interval"])
    if (Object.hasOwn(defaults, interval))
      set(interval, bearableInterval(method, interval, settings, context));
  return settings;
}

/** The longest axis for which an eigenbasis is worth its price; Vyas et al. 2024 stop at 10,000 in language models. */
const longestAxis = ({ model }: Context): number =>
  model.layers
    .flatMap(({ arrays }) => arrays)
    .flatMap(({ shape }) => (shape.length > 1 ? shape : []))
    .filter((axis) => axis <= 10_000)
    .reduce((a, b) => Math.max(a, b), 0);

function scaled(method: OptimizerName, factor: number): number {
  const { learningRate } = optimizers[method].defaults as { learningRate?: number };
  return Number(((learningRate ?? 1) * factor).toPrecision(2));
}

/** The shortest refresh interval whose step is bearable; the longest where none is. */
function bearableInterval(
  method: OptimizerName,
  interval: string,
  settings: Settings,
  { model, situation }: Context,
): number {
  const intervals = [10, 20, 50, 100, 200, 500];
  return (
    intervals.find(
      (value) =>
        costsOf(model, method, { ...settings, [interval]: value }, situation).overGradient <= bearable,
    ) ?? Number((optimizers[method].defaults as Record<string, unknown>)[interval])
  );
}
