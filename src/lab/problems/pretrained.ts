/** Parameters of a network that was trained before, from a run of `thalweg train` or a safetensors file. */
import { existsSync, lstatSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Model } from "../../nn/model.js";
import { sameShape } from "../../tensor/shape.js";
import { explainFileError, UserError } from "../errors.js";
import { readArrays, readRun } from "../run-record.js";
import { decodeTensors, type NamedArray } from "../tensors.js";

/** Where runs are kept that other problems begin from: a folder in the user's cache (XDG). */
export const pretrainedFolder = (name: string): string =>
  join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "thalweg", "pretrained", name);

/**
 * The arrays of a run's checkpoint, or of a safetensors file with the same names (parameters.layers.0.weight, …).
 * `problem` is the command's word for what should have been trained: "fashion-cnn:channels=16-32".
 *
 * @throws UserError when there is nothing, it is damaged, or a run of another problem.
 */
export function readPretrained(path: string, problem: string): readonly NamedArray[] {
  if (!existsSync(path))
    throw new UserError(
      `there is no pretrained network at "${path}"; make it with: thalweg train ${problem} --out ${path}`,
    );
  if (lstatSync(path).isDirectory()) {
    const trained = readRun(path).settings.problem.name;
    const [wanted] = problem.split(":");
    if (trained !== wanted)
      throw new UserError(`"${path}" is a run of ${trained}, not of ${wanted}; name another one`);
    return readArrays(path);
  }
  try {
    return decodeTensors(readFileSync(path), path).arrays;
  } catch (error) {
    throw explainFileError(error, path);
  }
}

/**
 * The model with initial values of the arrays: all of its parameters but those that `isFresh`, which are drawn as
 * before.
 *
 *     withPretrained(network, readPretrained(folder, "fashion-cnn"), folder, (name) => name.startsWith("layers.7"))
 *
 * @throws UserError when an array is missing or of another shape.
 */
export function withPretrained(
  network: Model,
  arrays: readonly NamedArray[],
  path: string,
  isFresh: (name: string) => boolean,
): Model {
  const { layout } = network;
  const byName = new Map(arrays.map((array) => [array.name, array]));
  const known = layout.entries
    .filter(({ name }) => !isFresh(name))
    .map(({ name, shape, offset }) => {
      const found = byName.get(`parameters.${name}`);
      if (!found || !sameShape(found.shape, shape))
        throw new UserError(
          `the network in "${path}" is another one: "${name}" should be [${shape.join(", ")}] and is ` +
            `${found ? `[${found.shape.join(", ")}]` : "missing"}; train it with the same layers`,
        );
      return { offset, data: found.data };
    });
  return {
    ...network,
    init(seed) {
      const { parameters, state } = network.init(seed);
      const theta = layout.flatten(parameters);
      for (const { data, offset } of known) theta.data.set(data, offset);
      return { parameters: layout.unflatten(theta), state };
    },
  };
}
