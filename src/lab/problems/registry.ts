/** The problems by name. */
import { didYouMean } from "../../optimizers/names.js";
import { readSettings } from "../../optimizers/settings.js";
import { UserError } from "../errors.js";
import type { Problem, ProblemKind } from "../problem.js";
import type { ProblemSettings } from "../settings.js";
import { autoencoder } from "./autoencoder.js";
import { imageProblems } from "./images.js";
import { pinnHeat } from "./pinn-heat.js";
import { pinnPoisson } from "./pinn-poisson.js";
import { recurrentProblems } from "./recurrent.js";
import { tableProblem } from "./table.js";

export const problems: readonly ProblemKind[] = [
  ...imageProblems,
  autoencoder,
  ...recurrentProblems,
  tableProblem,
  pinnPoisson,
  pinnHeat,
] as readonly ProblemKind[];

/**
 * A problem by name, its data read; options that are not given have their defaults.
 *
 *     openProblem({ name: "digits-mlp", options: { hidden: "256-128" } })
 *
 * @throws UserError for an unknown name, SettingsError for an unknown or unusable option, DataError for its data.
 */
export function openProblem({ name, options }: ProblemSettings): Problem {
  const kind = problems.find((problem) => problem.name === name);
  if (!kind) {
    const names = problems.map((problem) => problem.name);
    throw new UserError(
      `there is no problem "${name}"${didYouMean(name, names) || `; there are ${names.join(", ")}`}`,
    );
  }
  const complete = readSettings(name, kind.options, options);
  return { ...kind.open(complete), settings: { name, options: complete as ProblemSettings["options"] } };
}
