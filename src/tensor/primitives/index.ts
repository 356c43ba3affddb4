/** The one table of primitives: how each is evaluated, differentiated, transposed and batched. */
import type { Op } from "../op.js";
import { contraction } from "./contraction.js";
import { elementwise } from "./elementwise.js";
import { indexing } from "./indexing.js";
import { layout } from "./layout.js";
import { reduction } from "./reduction.js";
import type { Family, Rules } from "./rules.js";
import { source } from "./source.js";

export const rules: Family<Op["kind"]> = {
  ...source,
  ...elementwise,
  ...layout,
  ...reduction,
  ...contraction,
  ...indexing,
};

/** The rules of a primitive. */
export const rulesOf = (op: Op): Rules<Op> => rules[op.kind];
