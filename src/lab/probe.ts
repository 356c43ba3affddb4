/** What the loss surface is like at one θ: curvature and gradient noise of a problem, measured on some batches. */
import { averageOperator } from "../curvature/average.js";
import { diagonalBlock } from "../curvature/block.js";
import { type Condition, condition } from "../curvature/condition.js";
import { type Estimate, hutchinson } from "../curvature/hutchinson.js";
import { type Eigenpair, extremeEigenpairs } from "../curvature/lanczos.js";
import { gradientNoise, type Noise } from "../curvature/noise.js";
import { curvatureOperator } from "../curvature/operator.js";
import type { CurvatureKind } from "../curvature/products.js";
import { type SpectralDensity, spectralDensity } from "../curvature/spectral-density.js";
import type { ProblemInstance } from "./problem.js";

export interface ProbeOptions {
  readonly kind: CurvatureKind;
  /** Examples in a batch, as the problem was started. */
  readonly batch: number;
  /** Batches whose mean is measured; at least 2. */
  readonly batches: number;
  /** Eigenvalues at the upper end, of the whole and of every layer. */
  readonly top: number;
  readonly seed: number;
  /** Called before each part of the work. */
  readonly onPart?: (part: string) => void;
}

export interface Probe {
  readonly kind: CurvatureKind;
  /** n, the number of parameters. */
  readonly size: number;
  readonly examples: number;
  readonly loss: number;
  readonly gradientNorm: number;
  readonly noise: Noise;
  readonly trace: Estimate;
  /** λ₁ ≥ λ₂ ≥ …, with residuals. */
  readonly eigenvalues: readonly Pick<Eigenpair, "value" | "residual">[];
  readonly condition: Condition;
  readonly density: SpectralDensity;
  readonly layers: readonly {
    readonly name: string;
    readonly size: number;
    readonly trace: Estimate;
    /** Of the layer's own diagonal block, from the largest on; at most as many as it has. */
    readonly eigenvalues: readonly number[];
  }[];
}

/**
 * Measures a problem where its θ is now.
 *
 *     const instance = problem.start(runtime, { seed: 0, batch: 256 });
 *     const { eigenvalues, trace, layers } = probe(instance, { kind: "hessian", batch: 256, batches: 4, top: 10, seed: 0 });
 */
export function probe(instance: ProblemInstance, options: ProbeOptions): Probe {
  const { kind, batches: count, top, seed, onPart } = options;
  const { objective, load } = instance;
  const { layout } = objective;
  onPart?.("gradients");
  const gradients: Float64Array[] = [];
  let loss = 0;
  for (let k = 0; k < count; k++) {
    load(k);
    const one = objective.gradient();
    loss += one.loss / count;
    gradients.push(Float64Array.from(one.gradient.data));
  }
  let squared = 0;
  for (let i = 0; i < layout.size; i++)
    squared += (gradients.reduce((sum, gradient) => sum + gradient[i]!, 0) / count) ** 2;

  const single = curvatureOperator(objective, kind, { seed });
  try {
    const operator = averageOperator(single, { count, load });
    onPart?.("largest eigenvalues");
    const { largest } = extremeEigenpairs(operator, { largest: Math.min(top, layout.size), seed });
    onPart?.("trace");
    const traces = hutchinson(operator, { samples: 30, seed, blocks: layout.entries });
    onPart?.("spectrum");
    const density = spectralDensity(operator, { probes: 4, steps: 60, seed });
    const conditions = condition(operator, { probes: 4, probeSteps: 60, seed });
    const layers = layout.entries.map(({ name, size, offset }, index) => {
      onPart?.(name);
      const block = diagonalBlock(operator, { offset, size });
      const { largest } = extremeEigenpairs(block, { largest: Math.min(top, size), seed });
      const eigenvalues = largest.map(({ value }) => value);
      return { name, size, trace: traces.blocks[index]!.trace, eigenvalues };
    });
    return {
      kind,
      size: layout.size,
      examples: count * options.batch,
      loss,
      gradientNorm: Math.sqrt(squared),
      noise: gradientNoise(gradients, options.batch),
      trace: traces.trace,
      eigenvalues: largest.map(({ value, residual }) => ({ value, residual })),
      condition: conditions,
      density,
      layers,
    };
  } finally {
    single.release();
  }
}
