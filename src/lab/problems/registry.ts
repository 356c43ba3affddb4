/** The problems by name. */
import { didYouMean } from "../../optimizers/names.js";
import { readSettings } from "../../optimizers/settings.js";
import { UserError } from "../errors.js";
import type { Problem, ProblemKind } from "../problem.js";
import type { ProblemSettings } from "../settings.js";
import { autoencoder } from "./autoencoder.js";
import { controlProblems } from "./control.js";
import { fashionResnet } from "./fashion-resnet.js";
import { fineTune } from "./fine-tune.js";
import { functionProblems } from "./functions.js";
import { ganDigits } from "./gan-digits.js";
import { ganGaussians } from "./gan-gaussians.js";
import { imageProblems } from "./images.js";
import { mobyDickProblem } from "./moby-dick.js";
import { importProblem } from "./own.js";
import { pinnBurgers } from "./pinn-burgers.js";
import { pinnHeat } from "./pinn-heat.js";
import { pinnHelmholtz } from "./pinn-helmholtz.js";
import { poissonProblems } from "./pinn-poisson.js";
import { rawTables } from "./raw-tables.js";
import { recurrentProblems } from "./recurrent.js";
import { tableProblem } from "./table.js";

/**
 * Every problem that has a name.
 *
 *     problems.map(({ name }) => name)   // "digits-mlp", …
 */
export const problems: readonly ProblemKind[] = [
  ...imageProblems,
  autoencoder,
  ...recurrentProblems,
  fashionResnet,
  mobyDickProblem,
  fineTune,
  ganGaussians,
  ganDigits,
  tableProblem,
  ...rawTables,
  ...poissonProblems,
  pinnHeat,
  pinnBurgers,
  pinnHelmholtz,
  ...functionProblems,
  ...controlProblems,
] as readonly ProblemKind[];

/**
 * A problem by name, its data read; options that are not given have their defaults.
 *
 *     openProblem({ name: "digits-mlp", options: { hidden: "256-128" } })
 *
 * @throws UserError for an unknown name, SettingsError for an unknown or unusable option, DataError for its data.
 */
export const openProblem = (settings: ProblemSettings): Problem =>
  openKind(findProblem(settings.name), settings);

/**
 * The same of a problem of one's own too, whose settings name the file of a module.
 *
 *     await loadProblem({ name: "own", file: "/home/me/valley.ts", options: { width: 0.01 } })
 *
 * @throws UserError also when the file is no module that exports a problem kind.
 */
export const loadProblem = async (settings: ProblemSettings): Promise<Problem> =>
  settings.file === undefined
    ? openProblem(settings)
    : openKind(await importProblem(settings.file), settings);

/** @throws UserError for an unknown name. */
function findProblem(name: string): ProblemKind {
  const kind = problems.find((problem) => problem.name === name);
  if (kind) return kind;
  const names = problems.map((problem) => problem.name);
  throw new UserError(
    `there is no problem "${name}"${didYouMean(name, names) || `; there are ${names.join(", ")}`}`,
  );
}

function openKind(kind: ProblemKind, { options, file }: ProblemSettings): Problem {
  const complete = readSettings(kind.name, kind.options, options);
  const settings = {
    name: kind.name,
    options: complete as ProblemSettings["options"],
    ...(file === undefined ? {} : { file }),
  };
  return { ...kind.open(complete), ...(kind.task && { task: kind.task }), settings };
}
