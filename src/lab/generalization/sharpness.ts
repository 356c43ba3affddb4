/**
 * How far the loss rises within a ball around θ, S = max over ‖T⁻¹ε‖₂ ≤ ρ of L(θ + ε) − L(θ).
 *
 *     T = I         sharpness of Foret, Kleiner, Mobahi, Neyshabur 2021, "Sharpness-aware minimization for efficiently
 *                   improving generalization" (SAM, eq. 1)
 *     T = diag |θ|  adaptive sharpness of Kwon, Kim, Park, Choi 2021, "ASAM: Adaptive sharpness-aware minimization for
 *                   scale-invariant learning of deep neural networks" (their η = 0): the same for networks that differ
 *                   only by a scale that one layer has and the next takes back
 *
 * With ε = T δ, each step maximises the linearisation at the present ε over the ball,
 *
 *     δ ← ρ T∇L(θ + Tδ) / ‖T∇L(θ + Tδ)‖,   from δ = 0
 *
 * (Journée, Nesterov, Richtárik, Sepulchre 2010, "Generalized power method"). The first step is SAM's and ASAM's own; on
 * a quadratic the following ones are those of the power iteration. What is found is a lower bound of S.
 */
import { averageGradient, type Batches } from "../../curvature/average.js";
import type { Objective } from "../../curvature/objective.js";
import { norm, scale } from "../../curvature/vector.js";

export interface SharpnessOptions {
  /** ρ; the papers' are 0.05, and 0.5 for the adaptive one. */
  readonly radius: number;
  /** Whether T = diag |θ|. */
  readonly adaptive: boolean;
  /** Steps of the ascent, at least 1: a gradient each, and one more. */
  readonly steps: number;
}

export interface Sharpness {
  /** The rise after the first step: SAM's. */
  readonly first: number;
  /** The largest rise that any step found. */
  readonly most: number;
}

/**
 * The sharpness of the mean loss over batches, at the objective's θ, which is as before afterwards. Zeros where the
 * gradient is exactly zero: from there the ascent has no direction.
 *
 *     sharpness(objective, { count: 4, load }, { radius: 0.05, adaptive: false, steps: 1 }).first
 */
export function sharpness(
  objective: Objective,
  batches: Batches,
  { radius, adaptive, steps }: SharpnessOptions,
): Sharpness {
  const { data } = objective.parameters;
  const theta = Float64Array.from(data);
  /** The diagonal of T. */
  const T = adaptive ? theta.map(Math.abs) : new Float64Array(theta.length).fill(1);
  const rises: number[] = [];
  try {
    let { loss, gradient } = averageGradient(objective, batches);
    const before = loss;
    for (let step = 0; step < steps; step++) {
      const direction = gradient.map((g, i) => T[i]! * g);
      const length = norm(direction);
      if (!(length > 0)) break;
      scale(direction, radius / length);
      data.set(theta.map((x, i) => x + T[i]! * direction[i]!));
      ({ loss, gradient } = averageGradient(objective, batches));
      rises.push(loss - before);
    }
  } finally {
    data.set(theta);
  }
  return { first: rises[0] ?? 0, most: Math.max(0, ...rises) };
}
