import { expect, test } from "vitest";
import { grad } from "../../src/autodiff/index.js";
import { reachable, trace } from "../../src/tensor/program.js";
import { scan } from "../../src/tensor/scan.js";
import { constant, type Tensor } from "../../src/tensor/tensor.js";
import { centralDifference, expectClose, f64, inner, randomArray, run } from "./numbers.js";

const xs = f64([
  [1, 2],
  [3, 4],
  [5, 6],
]);

test("a running sum, with the carry and every result", () => {
  const [last, all] = run((x) => {
    const [carry, sums] = scan(
      (sum: Tensor, row: Tensor) => {
        const next = sum.add(row);
        return [next, next];
      },
      constant([0, 0], "f64"),
      x!,
    );
    return [carry, sums];
  }, xs);
  expectClose(last!, f64([9, 12]), 0);
  expectClose(
    all!,
    f64([
      [1, 2],
      [4, 6],
      [9, 12],
    ]),
    0,
  );
});

test("carries, inputs and results may be trees", () => {
  const [count, product, means, rows] = run(
    (x, y) => {
      const [carry, out] = scan(
        (state: { n: Tensor; p: Tensor }, { a, b }: { a: Tensor; b: Tensor }) => [
          { n: state.n.add(1), p: state.p.mul(b) },
          [a.mean(), a.mul(b)] as [Tensor, Tensor],
        ],
        { n: constant(0, "f64"), p: constant(1, "f64") },
        { a: x!, b: y! },
      );
      return [carry.n, carry.p, ...out];
    },
    xs,
    f64([2, 3, 4]),
  );
  expect([count!.data[0], product!.data[0]]).toEqual([3, 24]);
  expectClose(means!, f64([1.5, 3.5, 5.5]), 0);
  expect(rows!.shape).toEqual([3, 2]);
});

test("gradients through time", () => {
  const loss = (w: Tensor, x: Tensor) =>
    scan(
      (h: Tensor, row: Tensor) => {
        const next = row.add(h.matmul(w)).tanh();
        return [next, next.square().sum()];
      },
      constant([0, 0], "f64"),
      x,
    )[1].sum();
  const [w, direction] = [randomArray([2, 2], 1), randomArray([2, 2], 2)];
  const [g] = run((v, x) => grad(loss)(v!, x!), w, xs);
  const [expected] = centralDifference((v, x) => loss(v!, x!), [w, xs], [direction, undefined]);
  expect(inner(g!, direction)).toBeCloseTo(expected!.data[0]!, 9);
});

test("the gradient by the inputs joins the steps instead of adding padded ones", () => {
  const { outputs } = trace(
    (x) =>
      grad((v: Tensor) => scan((h: Tensor, row: Tensor) => [h.add(row).sin(), row], v.at(0), v)[0].sum())(x!),
    { dtype: "f64", shape: [40, 3] },
  );
  expect(reachable(outputs).filter((t) => t.op.kind === "pad").length).toBeLessThanOrEqual(1);
});

test("lengths must agree and be positive", () => {
  const body = (h: Tensor, { a }: { a: Tensor; b: Tensor }): [Tensor, Tensor] => [h, a];
  const zero = constant(0, "f64");
  expect(() => scan(body, zero, { a: constant([1, 2]), b: constant([1, 2, 3]) })).toThrow(
    /scan: .* not 2, 3 .*scan\.test\.ts:\d+/,
  );
  expect(() => scan(body, zero, { a: zero, b: zero })).toThrow("scan:");
});
