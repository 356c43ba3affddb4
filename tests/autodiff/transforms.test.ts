/** The functions that users call: trees, nesting, mapped axes, whole models. */
import { describe, expect, test } from "vitest";
import {
  grad,
  hessian,
  hessianVectorProduct,
  jacobian,
  jvp,
  linearize,
  valueAndGrad,
  vjp,
  vmap,
} from "../../src/autodiff/index.js";
import type { NDArray } from "../../src/tensor/array.js";
import { reachable, trace } from "../../src/tensor/program.js";
import { scan } from "../../src/tensor/scan.js";
import { constant, full, type Tensor } from "../../src/tensor/tensor.js";
import { centralDifference, expectClose, f64, inner, randomArray, run } from "../tensor/numbers.js";

const scalar = (value: NDArray) => value.data[0]!;
const x3 = f64([0.3, -0.7, 1.1]);

describe("perturbations are not confused", () => {
  test("d/dx (x · d/dy (x + y)) = 1", () => {
    const f = (x: Tensor) => x.mul(grad((y: Tensor) => x.add(y))(full(x, 1)));
    expect(scalar(run((x) => grad(f)(x!), f64(3))[0]!)).toBe(1);
  });
  test("the same in forward mode", () => {
    const derivative = (f: (x: Tensor) => Tensor) => (x: Tensor) => jvp(f, [x], [full(x, 1)])[1];
    const f = (x: Tensor) => x.mul(derivative((y: Tensor) => x.add(y))(full(x, 1)));
    expect(scalar(run((x) => derivative(f)(x!), f64(3))[0]!)).toBe(1);
    const mixed = (x: Tensor) => x.mul(grad((y: Tensor) => x.mul(y))(x)); // x · ∂/∂y (x y) = x²
    expect(scalar(run((x) => derivative(mixed)(x!), f64(3))[0]!)).toBe(6);
  });
  test("an inner function of the outer variable itself", () => {
    const f = (x: Tensor) => grad((y: Tensor) => y.mul(x))(x).mul(x); // ∂(y x)/∂y at y = x is x
    expect(scalar(run((x) => grad(f)(x!), f64(3))[0]!)).toBe(6);
  });
  test("a captured tensor is a constant of the inner derivative and a variable of the outer one", () => {
    const f = (w: Tensor) =>
      grad((x: Tensor) => x.mul(w).sin().sum())(constant(x3))
        .square()
        .sum();
    expectClose(run((w) => grad(f)(w!), x3)[0]!, centralGradient(f, x3), 1e-8);
  });
});

function centralGradient(f: (x: Tensor) => Tensor, x: NDArray): NDArray {
  const entries = [...x.data].map((_, k) => {
    const direction = f64(new Float64Array(x.data.length), x.shape);
    direction.data[k] = 1;
    return scalar(centralDifference((t) => f(t!), [x], [direction])[0]!);
  });
  return f64(Float64Array.from(entries), x.shape);
}

