/** The one table of primitives: how each is evaluated, differentiated, transposed and batched. */
import { isBinary, isCompare, isUnary, type Op } from "../op.js";
import * as contraction from "./contraction.js";
import * as elementwise from "./elementwise.js";
import * as indexing from "./indexing.js";
import * as layout from "./layout.js";
import * as reduction from "./reduction.js";
import type { Rules } from "./rules.js";
import * as source from "./source.js";

type OtherKind = Exclude<
  Op["kind"],
  import("../op.js").UnaryKind | import("../op.js").BinaryKind | import("../op.js").CompareKind
>;

const table: { readonly [K in OtherKind]: Rules<Extract<Op, { kind: K }>> } = {
  input: source.input,
  constant: source.constant,
  fill: source.fill,
  iota: source.iota,
  random: source.random,
  select: elementwise.select,
  cast: elementwise.cast,
  reshape: layout.reshape,
  permute: layout.permute,
  expand: layout.expand,
  slice: layout.slice,
  pad: layout.pad,
  concat: layout.concat,
  reverse: layout.reverse,
  reduceSum: reduction.reduceSum,
  reduceMax: reduction.reduceMax,
  argMax: reduction.argMax,
  cumsum: reduction.cumsum,
  dot: contraction.dot,
  patches: contraction.patches,
  fold: contraction.fold,
  gather: indexing.gather,
  scatterAdd: indexing.scatterAdd,
  identity: source.identity,
  stopGradient: source.stopGradient,
  mark: source.mark,
};

/** The rules of a primitive. */
export function rulesOf<O extends Op>(op: O): Rules<O> {
  if (isUnary(op)) return elementwise.unary as unknown as Rules<O>;
  if (isBinary(op)) return elementwise.binary as unknown as Rules<O>;
  if (isCompare(op)) return elementwise.compare as unknown as Rules<O>;
  return table[op.kind as OtherKind] as unknown as Rules<O>;
}
