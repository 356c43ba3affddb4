/**
 * What a method keeps and computes, from a model's shape and the method's settings: each term as a number, and as the
 * formula that people read. n is the number of parameters, B of the examples in a batch; FLOPs are counted as
 * compiler/cost.ts counts them, and for LAPACK
 *
 *     Cholesky ⅓n³, with the inverse n³    LU ⅔n³    QR with Q 8/3 n³    eigenvectors of a symmetric matrix 9n³
 *
 * Golub & Van Loan 2013, "Matrix computations". The work of the questions (gradients, products) is not in the terms: how
 * often they are asked is told, and what they cost is the model's.
 */
import { type ArrayShape, type ModelShape, parameterCount } from "../curvature/model-shape.js";
import type { Question } from "./catalogue.js";

/** What is kept for the next step. Scalars: counters, λ and the like. */
export type StatePart =
  | "moments"
  | "factors"
  | "inverses"
  | "roots"
  | "bases"
  | "history"
  | "probes"
  | "scalars";

export interface Size<Part extends string = string> {
  readonly part: Part;
  readonly formula: string;
  readonly elements: number;
}

export interface Work {
  /** Of estimates of curvature; of inverses, roots and bases; of the rest: averages, products, the step itself. */
  readonly part: "curvature" | "inversion" | "update";
  readonly formula: string;
  /** Of one step, the mean over the refresh interval. */
  readonly flops: number;
}

export interface Costs {
  /** `Training.state`, exactly. */
  readonly state: readonly Size<StatePart>[];
  /** Vectors and matrices that exist while a training does, beside state, θ, and what the questions need. */
  readonly workspace: readonly Size[];
  readonly work: readonly Work[];
  /** How often a step asks, in whole batches and on the average; where it depends on the course, as is usual. */
  readonly evaluations: Readonly<Partial<Record<Question, number>>>;
}

/**
 * Elements of all terms.
 *
 *     4 * total(adam.costs(modelShapeOf(objective)).state)   // bytes of state in f32
 */
export const total = (terms: readonly { readonly elements: number }[]): number =>
  terms.reduce((sum, { elements }) => sum + elements, 0);

/** `count` vectors as long as θ. */
export const vectors = <Part extends string>(part: Part, count: number, n: number): Size<Part>[] =>
  count === 0 ? [] : [{ part, formula: multiple(count), elements: count * n }];
export const scalars = (count = 1): Size<"scalars"> => ({
  part: "scalars",
  formula: String(count),
  elements: count,
});

/** "9n³ / 10"; what happens at every step is divided by nothing. */
export const every = (interval: number, formula: string): string =>
  interval === 1 ? formula : `${formula} / ${interval}`;

/** "n", "2n". */
export const multiple = (count: number): string => (count === 1 ? "n" : `${count}n`);
export const sizeOfArray = ({ shape }: ArrayShape): number =>
  shape.reduce((product, size) => product * size, 1);
export const arraysOf = ({ layers }: ModelShape): readonly ArrayShape[] =>
  layers.flatMap(({ arrays }) => arrays);
/** Elements in arrays of two or more axes. */
export const matrixElements = (shape: ModelShape): number =>
  arraysOf(shape).reduce((sum, array) => sum + (array.shape.length >= 2 ? sizeOfArray(array) : 0), 0);

/** Outputs of one example: those of the last layer that has any. */
export const outputsOf = ({ layers }: ModelShape): number =>
  layers.findLast(({ kind }) => kind === "dense" || kind === "conv2d")?.outputs ?? 1;

/** Settings that many methods share, where they have them. */
interface Shared {
  readonly clipNorm?: number;
  readonly l2?: number;
  readonly weightDecay?: number;
  readonly decay?: "all" | "matrices";
}

/** FLOPs an element of clipping and penalties, as set. */
export const sharedFlops = ({ clipNorm = 0, l2 = 0, weightDecay = 0 }: Shared): number =>
  (clipNorm > 0 ? 1 : 0) + (l2 > 0 ? 2 : 0) + (weightDecay > 0 ? 2 : 0);

/** A decay of some arrays has a vector of λ and 0. */
export const decayMask = ({ weightDecay = 0, decay = "all" }: Shared, shape: ModelShape): Size[] => {
  const n = parameterCount(shape);
  const decayed = decay === "all" ? n : matrixElements(shape);
  return weightDecay > 0 && decayed > 0 && decayed < n
    ? [{ part: "mask of the decay", formula: "n", elements: n }]
    : [];
};

/** FLOPs an element of every step: θ − ηd, and ‖g‖ for the report. */
const stepFlops = 4;

/**
 * The costs of a method that treats all elements alike: vectors of state, and FLOPs an element beside those of the step
 * itself, clipping and penalties.
 */
export const elementwise =
  <S extends Shared>(moments: (settings: S) => number, flops: (settings: S) => number) =>
  (shape: ModelShape, settings: S): Costs => {
    const n = parameterCount(shape);
    const each = stepFlops + flops(settings) + sharedFlops(settings);
    return {
      state: [...vectors("moments", moments(settings), n), scalars()],
      workspace: decayMask(settings, shape),
      work: [{ part: "update", formula: multiple(each), flops: each * n }],
      evaluations: { gradients: 1 },
    };
  };