describe("trees", () => {
  type Parameters = { layers: { w: Tensor; b: Tensor }[]; scale: Tensor };
  const f = (p: Parameters, x: Tensor) =>
    p.layers
      .reduce((h, { w, b }) => h.matmul(w).add(b).tanh(), x)
      .mul(p.scale)
      .square()
      .mean();
  const values = [[3, 4], [4], [4, 2], [2], [], [5, 3]].map((shape, k) => randomArray(shape, k));
  const build = ([w1, b1, w2, b2, scale]: Tensor[]): Parameters => ({
    layers: [
      { w: w1!, b: b1! },
      { w: w2!, b: b2! },
    ],
    scale: scale!,
  });
  const flat = (p: Parameters) => [...p.layers.flatMap(({ w, b }) => [w, b]), p.scale];

  test("the gradient has the structure of the parameters", () => {
    const [loss, ...gradients] = run(
      (...t) => {
        const [value, g] = valueAndGrad(f)(build(t), t[5]!);
        return [value, ...flat(g)];
      },
      ...values,
    );
    expectClose(loss!, run((...t) => f(build(t), t[5]!), ...values)[0]!, 0);
    const directions = values.slice(0, 5).map((x, k) => randomArray(x.shape, 50 + k));
    const [expected] = centralDifference((...t) => f(build(t), t[5]!), values, directions);
    expect(gradients.reduce((sum, g, k) => sum + inner(g, directions[k]!), 0)).toBeCloseTo(
      scalar(expected!),
      9,
    );
  });
  test("Hessian–vector products of trees", () => {
    const directions = values.slice(0, 5).map((x, k) => randomArray(x.shape, 50 + k));
    const products = run(
      (...t) => flat(hessianVectorProduct(f)(build(t), build(t.slice(6)), t[5]!)),
      ...values,
      ...directions,
    );
    const expected = centralDifference((...t) => flat(grad(f)(build(t), t[5]!)), values, directions);
    products.forEach((product, k) => {
      expectClose(product, expected[k]!, 1e-8);
    });
  });
  test("a leaf that does not matter has a zero gradient", () => {
    const g = (p: { used: Tensor; unused: Tensor }) => p.used.square().sum();
    const [used, unused] = run(
      (a, b) => {
        const result = grad(g)({ used: a!, unused: b! });
        return [result.used, result.unused];
      },
      x3,
      x3,
    );
    expectClose(used!, f64([0.6, -1.4, 2.2]), 1e-15);
    expectClose(unused!, f64([0, 0, 0]), 0);
  });
  test("jvp, vjp and linearize take several arguments and return trees", () => {
    const g = (p: { a: Tensor }, x: Tensor) => ({ y: p.a.mul(x), z: [x.sum()] });
    const [y, z, ty, tz] = run(
      (a, x, da, dx) => {
        const [value, tangent] = jvp(g, [{ a: a! }, x!], [{ a: da! }, dx!]);
        return [value.y, value.z[0]!, tangent.y, tangent.z[0]!];
      },
      ...[1, 2, 3, 4].map((seed) => randomArray([3], seed)),
    );
    const [a, x, da, dx] = [1, 2, 3, 4].map((seed) => randomArray([3], seed)) as NDArray[];
    a!.data.forEach((value, i) => {
      expect(y!.data[i]).toBe(value * x!.data[i]!);
      expect(ty!.data[i]).toBeCloseTo(da!.data[i]! * x!.data[i]! + value * dx!.data[i]!, 14);
    });
    expectClose(tz!, run((t) => t!.sum(), dx!)[0]!, 0);
    expect(z!.shape).toEqual([]);
    const [aBar, xBar] = run(
      (p, q, c) => {
        const [, pull] = vjp(g, { a: p! }, q!);
        const [left, right] = pull({ y: c!, z: [full({ shape: [], dtype: "f64" }, 2)] });
        return [left.a, right];
      },
      a!,
      x!,
      da!,
    );
    a!.data.forEach((value, i) => {
      expect(aBar!.data[i]).toBe(da!.data[i]! * x!.data[i]!);
      expect(xBar!.data[i]).toBeCloseTo(da!.data[i]! * value + 2, 14);
    });
  });
});

