/**
 * How noisy the gradient and the curvature of a problem are, and how fast the curvature moves: measured at one θ on
 * batches of B, 2B, 4B, … examples, and along a training from there.
 */
import { activationMoments } from "../curvature/activations.js";
import { averageOperator } from "../curvature/average.js";
import { hutchinson } from "../curvature/hutchinson.js";
import { type KroneckerBlock, kroneckerFactors } from "../curvature/kronecker/index.js";
import { extremeEigenpairs } from "../curvature/lanczos.js";
import {
  batchSpread,
  exampleNoise,
  type Noise,
  rowsNeeded,
  type SizeSpread,
  twoBatchNoise,
} from "../curvature/noise.js";
import { curvatureOperator } from "../curvature/operator.js";
import { perExampleGradients } from "../curvature/per-example.js";
import { rademacher } from "../curvature/vector.js";
import { random } from "../nn/random.js";
import { UserError } from "./errors.js";
import { powerLaw } from "./fit.js";
import type { ProblemInstance } from "./problem.js";
import { median } from "./score.js";

export interface NoiseOptions {
  /** B: examples of the smallest batch, as the problem was started. */
  readonly batch: number;
  /** How many of them; a power of two, at least 4. */
  readonly batches: number;
  /** ε: a factor is known well enough when its largest error is ε times its largest eigenvalue. */
  readonly error: number;
  /** Average of a method that keeps one. */
  readonly decay: number;
  readonly seed: number;
  /** Called before each part of the work. */
  readonly onPart?: ((part: string) => void) | undefined;
}

export interface NoiseMeasurement {
  readonly batch: number;
  readonly examples: number;
  readonly error: number;
  readonly decay: number;
  /** The noise scale of the gradient by three estimators, in examples. */
  readonly gradient: {
    /** By all batches. */
    readonly batches: Noise;
    /** By mean square norms at the smallest and the largest size. */
    readonly twoSizes: Noise;
    /** By single examples of the first batches; absent where an example's gradient cannot be told from its batch. */
    readonly singleExamples?: Noise;
  };
  /** The gradient, the Hessian's diagonal, and every factor. */
  readonly quantities: readonly Quantity[];
  readonly factors: readonly FactorNeed[];
  readonly activations: readonly {
    readonly layer: string;
    /** Over the units that vary; 3 of a normal. */
    readonly medianKurtosis: number;
    readonly largestKurtosis: number;
  }[];
  /** Of the Gauss–Newton matrix: tr/λ₁. */
  readonly effectiveRank: number;
  readonly methods: readonly MethodNeed[];
}

/** A statistic that is a mean over examples, and its spread at each size of batch. */
export interface Quantity {
  readonly name: string;
  readonly noise: Noise;
  readonly sizes: readonly SizeSpread[];
  /** Of log variance against log B: −1 where examples are independent. */
  readonly slope: number;
}

/** What a Kronecker factor needs. */
export interface FactorNeed {
  readonly layer: string;
  readonly side: "A" | "G";
  readonly order: number;
  /** r = tr A/‖A‖. */
  readonly effectiveRank: number;
  /** Rows of one example: its positions. */
  readonly positions: number;
  /** Examples for one estimate within ε; an average with decay β needs (1 − β)/(1 + β) of them a batch. */
  readonly batch: number;
  readonly batchOfAverage: number;
}

export interface MethodNeed {
  readonly method: string;
  /** Smallest batch, in examples. */
  readonly batch: number;
  readonly because: string;
  /** What is usually said. */
  readonly literature: string;
}

/** Numbers that vectors of all sizes of batches may take, 2 GiB in f64. */
const memoryLimit = 2 ** 28;
/** Signs for the Hessian's diagonal. */
const probes = 4;

/**
 * Measures the noise of a problem where its θ is now. The problem is started with the smallest batch.
 *
 *     const instance = problem.start(runtime, { seed: 0, batch: 8 });
 *     measureNoise(instance, { batch: 8, batches: 64, error: 0.5, decay: 0.95, seed: 0 }).gradient.batches.scale;
 *
 * @throws UserError when the vectors do not fit in memory, or `batches` is no power of two from 4.
 */
