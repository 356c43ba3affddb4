/** What hessianFree keeps and computes. */
import { type ModelShape, parameterCount } from "../../curvature/model-shape.js";
import { type Costs, every, multiple, scalars, vectors } from "../costs.js";
import { factorCosts } from "../kfac/costs.js";
import type { Settings } from "./settings.js";

/** Iterations of a step as a rule, where nothing bounds them, and points at which the loss is tried. */
const usualIterations = { none: 50, empiricalFisher: 50, kfac: 10 };
const usualTrials = 3;

/** FLOPs an element of each iteration, and of all else, but for the products of kfac's preconditioner. */
const elementwise = { none: [21, 26], empiricalFisher: [23, 27], kfac: [21, 26] } as const;

export function hessianFreeCosts(shape: ModelShape, s: Settings, batch: number): Costs {
  const n = parameterCount(shape);
  const examples = s.curvatureExamples > 0 ? Math.min(batch, s.curvatureExamples) : batch;
  const share = examples / batch;
  const iterations = Math.min(s.iterations, usualIterations[s.preconditioner]);
  const draws = s.preconditioner === "empiricalFisher" ? Math.max(1, s.preconditionerDraws) : 0;
  const blocks =
    s.preconditioner === "kfac"
      ? factorCosts(shape, { ...s, sharing: "expand", inverse: "cholesky" }, examples)
      : undefined;
  const kept = s.backtracking ? 12 : 1;
  const products = s.curvature === "hessian" ? "hessianVectorProducts" : "gaussNewtonVectorProducts";
  const [each, others] = elementwise[s.preconditioner];
  const own = { empiricalFisher: 2, kfac: 2, none: 0 }[s.preconditioner];
  const { factorInterval: T1 } = s;
  const sampled = blocks && s.estimator !== "empirical" ? (blocks.draws * share) / T1 : 0;
  return {
    state: [
      ...vectors("history", 1, n),
      ...(blocks
        ? [
            { part: "factors" as const, formula: "Σ in² + out²", elements: blocks.factors },
            { part: "inverses" as const, formula: "Σ in² + out²", elements: blocks.inverses },
          ]
        : []),
      scalars(blocks ? 6 : 2),
    ],
    workspace: [
      ...vectors("vectors", 7 + kept + own, n),
      ...(blocks
        ? [{ part: "factors of the batch", formula: "Σ in² + out²", elements: blocks.factors }]
        : []),
    ],
    work: [
      ...(draws > 0 ? [{ part: "curvature" as const, formula: `${3 * draws}n`, flops: 3 * draws * n }] : []),
      ...(blocks
        ? [
            {
              part: "curvature" as const,
              formula: every(T1, "2 rows Σ (in² + out²)"),
              flops: (blocks.estimate + 5 * blocks.factors) / T1,
            },
            {
              part: "inversion" as const,
              formula: every(blocks.inverseInterval, "Σ (in³ + out³)"),
              flops: blocks.inversion / blocks.inverseInterval,
            },
          ]
        : []),
      {
        part: "inversion",
        formula: `${blocks ? "2 Σ in·out·(in + out) + " : ""}${each}n an iteration, about ${iterations} of them`,
        flops: (each * n + (blocks?.product ?? 0)) * iterations,
      },
      { part: "update", formula: multiple(others), flops: others * n },
    ],
    evaluations: {
      gradients: 1,
      [products]: (iterations + 1) * share,
      losses: usualTrials,
      ...(draws > 0 && { preconditionerGradients: draws * share }),
      ...(blocks && { factors: 1 / T1 }),
      ...(sampled > 0 && { sampledGradients: sampled }),
    },
  };
}
