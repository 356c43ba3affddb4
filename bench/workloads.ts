/** The networks of the side-by-side benchmarks: shapes and losses as in peers/torch_peer.py. */
import { grad } from "../src/autodiff/index.js";
import type { NDArray } from "../src/tensor/array.js";
import type { DType } from "../src/tensor/dtype.js";
import { scan } from "../src/tensor/scan.js";
import { type Shape, sizeOf } from "../src/tensor/shape.js";
import { concat, iota, type Tensor } from "../src/tensor/tensor.js";

export interface Workload {
  readonly name: string;
  /** Name and shape of each parameter, in the order of θ. */
  readonly parameters: readonly (readonly [string, Shape])[];
  /** The fixed batch. */
  readonly data: readonly NDArray[];
  readonly loss: (parameters: Record<string, Tensor>, data: readonly Tensor[]) => Tensor;
}

/** Deterministic normal numbers (sum of sines would not do for training; this is a small LCG with Box–Muller). */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}
const f32 = (shape: Shape, next: () => number): NDArray => ({
  dtype: "f32",
  shape,
  data: Float32Array.from({ length: sizeOf(shape) }, next),
});
const integers = (shape: Shape, next: () => number): NDArray => ({
  dtype: "i32",
  shape,
  data: Int32Array.from({ length: sizeOf(shape) }, next),
});

/** Initial θ: normal with variance 2/(fan in + fan out) for matrices, ones for scales, zeros for the rest. */
export function initialize(workload: Workload, dtype: DType = "f32"): Float32Array | Float64Array {
  const next = generator(1);
  const values: number[] = [];
  for (const [name, shape] of workload.parameters) {
    const fans = shape.length === 1 ? 0 : sizeOf(shape.slice(0, -1)) + shape.at(-1)!;
    for (let i = 0; i < sizeOf(shape); i++)
      values.push(fans > 0 ? next() * Math.sqrt(2 / fans) : name.endsWith("scale") ? 1 : 0);
  }
  return dtype === "f64" ? Float64Array.from(values) : Float32Array.from(values);
}

const sizes = (list: readonly number[]): [string, Shape][] =>
  list.slice(1).flatMap((out, k): [string, Shape][] => [
    [`w${k}`, [list[k]!, out]],
    [`b${k}`, [out]],
  ]);
const mlp = (
  p: Record<string, Tensor>,
  x: Tensor,
  layers: number,
  activation: (x: Tensor) => Tensor = (t) => t.tanh(),
): Tensor => {
  let a = x;
  for (let k = 0; k < layers; k++) {
    a = a.matmul(p[`w${k}`]!).add(p[`b${k}`]!);
    if (k < layers - 1) a = activation(a);
  }
  return a;
};
function crossEntropy(logits: Tensor, labels: Tensor): Tensor {
  const flat = logits.reshape([-1, logits.shape.at(-1)!]);
  const chosen = iota(flat.shape, 1).eq(labels.reshape([-1, 1]));
  return chosen.select(flat.logSoftmax(), 0).sum(1).neg().mean();
}

function mlpSmall(): Workload {
  const next = generator(2);
  return {
    name: "mlp-small",
    parameters: sizes([64, 64, 64, 10]),
    data: [f32([128, 64], next), integers([128], () => Math.floor(Math.abs(next()) * 5) % 10)],
    loss: (p, [x, y]) => crossEntropy(mlp(p, x!, 3), y!),
  };
}

function autoencoder(): Workload {
  const next = generator(3);
  return {
    name: "autoencoder",
    parameters: sizes([784, 1000, 500, 250, 30, 250, 500, 1000, 784]),
    data: [f32([1000, 784], () => 1 / (1 + Math.exp(-2 * next())))],
    loss(p, [x]) {
      const z = mlp(p, x!, 8);
      // log(1 + e^z) − x z, summed over pixels
      return z
        .softplus()
        .sub(x!.mul(z))
        .sum()
        .mul(1 / 1000);
    },
  };
}

