/**
 * Functions of few numbers with a known minimiser, for the eye and for tests: the parameters are the problem. Each is
 * half a sum of squares, so that its Gauss–Newton matrix JᵀJ is there beside its Hessian:
 *
 *     f(x) = ½ ‖r(x)‖²
 *
 *     quadratic     r = diag(√λ) Qᵀ(x − x*)                                    the Hessian is Q diag(λ) Qᵀ everywhere
 *     rosenbrock    r = √2 (10 (xᵢ₊₁ − xᵢ²), 1 − xᵢ)ᵢ                           Rosenbrock 1960; a bent valley
 *     beale         r = √2 (cₖ − x (1 − yᵏ))ₖ, c = 1.5, 2.25, 2.625             Beale 1958; flat far from its minimum
 */
import { createObjective } from "../../curvature/objective.js";
import { curvatureOf } from "../../curvature/output-curvature.js";
import { DataError } from "../../data/error.js";
import { layoutOf, meanSquared } from "../../nn/index.js";
import { random } from "../../nn/random.js";
import { choice, count, type Options, positiveCount, SettingsError } from "../../optimizers/settings.js";
import { concat, constant, full, stack, type Tensor } from "../../tensor/tensor.js";
import { formatCount } from "../format.js";
import type { Problem, ProblemKind } from "../problem.js";

interface TestFunction {
  readonly summary: string;
  /** x* */
  readonly minimiser: Float64Array;
  /** Where a run of this seed begins. */
  start(seed: number): ArrayLike<number>;
  /** r [m] of x [n]. */
  residuals(x: Tensor): Tensor;
  readonly suggested: Problem["suggested"];
  readonly steps: number;
}

/** x is to come as near to x* as this. */
const near = 1e-6;

/** Methods that end by themselves where the gradient is short: not before x is near, if eigenvalues are at least λ. */
const untilNear = (lambda: number) => {
  const tolerance = 0.01 * near * lambda;
  return Object.fromEntries(
    ["newton", "lbfgs", "hessianFree", "naturalGradient"].map((name) => [name, { tolerance }]),
  );
};

/** LARS gives vectors no ratio by default, and x is one: momentum at rate 1, too fast for a valley. */
const lars = { layers: "all", schedule: "cosine", decaySteps: 5000 };

function minimisation({
  summary,
  minimiser,
  start,
  residuals,
  suggested,
  steps,
}: TestFunction): Omit<Problem, "settings"> {
  const layout = layoutOf({ x: { dtype: "f64", shape: [minimiser.length] } });
  return {
    summary,
    examples: 0,
    defaults: {
      batch: 1,
      steps,
      evaluateEvery: 1,
      target: { metric: "distance", value: near, goal: "min" },
    },
    suggested,
    metrics: { distance: "min", loss: "min" },
    start(runtime, { seed, batch }) {
      if (batch !== 1)
        throw new DataError(
          `the batch is ${batch}; a function of its parameters alone has no examples: use 1`,
        );
      const objective = createObjective(runtime, {
        layout,
        parameters: start(seed),
        batch: [],
        trace(x) {
          // One example whose outputs are all residuals.
          const r = residuals(x);
          const outputs = r.reshape([1, r.size]);
          const none = full({ dtype: "f64", shape: outputs.shape }, 0);
          const loss = meanSquared();
          return {
            loss: loss.value(outputs, none),
            state: undefined,
            outputCurvature: curvatureOf(loss, outputs, none),
          };
        },
      });
      objective.key.data[0] = seed;
      return {
        objective,
        sameBatch: true,
        load(step) {
          objective.key.data[1] = step;
        },
        evaluate() {
          const { data } = objective.parameters;
          const square = minimiser.reduce((sum, xi, i) => sum + (data[i]! - xi) ** 2, 0);
          return { distance: Math.sqrt(square), loss: objective.loss() };
        },
        release: objective.release,
      };
    },
  };
}

const quadraticOptions = {
  size: positiveCount(100, "n: numbers"),
  condition: positiveCount(10_000, "κ: eigenvalues are from 1/κ to 1"),
  spectrum: choice(
    "geometric",
    ["geometric", "linear", "clusters"],
    "eigenvalues with equal ratios, with equal differences, or a tenth of them 1 and the others 1/κ",
  ),
  axes: choice("turned", ["turned", "aligned"], "whether eigenvectors are a random basis or the coordinates"),
  functionSeed: count(0, "of the basis and of the minimiser"),
} as const satisfies Options;

/** Elements of the dense matrix of a turned quadratic. */
const mostElements = 2 ** 24;

const eigenvalues = {
  geometric: (share: number, condition: number) => condition ** -share,
  linear: (share: number, condition: number) => 1 - share * (1 - 1 / condition),
  clusters: (share: number, condition: number) => (share < 0.1 ? 1 : 1 / condition),
};

/** diag(√λ) Qᵀ, row-major, Q a product of eight reflections at random planes: every element is filled. */
function turned(lambda: Float64Array, seed: number): Float64Array {
  const n = lambda.length;
  const rng = random(seed).stream("basis");
  const B = new Float64Array(n * n);
  for (let i = 0; i < n; i++) B[i * n + i] = Math.sqrt(lambda[i]!);
  for (let reflection = 0; reflection < 8; reflection++) {
    const u = Float64Array.from({ length: n }, () => rng.normal());
    const square = u.reduce((sum, ui) => sum + ui * ui, 0);
    for (let i = 0; i < n; i++) {
      const row = B.subarray(i * n, (i + 1) * n);
      const along = (2 / square) * row.reduce((sum, b, j) => sum + b * u[j]!, 0);
      for (let j = 0; j < n; j++) row[j]! -= along * u[j]!;
    }
  }
  return B;
}

