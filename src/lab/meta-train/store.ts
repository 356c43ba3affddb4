/**
 * A meta-training on disk, complete at every moment:
 *
 *     meta-train.json          settings and machine
 *     metrics.jsonl            a line for each validation
 *     checkpoint.safetensors   all that the next update of φ depends on; replaced as a whole
 *     learned.safetensors      the best weights so far
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { phiLayout } from "../../optimizers/learned/network.js";
import { explainFileError, UserError } from "../errors.js";
import { makeFolder, parseJson, replaceFile, validate } from "../files.js";
import { folderRecord } from "../folder-record.js";
import { readLines, replaceLines } from "../lines.js";
import { lockFolder } from "../lock.js";
import { type Environment, environmentSchema } from "../machine.js";
import { count, natural, positive, seed } from "../numbers.js";
import { decodeTensors, encodeTensors, type NamedArray } from "../tensors.js";
import type { MetaSettings, MetaState } from "./meta-train.js";
import { encodeWeights } from "./weights-file.js";

const settingsSchema = v.strictObject({
  seed,
  steps: count,
  pairs: count,
  stretch: count,
  shortest: count,
  longest: count,
  sigma: positive,
  learningRate: positive,
  clip: positive,
  architectures: count,
  validateEvery: count,
  validationProblems: count,
  validationSteps: count,
});
const record = folderRecord(
  "meta-train",
  { settings: settingsSchema, environment: environmentSchema },
  "meta-training",
);

/** A line of metrics.jsonl. */
const validationSchema = v.object({
  /** Updates of φ so far. */
  step: natural,
  seconds: v.pipe(v.number(), v.minValue(0)),
  /** Means since the line before: ℓ of the stretches, and ‖ĝ‖. Absent at step 0. */
  loss: v.optional(v.number()),
  gradientNorm: v.optional(v.number()),
  /** ℓ of the validation problems under φ̄, and the best so far. */
  validation: v.number(),
  best: v.number(),
});
export type Validation = v.InferOutput<typeof validationSchema>;

/** Sums since the last line, and the time so far. */
const progressSchema = v.object({
  step: natural,
  seconds: v.pipe(v.number(), v.minValue(0)),
  lossSum: v.number(),
  normSum: v.number(),
  best: v.object({ loss: v.number(), step: natural }),
  pairs: v.array(v.object({ episode: natural, step: natural })),
});
export type MetaProgress = Pick<v.InferOutput<typeof progressSchema>, "seconds" | "lossSum" | "normSum">;

export interface MetaStore {
  readonly folder: string;
  readonly settings: MetaSettings;
  readonly validations: readonly Validation[];
  readonly checkpoint: { readonly state: MetaState; readonly progress: MetaProgress } | undefined;
  append(validation: Validation): void;
  save(state: MetaState, progress: MetaProgress): void;
  saveBest(state: MetaState): void;
  close(): void;
}

const files = {
  metrics: "metrics.jsonl",
  checkpoint: "checkpoint.safetensors",
  weights: "learned.safetensors",
} as const;

/** The file of a folder where the best weights are. */
export const weightsPath = (folder: string): string => join(folder, files.weights);

/** @throws UserError when the folder holds something already, cannot be written, or is in use. */
export async function createMetaTraining(
  folder: string,
  settings: MetaSettings,
  environment: Environment,
): Promise<MetaStore> {
  makeFolder(folder);
  const release = await lockFolder(folder);
  try {
    record.begin(folder, { settings, environment });
    return store(folder, settings, environment, [], undefined, release);
  } catch (error) {
    release();
    throw explainFileError(error, folder);
  }
}

/**
 * Goes on; `steps` may be raised.
 *
 * @throws UserError when the folder holds no meta-training, is damaged, or is in use.
 */
export async function resumeMetaTraining(folder: string, steps?: number): Promise<MetaStore> {
  const { created, environment, ...first } = record.read(folder);
  const release = await lockFolder(folder);
  try {
    const settings = { ...first.settings, ...(steps === undefined ? {} : { steps }) };
    if (steps !== undefined) record.replace(folder, created, { settings, environment });
    const checkpoint = readCheckpoint(folder, settings);
    const last = checkpoint?.state.step ?? -1;
    const kept = readValidations(folder).filter(({ step }) => step <= last);
    return store(folder, settings, environment, kept, checkpoint, release);
  } catch (error) {
    release();
    throw explainFileError(error, folder);
  }
}

