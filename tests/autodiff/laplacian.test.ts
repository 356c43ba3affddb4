import { describe, expect, it } from "vitest";
import { forwardLaplacian, hessian, jvp } from "../../src/autodiff/index.js";
import {
  dense,
  gelu,
  type Layer,
  layerNorm,
  model,
  residual,
  sequential,
  silu,
  sine,
  softmax,
  softplus,
  tanh,
} from "../../src/nn/index.js";
import { reachable, trace } from "../../src/tensor/program.js";
import { ShapeError } from "../../src/tensor/shape.js";
import { constant, input, stack, type Tensor } from "../../src/tensor/tensor.js";
import { gaussian, numbers, run, tensors } from "../nn/numeric.js";

const points = 4;
const width = 3;

/** u, ∂u/∂x₁ and ∂²u/∂x₀² + ∂²u/∂x₂² at all points, by the sweep. */
const swept = (u: (x: Tensor) => Tensor) => (x: Tensor) => {
  const y = u(x);
  const { first, laplacian } = forwardLaplacian(y, x, { first: [1], second: [0, 2] });
  return stack([y, first[0]!, laplacian]);
};

/** The same from dense Hessians of single points. */
const byHessians = (u: (x: Tensor) => Tensor) => (x: Tensor) => {
  const rows = Array.from({ length: points }, (_, i) => {
    const point = x.slice(0, i, i + 1).reshape([width]);
    const one = (p: Tensor) => u(p.reshape([1, width])).reshape([]);
    const unit = constant([0, 1, 0], "f64");
    const H = hessian(one)(point);
    const diagonal = (k: number) => H.at(k, 0).at(k, 0);
    return stack([one(point), jvp(one, [point], [unit])[1], diagonal(0).add(diagonal(2))]);
  });
  return stack(rows).transpose();
};

const network = (between: () => Layer): ((x: Tensor) => Tensor) => {
  const net = model(sequential(dense(5), between(), dense(5), between(), dense(1)), [width], "f64");
  const parameters = tensors(net.init(3).parameters);
  return (x) => net.apply(parameters, x).reshape([-1]);
};

describe("forwardLaplacian", () => {
  const cases: Record<string, (x: Tensor) => Tensor> = {
    tanh: network(tanh),
    gelu: network(() => gelu()),
    silu: network(silu),
    sine: network(() => sine(2)),
    softplus: network(softplus),
    "layer norm and a residual branch": network(() => residual(sequential(layerNorm(), tanh()))),
    "softmax, whose elements depend on each other": network(softmax),
    "products of functions of x": (x) => x.square().sum(1).mul(x.sin().mul(x).sum(1)).add(x.at(0, 1).exp()),
    "a quotient": (x) => x.at(1, 1).div(x.square().sum(1).add(1)),
  };
  for (const [name, u] of Object.entries(cases))
    it(`is the trace of the Hessian: ${name}`, () => {
      const x = gaussian([points, width]);
      const [found, expected] = [numbers(run(swept(u), x)), numbers(run(byHessians(u), x))];
      const scale = Math.max(...expected.map(Math.abs));
      found.forEach((value, k) => {
        expect(Math.abs(value - expected[k]!)).toBeLessThan(1e-12 * scale);
      });
    });

  it("is zero of what is linear, and where y does not depend on x", () => {
    const x = gaussian([points, width]);
    const line = (t: Tensor) => forwardLaplacian(t.mul(3).sum(1), t).laplacian;
    const other = (t: Tensor) => forwardLaplacian(input("other", { dtype: "f64", shape: [2] }), t).laplacian;
    expect(numbers(run(line, x))).toEqual([0, 0, 0, 0]);
    expect(trace(other, x).outputs[0]!.op).toEqual({ kind: "fill", value: 0 });
  });

  it("marks the products of weights with derivatives as uses of the weights", () => {
    const net = model(sequential(dense(5), tanh(), dense(1)), [width], "f64");
    const theta = input("theta", { dtype: "f64", shape: [net.layout.size] });
    const x = input("x", { dtype: "f64", shape: [points, width] });
    const { laplacian } = forwardLaplacian(net.apply(net.layout.views(theta), x), x);
    const marks = reachable([laplacian]).flatMap(({ op }) => (op.kind === "mark" ? [op.mark] : []));
    const uses = (name: string) =>
      marks.filter((mark) => mark.name === name).map((mark) => "bias" in mark && mark.bias);
    // The value and three derivatives; of the last layer the Laplacian alone. No bias has a derivative.
    expect(uses("layers.0").sort()).toEqual([false, false, false, true]);
    expect(uses("layers.2")).toEqual([false]);
  });

  it("says what coordinates there are", () => {
    const x = input("x", { dtype: "f64", shape: [points, width] });
    expect(() => forwardLaplacian(x, x, { second: [3] })).toThrow(ShapeError);
    expect(() => forwardLaplacian(x, x, { second: [3] })).toThrow("coordinate 3 of points [4, 3]");
    expect(() => forwardLaplacian(x, x.reshape([12]))).toThrow("points are [points, d]");
  });
});
