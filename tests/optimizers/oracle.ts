/**
 * Reference trajectories in plain loops, with gradients derived by hand: nothing here uses the tensors, derivatives or
 * optimizers under test.
 */
import { numbers } from "./small.js";

type Vectors = Record<string, number[]>;
type Matrix = number[][];

export interface PlainProblem {
  readonly name: string;
  readonly data: Record<string, unknown>;
  readonly data_shapes: Record<string, number[]>;
  readonly params: Vectors;
  readonly param_shapes: Record<string, number[]>;
  lossAndGradient(params: Vectors): { loss: number; gradient: Vectors };
}

const rows = (flat: readonly number[], columns: number): Matrix =>
  Array.from({ length: flat.length / columns }, (_, i) => flat.slice(i * columns, (i + 1) * columns));
const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, k) => sum + x * b[k]!, 0);

/** ½ xᵀHx − bᵀx with eigenvalues from 1 to `condition`, in a basis that is not the coordinates'. */
export function quadraticIll(n = 6, condition = 100): PlainProblem {
  // H = R diag(λ) R with the reflection R = I − 2uuᵀ.
  const v = numbers(n, 5);
  const u = v.map((x) => x / Math.sqrt(dot(v, v)));
  const reflection = u.map((x, i) => u.map((y, j) => (i === j ? 1 : 0) - 2 * x * y));
  const lambda = u.map((_, k) => condition ** (k / (n - 1)));
  const H = reflection.map((ri) =>
    reflection.map((rj) => lambda.reduce((s, l, k) => s + ri[k]! * l * rj[k]!, 0)),
  );
  const b = numbers(n, 6);
  return {
    name: "quadratic-ill",
    data: { H, b },
    data_shapes: { H: [n, n], b: [n] },
    params: { x: numbers(n, 7) },
    param_shapes: { x: [n] },
    lossAndGradient({ x }) {
      const Hx = H.map((row) => dot(row, x!));
      return { loss: 0.5 * dot(x!, Hx) - dot(b, x!), gradient: { x: Hx.map((value, k) => value - b[k]!) } };
    },
  };
}

/** Mean over examples of ½ ‖f(x) − y‖², f = W3 tanh(W2 tanh(W1 x + b1) + b2) + b3. */
export function mlpRegression([inputs, h1, h2, outputs] = [3, 5, 4, 2], examples = 7): PlainProblem {
  const [X, Y] = [
    rows(numbers(examples * inputs!, 8), inputs!),
    rows(numbers(examples * outputs!, 9), outputs!),
  ];
  const sizes = [inputs!, h1!, h2!, outputs!];
  const params: Vectors = {};
  const param_shapes: Record<string, number[]> = {};
  for (let layer = 1; layer <= 3; layer++) {
    const [from, to] = [sizes[layer - 1]!, sizes[layer]!];
    params[`W${layer}`] = numbers(to * from, 10 + layer);
    params[`b${layer}`] = numbers(to, 20 + layer).map((x) => 0.1 * x);
    param_shapes[`W${layer}`] = [to, from];
    param_shapes[`b${layer}`] = [to];
  }
  return {
    name: "mlp-regression",
    data: { inputs: X, targets: Y },
    data_shapes: { inputs: [examples, inputs!], targets: [examples, outputs!] },
    params,
    param_shapes,
    lossAndGradient(p) {
      const gradient: Vectors = Object.fromEntries(
        Object.entries(p).map(([name, x]) => [name, x.map(() => 0)]),
      );
      let loss = 0;
      X.forEach((x, n) => {
        const a: number[][] = [x];
        for (let layer = 1; layer <= 3; layer++) {
          const s = rows(p[`W${layer}`]!, sizes[layer - 1]!).map(
            (w, i) => dot(w, a[layer - 1]!) + p[`b${layer}`]![i]!,
          );
          a.push(layer < 3 ? s.map(Math.tanh) : s);
        }
        let delta = a[3]!.map((value, k) => value - Y[n]![k]!);
        loss += (0.5 * dot(delta, delta)) / examples;
        for (let layer = 3; layer >= 1; layer--) {
          const [from, below] = [sizes[layer - 1]!, a[layer - 1]!];
          delta.forEach((d, i) => {
            gradient[`b${layer}`]![i]! += d / examples;
            below.forEach((value, j) => {
              gradient[`W${layer}`]![i * from + j]! += (d * value) / examples;
            });
          });
          const W = p[`W${layer}`]!;
          const current = delta;
          delta = below.map(
            (value, j) => (1 - value * value) * current.reduce((s, d, i) => s + d * W[i * from + j]!, 0),
          );
        }
      });
      return { loss, gradient };
    },
  };
}

