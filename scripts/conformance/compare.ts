/**
 * Repeats every trajectory of a folder and measures how far we are from it.
 *
 * Deviations are relative. Of a loss: to its reference, or to 1e-5 of the largest loss of the trajectory where it is
 * smaller (a loss near zero is what large numbers leave when they cancel). Of a parameter: to its reference, or to
 * the root mean square of all parameters where it is smaller.
 */
import { createObjective } from "../../src/curvature/index.js";
import { layoutOf } from "../../src/nn/parameters.js";
import { SettingsError } from "../../src/optimizers/index.js";
import type { Runtime } from "../../src/runtime/runtime.js";
import { sizeOf } from "../../src/tensor/shape.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import {
  FormatError,
  listTrajectories,
  type ProblemFile,
  readProblems,
  readTrajectory,
  type Trajectory,
} from "./format.js";
import { problems } from "./problems.js";
import { findReference, type Reference, type Repetition, references } from "./references.js";

export interface ProblemRow {
  readonly problem: string;
  readonly dtype: string;
  readonly lossDeviation: number | undefined;
  readonly gradientDeviation: number | undefined;
  readonly tolerance: number | undefined;
  readonly status: "ok" | "deviates" | "unusable";
  readonly note: string;
}

export interface FileRow {
  readonly file: string;
  readonly problem: string;
  readonly optimizer: string;
  readonly steps: number | undefined;
  readonly amplification: number | undefined;
  readonly lossDeviation: number | undefined;
  readonly parameterDeviation: number | undefined;
  readonly tolerance: number | undefined;
  readonly status: "ok" | "deviates" | "missing" | "unusable";
  readonly note: string;
}

export interface Table {
  readonly problems: readonly ProblemRow[];
  readonly files: readonly FileRow[];
}

/**
 * What a correct implementation can reach: 1e-10 while rounding stays small, then ten times what rounding of 1e-15
 * becomes after its amplification; for f32 the same with its rounding.
 */
export function attainable(dtype: "f32" | "f64", amplification = 1): number {
  return dtype === "f64" ? Math.max(1e-10, 1e-14 * amplification) : Math.max(1e-4, 5e-6 * amplification);
}

const notNaN = (deviation: number) => (Number.isNaN(deviation) ? Number.POSITIVE_INFINITY : deviation);

export function lossDeviation(ours: ArrayLike<number>, reference: readonly number[]): number {
  const floor = 1e-5 * Math.max(...reference.map(Math.abs));
  const each = reference.map(
    (value, k) => Math.abs(ours[k]! - value) / (Math.max(Math.abs(value), floor) || 1),
  );
  return Math.max(...each.map(notNaN));
}

export function vectorDeviation(ours: ArrayLike<number>, reference: readonly number[]): number {
  const rms = Math.sqrt(reference.reduce((sum, x) => sum + x * x, 0) / reference.length);
  let worst = 0;
  reference.forEach((value, k) => {
    worst = Math.max(worst, notNaN(Math.abs(ours[k]! - value) / (Math.max(Math.abs(value), rms) || 1)));
  });
  return worst;
}

const flat = (values: unknown): number[] =>
  Array.isArray(values) ? values.flatMap(flat) : [values as number];
const shapeOf = (values: unknown): number[] =>
  Array.isArray(values) ? [values.length, ...shapeOf(values[0] ?? 0)] : [];

