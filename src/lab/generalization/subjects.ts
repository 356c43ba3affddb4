/** Which solutions are compared: the last parameters of runs of one problem, found in folders of races and of runs. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import * as v from "valibot";
import { UserError } from "../errors.js";
import { natural } from "../numbers.js";
import { labelsOf, readRace } from "../race.js";
import { type RunRecord, readArrays, readRun, runExists } from "../run-record.js";
import { optimizerSettingsSchema, type ProblemSettings } from "../settings.js";
import { isFinal } from "../stop.js";
import type { NamedArray } from "../tensors.js";

export const subjectSchema = v.strictObject({
  /** Its optimizer's, unique among those compared: "adam", "adam(learningRate=0.01)". */
  label: v.string(),
  optimizer: optimizerSettingsSchema,
  seed: natural,
  batch: natural,
  steps: natural,
  folder: v.string(),
  /** Of its parameters: a comparison that goes on must find what it began with. */
  digest: v.string(),
});
/** A run whose solution is compared. */
export type Subject = v.InferOutput<typeof subjectSchema>;

export interface Found {
  readonly problem: ProblemSettings;
  readonly subjects: readonly Subject[];
  /** Runs of races that have no solution, and why. */
  readonly leftOut: readonly { readonly folder: string; readonly why: string }[];
}

/**
 * The runs in folders of races and of runs, in their order.
 *
 *     const { problem, subjects } = findSubjects(["thalweg-runs/digits", "thalweg-runs/lbfgs"]);
 *
 * @throws UserError when a folder holds neither, a run that is named has no solution, or they are of different problems.
 */
export function findSubjects(folders: readonly string[]): Found {
  const leftOut: Found["leftOut"][number][] = [];
  const runs: RunRecord[] = [];
  for (const folder of folders) {
    if (existsSync(join(folder, "race.json")))
      for (const { entry, run } of readRace(folder).entries) {
        const why = run ? whyNone(run) : "it has not begun";
        if (why === undefined) runs.push(run!);
        else leftOut.push({ folder: entry.folder, why });
      }
    else if (runExists(folder)) {
      const run = readRun(folder);
      const why = whyNone(run);
      if (why !== undefined) throw new UserError(`"${folder}" has no solution to compare: ${why}`);
      runs.push(run);
    } else
      throw new UserError(
        existsSync(folder)
          ? `"${folder}" holds neither a race nor a run: it has no race.json and no run.json; name folders that --out made`
          : `"${folder}" does not exist; name folders of races or runs`,
      );
  }
  const paths = runs.map(({ folder }) => resolve(folder));
  const twice = runs.find((_, k) => paths.indexOf(paths[k]!) !== k);
  if (twice) throw new UserError(`"${twice.folder}" is named twice; name it once`);
  const [first] = runs;
  if (!first) {
    const shown = leftOut.slice(0, 3).map(({ folder, why }) => `"${folder}": ${why}`);
    const more = leftOut.length > 3 ? `; and ${leftOut.length - 3} more like these` : "";
    throw new UserError(`there is no solution to compare: ${shown.join("; ")}${more}`);
  }
  for (const run of runs) demandOneProblem(first, run);
  return { problem: first.settings.problem, subjects: labelled(runs), leftOut };
}

function whyNone({ folder, result }: RunRecord): string | undefined {
  if (!result || !isFinal(result.reason)) return "it has not ended; go on with it by --resume";
  if (result.diverged) return `it diverged at step ${result.diverged.step}`;
  if (!existsSync(join(folder, "checkpoint.safetensors"))) return "its checkpoint is missing";
  return undefined;
}

/** @throws UserError naming the first difference. */
function demandOneProblem(a: RunRecord, b: RunRecord): void {
  const [one, other] = [a.settings.problem, b.settings.problem];
  const differ = (what: string, x: unknown, y: unknown) =>
    new UserError(
      `"${a.folder}" is of ${what}${String(x)}, "${b.folder}" of ${what}${String(y)}; compare runs of one problem`,
    );
  if (one.name !== other.name) throw differ("", one.name, other.name);
  if (one.file !== other.file) throw differ("", one.file ?? one.name, other.file ?? other.name);
  const names = new Set([...Object.keys(one.options), ...Object.keys(other.options)]);
  for (const name of names)
    if (one.options[name] !== other.options[name])
      throw differ(`${one.name} with ${name}=`, one.options[name], other.options[name]);
}

/** Runs of equal settings are one optimizer's, as often as their seeds differ. */
function labelled(runs: readonly RunRecord[]): Subject[] {
  const keys: string[] = [];
  const seen = new Set<string>();
  for (const { settings } of runs) {
    const kind = JSON.stringify([settings.optimizer, settings.batch]);
    let key = kind;
    for (let again = 2; seen.has(`${key} ${settings.seed}`); again++) key = `${kind} ${again}`;
    seen.add(`${key} ${settings.seed}`);
    keys.push(key);
  }
  const kinds = [...new Set(keys)];
  const labels = labelsOf(kinds.map((kind) => runs[keys.indexOf(kind)]!.settings.optimizer));
  return runs.map(({ folder, settings: { optimizer, seed, batch }, result }, k) => ({
    label: labels[kinds.indexOf(keys[k]!)]!,
    optimizer,
    seed,
    batch,
    steps: result!.steps,
    folder,
    digest: digestOf(readArrays(folder)),
  }));
}

/** Of the parameters and the model's state; what an optimizer keeps beside them is no part of a solution. */
export function digestOf(arrays: readonly NamedArray[]): string {
  const hash = createHash("sha256");
  for (const { name, data } of arrays)
    if (name.startsWith("parameters.") || name === "state")
      hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return hash.digest("hex").slice(0, 16);
}

/** Two subjects by their places in the list. */
export interface Pair {
  readonly from: number;
  readonly to: number;
  /** Equal seeds begin with equal parameters, and see equal batches where these are of one size. */
  readonly sameStart: boolean;
}

/**
 * Which lines are measured: between all runs of one seed, and, of each two optimizers (and each with itself), from
 * every seed to the next.
 */
export function pairsOf(subjects: readonly Pick<Subject, "label" | "seed">[]): Pair[] {
  const labels = [...new Set(subjects.map(({ label }) => label))];
  const seeds = [...new Set(subjects.map(({ seed }) => seed))].sort((a, b) => a - b);
  const pairs = subjects.flatMap((a, from) =>
    subjects.flatMap((b, to): Pair[] => {
      if (from === to || labels.indexOf(a.label) > labels.indexOf(b.label)) return [];
      if (a.seed === b.seed) return [{ from, to, sameStart: true }];
      return seeds.indexOf(b.seed) === seeds.indexOf(a.seed) + 1 ? [{ from, to, sameStart: false }] : [];
    }),
  );
  return [...pairs.filter((pair) => pair.sameStart), ...pairs.filter((pair) => !pair.sameStart)];
}