describe("linearize", () => {
  const f = (x: Tensor, w: Tensor) => x.matmul(w).tanh().sum(0);
  const [x, w] = [randomArray([4, 3], 1), randomArray([3, 2], 2)];
  test("the linear map is jvp at every tangent", () => {
    for (const seed of [3, 5]) {
      const [dx, dw] = [randomArray([4, 3], seed), randomArray([3, 2], seed + 1)];
      const [y, push] = run(
        (a, b, s, t) => {
          const [value, map] = linearize(f, a!, b!);
          return [value, map(s!, t!)];
        },
        x,
        w,
        dx,
        dw,
      );
      const [value, tangent] = run((a, b, s, t) => jvp(f, [a!, b!], [s!, t!]), x, w, dx, dw);
      expectClose(y!, value!, 0);
      expectClose(push!, tangent!, 1e-15);
    }
  });
  test("ten applications share one forward pass", () => {
    const program = trace(
      (a, t) => {
        const [, map] = linearize((b: Tensor) => b.exp().sin(), a!);
        return Array.from({ length: 10 }, (_, k) => map(t!.mul(k)));
      },
      x3,
      x3,
    );
    const kinds = reachable(program.outputs).map((tensor) => tensor.op.kind);
    for (const kind of ["exp", "cos"]) expect(kinds.filter((k) => k === kind)).toHaveLength(1);
  });
  test("a zero map", () => {
    const [zero] = run((t) => linearize((a: Tensor) => a.floor(), t!)[1](t!), x3);
    expectClose(zero!, f64([0, 0, 0]), 0);
  });
});

describe("dense derivatives", () => {
  const f = (x: Tensor) => x.mul(x.reverse(0)).sin().mul(x.cumsum(0).exp());
  test("jacobian by columns, by rows, and of a scalar", () => {
    const [columns, square] = run((x) => {
      const g = (y: Tensor) => f(y).at(1);
      return [jacobian(f)(x!), jacobian(g)(x!)];
    }, x3);
    expect(columns!.shape).toEqual([3, 3]);
    for (let k = 0; k < 3; k++) {
      const unit = f64([0, 1, 2].map((i) => Number(i === k)));
      const [column] = centralDifference((x) => f(x!), [x3], [unit]);
      for (let i = 0; i < 3; i++) expect(columns!.data[3 * i + k]).toBeCloseTo(column!.data[i]!, 9);
      expect(square!.data[k]).toBeCloseTo(columns!.data[3 + k]!, 14);
    }
    const wide = run(
      (x) => jacobian((y: Tensor) => f(y).reshape([3, 1]).expand([3, 2]))(x!.reshape([3])),
      x3,
    )[0]!;
    expect(wide.shape).toEqual([3, 2, 3]);
    expect(run((x) => jacobian((y: Tensor) => y.mul(y))(x!), f64(3))[0]).toEqual(f64(6));
  });
  test("Hessians are symmetric and equal to those by products", () => {
    const loss = (x: Tensor) => f(x).logSumExp();
    const [h, ...rows] = run((x) => {
      const units = [0, 1, 2].map((k) =>
        constant(
          [0, 1, 2].map((i) => Number(i === k)),
          "f64",
        ),
      );
      return [
        hessian(loss)(x!),
        ...units.map((unit) => hessianVectorProduct(loss)(x!, unit)),
        ...units.map((unit) => grad((y: Tensor) => jvp(loss, [y], [unit])[1])(x!)),
      ];
    }, x3);
    for (let i = 0; i < 3; i++)
      for (let k = 0; k < 3; k++) {
        expect(h!.data[3 * i + k]).toBeCloseTo(h!.data[3 * k + i]!, 13);
        expect(h!.data[3 * i + k]).toBeCloseTo(rows[i]!.data[k]!, 13);
        expect(h!.data[3 * i + k]).toBeCloseTo(rows[3 + i]!.data[k]!, 13);
      }
  });
  test("third derivatives", () => {
    const third = grad((x: Tensor) => grad((y: Tensor) => grad((z: Tensor) => z.sin().mul(z))(y))(x));
    // (z sin z)‴ = −3 sin z − z cos z
    expect(scalar(run((x) => third(x!), f64(0.7))[0]!)).toBeCloseTo(
      -3 * Math.sin(0.7) - 0.7 * Math.cos(0.7),
      13,
    );
  });
});