const quadratic: ProblemKind<typeof quadraticOptions> = {
  name: "quadratic",
  description: "a quadratic function with a spectrum of your choice, in f64",
  options: quadraticOptions,
  open({ size: n, condition, spectrum, axes, functionSeed }) {
    if (axes === "turned" && n * n > mostElements)
      throw new SettingsError(
        `quadratic: size is ${n}, whose dense matrix has ${formatCount(n * n)} elements; use at most ${Math.sqrt(mostElements)}, or axes=aligned`,
      );
    const lambda = Float64Array.from({ length: n }, (_, k) =>
      eigenvalues[spectrum](n === 1 ? 0 : k / (n - 1), condition),
    );
    const rng = random(functionSeed).stream("minimiser");
    const minimiser = Float64Array.from({ length: n }, () => rng.normal());
    const vector = (data: Float64Array) => constant({ dtype: "f64", shape: [n], data });
    const center = vector(minimiser);
    const roots = lambda.map(Math.sqrt);
    const B = axes === "turned" ? turned(lambda, functionSeed) : undefined;
    const root = Math.sqrt(condition);
    // The best of their kind for eigenvalues from 1/κ to 1 (Polyak 1964; Nesterov 1983).
    const contraction = (root - 1) / (root + 1);
    return minimisation({
      summary: `${formatCount(n)} numbers, eigenvalues from ${1 / condition} to 1 (${spectrum}), ${axes} axes`,
      minimiser,
      start: (seed) => {
        const rng = random(seed).stream("start");
        return Float64Array.from({ length: n }, () => rng.normal());
      },
      residuals(x) {
        const moved = x.sub(center);
        return B
          ? constant({ dtype: "f64", shape: [n, n], data: B }).matmul(moved)
          : moved.mul(vector(roots));
      },
      steps: 5000,
      suggested: {
        ...untilNear(1 / condition),
        sgd: { learningRate: 2 / (1 + 1 / condition) },
        momentum: { learningRate: (2 / (1 + 1 / root)) ** 2, momentum: contraction ** 2 },
        nesterov: { learningRate: 1, momentum: contraction },
        adam: { learningRate: 0.01 },
        adamw: { learningRate: 0.01, weightDecay: 0 },
      },
    });
  },
};

const rosenbrockOptions = {
  dimension: positiveCount(2, "n: numbers, at least 2"),
} as const satisfies Options;

const rosenbrock: ProblemKind<typeof rosenbrockOptions> = {
  name: "rosenbrock",
  description: "Rosenbrock's valley, in f64",
  options: rosenbrockOptions,
  open({ dimension: n }) {
    if (n < 2) throw new SettingsError(`rosenbrock: dimension is ${n}; the valley needs at least 2`);
    return minimisation({
      summary: `Σ 100 (xᵢ₊₁ − xᵢ²)² + (1 − xᵢ)² in ${formatCount(n)} numbers from (−1.2, 1, …)`,
      minimiser: new Float64Array(n).fill(1),
      start: () => Float64Array.from({ length: n }, (_, k) => (k % 2 === 0 ? -1.2 : 1)),
      residuals(x) {
        const [low, high] = [x.slice(0, 0, n - 1), x.slice(0, 1)];
        const across = high.sub(low.square()).mul(10);
        return concat([across, low.neg().add(1)]).mul(Math.SQRT2);
      },
      steps: 20_000,
      suggested: {
        ...untilNear(0.1),
        sgd: { learningRate: 1e-3 },
        momentum: { learningRate: 1e-3, momentum: 0.9 },
        nesterov: { learningRate: 1e-3, momentum: 0.9 },
        adam: { learningRate: 0.02 },
        adamw: { learningRate: 0.02, weightDecay: 0 },
        lars,
      },
    });
  },
};

const beale: ProblemKind<Record<string, never>> = {
  name: "beale",
  description: "Beale's function of two numbers, in f64",
  options: {},
  open: () =>
    minimisation({
      summary: "Σ (cₖ − x (1 − yᵏ))² for k from 1 to 3, from (1, 1)",
      minimiser: Float64Array.of(3, 0.5),
      start: () => [1, 1],
      residuals(xy) {
        const [x, y] = [xy.at(0), xy.at(1)];
        const powers = [y, y.square(), y.square().mul(y)];
        const r = [1.5, 2.25, 2.625].map((c, k) => x.mul(powers[k]!.sub(1)).add(c));
        return stack(r).mul(Math.SQRT2);
      },
      steps: 20_000,
      suggested: {
        ...untilNear(0.1),
        sgd: { learningRate: 0.01 },
        momentum: { learningRate: 0.005, momentum: 0.9 },
        nesterov: { learningRate: 0.005, momentum: 0.9 },
        adam: { learningRate: 0.02 },
        adamw: { learningRate: 0.02, weightDecay: 0 },
        lars,
      },
    }),
};

export const functionProblems = [quadratic, rosenbrock, beale] as const;
