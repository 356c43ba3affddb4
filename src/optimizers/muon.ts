/**
 * Muon: the momentum of each matrix is replaced by the nearest orthogonal one, so that a step changes all directions of
 * a layer's inputs equally. Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; the iteration
 * after Schulz 1933 and Higham 2008, "Functions of matrices", section 8.3.
 *
 *     M ← μ M + (1 − μ) G,    X = (1 − μ) G + μ M  (Nesterov; otherwise X = M)
 *     X ← X/(‖X‖ + 1e−7),     then five times  X ← aX + (bA + cA²)X,  A = XXᵀ
 *     θ ← (1 − ηλ·mask) θ − η √max(1, outputs/inputs) · X
 *
 * Singular values of X near 1 need not be exactly 1: (a, b, c) = (3.4445, −4.775, 2.0315) brings all of them into about
 * [0.7, 1.2] and grows the small ones fastest. Arrays of more than two axes count as matrices, all axes but that of
 * the outputs merged. Vectors, and the matrices named in `adamFor`, go by Adam with decoupled decay and a rate of its own.
 */
import { parameterCount } from "../curvature/model-shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { scaleByAdam } from "./adam.js";
import { onArrays } from "./arrays.js";
import { gradients } from "./catalogue.js";
import { arraysOf, decayMask, scalars, sharedFlops, sizeOfArray } from "./costs.js";
import { decayOption, decoupledDecay, type Mask, masks } from "./decay.js";
import { firstOrderMethod, rateOptions } from "./method.js";
import { choice, count, decayRate, flag, notNegative, positive, SettingsError, text } from "./settings.js";
import { stateless, type Transform, zeroVector } from "./transform.js";

const [a, b, c] = [3.4445, -4.775, 2.0315];

/**
 * About U Vᵀ of X = U S Vᵀ by products alone: see above. An X of rank r becomes one of rank r; zeros stay zeros.
 *
 *     orthogonalize(input("X", { dtype: "f32", shape: [3, 5] }))
 */
export function orthogonalize(matrix: Tensor, iterations = 5): Tensor {
  const tall = matrix.shape[0]! > matrix.shape[1]!;
  let x = tall ? matrix.transpose() : matrix;
  x = x.mul(x.square().sum().sqrt().add(1e-7).reciprocal());
  for (let k = 0; k < iterations; k++) {
    const gram = x.matmul(x.transpose());
    x = x.mul(a).add(gram.mul(b).add(gram.matmul(gram).mul(c)).matmul(x));
  }
  return tall ? x.transpose() : x;
}

/** Which axis of an array is that of the layer's outputs: last for y = xW, first for y = Wx. */
type OutputAxis = "last" | "first";

interface OrthogonalizedMomentum {
  readonly momentum?: number;
  readonly nesterov?: boolean;
  readonly iterations?: number;
  readonly outputs?: OutputAxis;
}

/** d ← √max(1, outputs/inputs) · orthogonalized average of d, each array by itself. State: `mean` [n]. */
function orthogonalizedMomentum(options: OrthogonalizedMomentum = {}): Transform {
  const { momentum = 0.95, nesterov = true, iterations = 5, outputs = "last" } = options;
  return {
    name: "muon",
    init: (spec) => ({ mean: zeroVector(spec) }),
    update(direction, state, { layout }) {
      const mean = state.mean!.mul(momentum).add(direction.mul(1 - momentum));
      const ahead = nesterov ? direction.mul(1 - momentum).add(mean.mul(momentum)) : mean;
      const arrays = layout.entries.map(({ name, shape, offset, size }) => {
        const out = shape.at(outputs === "last" ? -1 : 0)!;
        const inputs = size / out;
        const matrix = ahead
          .slice(0, offset, offset + size)
          .reshape(outputs === "last" ? [inputs, out] : [out, inputs]);
        const scale = Math.sqrt(Math.max(1, out / inputs));
        return [name, orthogonalize(matrix, iterations).mul(scale).reshape(shape)] as const;
      });
      return { direction: layout.flattenTensors(Object.fromEntries(arrays)), state: { mean } };
    },
  };
}

const partsOf = (names: string): string[] =>
  names
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");

/** The matrices that do not go by Adam. */
const orthogonalOf =
  (adamFor: string): Mask =>
  (entry) =>
    masks.matrices(entry) && !partsOf(adamFor).some((part) => entry.name.includes(part));

