/**
 * What the network sees of each element of an array, from averages that are kept. With gradient g, parameter p, number
 * of the step t (from 1), and decays β that are part of φ:
 *
 *     mᵢ ← βᵢ mᵢ + (1 − βᵢ) g            three, at first β = 0.9, 0.99, 0.999
 *     v  ← β v + (1 − β) g²               at first β = 0.999
 *     Rᵢ, Cᵢ ← averages of the means of g² along the longest axis and along the second longest
 *                                         three each, at first β = 0.9, 0.99, 0.999
 *     rᵢ cᵢ = 1/√(Rᵢ Cᵢ / mean Rᵢ)       (of an array of one axis, Rᵢ = Cᵢ averages g² itself and rᵢ cᵢ = 1/√Rᵢ)
 *
 *     normalized, of each element:         g, p, mᵢ, v, 1/√v                                7
 *     normalized, of its row and column:   Rᵢ, 1/√Rᵢ, Cᵢ, 1/√Cᵢ                            12
 *     as they are, of each element:        m̂ᵢ/√v̂, g rᵢ ĉᵢ, m̂ᵢ rᵢ ĉᵢ                       9
 *     of the array:                        log₁₀ of rms(m̂ᵢ/√v̂), rms(p), its two longest axes   6
 *     of time:                             tanh((t − 1)/τ − 1), τ = 1, 3, 10, …, 10⁵        11
 *
 * Normalized features are divided by their root mean square over the array: the scale of the loss does not matter. Hats
 * are corrections of the beginning at zero, as in Adam.
 *
 * The features are those of Metz et al. 2022, "Practical tradeoffs between memory, compute, and performance in learned
 * optimizers" (`AdafacMLPLOpt`), with three changes. Features without a unit are not normalized: how small an average is
 * beside its root mean square tells signal from noise. The features of the array (after Metz et al. 2022, "VeLO") make
 * of this one number for all elements. What keeps roots finite is relative to the array's mean, not absolute.
 */
import type { Entry } from "../../nn/parameters.js";
import type { Shape } from "../../tensor/shape.js";
import { constant, full, type Tensor } from "../../tensor/tensor.js";
import type { StateSpec } from "../transform.js";
import { type Network, weighted } from "./network.js";

const initialDecays = {
  meanDecays: [0.9, 0.99, 0.999],
  squareDecay: [0.999],
  factorDecays: [0.9, 0.99, 0.999],
} as const;
/** Averages of each kind that has three decays. */
export const three = [0, 1, 2] as const;

/** β of an average, and 1 − βᵗ, by which it is too small after t steps; scalars. */
export interface Decay {
  readonly beta: Tensor;
  readonly correction: Tensor;
}

/** β = 1 − (1 − β₀) e^{10 δ}, at least 0.001. */
export const decaysOf = (network: Network, name: keyof typeof initialDecays, step: Tensor): Decay[] =>
  initialDecays[name].map((initial, i) => {
    const share = network[name]
      [i]!.mul(10)
      .exp()
      .mul(1 - initial)
      .min(0.999);
    const beta = share.neg().add(1);
    return { beta, correction: step.mul(share.neg().log1p()).expm1().neg() };
  });

/** β x̄ + (1 − β) x */
export const averaged = (before: Tensor, now: Tensor, { beta }: Decay): Tensor =>
  before.mul(beta).add(now.mul(beta.neg().add(1)));

const timescales = [1, 3, 10, 30, 100, 300, 1000, 3000, 1e4, 3e4, 1e5];
/** tanh(t/τ − 1), [11]; t counts from 0. */
export const timeFeatures = (t: Tensor): Tensor =>
  constant(
    timescales.map((scale) => 1 / scale),
    t.dtype,
  )
    .mul(t)
    .sub(1)
    .tanh();

/** The axes whose means are kept; among equally long ones the later counts as the longer. */
function factoredAxes(shape: Shape): { readonly second: number; readonly longest: number } | undefined {
  if (shape.length < 2) return undefined;
  const order = shape.map((_, axis) => axis).sort((a, b) => shape[a]! - shape[b]! || a - b);
  return { second: order.at(-2)!, longest: order.at(-1)! };
}

const withOne = (shape: Shape, axis: number): Shape => shape.map((n, other) => (other === axis ? 1 : n));

/** Averages that are kept of an array beside mᵢ and v: Rᵢ and Cᵢ, or, of a vector, three averages of g². */
export function factorState({ name, shape }: Pick<Entry, "name" | "shape">): [string, StateSpec][] {
  const axes = factoredAxes(shape);
  return three.flatMap((i): [string, StateSpec][] =>
    axes
      ? [
          [`row${i}.${name}`, { shape: withOne(shape, axes.longest), initial: 0 }],
          [`column${i}.${name}`, { shape: withOne(shape, axes.second), initial: 0 }],
        ]
      : [[`square${i}.${name}`, { shape, initial: 0 }]],
  );
}