function pinnPoisson(): Workload {
  const inner: number[] = [];
  const edge: number[] = [];
  for (let i = 0; i < 30; i++) for (let j = 0; j < 30; j++) inner.push((i + 0.5) / 30, (j + 0.5) / 30);
  for (let i = 0; i < 30; i++) {
    const t = (i + 0.5) / 30;
    edge.push(t, 0, t, 1, 0, t, 1, t);
  }
  const array = (list: number[]): NDArray => ({
    dtype: "f32",
    shape: [list.length / 2, 2],
    data: Float32Array.from(list),
  });
  return {
    name: "pinn-poisson",
    parameters: sizes([2, 32, 32, 32, 1]),
    data: [array(inner), array(edge)],
    loss(p, [points, boundary]) {
      const x = points!;
      const rhs = x.mul(Math.PI).sin();
      const source = rhs
        .at(0, 1)
        .mul(rhs.at(1, 1))
        .mul(-2 * Math.PI ** 2);
      const residual = laplacian(p, x, 4).sub(source);
      return residual
        .square()
        .mean()
        .add(mlp(p, boundary!, 4).square().mean());
    },
  };
}

/**
 * Δu of a tanh network, propagated forwards: for each layer the value, the derivatives along each input axis and the
 * sum of the second derivatives. tanh″ = −2 t (1 − t²).
 */
function laplacian(p: Record<string, Tensor>, x: Tensor, layers: number): Tensor {
  const n = x.shape[0]!;
  let a = x;
  // Derivatives of the first pre-activation are rows of the first weight.
  let d: [Tensor, Tensor] | undefined;
  let second: Tensor | undefined;
  for (let k = 0; k < layers; k++) {
    const w = p[`w${k}`]!;
    const width = w.shape[1]!;
    a = a.matmul(w).add(p[`b${k}`]!);
    if (!d) d = [w.slice(0, 0, 1).expand([n, width]), w.slice(0, 1, 2).expand([n, width])];
    else {
      const all = concat([d[0], d[1], second!], 0).matmul(w);
      d = [all.slice(0, 0, n), all.slice(0, n, 2 * n)];
      second = all.slice(0, 2 * n, 3 * n);
    }
    if (k === layers - 1) break;
    const t = a.tanh();
    const t1 = t.square().neg().add(1);
    const curve = d[0].square().add(d[1].square()).mul(t.mul(t1).mul(-2));
    second = second ? curve.add(t1.mul(second)) : curve;
    d = [t1.mul(d[0]), t1.mul(d[1])];
    a = t;
  }
  return second!.at(0, 1);
}

function cnnSmall(): Workload {
  const next = generator(5);
  const window = {
    kernel: [3, 3],
    stride: [1, 1],
    padding: [
      [1, 1],
      [1, 1],
    ],
    dilation: [1, 1],
  } as const;
  const pool = (x: Tensor) => {
    const [n, h, w, c] = x.shape as [number, number, number, number];
    return x.reshape([n, h / 2, 2, w / 2, 2, c]).maximum([2, 4]);
  };
  const conv = (x: Tensor, w: Tensor, b: Tensor) => x.patches(window).matmul(w).add(b);
  return {
    name: "cnn-small",
    parameters: [["k0", [9, 16]], ["c0", [16]], ["k1", [144, 32]], ["c1", [32]], ...sizes([1568, 128, 10])],
    data: [
      f32([256, 28, 28, 1], () => Math.abs(next()) % 1),
      integers([256], () => Math.floor(Math.abs(next()) * 5) % 10),
    ],
    loss(p, [x, y]) {
      const one = pool(conv(x!, p.k0!, p.c0!).relu());
      const two = pool(conv(one, p.k1!, p.c1!).relu());
      return crossEntropy(
        mlp(p, two.flatten(1), 2, (t) => t.relu()),
        y!,
      );
    },
  };
}

function rnn(): Workload {
  const next = generator(6);
  return {
    name: "rnn",
    parameters: [
      ["wx", [8, 64]],
      ["bx", [64]],
      ["wh", [64, 64]],
      ["bh", [64]],
      ["w0", [64, 10]],
      ["b0", [10]],
    ],
    data: [f32([60, 64, 8], next), integers([64], () => Math.floor(Math.abs(next()) * 5) % 10)],
    loss(p, [x, y]) {
      const projected = x!.matmul(p.wx!).add(p.bx!.add(p.bh!));
      const start = x!.at(0).slice(1, 0, 1).mul(0).expand([64, 64]);
      const [last] = scan(
        (h: Tensor, xt: Tensor) => {
          const state = xt.add(h.matmul(p.wh!)).tanh();
          return [state, state];
        },
        start,
        projected,
      );
      return crossEntropy(mlp(p, last, 1), y!);
    },
  };
}

