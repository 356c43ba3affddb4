/**
 * A learned optimizer: a small network that is applied to every element of θ takes what Adam and Adafactor keep to a
 * step; its weights φ were found by meta-training on a family of small problems (`thalweg meta-train`). Metz, Freeman,
 * Harrison, Maheswaranathan, Sohl-Dickstein 2022, "Practical tradeoffs between memory, compute, and performance in
 * learned optimizers" (`small_fc_lopt`). For each array by itself, with features x(g, p, t) of each element:
 *
 *     (direction, magnitude) = network(x; φ)
 *     θ ← θ − η · 0.02 · direction · exp(0.5 · magnitude)
 *
 * η is 1 where the network sets the size of the step itself; larger models than those of the family need less. Memory: four vectors as long as θ, three rows and three columns
 * of each matrix, three of each vector. FLOPs: about 332n after the gradient.
 */
import { type ModelShape, parameterCount } from "../curvature/model-shape.js";
import { sizeOf } from "../tensor/shape.js";
import { concat, constant, type Tensor } from "../tensor/tensor.js";
import { gradients } from "./catalogue.js";
import { arraysOf, decayMask, scalars, sharedFlops } from "./costs.js";
import { decayOption, decoupledDecay, masks } from "./decay.js";
import {
  averaged,
  type Decay,
  decaysOf,
  factorState,
  three,
  timeFeatures,
  unitsOf,
} from "./learned/features.js";
import { networkOf, stepOf, timeUnits } from "./learned/network.js";
import { shippedWeights } from "./learned/weights.js";
import { firstOrderMethod, rateOptions } from "./method.js";
import { notNegative } from "./settings.js";
import { type Transform, type TransformSpec, zeroVector } from "./transform.js";

/**
 * d ← the network's step. `phi` gives φ [221] in the dtype that it is asked for: a constant, or an input of the program.
 * State: `mean0`, `mean1`, `mean2`, `square` [n]; `row0.name`, `column0.name`, … of each matrix, `square0.name`, … of
 * each other array.
 *
 *     chain(clipByGlobalNorm(1), learnedStep((dtype) => constant([...weights], dtype)))
 */
export const learnedStep = (phi: (dtype: TransformSpec["dtype"]) => Tensor): Transform => ({
  name: "learned",
  init: (spec) => ({
    ...Object.fromEntries(three.map((i) => [`mean${i}`, zeroVector(spec)])),
    square: zeroVector(spec),
    ...Object.fromEntries(spec.layout.entries.flatMap(factorState)),
  }),
  update(direction, state, { dtype, layout, parameters, step }) {
    if (layout.size === 0) return { direction, state };
    const weights = phi(dtype);
    const network = networkOf(weights);
    const [squareDecay] = decaysOf(network, "squareDecay", step) as [Decay];
    const decays = {
      means: decaysOf(network, "meanDecays", step),
      square: squareDecay,
      factors: decaysOf(network, "factorDecays", step),
    };
    const means = decays.means.map((decay, i) => averaged(state[`mean${i}`]!, direction, decay));
    const square = averaged(state.square!, direction.square(), squareDecay);
    const time = timeUnits(weights, timeFeatures(step.sub(1)));
    const next: Record<string, Tensor> = { square };
    means.forEach((mean, i) => {
      next[`mean${i}`] = mean;
    });
    const steps = layout.entries.map((entry) => {
      const own = (x: Tensor) => x.slice(0, entry.offset, entry.offset + entry.size).reshape(entry.shape);
      const { units, state: factors } = unitsOf(
        network,
        entry,
        {
          g: own(direction),
          p: own(parameters),
          means: means.map(own),
          square: own(square),
          decays,
          time,
        },
        state,
      );
      Object.assign(next, factors);
      return stepOf(network, units).reshape([entry.size]);
    });
    return { direction: concat(steps), state: next };
  },
});

/** FLOPs an element, and an element of the factors. */
const [elementFlops, lineFlops] = [332, 60];

/** Elements of the row and the column averages of one decay, or of the averages of g² of what has one axis. */
const factorElements = (shape: ModelShape): number =>
  arraysOf(shape).reduce(
    (sum, array) =>
      sum +
      factorState({ name: "", shape: array.shape }).reduce((own, [, state]) => own + sizeOf(state.shape), 0) /
        3,
    0,
  );

/**
 *     learned.create().start(objective).step();
 */
export const learned = firstOrderMethod(
  {
    name: "learned",
    family: "first order",
    description:
      "A small network computes each step: nothing to tune for small dense classifiers, on which it was meta-trained.",
    reference:
      "Metz et al. 2022, Practical tradeoffs between memory, compute, and performance in learned optimizers",
    asks: gradients,
    treats: [
      { arrays: "two or more axes", how: "the network's step, from averages of elements, rows and columns" },
      { arrays: "vectors and scalars", how: "the network's step, from averages of elements" },
    ],
    costs(shape, settings) {
      const n = parameterCount(shape);
      const lines = factorElements(shape);
      const each = elementFlops + sharedFlops(settings);
      return {
        state: [
          { part: "moments", formula: "4n + 3 Σ rows + columns, vectors", elements: 4 * n + 3 * lines },
          scalars(),
        ],
        workspace: decayMask(settings, shape),
        work: [
          {
            part: "update",
            formula: `${each}n + ${lineFlops} Σ rows + columns, vectors`,
            flops: each * n + lineFlops * lines,
          },
        ],
        evaluations: { gradients: 1 },
      };
    },
    options: {
      ...rateOptions(1, [0.03, 1]),
      weightDecay: notNegative(0, "λ: every update shrinks the parameters by ηλ", {
        typical: [0.001, 0.1],
        sensitivity: "medium",
      }),
      decay: decayOption,
    },
  },
  ({ weightDecay, decay }) => [
    learnedStep((dtype) => constant([...shippedWeights()], dtype)),
    decoupledDecay(weightDecay, masks[decay]),
  ],
);
