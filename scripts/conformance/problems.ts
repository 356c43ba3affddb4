/** The problems by name, as losses of named arrays; sizes come from the data. */
import type { DType } from "../../src/tensor/dtype.js";
import { iota, type Tensor } from "../../src/tensor/tensor.js";

type Arrays = Readonly<Record<string, Tensor>>;

export interface Problem {
  /** Names of the parameters, in the order in which they lie in θ. */
  readonly parameters: readonly string[];
  /** What the loss reads beside the parameters; "float" is the dtype of the run. */
  readonly data: Readonly<Record<string, "float" | Exclude<DType, "f32" | "f64">>>;
  loss(parameters: Arrays, data: Arrays): Tensor;
}

/** W x + b for each row x, with W [out, in]. */
const affine = (x: Tensor, w: Tensor, b: Tensor) => x.matmul(w.transpose()).add(b);

export const problems: Readonly<Record<string, Problem>> = {
  // Σᵢ 100 (xᵢ₊₁ − xᵢ²)² + (1 − xᵢ)²
  "rosenbrock-10d": {
    parameters: ["x"],
    data: {},
    loss({ x }) {
      const [low, high] = [x!.slice(0, 0, x!.size - 1), x!.slice(0, 1)];
      return high.sub(low.square()).square().mul(100).add(low.neg().add(1).square()).sum();
    },
  },
  // ½ xᵀHx − bᵀx
  "quadratic-ill": {
    parameters: ["x"],
    data: { H: "float", b: "float" },
    loss: ({ x }, { H, b }) => x!.inner(H!.matmul(x!)).mul(0.5).sub(b!.inner(x!)),
  },
  // Mean over examples of ½ ‖f(x) − y‖², f with two hidden layers of tanh.
  "mlp-regression": {
    parameters: ["W1", "b1", "W2", "b2", "W3", "b3"],
    data: { inputs: "float", targets: "float" },
    loss(p, { inputs, targets }) {
      const h1 = affine(inputs!, p.W1!, p.b1!).tanh();
      const h2 = affine(h1, p.W2!, p.b2!).tanh();
      return affine(h2, p.W3!, p.b3!)
        .sub(targets!)
        .square()
        .sum()
        .mul(0.5 / inputs!.shape[0]!);
    },
  },
  // Mean over examples of −log softmax(z)[label], z with one hidden layer of tanh.
  "mlp-classifier": {
    parameters: ["W1", "b1", "W2", "b2"],
    data: { inputs: "float", labels: "i32" },
    loss(p, { inputs, labels }) {
      const z = affine(affine(inputs!, p.W1!, p.b1!).tanh(), p.W2!, p.b2!);
      const chosen = iota(z.shape).eq(labels!.reshape([-1, 1]));
      return z.logSumExp().sub(chosen.select(z, 0).sum(1)).mean();
    },
  },
  // Mean of softplus(t) − label·t, t = x·w + b, plus ½ l2 ‖w‖².
  "logistic-l2": {
    parameters: ["w", "b"],
    data: { inputs: "float", labels: "float", l2: "float" },
    loss({ w, b }, { inputs, labels, l2 }) {
      const t = inputs!.matmul(w!.reshape([-1])).add(b!);
      const fit = t.softplus().sub(labels!.mul(t)).mean();
      return fit.add(w!.square().sum().mul(0.5).mul(l2!.reshape([])));
    },
  },
  // ½ mean over entries of (A W B − C)²
  "matrix-lstsq": {
    parameters: ["W"],
    data: { A: "float", B: "float", C: "float" },
    loss: ({ W }, { A, B, C }) => A!.matmul(W!).matmul(B!).sub(C!).square().mean().mul(0.5),
  },
};
