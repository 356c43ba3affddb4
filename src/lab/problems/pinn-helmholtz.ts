/**
 * Δu + k²u = f on [−1, 1]², u = 0 on its boundary, with the solution u = sin a₁πx sin a₂πy of a chosen frequency: the
 * higher it is, the worse is the condition, and the slower are first-order methods (Wang, Teng, Perdikaris 2021,
 * "Understanding and mitigating gradient flow pathologies in physics-informed neural networks").
 */
import { forwardLaplacian } from "../../autodiff/index.js";
import { notNegative, type Options, positiveCount } from "../../optimizers/settings.js";
import type { ProblemKind } from "../problem.js";
import { type Equation, type Interval, toSide } from "./collocation.js";
import { physicsInformed, pinnOptions, secondOrder } from "./pinn.js";

const options = {
  waveNumber: notNegative(1, "k"),
  firstFrequency: positiveCount(1, "a₁"),
  secondFrequency: positiveCount(4, "a₂"),
  ...pinnOptions({ boundary: 300, redraw: 0 }),
} as const satisfies Options;

function helmholtz(k: number, a1: number, a2: number): Equation {
  const box: Interval[] = [
    [-1, 1],
    [-1, 1],
  ];
  const u = (x: Float64Array) => Math.sin(a1 * Math.PI * x[0]!) * Math.sin(a2 * Math.PI * x[1]!);
  return {
    name: `Helmholtz equation of frequencies ${a1} and ${a2}`,
    box,
    operator: (y, x) =>
      forwardLaplacian(y, x)
        .laplacian.add(y.mul(k ** 2))
        .reshape([-1]),
    source: (x) => (k ** 2 - (a1 ** 2 + a2 ** 2) * Math.PI ** 2) * u(x),
    solution: u,
    toBoundary: (x, rng) => toSide(x, box, 0, rng),
  };
}

export const pinnHelmholtz: ProblemKind<typeof options> = {
  name: "pinn-helmholtz",
  task: "differential-equation",
  description: "the Helmholtz equation of high frequency by a physics-informed network, in f64",
  options,
  open: (given) =>
    physicsInformed(helmholtz(given.waveNumber, given.firstFrequency, given.secondFrequency), given, {
      defaults: {
        batch: 1500,
        steps: 5000,
        evaluateEvery: 10,
        target: { metric: "relativeError", value: 1e-3, goal: "min" },
      },
      suggested: { ...secondOrder, adam: { learningRate: 1e-3 } },
    }),
};
