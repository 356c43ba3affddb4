/** −Δu = f on the unit cube, u = g on its boundary. */
import { forwardLaplacian } from "../../autodiff/index.js";
import { choice, type Options, positiveCount } from "../../optimizers/settings.js";
import type { Problem, ProblemKind } from "../problem.js";
import { type Equation, toSide, unitCube } from "./collocation.js";
import { physicsInformed, pinnOptions, secondOrder } from "./pinn.js";

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
  const box = unitCube(dimension);
  return {
    name: `${dimension}d Poisson equation`,
    box,
    operator: (y, x) => forwardLaplacian(y, x).laplacian.neg().reshape([-1]),
    source: (x) => factor(dimension) * u(x),
    solution: u,
    toBoundary: (x, rng) => toSide(x, box, 0, rng),
  };
}

interface Variant {
  readonly name: string;
  readonly description: string;
  readonly dimension: number;
  readonly solution: keyof typeof solutions;
  /** Points inside, points on the boundary, steps until they are drawn anew. */
  readonly points: { readonly inside: number; readonly boundary: number; readonly redraw: number };
  readonly suggested: Problem["suggested"];
}

function poissonProblem({ name, description, points, suggested, ...variant }: Variant) {
  const options = {
    dimension: positiveCount(variant.dimension, "d: coordinates"),
    solution: choice(
      variant.solution,
      ["sines", "cosines"],
      "u: the product of sin πxᵢ, or the sum of cos πxᵢ",
    ),
    ...pinnOptions(points),
  } as const satisfies Options;
  const kind: ProblemKind<typeof options> = {
    name,
    task: "differential-equation" as const,
    description,
    options,
    open: (given) =>
      physicsInformed(poisson(given.dimension, given.solution), given, {
        defaults: {
          batch: points.inside,
          steps: 5000,
          evaluateEvery: 10,
          target: { metric: "l2Error", value: 1e-5, goal: "min" },
        },
        suggested,
      }),
  };
  return kind;
}

/** Points, networks and rates of first-order methods as Dangel et al. have them. */
export const poissonProblems = [
  poissonProblem({
    name: "pinn-poisson",
    description: "the Poisson equation by a physics-informed network, in f64 (2-64-1, 257 parameters)",
    dimension: 2,
    solution: "sines",
    points: { inside: 900, boundary: 120, redraw: 0 },
    suggested: {
      ...secondOrder,
      adam: { learningRate: 1.7e-3 },
      momentum: { learningRate: 0.018, momentum: 0.99 },
    },
  }),
  poissonProblem({
    name: "pinn-poisson-5d",
    description:
      "the Poisson equation in five dimensions, new points each step, in f64 (5-64-1, 449 parameters)",
    dimension: 5,
    solution: "cosines",
    points: { inside: 3000, boundary: 500, redraw: 1 },
    suggested: { ...secondOrder, adam: { learningRate: 1.5e-3 } },
  }),
] as const;