export function measureNoise(instance: ProblemInstance, options: NoiseOptions): NoiseMeasurement {
  const { batch, batches, error, decay, seed, onPart } = options;
  if (!Number.isInteger(Math.log2(batches)) || batches < 4)
    throw new UserError(`${batches} batches cannot be halved down to two; use 4, 8, 16, …`);
  const { objective, load } = instance;
  const { layout } = objective;
  const factors = kroneckerFactors(objective);
  const moments = activationMoments(objective);
  const hessian = curvatureOperator(objective, "hessian");
  const gaussNewton = curvatureOperator(objective, "gaussNewton");
  try {
    const named = namedFactors(factors);
    const elements = named.reduce((sum, { size }) => sum + size, 2 * layout.size);
    const levels = Math.log2(batches) + 2;
    if (elements * levels > memoryLimit)
      throw new UserError(
        `gradient, diagonal and factors have ${elements.toLocaleString("en-US")} elements, too many to keep at ${levels} sizes of batches; use a smaller model or fewer batches`,
      );

    onPart?.("gradients and factors");
    const gradient = batchSpread(layout.size, batch);
    const diagonal = batchSpread(layout.size, batch);
    const spreads = named.map(({ size }) => batchSpread(size, batch));
    const signs = Array.from({ length: probes }, (_, k) => {
      const z = new Float64Array(layout.size);
      rademacher(z, random(seed).stream(`signs ${k}`));
      return z;
    });
    const sum = new Float64Array(layout.size);
    for (let k = 0; k < batches; k++) {
      load(k);
      gradient.add(objective.gradient().gradient.data);
      factors.compute(k);
      named.forEach(({ data }, f) => {
        spreads[f]!.add(data);
      });
      moments.add();
      hessian.linearize();
      sum.fill(0);
      for (const z of signs) {
        hessian.tangent.data.set(z);
        hessian.run();
        const { data } = hessian.product;
        for (let i = 0; i < sum.length; i++) sum[i]! += (z[i]! * data[i]!) / probes;
      }
      diagonal.add(sum);
    }

    onPart?.("the Gauss-Newton matrix");
    const operator = averageOperator(gaussNewton, { count: Math.min(batches, 16), load });
    const { trace } = hutchinson(operator, { samples: 20, seed });
    const largest = extremeEigenpairs(operator, { largest: 1, seed }).largest[0]!.value;
    const effectiveRank = largest > 0 ? trace.value / largest : Number.NaN;

    onPart?.("single examples");
    const sizes = gradient.sizes();
    const squaredNorm = squaredNormOf(gradient.mean);
    const at = ({ batch: size, variance, batches: groups }: SizeSpread) => ({
      batch: size,
      // The mean square norm of the groups' means: their spread, and the norm of the mean of all.
      squaredNorm: (variance * (groups - 1)) / groups + squaredNorm,
    });
    const singleExamples = bySingleExamples(instance, batch, batches);
    const gradients: NoiseMeasurement["gradient"] = {
      batches: gradient.noise(),
      twoSizes: twoBatchNoise(at(sizes[0]!), at(sizes.at(-1)!)),
      ...(singleExamples && { singleExamples }),
    };
    const quantities = [
      quantityOf("gradient", gradient),
      quantityOf("Hessian diagonal", diagonal),
      ...named.map(({ name }, f) => quantityOf(name, spreads[f]!)),
    ];
    const needs = named.flatMap((factor, f) => needOf(factor, spreads[f]!.mean, { error, decay, seed }));
    return {
      batch,
      examples: batch * batches,
      error,
      decay,
      gradient: gradients,
      quantities,
      factors: needs,
      activations: moments.layers.flatMap(({ name, kurtosis }) => {
        const values = [...kurtosis()];
        return values.length === 0
          ? []
          : [{ layer: name, medianKurtosis: median(values), largestKurtosis: Math.max(...values) }];
      }),
      effectiveRank,
      methods: methodNeeds(gradients.batches, needs, effectiveRank, { error, decay }),
    };
  } finally {
    for (const part of [factors, moments, hessian, gaussNewton]) part.release();
  }
}

const squaredNormOf = (v: Float64Array) => v.reduce((sum, x) => sum + x * x, 0);

