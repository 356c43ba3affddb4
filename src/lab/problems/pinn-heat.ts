/**
 * ∂u/∂t = ¼ Δu on the unit cube for times from 0 to 1: of the waves u = Π sin πxᵢ at time 0, which are 0 on the boundary,
 * or of u = Σ sin 2xᵢ, which fall as exp(−π²dt/4) and as exp(−t). Both as in Dangel et al. 2024.
 */
import { forwardLaplacian } from "../../autodiff/index.js";
import { choice, positiveCount } from "../../optimizers/settings.js";
import type { ProblemKind } from "../problem.js";
import { type Equation, toSide, unitCube } from "./collocation.js";
import { physicsInformed, pinnOptions, secondOrder } from "./pinn.js";

const options = {
  dimension: positiveCount(1, "d: coordinates of space"),
  solution: choice(
    "product",
    ["product", "sum"],
    "u at time 0: the product of sin πxᵢ, or the sum of sin 2xᵢ",
  ),
  ...pinnOptions({ boundary: 120, redraw: 0 }),
} as const;

const solutions = {
  product: ([t, ...x]: Float64Array) =>
    Math.exp((-(Math.PI ** 2) * x.length * t!) / 4) *
    x.reduce((product, xi) => product * Math.sin(Math.PI * xi), 1),
  sum: ([t, ...x]: Float64Array) => Math.exp(-t!) * x.reduce((sum, xi) => sum + Math.sin(2 * xi), 0),
};

/** Points are (t, x₁, …, x_d). */
function heat(dimension: number, solution: keyof typeof solutions): Equation {
  const box = unitCube(dimension + 1);
  const space = Array.from({ length: dimension }, (_, i) => i + 1);
  return {
    name: `${dimension}d heat equation`,
    box,
    operator(u, x) {
      const { first, laplacian } = forwardLaplacian(u, x, { first: [0], second: space });
      return first[0]!.sub(laplacian.mul(1 / 4)).reshape([-1]);
    },
    source: () => 0,
    solution: solutions[solution],
    // The first half at the sides, the second at time 0.
    toBoundary(x, rng, k, total) {
      if (k < Math.floor(total / 2)) toSide(x, box, 1, rng);
      else x[0] = 0;
    },
  };
}

/** Rates of first-order methods as Dangel et al. found them. */
const suggested = {
  ...secondOrder,
  newton: { ...secondOrder.newton, damping: 1e-10, curvatureStart: "identity" },
  // Dangel et al. have λ = 2·10⁻⁹ in the quadratic model too; γ follows it.
  kfac: { ...secondOrder.kfac, damping: 2e-9, gammaInterval: 20 },
  adam: { learningRate: 8.6e-4 },
  momentum: { learningRate: 0.0175, momentum: 0.99 },
};

export const pinnHeat: ProblemKind<typeof options> = {
  name: "pinn-heat",
  task: "differential-equation",
  description: "the heat equation by a physics-informed network, in f64 (2-64-1, 257 parameters)",
  options,
  open: (given) =>
    physicsInformed(heat(given.dimension, given.solution), given, {
      defaults: {
        batch: 900,
        steps: 5000,
        evaluateEvery: 10,
        target: { metric: "l2Error", value: 1e-5, goal: "min" },
      },
      suggested,
    }),
};
