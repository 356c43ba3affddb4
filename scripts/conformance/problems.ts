/** The problems by name, as losses of named arrays; sizes come from the data. */
import { curvatureOf, type OutputCurvature } from "../../src/curvature/index.js";
import { binaryCrossEntropyWithLogits, meanSquared, softmaxCrossEntropy } from "../../src/nn/index.js";
import type { DType } from "../../src/tensor/dtype.js";
import { iota, type Tensor } from "../../src/tensor/tensor.js";

type Arrays = Readonly<Record<string, Tensor>>;

export interface Problem {
  /** Names of the parameters, in the order in which they lie in θ. */
  readonly parameters: readonly string[];
  /** What the loss reads beside the parameters; "float" is the dtype of the run. */
  readonly data: Readonly<Record<string, "float" | Exclude<DType, "f32" | "f64">>>;
  loss(parameters: Arrays, data: Arrays): Tensor;
  /** For Gauss–Newton and Fisher products, where the loss is one of a model's outputs. */
  outputCurvature?(parameters: Arrays, data: Arrays): OutputCurvature;
  /** The part of the loss that is none of the outputs. */
  regulariser?(parameters: Arrays, data: Arrays): Tensor;
}

/** W x + b for each row x, with W [out, in]; marked, so that it has Kronecker factors. */
const affine = (x: Tensor, w: Tensor, b: Tensor) => {
  const weight = w.transpose();
  return x.matmul(weight).add(b).marked({ layer: "dense", name: "affine", bias: true }, x, weight, b);
};

const regression = (p: Arrays, inputs: Tensor) => {
  const h1 = affine(inputs, p.W1!, p.b1!).tanh();
  return affine(affine(h1, p.W2!, p.b2!).tanh(), p.W3!, p.b3!);
};
const classifier = (p: Arrays, inputs: Tensor) => affine(affine(inputs, p.W1!, p.b1!).tanh(), p.W2!, p.b2!);
const logit = ({ w, b }: Arrays, inputs: Tensor) => inputs.matmul(w!.reshape([-1])).add(b!);
const halfL2 = ({ w }: Arrays, { l2 }: Arrays) => w!.square().sum().mul(0.5).mul(l2!.reshape([]));

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
    loss: (p, { inputs, targets }) =>
      regression(p, inputs!)
        .sub(targets!)
        .square()
        .sum()
        .mul(0.5 / inputs!.shape[0]!),
    outputCurvature: (p, { inputs, targets }) => curvatureOf(meanSquared(), regression(p, inputs!), targets!),
  },
  // Mean over examples of −log softmax(z)[label], z with one hidden layer of tanh.
  "mlp-classifier": {
    parameters: ["W1", "b1", "W2", "b2"],
    data: { inputs: "float", labels: "i32" },
    loss(p, { inputs, labels }) {
      const z = classifier(p, inputs!);
      const chosen = iota(z.shape).eq(labels!.reshape([-1, 1]));
      return z.logSumExp().sub(chosen.select(z, 0).sum(1)).mean();
    },
    outputCurvature: (p, { inputs, labels }) =>
      curvatureOf(softmaxCrossEntropy(), classifier(p, inputs!), labels!),
  },
  // Mean of softplus(t) − label·t, t = x·w + b, plus ½ l2 ‖w‖².
  "logistic-l2": {
    parameters: ["w", "b"],
    data: { inputs: "float", labels: "float", l2: "float" },
    loss(p, data) {
      const t = logit(p, data.inputs!);
      return t.softplus().sub(data.labels!.mul(t)).mean().add(halfL2(p, data));
    },
    outputCurvature: (p, { inputs, labels }) =>
      curvatureOf(binaryCrossEntropyWithLogits(), logit(p, inputs!), labels!),
    regulariser: halfL2,
  },
  // ½ mean over entries of (A W B − C)²
  "matrix-lstsq": {
    parameters: ["W"],
    data: { A: "float", B: "float", C: "float" },
    loss: ({ W }, { A, B, C }) => A!.matmul(W!).matmul(B!).sub(C!).square().mean().mul(0.5),
  },
};