/** Refuses parts of names that no matrix has, before the first step. */
const checkNames = (names: string): Transform => ({
  ...stateless("names", (direction) => direction),
  init({ layout }) {
    const matrices = layout.entries.filter(masks.matrices).map(({ name }) => name);
    for (const part of partsOf(names))
      if (!matrices.some((name) => name.includes(part)))
        throw new SettingsError(
          `muon: adamFor names "${part}", which no matrix has in its name; there are ${matrices.join(", ")}`,
        );
    return {};
  },
});

/**
 *     muon.create({ learningRate: 0.02, weightDecay: 0.1, adamFor: "embedding, head" }).start(objective).step();
 */
export const muon = firstOrderMethod(
  {
    name: "muon",
    family: "matrix preconditioner",
    description:
      "Orthogonalizes the momentum of every matrix, Adam for the rest: for the hidden layers of networks.",
    reference: "Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks",
    asks: gradients,
    treats: [
      { arrays: "two or more axes", how: "momentum, orthogonalized; axes before the outputs merged" },
      { arrays: "vectors, and matrices named in adamFor", how: "Adam with a rate of its own" },
    ],
    costs(shape, s) {
      const n = parameterCount(shape);
      const own = arraysOf(shape).filter(orthogonalOf(s.adamFor));
      const orthogonal = own.reduce((sum, array) => sum + sizeOfArray(array), 0);
      const iteration = own.reduce((sum, { shape: axes }) => {
        const out = axes.at(s.outputs === "last" ? -1 : 0)!;
        const inputs = sizeOfArray({ name: "", shape: axes }) / out;
        const [short, long] = [Math.min(out, inputs), Math.max(out, inputs)];
        return sum + 4 * short ** 2 * long + 2 * short ** 3 + 3 * short ** 2 + 2 * short * long;
      }, 0);
      const each = 4 + sharedFlops(s);
      const [perMatrix, perRest] = [3 + (s.nesterov ? 2 : 0) + 5, 12];
      return {
        state: [
          {
            part: "moments",
            formula: "matrices + 2·rest",
            elements: orthogonal + 2 * (n - orthogonal),
          },
          scalars(),
        ],
        workspace: decayMask(s, shape),
        work: [
          {
            part: "update",
            formula: `${s.iterations} Σ (4s²l + 2s³), s ≤ l the sides of a matrix, + ${each + perMatrix}n`,
            flops: s.iterations * iteration + each * n + perMatrix * orthogonal + perRest * (n - orthogonal),
          },
        ],
        evaluations: { gradients: 1 },
      };
    },
    options: {
      ...rateOptions(0.02, [0.005, 0.1]),
      momentum: decayRate(0.95, "μ: how much of the mean gradient of matrices is kept", {
        typical: [0.9, 0.98],
        sensitivity: "medium",
      }),
      nesterov: flag(true, "look ahead: orthogonalize the average of the mean and the gradient"),
      iterations: count(5, "of Newton–Schulz", { typical: [3, 10], sensitivity: "low" }),
      outputs: choice(
        "last",
        ["last", "first"],
        "which axis of a matrix belongs to the outputs: last for y = xW as in this package's layers, first for y = Wx",
      ),
      adamFor: text(
        "",
        "matrices that go by Adam all the same, embeddings and the output layer for example: parts of their names",
        "parts of names separated by commas",
      ),
      adamRate: positive(3e-4, "learning rate of what goes by Adam; it follows η's schedule", {
        typical: [0.0001, 0.01],
        sensitivity: "medium",
      }),
      beta1: decayRate(0.9, "β₁ of Adam", { typical: [0.8, 0.98], sensitivity: "low" }),
      beta2: decayRate(0.95, "β₂ of Adam", { typical: [0.9, 0.999], sensitivity: "low" }),
      epsilon: positive(1e-10, "ε of Adam"),
      weightDecay: notNegative(0, "λ: every update shrinks the parameters by ηλ, with the η of each", {
        typical: [0.001, 0.3],
        sensitivity: "low",
      }),
      decay: decayOption,
    },
  },
  (s) => {
    const orthogonal = orthogonalOf(s.adamFor);
    const rest: Mask = (entry) => !orthogonal(entry);
    return [
      partsOf(s.adamFor).length > 0 ? checkNames(s.adamFor) : undefined,
      onArrays(orthogonal, orthogonalizedMomentum(s)),
      onArrays(rest, scaleByAdam(s)),
      decoupledDecay(s.weightDecay, masks[s.decay]),
      onArrays(
        rest,
        stateless("rate", (direction) => direction.mul(s.adamRate / s.learningRate)),
      ),
    ];
  },
);