describe("vmap", () => {
  const [x, w] = [randomArray([4, 3], 1), randomArray([3, 2], 2)];
  test("axes in and out", () => {
    const f = (row: Tensor, m: Tensor) => ({ y: row.matmul(m), s: row.sum() });
    const expected = run((a, b) => [a!.matmul(b!), a!.sum(1)], x, w);
    const mapped = run(
      (a, b) => {
        const { y, s } = vmap(f, [1, null])(a!.transpose(), b!);
        return [y, s];
      },
      x,
      w,
    );
    mapped.forEach((value, k) => {
      expectClose(value, expected[k]!, 1e-15);
    });
    const last = run((a, b) => vmap((row: Tensor, m: Tensor) => row.matmul(m), [-2, null], -1)(a!, b!), x, w);
    expectClose(last[0]!, run((a, b) => a!.matmul(b!).transpose(), x, w)[0]!, 1e-15);
    const each = run((a) => vmap((row: Tensor) => [row, row.mul(2)] as [Tensor, Tensor], 0, [1, 0])(a!), x);
    expect(each.map((value) => value.shape)).toEqual([
      [3, 4],
      [4, 3],
    ]);
  });
  test("per-example gradients add up to the gradient", () => {
    const loss = (m: Tensor, row: Tensor) => row.matmul(m).tanh().square().sum();
    const [each, whole] = run(
      (a, m) => [
        vmap((row: Tensor) => grad(loss)(m!, row))(a!).sum(0),
        grad((v: Tensor) => vmap((row: Tensor) => loss(v, row))(a!).sum())(m!),
      ],
      x,
      w,
    );
    expectClose(each!, whole!, 1e-14);
    expectClose(
      each!,
      run((a, m) => grad((v: Tensor) => a!.matmul(v).tanh().square().sum())(m!), x, w)[0]!,
      1e-14,
    );
  });
  test("maps nest, and see what they capture", () => {
    const table = (a: Tensor, b: Tensor) =>
      vmap((p: Tensor) => vmap((q: Tensor) => p.sub(q).square().sum())(b))(a);
    const [d] = run((a, b) => table(a!, b!.transpose()), x, w);
    expect(d!.shape).toEqual([4, 2]);
    for (let i = 0; i < 4; i++)
      for (let k = 0; k < 2; k++) {
        let sum = 0;
        for (let j = 0; j < 3; j++) sum += (x.data[3 * i + j]! - w.data[2 * j + k]!) ** 2;
        expect(d!.data[2 * i + k]).toBeCloseTo(sum, 13);
      }
  });
  test("a result that does not depend on the example is repeated", () => {
    const [r] = run((a, b) => vmap((_row: Tensor) => b!.sum())(a!), x, w);
    expect(r!.shape).toEqual([4]);
  });
  test("marks survive while the parameters are shared", () => {
    const layer = (row: Tensor, m: Tensor) =>
      row.matmul(m).marked({ layer: "dense", name: "d", bias: false }, row, m);
    const marks = (axes: (number | null)[], shape: number[]) =>
      reachable(trace((a, m) => vmap(layer, axes)(a!, m!), x, { dtype: "f64", shape }).outputs).filter(
        (t) => t.op.kind === "mark",
      );
    const [kept] = marks([0, null], [3, 2]);
    expect(kept!.inputs.map((t) => t.shape)).toEqual([
      [4, 2],
      [4, 3],
      [3, 2],
    ]);
    expect(marks([0, 0], [4, 3, 2])).toEqual([]);
  });
});