/** Mean of softplus(t) − label·t, t = w·x + b, plus ½ l2 ‖w‖². `scalar` writes l2 as a number, else as a list of one. */
export function logisticL2(features = 4, examples = 9, scalar = true): PlainProblem {
  const X = rows(numbers(examples * features, 30), features);
  const labels = numbers(examples, 31).map((x) => (x > 0 ? 1 : 0));
  const l2 = 0.01;
  return {
    name: "logistic-l2",
    data: { inputs: X, labels, l2: scalar ? l2 : [l2] },
    data_shapes: { inputs: [examples, features], labels: [examples], l2: scalar ? [] : [1] },
    params: { w: numbers(features, 32), b: [0] },
    param_shapes: { w: [features], b: [1] },
    lossAndGradient({ w, b }) {
      let loss = 0.5 * l2 * dot(w!, w!);
      const gradient = { w: w!.map((x) => l2 * x), b: [0] };
      X.forEach((x, n) => {
        const t = dot(w!, x) + b![0]!;
        loss += (Math.max(t, 0) + Math.log1p(Math.exp(-Math.abs(t))) - labels[n]! * t) / examples;
        const residual = (1 / (1 + Math.exp(-t)) - labels[n]!) / examples;
        x.forEach((value, k) => {
          gradient.w[k]! += residual * value;
        });
        gradient.b[0]! += residual;
      });
      return { loss, gradient };
    },
  };
}

/** One array's update: what to subtract from nothing, in the words of torch 1.13. */
type Update = (theta: number[], g: number[], t: number) => number[];
export interface PlainOptimizer {
  readonly name: string;
  readonly hyperparameters: Record<string, unknown>;
  /** A new update with its own buffers, for one array. */
  make(): Update;
}

export function torchSgd(
  name: string,
  given: { lr: number; momentum?: number; dampening?: number; weight_decay?: number; nesterov?: boolean },
): PlainOptimizer {
  const h = { momentum: 0, dampening: 0, weight_decay: 0, nesterov: false, ...given };
  return {
    name,
    hyperparameters: h,
    make() {
      let b: number[] | undefined;
      return (theta, raw) => {
        const g = raw.map((x, k) => x + h.weight_decay * theta[k]!);
        let step = g;
        if (h.momentum !== 0) {
          const before = b;
          b = before ? before.map((x, k) => h.momentum * x + (1 - h.dampening) * g[k]!) : [...g];
          const now = b;
          step = h.nesterov ? g.map((x, k) => x + h.momentum * now[k]!) : now;
        }
        return theta.map((x, k) => x - h.lr * step[k]!);
      };
    },
  };
}

export function torchAdam(
  name: string,
  decoupled: boolean,
  given: { lr: number; betas?: number[]; eps?: number; weight_decay?: number; amsgrad?: boolean },
): PlainOptimizer {
  const h = { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0, amsgrad: false, ...given };
  const [beta1, beta2] = h.betas as [number, number];
  return {
    name,
    hyperparameters: h,
    make() {
      let m: number[] = [];
      let v: number[] = [];
      let largest: number[] = [];
      return (start, raw, t) => {
        const theta = decoupled ? start.map((x) => x * (1 - h.lr * h.weight_decay)) : start;
        const g = decoupled ? raw : raw.map((x, k) => x + h.weight_decay * start[k]!);
        m = g.map((x, k) => beta1 * (m[k] ?? 0) + (1 - beta1) * x);
        v = g.map((x, k) => beta2 * (v[k] ?? 0) + (1 - beta2) * x * x);
        largest = v.map((x, k) => Math.max(largest[k] ?? 0, x));
        const second = h.amsgrad ? largest : v;
        return theta.map((x, k) => {
          const denominator = Math.sqrt(second[k]!) / Math.sqrt(1 - beta2 ** t) + h.eps;
          return x - (h.lr / (1 - beta1 ** t)) * (m[k]! / denominator);
        });
      };
    },
  };
}

/** The entry of problems.json. */
export function problemEntry(problem: PlainProblem) {
  const { loss, gradient } = problem.lossAndGradient(problem.params);
  const { data, data_shapes, params, param_shapes } = problem;
  return { data, data_shapes, params, param_shapes, initial_loss: loss, initial_gradient: gradient };
}

/** The file of a run. */
export function runFile(problem: PlainProblem, optimizer: PlainOptimizer, steps: number) {
  let params = problem.params;
  const updates = Object.fromEntries(Object.keys(params).map((name) => [name, optimizer.make()]));
  const losses: number[] = [];
  let first: Vectors = {};
  for (let t = 1; t <= steps; t++) {
    const { loss, gradient } = problem.lossAndGradient(params);
    losses.push(loss);
    params = Object.fromEntries(
      Object.entries(params).map(([name, theta]) => [name, updates[name]!(theta, gradient[name]!, t)]),
    );
    if (t === 1) first = params;
  }
  losses.push(problem.lossAndGradient(params).loss);
  return {
    problem: problem.name,
    optimizer: optimizer.name,
    reference: "plain loops",
    dtype: "float64",
    hyperparameters: optimizer.hyperparameters,
    steps,
    loss: losses,
    params,
    params_after_step_1: first,
    amplification: 1,
  };
}