function transformerTiny(): Workload {
  const next = generator(7);
  const [layers, d, heads, context, batch, vocabulary] = [4, 128, 4, 128, 16, 256];
  const norm = (x: Tensor, scale: Tensor, shift: Tensor) => {
    const centred = x.sub(x.mean(-1, true));
    const deviation = centred.square().mean(-1, true).add(1e-5).sqrt();
    return centred.div(deviation).mul(scale).add(shift);
  };
  return {
    name: "transformer-tiny",
    parameters: [
      ["token", [vocabulary, d]],
      ["position", [context, d]],
      ...Array.from({ length: layers }, (_, l): [string, Shape][] => [
        [`${l}.n1scale`, [d]],
        [`${l}.n1shift`, [d]],
        [`${l}.qkv`, [d, 3 * d]],
        [`${l}.qkvb`, [3 * d]],
        [`${l}.proj`, [d, d]],
        [`${l}.projb`, [d]],
        [`${l}.n2scale`, [d]],
        [`${l}.n2shift`, [d]],
        [`${l}.up`, [d, 4 * d]],
        [`${l}.upb`, [4 * d]],
        [`${l}.down`, [4 * d, d]],
        [`${l}.downb`, [d]],
      ]).flat(),
      ["nscale", [d]],
      ["nshift", [d]],
      ["head", [d, vocabulary]],
    ],
    data: [
      integers([batch, context], () => Math.floor(Math.abs(next()) * 100) % vocabulary),
      integers([batch, context], () => Math.floor(Math.abs(next()) * 100) % vocabulary),
    ],
    loss(p, [tokens, targets]) {
      let x = p.token!.gather(tokens!).add(p.position!);
      const row = iota([context, context], 0);
      const allowed = iota([context, context], 1).le(row);
      for (let l = 0; l < layers; l++) {
        const q = (name: string) => p[`${l}.${name}`]!;
        const qkv = norm(x, q("n1scale"), q("n1shift")).matmul(q("qkv")).add(q("qkvb"));
        const split = qkv.reshape([batch, context, 3, heads, d / heads]).permute([2, 0, 3, 1, 4]);
        const scores = split
          .at(0)
          .matmul(split.at(1).transpose())
          .mul(1 / Math.sqrt(d / heads));
        const attention = allowed.select(scores, -1e9).softmax();
        const mixed = attention.matmul(split.at(2)).permute([0, 2, 1, 3]).reshape([batch, context, d]);
        x = x.add(mixed.matmul(q("proj")).add(q("projb")));
        const hidden = norm(x, q("n2scale"), q("n2shift")).matmul(q("up")).add(q("upb")).gelu("tanh");
        x = x.add(hidden.matmul(q("down")).add(q("downb")));
      }
      return crossEntropy(norm(x, p.nscale!, p.nshift!).matmul(p.head!), targets!);
    },
  };
}

export const workloads: Readonly<Record<string, () => Workload>> = {
  "mlp-small": mlpSmall,
  autoencoder,
  "pinn-poisson": pinnPoisson,
  "cnn-small": cnnSmall,
  rnn,
  "transformer-tiny": transformerTiny,
};

/** Views of θ by name. */
export function viewsOf(workload: Workload, theta: Tensor): Record<string, Tensor> {
  let start = 0;
  return Object.fromEntries(
    workload.parameters.map(([name, shape]) => {
      const size = sizeOf(shape);
      const leaf = theta.slice(0, start, start + size).reshape(shape);
      start += size;
      return [name, leaf];
    }),
  );
}

/** Loss and the gradient as one vector. */
export function lossAndGradient(
  workload: Workload,
  theta: Tensor,
  data: readonly Tensor[],
): [Tensor, Tensor] {
  let value: Tensor | undefined;
  const gradient = grad((views: Record<string, Tensor>) => {
    value = workload.loss(views, data);
    return value;
  })(viewsOf(workload, theta));
  return [value!, concat(workload.parameters.map(([name]) => gradient[name]!.flatten()))];
}
