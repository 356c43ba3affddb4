/** Differential equations, and the random points where they and their conditions are to hold. */
import type { Random } from "../../nn/random.js";
import type { Buffer } from "../../runtime/memory.js";
import type { Spec } from "../../tensor/array.js";
import type { Tensor } from "../../tensor/tensor.js";

/** A differential equation with its solution. A point is a list of coordinates in a box. */
export interface Equation {
  /** "2d Poisson equation" */
  readonly name: string;
  /** From where to where each coordinate goes. */
  readonly box: readonly Interval[];
  /** D u [points] of u [points, 1], which is traced from x [points, coordinates]. */
  operator(u: Tensor, x: Tensor): Tensor;
  /** f */
  source(x: Float64Array): number;
  /** u, and so g. */
  solution(x: Float64Array): number;
  /** Puts the k-th of `total` random points inside to where conditions hold: on the boundary, at the initial time. */
  toBoundary(x: Float64Array, rng: Random, k: number, total: number): void;
}

export type Interval = readonly [from: number, to: number];
/** [0, 1]ᵈ */
export const unitCube = (dimension: number): Interval[] =>
  Array.from({ length: dimension }, () => [0, 1] as const);

/** Puts a point to a random side of the box, of those of its coordinates from `first` on. */
export function toSide(x: Float64Array, box: readonly Interval[], first: number, rng: Random): void {
  const i = first + rng.integer(x.length - first);
  x[i] = box[i]![rng.integer(2)]!;
}

/** Points inside with their f, points on the boundary with their g. */
export const pointsOf = (
  { box }: Equation,
  dtype: "f32" | "f64",
  inside: number,
  boundary: number,
): Spec[] => [
  { dtype, shape: [inside, box.length] },
  { dtype, shape: [inside] },
  { dtype, shape: [boundary, box.length] },
  { dtype, shape: [boundary] },
];

/** Uniform points into all buffers of a batch. */
export function drawPoints(equation: Equation, batch: readonly Buffer[], rng: Random): void {
  drawInside(equation, batch[0]!, rng);
  completePoints(equation, batch, rng);
}

/** x ← uniform points in the box. */
export function drawInside({ box }: Equation, x: Buffer, rng: Random): void {
  const stream = rng.stream("inside");
  for (let k = 0; k < x.data.length; k += box.length)
    for (const [i, [from, to]] of box.entries()) x.data[k + i] = stream.uniform(from, to);
}

/** f of the points inside that are there; new ones on the boundary with their g. */
export function completePoints(equation: Equation, [x, f, y, g]: readonly Buffer[], rng: Random): void {
  const { box, source, solution, toBoundary } = equation;
  valuesAt(source, x!, f!);
  const stream = rng.stream("boundary");
  const point = new Float64Array(box.length);
  const total = g!.size;
  for (let k = 0; k < total; k++) {
    for (const [i, [from, to]] of box.entries()) point[i] = stream.uniform(from, to);
    toBoundary(point, stream, k, total);
    y!.data.set(point, k * point.length);
  }
  valuesAt(solution, y!, g!);
}

/** values ← f of each point. */
export function valuesAt(f: (x: Float64Array) => number, points: Buffer, values: Buffer): void {
  const d = points.data.length / values.size;
  const point = new Float64Array(d);
  for (let k = 0; k < values.size; k++) {
    for (let i = 0; i < d; i++) point[i] = points.data[k * d + i]!;
    values.data[k] = f(point);
  }
}
