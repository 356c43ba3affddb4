/** Examples that a problem keeps from learning, to choose by: the test is then measured once, at the end. */
import { holdOut, type Split } from "../../data/dataset.js";
import { count } from "../../optimizers/settings.js";
import { formatCount } from "../format.js";

/** An option of problems that can keep a part of what they learn from. */
export const validationOption = count(
  0,
  "examples kept from learning: runs are measured on them, and on the test once, at the end; 0: on the test",
);

/** The same seed for all: what is validated on is a part of the problem, not of a run. */
export const validated = (data: Split, kept: number): Split => (kept === 0 ? data : holdOut(data, kept, 0));
/** "1,000 to validate, 2,000 to test". */
export const sizesHeld = ({ validation, test }: Split): string =>
  `${validation ? `${formatCount(validation.size)} to validate, ` : ""}${formatCount(test.size)} to test`;
