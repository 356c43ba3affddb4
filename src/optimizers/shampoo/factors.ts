/** The statistics Lᵢ and roots Pᵢ of Shampoo: a pair for every axis of every block of the arrays that have them. */
import type { Objective } from "../../curvature/objective.js";
import type { Entry } from "../../nn/parameters.js";
import type { Buffer } from "../../runtime/memory.js";
import type { Tensor } from "../../tensor/tensor.js";
import { type Block, blocksOf } from "../blocking.js";
import { setIdentity } from "../eigenbasis.js";
import type { Coverage } from "../optimizer.js";
import { hasRoots, type ShampooSettings, usualExponent } from "./settings.js";

/** A block of an array: its own preconditioners turn it. */
export interface ArrayBlock {
  readonly entry: Entry;
  readonly block: Block;
  readonly name: string;
}

export interface AxisFactor extends ArrayBlock {
  readonly axis: number;
  /** L and P, [n, n]; P is I at first. */
  readonly statistics: Buffer;
  readonly root: Buffer;
  /** P = L^(−1/p). */
  readonly p: number;
}

export interface Factors {
  readonly blocks: readonly ArrayBlock[];
  /** Block after block, axis after axis. */
  readonly axes: readonly AxisFactor[];
}

export function createFactors({ runtime, dtype, layout }: Objective, settings: ShampooSettings): Factors {
  const blocks = layout.entries.flatMap((entry) =>
    hasRoots(entry, settings)
      ? blocksOf(entry.shape, settings.blockSize).map((block, k) => ({
          entry,
          block,
          name: `${entry.name}.${k}`,
        }))
      : [],
  );
  const axes = blocks.flatMap((part) =>
    part.block.map(([from, to], axis) => {
      const matrix = () => runtime.buffer(dtype, [to - from, to - from]);
      const [statistics, root] = [matrix(), matrix()];
      setIdentity(root);
      const p = settings.exponent || usualExponent(settings, part.entry.shape.length);
      return { ...part, axis, name: `${part.name}.${axis}`, statistics, root, p };
    }),
  );
  return { blocks, axes };
}

/** An array of θ, or of what has its length. */
export const arrayOf = (vector: Tensor, { offset, size, shape }: Entry): Tensor =>
  vector.slice(0, offset, offset + size).reshape(shape);

/** Which arrays have roots, of which orders, and why the others have none. */
export function coverageOf(
  { layout }: Objective,
  { blocks, axes }: Factors,
  graft: ShampooSettings["graft"],
): Coverage[] {
  return layout.entries.map((entry) => {
    const { name, shape, size } = entry;
    const own = axes.filter((factor) => factor.entry === entry);
    const cuts = blocks.filter((block) => block.entry === entry).length;
    return {
      name,
      size,
      treatment: own.length > 0 ? "a root for every axis" : `as ${graft} has it`,
      orders: [...new Set(own.map(({ root }) => root.shape[0]!))],
      bytes: own.reduce(
        (sum, { statistics, root }) => sum + statistics.data.byteLength + root.data.byteLength,
        0,
      ),
      reason:
        own.length === 0
          ? "fewer than two axes"
          : `${shape.length} ${shape.length === 1 ? "axis" : "axes"}${cuts > 1 ? `, in ${cuts} blocks` : ""}`,
    };
  });
}