/** The problem of a folder as an objective, and how to get its arrays from vectors. */
function rebuild(
  runtime: Runtime,
  name: string,
  file: ProblemFile,
  dtype: "f32" | "f64",
  regularised: boolean,
) {
  const problem = Object.hasOwn(problems, name) ? problems[name] : undefined;
  if (!problem)
    throw new FormatError(
      `problems.json: there is no loss for problem "${name}"; known are ${Object.keys(problems).join(", ")}`,
    );
  for (const parameter of problem.parameters)
    if (!file.param_shapes[parameter])
      throw new FormatError(`problems.json: ${name} has no parameter ${parameter}`);
  const extra = Object.keys(file.params).filter((parameter) => !problem.parameters.includes(parameter));
  if (extra.length > 0)
    throw new FormatError(`problems.json: ${name} has parameters that we do not know: ${extra.join(", ")}`);
  const layout = layoutOf(
    Object.fromEntries(problem.parameters.map((key) => [key, { dtype, shape: file.param_shapes[key]! }])),
  );
  const vector = (arrays: Readonly<Record<string, readonly number[]>>) =>
    layout.entries.flatMap((entry) => arrays[entry.name]!);

  const data = Object.entries(problem.data).map(([key, kind]) => {
    const values = file.data[key];
    if (values === undefined) throw new FormatError(`problems.json: ${name} has no data ${key}`);
    const shape = file.data_shapes[key] ?? shapeOf(values);
    const numbers = flat(values);
    if (sizeOf(shape) !== numbers.length)
      throw new FormatError(
        `problems.json: ${name}: ${key} has ${numbers.length} values, its shape is [${shape.join(", ")}]`,
      );
    return { key, values: numbers, spec: { dtype: kind === "float" ? dtype : kind, shape } };
  });
  const objective = createObjective(runtime, {
    layout,
    parameters: vector(file.params),
    batch: data.map(({ spec }) => spec),
    trace(theta, batch) {
      const parameters = layout.views(theta) as Readonly<Record<string, Tensor>>;
      const arrays = Object.fromEntries(data.map(({ key }, index) => [key, batch[index]!]));
      return {
        loss: problem.loss(parameters, arrays),
        state: undefined,
        ...(problem.outputCurvature && { outputCurvature: problem.outputCurvature(parameters, arrays) }),
        ...(regularised && problem.regulariser && { regulariser: problem.regulariser(parameters, arrays) }),
      };
    },
  });
  data.forEach(({ values }, index) => {
    objective.batch[index]!.set(values);
  });
  return { objective, vector };
}

type Rebuilt = ReturnType<typeof rebuild> & { readonly row: ProblemRow };

/** Loss and gradient at the start: nothing that follows means anything unless these agree. */
function checkStart(name: string, file: ProblemFile, built: ReturnType<typeof rebuild>): ProblemRow {
  const { objective, vector } = built;
  const { loss, gradient } = objective.gradient();
  const tolerance = attainable(objective.dtype);
  const lossOff = lossDeviation([loss], [file.initial_loss]);
  const gradientOff = vectorDeviation(gradient.data, vector(file.initial_gradient));
  return {
    problem: name,
    dtype: objective.dtype,
    lossDeviation: lossOff,
    gradientDeviation: gradientOff,
    tolerance,
    status: Math.max(lossOff, gradientOff) <= tolerance ? "ok" : "deviates",
    note: "",
  };
}

/** Repeats one trajectory update by update. */
function followTrajectory(
  { objective, vector }: Rebuilt,
  file: Trajectory,
  { optimizer, feed, tolerance = attainable(objective.dtype, file.amplification ?? 1) }: Repetition,
) {
  const training = optimizer.start(objective);
  try {
    const losses: number[] = [];
    let first: number | undefined;
    for (let t = 1; t <= file.steps; t++) {
      feed?.(training, t);
      losses.push(training.step().loss);
      if (t === 1 && file.params_after_step_1)
        first = vectorDeviation(objective.parameters.data, vector(file.params_after_step_1));
    }
    losses.push(objective.loss());
    const lossOff = lossDeviation(losses, file.loss);
    const parameterOff = vectorDeviation(objective.parameters.data, vector(file.params));
    const ok = Math.max(lossOff, parameterOff) <= tolerance;
    const note = ok
      ? ""
      : first !== undefined && first > tolerance
        ? `the first update is off by ${first.toExponential(1)} already: a convention differs`
        : `the first update agrees; loss ${losses.findIndex((_, k) => lossDeviation([losses[k]!], [file.loss[k]!]) > tolerance)} is the first to deviate`;
    return { lossDeviation: lossOff, parameterDeviation: parameterOff, tolerance, ok, note };
  } finally {
    training.release();
  }
}

/**
 * Runs to the end of a reference of which only the end is known: until the gradient is as small as there, for at
 * most twenty times its steps. Compared is the minimum, by its loss relative to the start's.
 */
function reachEnd(
  { objective }: Rebuilt,
  file: Trajectory,
  { optimizer, feed, tolerance = 1e-8 }: Repetition,
) {
  const training = optimizer.start(objective);
  try {
    const target = Math.max(file.gradient_norm_at_end ?? 0, 1e-8);
    let norm = Number.POSITIVE_INFINITY;
    let t = 0;
    while (norm > target && t < 20 * file.steps) {
      t++;
      feed?.(training, t);
      const report = training.step();
      norm = report.gradientNorm ?? Math.hypot(...objective.gradient().gradient.data);
      if (!report.finite || report.stop) break;
    }
    const [start, end] = file.loss as [number, number];
    const off = notNaN(Math.abs(objective.loss() - end) / (Math.abs(start - end) || 1));
    const note = `${t} steps where the reference took ${file.steps}`;
    return { lossDeviation: off, parameterDeviation: undefined, tolerance, ok: off <= tolerance, note };
  } finally {
    training.release();
  }
}