describe("models", () => {
  const window = {
    kernel: [3, 3],
    stride: [1, 1],
    padding: [
      [1, 1],
      [1, 1],
    ],
    dilation: [1, 1],
  } as const;
  const pool = {
    kernel: [2, 2],
    stride: [2, 2],
    padding: [
      [0, 0],
      [0, 0],
    ],
    dilation: [1, 1],
  } as const;
  type Model = readonly [string, number[][], (...t: Tensor[]) => Tensor];
  const models: Model[] = [
    [
      "MLP with cross-entropy",
      [[6, 4], [4, 5], [5], [5, 3], [3]],
      (x, w1, b1, w2, b2) =>
        x!.matmul(w1!).add(b1!).tanh().matmul(w2!).add(b2!).logSoftmax().at(1, 1).mean().neg(),
    ],
    [
      "convolution, maximum pooling, dense",
      [
        [2, 4, 4, 1],
        [3, 3, 1, 2],
        [8, 3],
      ],
      (x, k, w) => {
        const h = x!
          .patches(window)
          .matmul(k!.reshape([9, 2]))
          .relu(); // [2, 4, 4, 2]
        const pooled = h.patches(pool).reshape([2, 2, 2, 4, 2]).maximum(3);
        return pooled.flatten(1).matmul(w!).logSumExp().sum();
      },
    ],
    [
      "causal attention with layer normalisation",
      [[2, 4, 6], [6, 18], [6]],
      (x, w, scale) => {
        const centred = x!.sub(x!.mean(-1, true));
        const h = centred.mul(centred.square().mean(-1, true).add(1e-5).pow(-0.5)).mul(scale!);
        const qkv = h.matmul(w!); // [2, 4, 18]
        const heads = [0, 6, 12].map((at) =>
          qkv
            .slice(2, at, at + 6)
            .reshape([2, 4, 2, 3])
            .permute([0, 2, 1, 3]),
        );
        const scores = heads[0]!.matmul(heads[1]!.transpose()).mul(1 / Math.sqrt(3));
        const mask = constant(
          [
            [1, 0, 0, 0],
            [1, 1, 0, 0],
            [1, 1, 1, 0],
            [1, 1, 1, 1],
          ],
          "f64",
        ).gt(0);
        const out = mask.select(scores, -1e9).softmax().matmul(heads[2]!);
        return x!
          .add(out.permute([0, 2, 1, 3]).reshape([2, 4, 6]))
          .gelu()
          .square()
          .mean();
      },
    ],
    [
      "recurrent network of two layers",
      [
        [5, 3, 2],
        [2, 4],
        [4, 4],
        [4, 4],
        [3, 4],
      ],
      (x, u, w, v, h0) => {
        const [, first] = scan(
          (h: Tensor, input: Tensor) => {
            const next = input.matmul(u!).add(h.matmul(w!)).tanh();
            return [next, next];
          },
          h0!,
          x!,
        );
        const [last] = scan(
          (h: Tensor, input: Tensor) => {
            const next = input.matmul(v!).add(h).sigmoid();
            return [next, next];
          },
          h0!,
          first,
        );
        return last.square().sum();
      },
    ],
  ];
  describe.each(models)("%s", (_, shapes, loss) => {
    const values = shapes.map((shape, k) => randomArray(shape, 100 + k));
    const [t, s] = [200, 300].map((seed) => shapes.map((shape, k) => randomArray(shape, seed + k)));
    const n = shapes.length;
    const f = (given: readonly Tensor[]) => loss(...given);
    test("gradient", () => {
      const gradient = run((...x) => grad(f)(x), ...values);
      const [expected] = centralDifference(loss, values, t!);
      const [, tangent] = run((...x) => jvp(f, [x.slice(0, n)], [x.slice(n)]), ...values, ...t!);
      const along = gradient.reduce((sum, g, k) => sum + inner(g, t![k]!), 0);
      expect(along).toBeCloseTo(scalar(tangent!), 11);
      expect(along).toBeCloseTo(scalar(expected!), 7);
    });
    test("Hessian products", () => {
      const product = (direction: NDArray[]) =>
        run((...x) => hessianVectorProduct(f)(x.slice(0, n), x.slice(n)), ...values, ...direction);
      const [ht, hs] = [product(t!), product(s!)];
      const pair = (a: NDArray[], b: NDArray[]) => a.reduce((sum, x, k) => sum + inner(x, b[k]!), 0);
      expect(pair(ht, s!)).toBeCloseTo(pair(hs, t!), 10);
      centralDifference((...x) => grad(f)(x), values, t!).forEach((expected, k) => {
        expectClose(ht[k]!, expected, 1e-6);
      });
    });
  });
});
