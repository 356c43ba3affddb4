/** What Shampoo keeps and computes. */
import { type ArrayShape, type ModelShape, parameterCount } from "../../curvature/model-shape.js";
import {
  arraysOf,
  type Costs,
  decayMask,
  every,
  scalars,
  sharedFlops,
  sizeOfArray,
  vectors,
} from "../costs.js";
import { hasRoots, type ShampooSettings, usualExponent } from "./settings.js";

/** One axis of an array in blocks. */
interface BlockedAxis {
  readonly axis: number;
  /** Of the array: elements, and axes. */
  readonly size: number;
  readonly rank: number;
  /** Over all blocks of the array: Σ extent², Σ extent³, and the mean extent, weighted by elements. */
  readonly squares: number;
  readonly cubes: number;
  readonly meanExtent: number;
}

function blockedAxes(array: ArrayShape, blockSize: number): BlockedAxis[] {
  const size = sizeOfArray(array);
  return array.shape.map((extent, axis) => {
    const others = array.shape
      .filter((_, other) => other !== axis)
      .reduce((product, length) => product * Math.ceil(length / blockSize), 1);
    const rest = extent % blockSize;
    const powers = (p: number) => Math.floor(extent / blockSize) * blockSize ** p + rest ** p;
    return {
      axis,
      size,
      rank: array.shape.length,
      squares: others * powers(2),
      cubes: others * powers(3),
      meanExtent: powers(2) / extent,
    };
  });
}

export function shampooCosts(shape: ModelShape, s: ShampooSettings): Costs {
  const n = parameterCount(shape);
  const axes = arraysOf(shape).flatMap((array) =>
    hasRoots(array, s) ? blockedAxes(array, s.blockSize) : [],
  );
  const sum = (of: (axis: BlockedAxis) => number) => axes.reduce((all, axis) => all + of(axis), 0);
  const squares = sum((axis) => axis.squares);
  const product = sum((axis) => 2 * axis.size * axis.meanExtent);
  const grafted = { none: 0, sgd: 5, adagrad: 10, rmsprop: 12, adam: 13 }[s.graft];
  const each = 5 + (s.beta1 > 0 ? 4 : 0) + grafted + (s.momentum > 0 ? 2 : 0) + sharedFlops(s);
  const moments =
    (s.beta1 > 0 ? 1 : 0) + (s.graft === "none" || s.graft === "sgd" ? 0 : 1) + (s.momentum > 0 ? 1 : 0);
  const root = s.root === "eigen" ? "11 Σ axis³" : "20 Σ 2(2 + log₂ p) axis³";
  return {
    state: [
      ...vectors("moments", moments, n),
      { part: "factors", formula: "Σ axis²", elements: squares },
      { part: "roots", formula: "Σ axis²", elements: squares },
      scalars(),
    ],
    workspace: [...vectors("gradient", 1, n), ...decayMask(s, shape)],
    work: [
      s.variant === "paper"
        ? { part: "curvature", formula: "2 Σ size·axis + 4 Σ axis²", flops: product + 4 * squares }
        : {
            part: "curvature",
            formula: "2 Σ (axes − i + 1) size·axisᵢ + 4 Σ axis²",
            flops: sum((axis) => 2 * axis.size * axis.meanExtent * (axis.rank - axis.axis)) + 4 * squares,
          },
      {
        part: "inversion",
        formula: every(s.interval, root),
        flops:
          sum(
            ({ cubes, rank }) =>
              cubes * (s.root === "eigen" ? 11 : 40 * (2 + Math.log2(s.exponent || usualExponent(s, rank)))),
          ) / s.interval,
      },
      { part: "update", formula: `2 Σ size·axis + ${each}n`, flops: product + each * n },
    ],
    evaluations: { gradients: 1 },
  };
}