interface NamedFactor {
  readonly name: string;
  readonly block: KroneckerBlock;
  readonly side: "A" | "G" | undefined;
  readonly size: number;
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

export const namedFactors = ({ blocks, factors }: ReturnType<typeof kroneckerFactors>): NamedFactor[] =>
  blocks.flatMap((block, k) =>
    factors[k]!.map(({ shape, size, data }, index) => {
      const side = factors[k]!.length === 1 ? undefined : index % 2 === 0 ? ("A" as const) : ("G" as const);
      return { name: side ? `${block.name} ${side}` : block.name, block, side, size, shape, data };
    }),
  );

function quantityOf(name: string, spread: ReturnType<typeof batchSpread>): Quantity {
  const sizes = spread.sizes();
  // Sizes of few batches say little about a variance.
  const points = sizes.filter(({ batches }) => batches >= 4);
  const slope = powerLaw(points.map(({ batch, variance }) => [batch, variance])).exponent;
  return { name, noise: spread.noise(), sizes, slope };
}

/** Effective rank and rows of a matrix factor; diagonals need none. */
function needOf(
  { block, side, shape }: NamedFactor,
  mean: Float64Array,
  { error, decay, seed }: Pick<NoiseOptions, "error" | "decay" | "seed">,
): FactorNeed[] {
  const order = shape[0]!;
  if (side === undefined || shape.length < 2) return [];
  let trace = 0;
  for (let i = 0; i < order; i++) trace += mean[i * order + i]!;
  if (!(trace > 0)) return [];
  const matrix = {
    size: order,
    apply(v: ArrayLike<number>, out: { [index: number]: number }) {
      for (let i = 0; i < order; i++) {
        let sum = 0;
        for (let j = 0; j < order; j++) sum += mean[i * order + j]! * v[j]!;
        out[i] = sum;
      }
    },
  };
  const effectiveRank = trace / extremeEigenpairs(matrix, { largest: 1, seed }).largest[0]!.value;
  const { positions } = block;
  const rows = rowsNeeded(effectiveRank, error) / positions;
  return [
    {
      layer: block.name,
      side,
      order,
      effectiveRank,
      positions,
      batch: Math.ceil(rows),
      batchOfAverage: Math.ceil((rows * (1 - decay)) / (1 + decay)),
    },
  ];
}

/** tr Σ and ‖∇L‖² averaged apart; undefined where examples are not independent. */
function bySingleExamples(instance: ProblemInstance, batch: number, count: number): Noise | undefined {
  const { objective, load } = instance;
  if (batch < 2 || batch * objective.layout.size > memoryLimit / 4) return undefined;
  const perExample = perExampleGradients(objective);
  try {
    let [variance, squaredNorm] = [0, 0];
    for (let k = 0; k < count; k++) {
      load(k);
      perExample.compute();
      const one = exampleNoise(perExample.gradients.data, batch);
      variance += one.variance / count;
      squaredNorm += one.squaredNorm / count;
    }
    return {
      variance,
      squaredNorm,
      scale: squaredNorm > 0 ? variance / squaredNorm : Number.POSITIVE_INFINITY,
    };
  } finally {
    perExample.release();
  }
}

/** The smallest batches that follow, beside those that are usually named. */
function methodNeeds(
  gradient: Noise,
  factors: readonly FactorNeed[],
  effectiveRank: number,
  { error, decay }: Pick<NoiseOptions, "error" | "decay">,
): MethodNeed[] {
  const first = (beta: number) =>
    Number.isFinite(gradient.scale)
      ? Math.max(1, Math.ceil((gradient.scale * (1 - beta)) / (1 + beta)))
      : gradient.scale;
  const neediest = factors.reduce<FactorNeed | undefined>(
    (most, factor) => (most && most.batchOfAverage >= factor.batchOfAverage ? most : factor),
    undefined,
  );
  return [
    {
      method: "sgd",
      batch: first(0),
      because: "a single gradient as strong as its noise; smaller batches train too, by averaging over steps",
      literature: "32 to 128",
    },
    {
      method: "adam",
      batch: first(0.9),
      because: "the average with β₁ = 0.9 is worth 19 batches",
      literature: "32 to 256",
    },
    ...(neediest
      ? [
          {
            method: "kfac",
            batch: neediest.batchOfAverage,
            because: `${neediest.side} of ${neediest.layer}: effective rank ${neediest.effectiveRank.toPrecision(3)}, ${neediest.positions} position${neediest.positions === 1 ? "" : "s"} an example, averaged with ${decay}`,
            literature: "256 to 1024",
          },
        ]
      : []),
    {
      method: "hessianFree",
      batch: Number.isFinite(effectiveRank) ? rowsNeeded(effectiveRank, error) : Number.NaN,
      because: `curvature of one batch alone: effective rank ${effectiveRank.toPrecision(3)}`,
      literature: "512 to 2048",
    },
  ];
}
