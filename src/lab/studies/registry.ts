/** The studies by name. */
import { didYouMean } from "../../optimizers/names.js";
import { UserError } from "../errors.js";
import { batch } from "./batch.js";
import { condition } from "./condition.js";
import { damping } from "./damping.js";
import { inversion } from "./inversion.js";
import { staleness } from "./staleness.js";
import type { Study } from "./study.js";
import { switchStudy } from "./switch.js";

/**
 * The studies, in the order in which they are shown.
 *
 *     studies.map(({ name, question }) => `${name}: ${question}`)
 */
export const studies: readonly Study[] = [condition, batch, staleness, inversion, damping, switchStudy];

/**
 * The study of that name.
 *
 *     findStudy("condition").tasks("quick").length
 *
 * @throws UserError for an unknown name.
 */
export function findStudy(name: string): Study {
  const study = studies.find((one) => one.name === name);
  if (study) return study;
  const names = studies.map((one) => one.name);
  throw new UserError(
    `there is no study "${name}"${didYouMean(name, names) || `; there are ${names.join(", ")}`}`,
  );
}