/** 1/√x for x ≥ 0, at most a thousand times that of the mean. */
const inverseRoot = (x: Tensor): Tensor => x.add(x.mean().mul(1e-6).add(1e-30)).sqrt().reciprocal();

/** Rᵢ, Cᵢ, and the factors of rᵢ ĉᵢ, in shapes that stretch over the array. */
interface Factor {
  readonly row: Tensor;
  readonly column: Tensor;
  readonly scales: readonly Tensor[];
}

function factorsOf(
  { name, shape }: Entry,
  g: Tensor,
  decays: readonly Decay[],
  state: Readonly<Record<string, Tensor>>,
): { readonly factors: readonly Factor[]; readonly state: Readonly<Record<string, Tensor>> } {
  const axes = factoredAxes(shape);
  const squares = g.square();
  const next: Record<string, Tensor> = {};
  const update = (key: string, now: Tensor, decay: Decay) => {
    next[key] = averaged(state[key]!, now, decay);
    return next[key];
  };
  const factors = decays.map((decay, i): Factor => {
    const corrected = (root: Tensor) => root.mul(decay.correction.sqrt());
    if (!axes) {
      const square = update(`square${i}.${name}`, squares, decay);
      return { row: square, column: square, scales: [corrected(inverseRoot(square))] };
    }
    const row = update(`row${i}.${name}`, squares.mean(axes.longest, true), decay);
    const column = update(`column${i}.${name}`, squares.mean(axes.second, true), decay);
    const mean = row.mean(axes.second, true);
    return { row, column, scales: [inverseRoot(row).mul(mean.sqrt()), corrected(inverseRoot(column))] };
  });
  return { factors, state: next };
}

/** 1/rms(x). Of what is stretched over the array, the mean is that over the array: all parts are as long. */
const normalizer = (x: Tensor): Tensor => x.square().mean().add(1e-30).sqrt().reciprocal();

/** log₁₀ rms(x), of which nothing is told below `least`. */
const logRms = (x: Tensor, least: number): Tensor =>
  x
    .square()
    .mean()
    .add(least ** 2)
    .log()
    .mul(0.5 / Math.LN10);

/** What is known of an array when its features are made. */
export interface ArrayOfStep {
  /** In the array's shape: gradient, parameter, mᵢ and v after this step. */
  readonly g: Tensor;
  readonly p: Tensor;
  readonly means: readonly Tensor[];
  readonly square: Tensor;
  readonly decays: {
    readonly means: readonly Decay[];
    readonly square: Decay;
    readonly factors: readonly Decay[];
  };
  /** What the features of time give to each unit. */
  readonly time: Tensor;
}

/**
 * What an array's features give to each unit of the first layer (before its bias), in the array's shape, and the
 * state of its factors afterwards.
 */
export function unitsOf(
  network: Network,
  entry: Entry,
  { g, p, means, square, decays, time }: ArrayOfStep,
  before: Readonly<Record<string, Tensor>>,
): { readonly units: readonly Tensor[]; readonly state: Readonly<Record<string, Tensor>> } {
  const { factors, state } = factorsOf(entry, g, decays.factors, before);
  const root = inverseRoot(square);
  const correctedRoot = root.mul(decays.square.correction.sqrt());
  const corrected = means.map((mean, i) => mean.mul(decays.means[i]!.correction.reciprocal()));
  const ratios = corrected.map((mean) => mean.mul(correctedRoot));
  const scaled = (x: Tensor, { scales }: Factor) => scales.reduce((product, scale) => product.mul(scale), x);
  const [longest, second = 1] = [...entry.shape].sort((a, b) => b - a);

  const groups = {
    normalized: [g, p, ...means, square, root],
    rows: factors.flatMap(({ row }) => [row, inverseRoot(row)]),
    columns: factors.flatMap(({ column }) => [column, inverseRoot(column)]),
    elements: [
      ...ratios,
      ...factors.map((factor) => scaled(g, factor)),
      ...factors.map((factor, i) => scaled(corrected[i]!, factor)),
    ],
    array: [
      ...ratios.map((ratio) => logRms(ratio, 1e-4)),
      logRms(p, 1e-2),
      ...[longest ?? 1, second].map((n) => full({ dtype: g.dtype, shape: [] }, Math.log10(n))),
    ],
  };
  const normalized = (features: readonly Tensor[]) => features.map((x) => ({ x, scale: normalizer(x) }));
  const plain = (features: readonly Tensor[]) => features.map((x) => ({ x }));
  const { weight } = network.layers[0]!;
  let from = 0;
  const parts = [
    normalized(groups.normalized),
    normalized(groups.rows),
    normalized(groups.columns),
    plain(groups.elements),
    plain(groups.array),
  ].map((features) => {
    const sums = weighted(features, weight.slice(from));
    from += features.length;
    return sums;
  });
  return {
    units: parts[0]!.map((_, j) => parts.reduce((sum, part) => sum.add(part[j]!), time.at(j))),
    state,
  };
}
