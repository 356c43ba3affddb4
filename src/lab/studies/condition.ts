/**
 * How many iterations a condition number costs. On ½ (x − x*)ᵀ H (x − x*) with eigenvalues of H from 1/κ to 1, by the
 * rates that are best for each method (Polyak 1964; Nocedal & Wright 2006, "Numerical optimization", chapters 3, 5, 7):
 *
 *     gradient descent       ‖e_k‖ ≤ ρᵏ ‖e₀‖,          ρ = (κ − 1)/(κ + 1)        iterations ∝ κ
 *     heavy ball             asymptotically the same,  ρ = (√κ − 1)/(√κ + 1)      iterations ∝ √κ
 *     conjugate gradients    ‖e_k‖ ≤ 2√κ ρᵏ ‖e₀‖ with the same ρ                  iterations ∝ √κ, at most n
 *     Newton                                                                      one
 *
 * Axes are aligned: all five methods see the same numbers in any basis, and products are cheap. Conjugate gradients are
 * those inside hessianFree, counted one by one.
 */
import { curvatureOperator } from "../../curvature/operator.js";
import { compileConjugateGradient } from "../../optimizers/conjugate-gradient.js";
import { formatCount } from "../format.js";
import { openProblem } from "../problems/registry.js";
import type { OptimizerSettings } from "../settings.js";
import {
  type ConditionPoint,
  conditionSchema,
  type MethodName,
  methodNames,
  near,
  readCondition,
  size,
} from "./condition-reading.js";
import { short } from "./series.js";
import { defineStudy, type Extent, type Lab } from "./study.js";

/** With the settings that the problem suggests: the best for κ. */
const optimizers: Readonly<Record<Exclude<MethodName, "conjugate gradients">, OptimizerSettings>> = {
  "gradient descent": { name: "sgd", settings: {} },
  "heavy ball": { name: "momentum", settings: {} },
  "L-BFGS": { name: "lbfgs", settings: {} },
  Newton: { name: "newton", settings: { globalization: "none", damping: 0 } },
};

const conditions: Readonly<Record<Extent, readonly number[]>> = {
  quick: [10, 100, 1000, 10_000],
  full: [10, 100, 1000, 10_000, 100_000, 1_000_000],
};

/**
 * Iterations by theory from ‖x₀ − x*‖ = `distance`; null where none is known.
 *
 *     boundOf("gradient descent", 100, 1)   // 691: ln 10⁶ / ln(101/99)
 */
export function boundOf(method: MethodName, condition: number, distance: number): number | null {
  const root = Math.sqrt(condition);
  const iterations = (reduction: number, k: number) => Math.log(reduction) / Math.log((k + 1) / (k - 1));
  switch (method) {
    case "gradient descent":
      return iterations(distance / near, condition);
    case "heavy ball":
      return iterations(distance / near, root);
    case "conjugate gradients":
      return Math.min(size, iterations((2 * root * distance) / near, root));
    case "Newton":
      return 1;
    case "L-BFGS":
      return null;
  }
}

const openQuadratic = (condition: number) =>
  openProblem({ name: "quadratic", options: { size, condition, axes: "aligned" } });
/** ‖x₀ − x*‖ of normal numbers, about. */
const usualDistance = Math.sqrt(2 * size);

async function measure(lab: Lab, method: MethodName, condition: number): Promise<ConditionPoint> {
  if (method === "conjugate gradients") return conjugateGradients(lab, condition);
  const problem = openQuadratic(condition);
  const expected = boundOf(method, condition, usualDistance);
  const { measurements, result } = await lab.train(`${method} ${condition}`, {
    problem,
    optimizer: optimizers[method],
    seed: lab.seed,
    batch: 1,
    limits: { target: problem.defaults.target!, steps: Math.ceil(2 * (expected ?? 10 * size) + 100) },
    // Iterations to a quarter of a per cent.
    evaluateEvery: Math.max(1, Math.floor((expected ?? 1) / 400)),
  });
  return {
    method,
    condition,
    iterations: result!.reached?.step ?? null,
    bound: boundOf(method, condition, measurements[0]!.test.distance!),
  };
}

function conjugateGradients({ runtime, seed }: Lab, condition: number): ConditionPoint {
  const { objective, evaluate, release } = openQuadratic(condition).start(runtime, { seed, batch: 1 });
  const operator = curvatureOperator(objective, "gaussNewton");
  const solver = compileConjugateGradient(runtime, operator);
  const { data: x } = objective.parameters;
  const begin = Float64Array.from(x);
  const distance = evaluate().distance!;
  operator.linearize();
  objective.gradient().gradient.data.forEach((g, k) => {
    solver.rightSide.data[k] = -g;
  });
  const { ended, iteration } = solver.solve({
    damping: 0,
    // Rounding may cost more than the n of exact arithmetic.
    iterations: 20 * size,
    visit() {
      for (let k = 0; k < size; k++) x[k] = begin[k]! + solver.solution.data[k]!;
    },
    until: () => (evaluate().distance! <= near ? "near" : undefined),
  });
  solver.release();
  operator.release();
  release();
  const method = "conjugate gradients";
  return {
    method,
    condition,
    iterations: ended === "near" ? iteration : null,
    bound: boundOf(method, condition, distance),
  };
}

export const condition = defineStudy({
  name: "condition",
  title: "Condition number and iterations",
  question: "How do iterations grow with the condition number κ, for methods of the first and second order?",
  expectation: {
    text: "Gradient descent needs iterations in proportion to κ, the heavy ball and conjugate gradients to √κ, Newton's method one whatever κ is. Of L-BFGS no rate is known.",
    source:
      "Polyak 1964; Nocedal & Wright 2006, Numerical optimization, theorem 3.3, equation 5.36, section 7.2",
  },
  method: `Quadratics of n = ${formatCount(size)} with eigenvalues at equal ratios from 1/κ to 1, in f64, from a normal x₀ until ‖x − x*‖ ≤ ${short(near)}; rates and momentum are the best for κ. Conjugate gradients are those inside hessianFree, L-BFGS has ten pairs and a strong-Wolfe search.`,
  columns: {
    method: "what iterates",
    condition: "κ",
    iterations: "until ‖x − x*‖ ≤ 1e-6; empty: not reached",
    bound: "iterations by theory; empty: none known",
  },
  schema: conditionSchema,
  tasks: (extent) =>
    conditions[extent].flatMap((kappa) =>
      methodNames.map((method) => ({
        id: `${method}, κ = ${short(kappa)}`,
        // Steps of some microseconds, programs to compile; Newton has a dense matrix.
        seconds: 0.5 + (method === "Newton" ? 1 : 1e-5 * (boundOf(method, kappa, usualDistance) ?? 100)),
        measure: (lab: Lab) => measure(lab, method, kappa),
      })),
    ),
  read: readCondition,
});
