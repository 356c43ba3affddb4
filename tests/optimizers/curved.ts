/** Problems whose curvature matters, as objectives: a quadratic, logistic regression, Rosenbrock's valley, a network. */
import { createObjective, curvatureOf, type Objective } from "../../src/curvature/index.js";
import { binaryCrossEntropyWithLogits } from "../../src/nn/losses/binary-cross-entropy.js";
import { softmaxCrossEntropy } from "../../src/nn/losses/softmax-cross-entropy.js";
import { layoutOf } from "../../src/nn/parameters.js";
import { random } from "../../src/nn/random.js";
import type { Optimizer, StepReport } from "../../src/optimizers/index.js";
import type { Runtime } from "../../src/runtime/runtime.js";
import type { Tensor } from "../../src/tensor/tensor.js";

type Float = "f32" | "f64";

/** A symmetric matrix [n, n] with the given eigenvalues, in a basis far from the coordinates'. */
export function symmetric(eigenvalues: readonly number[], seed: number): number[][] {
  const n = eigenvalues.length;
  const rng = random(seed).stream("basis");
  let A = eigenvalues.map((value, i) => eigenvalues.map((_, j) => (i === j ? value : 0)));
  // Reflections I − 2uuᵀ from both sides.
  for (let k = 0; k < 3; k++) {
    const u = eigenvalues.map(() => rng.normal());
    const norm = Math.hypot(...u);
    const R = u.map((x, i) => u.map((y, j) => (i === j ? 1 : 0) - (2 * x * y) / norm ** 2));
    const product = (P: number[][], Q: number[][]) =>
      P.map((row) => Q[0]!.map((_, j) => row.reduce((sum, x, l) => sum + x * Q[l]![j]!, 0)));
    A = product(product(R, A), R);
  }
  for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) A[i]![j] = A[j]![i]!;
  return A;
}

/** ½ xᵀAx − bᵀx from x₀. */
export function quadratic(
  runtime: Runtime,
  A: readonly (readonly number[])[],
  { b, x, dtype = "f64" }: { b: readonly number[]; x: readonly number[]; dtype?: Float },
): Objective {
  const n = A.length;
  const objective = createObjective(runtime, {
    layout: layoutOf({ x: { dtype, shape: [n] } }),
    parameters: x,
    batch: [
      { dtype, shape: [n, n] },
      { dtype, shape: [n] },
    ],
    trace: (theta, [matrix, linear]) => ({
      loss: theta.inner(matrix!.matmul(theta)).mul(0.5).sub(theta.inner(linear!)),
      state: undefined,
    }),
  });
  objective.batch[0]!.set(A.flat());
  objective.batch[1]!.set(b);
  return objective;
}

/** Σ 100 (xᵢ₊₁ − xᵢ²)² + (1 − xᵢ)² from (−1.2, 1, −1.2, 1, …). */
export const rosenbrock = (runtime: Runtime, n: number, dtype: Float = "f64"): Objective =>
  createObjective(runtime, {
    layout: layoutOf({ x: { dtype, shape: [n] } }),
    parameters: Array.from({ length: n }, (_, k) => (k % 2 === 0 ? -1.2 : 1)),
    batch: [],
    trace(x) {
      const [low, high] = [x.slice(0, 0, n - 1), x.slice(0, 1)];
      const loss = high.sub(low.square()).square().mul(100).add(low.neg().add(1).square()).sum();
      return { loss, state: undefined };
    },
  });