const readValidations = (folder: string): Validation[] =>
  readLines(join(folder, files.metrics), validationSchema).map(({ line }) => line);

const vectors = ["phi", "average", "mean", "square"] as const;

function store(
  folder: string,
  settings: MetaSettings,
  environment: Environment,
  before: readonly Validation[],
  checkpoint: MetaStore["checkpoint"],
  close: () => void,
): MetaStore {
  const validations = [...before];
  return {
    folder,
    settings,
    validations,
    checkpoint,
    close,
    append(validation) {
      validations.push(validation);
      replaceLines(join(folder, files.metrics), validations);
    },
    save(state, { seconds, lossSum, normSum }) {
      const arrays: NamedArray[] = [
        ...vectors.map((name) => named(name, state[name])),
        named("best", state.best.phi),
        ...state.pairs.flatMap(({ plus, minus, perturbations }, pair) => [
          named(`${pair}.plus`, plus.values),
          named(`${pair}.minus`, minus.values),
          named(`${pair}.perturbations`, perturbations),
        ]),
      ];
      const progress: v.InferOutput<typeof progressSchema> = {
        step: state.step,
        seconds,
        lossSum,
        normSum,
        best: { loss: state.best.loss, step: state.best.step },
        pairs: state.pairs.map(({ episode, plus }) => ({ episode, step: plus.step })),
      };
      replaceFile(
        join(folder, files.checkpoint),
        encodeTensors(arrays, { format: "thalweg-meta-checkpoint", progress: JSON.stringify(progress) }),
      );
    },
    saveBest({ best }) {
      const { thalweg: version, node, processor, blas } = environment;
      replaceFile(
        weightsPath(folder),
        encodeWeights(best.phi, {
          command: commandOf(settings),
          seed: settings.seed,
          step: best.step,
          validation: best.loss,
          version,
          machine: `${processor}, Node ${node}, ${blas}`,
        }),
      );
    },
  };
}

/** The command that makes the weights again, as far as settings differ from what `meta-train` does by itself. */
const commandOf = ({ seed, steps, pairs, sigma, learningRate }: MetaSettings): string =>
  `thalweg meta-train --seed ${seed} --steps ${steps} --pairs ${pairs} --sigma ${sigma} --learning-rate ${learningRate} --threads 1`;

function named(name: string, data: Float64Array | Float32Array): NamedArray {
  return { name, dtype: data instanceof Float64Array ? "f64" : "f32", shape: [data.length], data };
}

function readCheckpoint(folder: string, settings: MetaSettings): MetaStore["checkpoint"] {
  const path = join(folder, files.checkpoint);
  if (!existsSync(path)) return undefined;
  const { metadata, arrays } = decodeTensors(readFileSync(path), path);
  const place = `${path} (progress)`;
  const progress = validate(progressSchema, parseJson(metadata.progress ?? "null", place), place);
  const byName = new Map(arrays.map((array) => [array.name, array.data]));
  const damaged = (name: string) =>
    new UserError(`"${path}" is damaged: "${name}" is missing; delete it to start from the first step`);
  const double = (name: string): Float64Array => {
    const data = byName.get(name);
    if (!(data instanceof Float64Array) || data.length !== phiLayout.size) throw damaged(name);
    return data;
  };
  const inner = (name: string, step: number) => {
    const values = byName.get(name);
    if (!(values instanceof Float32Array)) throw damaged(name);
    return { values, step };
  };
  if (progress.pairs.length !== settings.pairs) throw damaged("pairs");
  const [phi, average, mean, square] = vectors.map(double) as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  return {
    progress,
    state: {
      step: progress.step,
      phi,
      average,
      mean,
      square,
      best: { ...progress.best, phi: double("best") },
      pairs: progress.pairs.map(({ episode, step }, pair) => ({
        episode,
        plus: inner(`${pair}.plus`, step),
        minus: inner(`${pair}.minus`, step),
        perturbations: double(`${pair}.perturbations`),
      })),
    },
  };
}
