/**
 * The network of the learned optimizer, and all that meta-training determines, as one vector φ ∈ R²²¹. It is applied to
 * every element of θ: features, two hidden layers of ReLU, a direction and a magnitude,
 *
 *     d = λ₁ · direction · exp(λ₂ · magnitude),    λ₁ = 0.02,  λ₂ = 0.5.
 *
 * (Metz et al. 2022 have λ₁ = λ₂ = 0.001. With the larger ones a short meta-training can find them and their schedule.)
 */
import { layoutOf } from "../../nn/parameters.js";
import type { Tensor } from "../../tensor/tensor.js";

/** In each of the two layers, as in `small_fc_lopt` of Metz et al. 2022. */
const hiddenUnits = 4;
/** Those of time, which are the last, and of everything else. */
const [timeFeatureCount, otherFeatureCount] = [11, 34];

const spec = (...shape: number[]) => ({ dtype: "f32", shape }) as const;

/** Where the parts of φ lie. Decays are kept as differences δ from the initial ones. */
export const phiLayout = layoutOf({
  weight1: spec(otherFeatureCount + timeFeatureCount, hiddenUnits),
  bias1: spec(hiddenUnits),
  weight2: spec(hiddenUnits, hiddenUnits),
  bias2: spec(hiddenUnits),
  weight3: spec(hiddenUnits, 2),
  bias3: spec(2),
  meanDecays: spec(3),
  squareDecay: spec(1),
  factorDecays: spec(3),
});

interface Layer {
  /** [i][j]: from input i to unit j. */
  readonly weight: readonly (readonly Tensor[])[];
  readonly bias: readonly Tensor[];
}

/** φ number by number, taken apart once for all arrays. */
export interface Network {
  readonly layers: readonly Layer[];
  readonly meanDecays: readonly Tensor[];
  readonly squareDecay: readonly Tensor[];
  readonly factorDecays: readonly Tensor[];
}

export function networkOf(phi: Tensor): Network {
  const vector = (name: string, from = 0, count = phiLayout.entry(name).size) =>
    Array.from({ length: count }, (_, i) => {
      const at = phiLayout.entry(name).offset + from + i;
      return phi.slice(0, at, at + 1).reshape([]);
    });
  const matrix = (name: string) => {
    const [rows, columns] = phiLayout.entry(name).shape as [number, number];
    return Array.from({ length: rows }, (_, i) => vector(name, i * columns, columns));
  };
  return {
    layers: [1, 2, 3].map((k) => ({ weight: matrix(`weight${k}`), bias: vector(`bias${k}`) })),
    meanDecays: vector("meanDecays"),
    squareDecay: vector("squareDecay"),
    factorDecays: vector("factorDecays"),
  };
}

/** An array, and a scalar by which it is multiplied. */
export interface Scaled {
  readonly x: Tensor;
  readonly scale?: Tensor;
}

/**
 * Σᵢ sᵢ xᵢ wᵢⱼ for each j. Scalars times arrays, not a matrix product: features and units then need no memory of their
 * own.
 */
export const weighted = (inputs: readonly Scaled[], weight: readonly (readonly Tensor[])[]): Tensor[] =>
  weight[0]!.map((_, j) =>
    inputs
      .map(({ x, scale }, i) => {
        const w = weight[i]![j]!;
        return x.mul(scale ? w.mul(scale) : w);
      })
      .reduce((sum, term) => sum.add(term)),
  );

/** What features of time [11] give to each unit of the first layer, [units]. */
export function timeUnits(phi: Tensor, features: Tensor): Tensor {
  const { offset, size } = phiLayout.entry("weight1");
  return phi
    .slice(0, offset + otherFeatureCount * hiddenUnits, offset + size)
    .reshape([timeFeatureCount, hiddenUnits])
    .mul(features.reshape([timeFeatureCount, 1]))
    .sum(0);
}

const [stepScale, exponentScale] = [0.02, 0.5];

/** d of each element, from the sums that reach the units of the first layer. */
export function stepOf({ layers }: Network, sums: readonly Tensor[]): Tensor {
  const [first, second, third] = layers as readonly [Layer, Layer, Layer];
  const biased = (list: readonly Tensor[], { bias }: Layer) => list.map((sum, j) => sum.add(bias[j]!));
  const next = (units: readonly Tensor[], layer: Layer) =>
    biased(
      weighted(
        units.map((x) => ({ x: x.relu() })),
        layer.weight,
      ),
      layer,
    );
  const [direction, magnitude] = next(next(biased(sums, first), second), third) as [Tensor, Tensor];
  return direction.mul(magnitude.mul(exponentScale).exp()).mul(stepScale);
}
