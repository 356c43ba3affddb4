/** −Δu = f on the unit cube, u = g on its boundary. */
import { forwardLaplacian } from "../../autodiff/index.js";
import type { Random } from "../../nn/random.js";
import { choice, positiveCount } from "../../optimizers/settings.js";
import type { ProblemKind } from "../problem.js";
import { type Equation, physicsInformed, pinnOptions, secondOrder } from "./pinn.js";

const options = {
  dimension: positiveCount(2, "d: coordinates"),
  solution: choice("sines", ["sines", "cosines"], "u: the product of sin πxᵢ, or the sum of cos πxᵢ"),
  ...pinnOptions({ boundary: 120, redraw: 0 }),
} as const;

/** A random side of the cube. */
export function toSide(x: Float64Array, first: number, rng: Random): void {
  x[first + rng.integer(x.length - first)] = rng.integer(2);
}

const solutions = {
  sines: {
    u: (x: Float64Array) => x.reduce((product, xi) => product * Math.sin(Math.PI * xi), 1),
    /** f = factor·u */
    factor: (d: number) => d * Math.PI ** 2,
  },
  cosines: {
    u: (x: Float64Array) => x.reduce((sum, xi) => sum + Math.cos(Math.PI * xi), 0),
    factor: () => Math.PI ** 2,
  },
};

function poisson(dimension: number, name: keyof typeof solutions): Equation {
  const { u, factor } = solutions[name];
  return {
    name: `${dimension}d Poisson equation`,
    coordinates: dimension,
    operator: (y, x) => forwardLaplacian(y, x).laplacian.neg().reshape([-1]),
    source: (x) => factor(dimension) * u(x),
    solution: u,
    toBoundary: (x, rng) => toSide(x, 0, rng),
  };
}

/** Rates of first-order methods as Dangel et al. found them. */
const suggested = {
  ...secondOrder,
  adam: { learningRate: 1.7e-3 },
  momentum: { learningRate: 0.018, momentum: 0.99 },
};

export const pinnPoisson: ProblemKind<typeof options> = {
  name: "pinn-poisson",
  description: "the Poisson equation by a physics-informed network, in f64 (2-64-1, 257 parameters)",
  options,
  open: (given) =>
    physicsInformed(poisson(given.dimension, given.solution), given, {
      defaults: {
        batch: 900,
        steps: 5000,
        evaluateEvery: 10,
        target: { metric: "l2Error", value: 1e-5, goal: "min" },
      },
      suggested,
    }),
};
