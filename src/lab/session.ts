/** A run's problem and optimizer, compiled: what the training loop drives. */
import type { Objective } from "../curvature/objective.js";
import type { Layout } from "../nn/parameters.js";
import { ofPart, prefixed } from "../optimizers/hybrid.js";
import type { Method } from "../optimizers/method.js";
import type { Optimizer } from "../optimizers/optimizer.js";
import { createOptimizer, findMethod, optimizers } from "../optimizers/registry.js";
import type { Buffer } from "../runtime/memory.js";
import type { Runtime } from "../runtime/runtime.js";
import type { Problem } from "./problem.js";
import type { Session } from "./run.js";
import type { OptimizerSettings, RunSettings } from "./settings.js";
import type { NamedArray } from "./tensors.js";

/**
 * The optimizer as it runs on a problem: what is given, before what suits the problem, before its own defaults.
 *
 *     optimizerFor(problem, { name: "adam", settings: { beta2: 0.99 } }).settings.learningRate   // the problem's
 *
 * @throws SettingsError for an unknown name or setting, or a value out of range.
 */
export const optimizerFor = (problem: Problem, { name, settings }: OptimizerSettings): Optimizer =>
  createOptimizer(name, { ...suggestedFor(problem, findMethod(name), settings), ...settings });

/**
 * What suits the problem: of a hybrid, what suits its parts, before what suits itself. The latter may set parts too, where
 * nobody names others.
 */
export function suggestedFor(
  problem: Pick<Problem, "suggested">,
  method: Method,
  settings: OptimizerSettings["settings"],
): OptimizerSettings["settings"] {
  const own = problem.suggested[method.name] ?? {};
  const parts = (method.parts ?? []).map((part) => {
    const usual = own[part] ?? method.options[part]!.default;
    return { part, usual, name: String(settings[part] ?? usual) };
  });
  const ofParts = parts.map(({ part, name }) =>
    // The hybrid itself will say which part has no method.
    Object.hasOwn(optimizers, name)
      ? prefixed(part, suggestedFor(problem, findMethod(name), ofPart(part, settings)))
      : {},
  );
  const changed = Object.keys(method.partOptions?.({ ...own, ...settings }) ?? {});
  const others = parts.filter(({ name, usual }) => name !== usual).map(({ part }) => part);
  return Object.fromEntries([
    ...Object.entries(Object.assign({}, ...ofParts)).filter(([setting]) => !changed.includes(setting)),
    ...Object.entries(own).filter(([setting]) => !others.some((part) => setting.startsWith(`${part}.`))),
  ]) as OptimizerSettings["settings"];
}

/** Examples in a step, where nobody says otherwise. */
export const batchFor = ({ batches, defaults }: Problem, { name }: OptimizerSettings): number =>
  batches?.[name] ?? defaults.batch;

/**
 * Compiles what a run needs.
 *
 *     const session = openSession(runtime, openProblem(settings.problem), settings);
 */
export function openSession(runtime: Runtime, problem: Problem, settings: RunSettings): Session {
  const { clock } = runtime;
  const began = clock();
  const optimizer = optimizerFor(problem, settings.optimizer);
  const instance = problem.start(runtime, settings);
  const { objective } = instance;
  const training = optimizer.start(objective);
  const compileSeconds = clock() - began;
  return {
    clock,
    compileSeconds,
    settings: optimizer.settings,
    coverage: training.coverage,
    sameBatch: instance.sameBatch,
    load: instance.load,
    step: training.step,
    evaluate: instance.evaluate,
    ...(instance.test ? { test: instance.test } : {}),
    get arrays() {
      return [
        ...modelArrays(objective),
        ...Object.entries(instance.state ?? {}).map(([name, buffer]) => whole(`problem.${name}`, buffer)),
        ...Object.entries(training.state).map(([name, buffer]) => whole(`optimizer.${name}`, buffer)),
      ];
    },
    release() {
      training.release();
      instance.release();
    },
  };
}

/**
 * θ, parameter by parameter, and the model's state, as a checkpoint names them; the data is live.
 *
 *     writeFileSync("weights.safetensors", encodeTensors(modelArrays(objective)));
 */
export const modelArrays = ({ layout, parameters, state }: Objective): NamedArray[] => [
  ...slices("parameters", layout, parameters),
  ...(state ? [whole("state", state)] : []),
];

const whole = (name: string, { dtype, shape, data }: Buffer): NamedArray => ({ name, dtype, shape, data });

/** Every parameter under its own name, for other tools that read the file. */
const slices = (prefix: string, layout: Layout, { dtype, data }: Buffer): NamedArray[] =>
  layout.entries.map(({ name, shape, offset, size }) => ({
    name: `${prefix}.${name}`,
    dtype,
    shape,
    data: data.subarray(offset, offset + size),
  }));