/**
 * Compares every file of the folder whose name contains one of `only`.
 * @throws FormatError when the folder or its problems.json is unusable.
 */
export function compareFolder(
  runtime: Runtime,
  folder: string,
  options: { readonly only?: readonly string[]; readonly references?: readonly Reference[] } = {},
): Table {
  const table = options.references ?? references;
  const names = listTrajectories(folder).filter(
    (name) => !options.only?.length || options.only.some((part) => name.includes(part)),
  );
  if (names.length === 0)
    throw new FormatError(`${folder}: no file's name contains ${(options.only ?? []).join(" or ")}`);
  const given = readProblems(folder);

  const built = new Map<string, Rebuilt | FormatError>();
  const rows: ProblemRow[] = [];
  /** A problem stands in the table once, in however many ways its curvature is taken. */
  const addRow = (row: ProblemRow) => {
    if (!rows.some(({ problem, dtype }) => problem === row.problem && dtype === row.dtype)) rows.push(row);
  };
  /** The problem at its start. Its row is made the first time. @throws FormatError when it cannot be rebuilt. */
  const startOf = (name: string, dtype: "f32" | "f64", regularised: boolean): Rebuilt => {
    const key = `${name} ${dtype} ${regularised}`;
    let found = built.get(key);
    if (!found) {
      try {
        const rebuilt = rebuild(runtime, name, given[name]!, dtype, regularised);
        found = { ...rebuilt, row: checkStart(name, given[name]!, rebuilt) };
        addRow(found.row);
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        found = error;
        const nothing = { lossDeviation: undefined, gradientDeviation: undefined, tolerance: undefined };
        addRow({ problem: name, dtype, ...nothing, status: "unusable", note: error.message });
      }
      built.set(key, found);
    }
    if (found instanceof FormatError) throw found;
    found.objective.parameters.set(found.vector(given[name]!.params));
    return found;
  };

  const compareFile = (name: string): FileRow => {
    const stem = name.replace(/\.json$/, "");
    const dot = stem.indexOf(".");
    const empty = {
      file: name,
      problem: stem.slice(0, Math.max(0, dot)),
      optimizer: stem.slice(dot + 1),
      steps: undefined,
      amplification: undefined,
      lossDeviation: undefined,
      parameterDeviation: undefined,
      tolerance: undefined,
    };
    let file: Trajectory;
    try {
      file = readTrajectory(folder, name, given);
    } catch (error) {
      if (error instanceof FormatError) return { ...empty, status: "unusable", note: error.message };
      throw error;
    }
    const known = {
      ...empty,
      problem: file.problem,
      optimizer: file.optimizer,
      steps: file.steps,
      amplification: file.amplification ?? undefined,
    };
    try {
      const dtype = /^float(64|32)\b/.exec(file.dtype)?.[1];
      if (!dtype) throw new FormatError(`${name}: dtype is "${file.dtype}"; use float64 or float32`);
      const reference = findReference(file.optimizer, table);
      const repetition = reference?.prepare(file);
      const start = startOf(
        file.problem,
        dtype === "64" ? "f64" : "f32",
        repetition?.regulariserInCurvature ?? false,
      );
      if (!repetition) return { ...known, status: "missing", note: "no method is known that repeats this" };
      const follow = file.kind === "final-only" ? reachEnd : followTrajectory;
      const { ok, ...result } = follow(start, file, repetition);
      const startOff = start.row.status !== "ok" ? "the problem deviates at its start; " : "";
      return { ...known, ...result, status: ok ? "ok" : "deviates", note: startOff + result.note };
    } catch (error) {
      if (error instanceof FormatError || error instanceof SettingsError)
        return { ...known, status: "unusable", note: error.message };
      throw error;
    }
  };

  try {
    const files = names.map(compareFile);
    return { problems: rows, files };
  } finally {
    for (const problem of built.values()) if (!(problem instanceof FormatError)) problem.objective.release();
  }
}

/** 0 when all is well, 1 when something that exists deviates, else 2 when something was unusable. */
export function exitCode({ problems: starts, files }: Table): 0 | 1 | 2 {
  const all = [...starts, ...files].map((row) => row.status);
  return all.includes("deviates") ? 1 : all.includes("unusable") ? 2 : 0;
}