/** Logistic regression on overlapping classes, with ½·10⁻³‖w‖². */
export function logistic(runtime: Runtime, dtype: Float = "f64", examples = 60, features = 5): Objective {
  const rng = random(3);
  const objective = createObjective(runtime, {
    layout: layoutOf({ w: { dtype, shape: [features, 1] }, b: { dtype, shape: [1] } }),
    parameters: Array.from({ length: features + 1 }, (_, k) => 0.01 * (k + 1)),
    batch: [
      { dtype, shape: [examples, features] },
      { dtype, shape: [examples, 1] },
    ],
    trace(theta, [x, y]) {
      const loss = binaryCrossEntropyWithLogits();
      const outputs = x!
        .matmul(theta.slice(0, 0, features).reshape([features, 1]))
        .add(theta.slice(0, features));
      const regulariser = theta.slice(0, 0, features).square().sum().mul(0.5e-3);
      return {
        loss: loss.value(outputs, y!).add(regulariser),
        state: undefined,
        outputCurvature: curvatureOf(loss, outputs, y!),
        regulariser,
      };
    },
  });
  const x = Array.from({ length: examples * features }, (_, k) => rng.normal(0, 1 + (k % features)));
  objective.batch[0]!.set(x);
  objective.batch[1]!.set(
    Array.from({ length: examples }, (_, i) => {
      const t = x
        .slice(i * features, (i + 1) * features)
        .reduce((sum, v, j) => sum + v * (j % 2 ? -0.3 : 0.4), 0.5);
      return rng.uniform() < 1 / (1 + Math.exp(-t)) ? 1 : 0;
    }),
  );
  return objective;
}

/** Three classes of points in the plane (spirals) and a network 2-h-3 with tanh. */
export function network(
  runtime: Runtime,
  { dtype = "f64" as Float, hidden = 8, examples = 48 } = {},
): Objective {
  const layout = layoutOf({
    W1: { dtype, shape: [2, hidden] },
    b1: { dtype, shape: [hidden] },
    W2: { dtype, shape: [hidden, 3] },
    b2: { dtype, shape: [3] },
  });
  const rng = random(5);
  const objective = createObjective(runtime, {
    layout,
    parameters: Array.from({ length: layout.size }, () => rng.normal(0, 0.7)),
    batch: [
      { dtype, shape: [examples, 2] },
      { dtype: "i32", shape: [examples] },
    ],
    trace(theta, [x, labels]) {
      const p = layout.views(theta) as Readonly<Record<string, Tensor>>;
      const loss = softmaxCrossEntropy();
      const layer = (x: Tensor, k: 1 | 2) => {
        const [W, b] = [p[`W${k}`]!, p[`b${k}`]!];
        return x
          .matmul(W)
          .add(b)
          .marked({ layer: "dense", name: `${k}`, bias: true }, x, W, b);
      };
      const outputs = layer(layer(x!, 1).tanh(), 2);
      return {
        loss: loss.value(outputs, labels!),
        state: undefined,
        outputs,
        outputCurvature: curvatureOf(loss, outputs, labels!),
      };
    },
  });
  fillSpirals(objective, 0);
  return objective;
}

/** Another batch of the same spirals for each seed. */
export function fillSpirals({ batch }: Objective, seed: number): void {
  const rng = random(seed).stream("spirals");
  const [points, labels] = [batch[0]!, batch[1]!];
  for (let i = 0; i < labels.size; i++) {
    const [label, r] = [i % 3, rng.uniform(0.2, 1.5)];
    const angle = 2.5 * r + (2 * Math.PI * label) / 3 + rng.normal(0, 0.1);
    points.data[2 * i] = r * Math.cos(angle);
    points.data[2 * i + 1] = r * Math.sin(angle);
    labels.data[i] = label;
  }
}

/** Steps until one says that more would gain nothing. */
export function untilStop(objective: Objective, optimizer: Optimizer, most: number): StepReport[] {
  const training = optimizer.start(objective);
  const reports: StepReport[] = [];
  do reports.push(training.step());
  while (!reports.at(-1)!.stop && reports.length < most);
  training.release();
  return reports;
}

/** x⁴/4 − x²/2 + y²/2: a saddle at the origin, minima −¼ at (±1, 0). */
export const doubleWell = (runtime: Runtime, x: number, y: number): Objective =>
  createObjective(runtime, {
    layout: layoutOf({ x: { dtype: "f64", shape: [2] } }),
    parameters: [x, y],
    batch: [],
    trace(theta) {
      const squares = theta.square();
      const [u, v] = [squares.at(0), squares.at(1)];
      return { loss: u.square().mul(0.25).sub(u.mul(0.5)).add(v.mul(0.5)), state: undefined };
    },
  });
