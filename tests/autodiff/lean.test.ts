/** Derivative graphs are compiled as they are: what they may not contain. */
import { describe, expect, test } from "vitest";
import {
  grad,
  jvp,
  linearize,
  pullback,
  pushforward,
  splitLinear,
  vjp,
  vmap,
} from "../../src/autodiff/index.js";
import { simplify } from "../../src/compiler/simplify.js";
import { evaluate } from "../../src/tensor/evaluate.js";
import { reachable, trace } from "../../src/tensor/program.js";
import { full, input, stack, type Tensor } from "../../src/tensor/tensor.js";
import { expectClose, f64, randomArray, run } from "../tensor/numbers.js";

const kinds = (outputs: readonly Tensor[]) => reachable(outputs).map((tensor) => tensor.op.kind);
const count = (outputs: readonly Tensor[], kind: string) => kinds(outputs).filter((k) => k === kind).length;
const spec = (...shape: number[]) => ({ dtype: "f64", shape }) as const;

describe("graphs", () => {
  test("the gradient of a sum of products is one product", () => {
    const { outputs } = trace((x, w) => grad((p: Tensor) => x!.matmul(p).sum())(w!), spec(5, 3), spec(3, 2));
    expect(kinds(outputs).sort()).toEqual(["dot", "fill", "input", "permute"]);
  });
  test("ones are not multiplied, what was stretched is not reduced", () => {
    const { outputs } = trace((x) => grad((p: Tensor) => p.expand([4, 3]).mean())(x!), spec(3));
    expect(kinds(outputs)).toEqual(["fill"]);
    const [g] = run((x) => grad((p: Tensor) => p.expand([4, 3]).mean())(x!), f64([1, 2, 3]));
    expectClose(g!, f64([1 / 3, 1 / 3, 1 / 3]), 1e-15);
    const sums = (p: Tensor, q: Tensor) => p.expand([4, 3]).sum(1).mul(q).sum();
    const both = trace((x, q) => grad((p: Tensor) => sums(p, q!))(x!), spec(3), spec(4));
    const sizes = reachable(both.outputs).flatMap((t) =>
      t.op.kind === "reduceSum" ? [t.inputs[0]!.size] : [],
    );
    expect(sizes).toEqual([4]); // q is summed, not its copies
    const product = trace((x, q) => grad((p: Tensor) => p.mul(q!).sum())(x!), spec(3), spec(3));
    expect(product.outputs).toEqual([product.inputs[1]]);
    expectClose(
      run((x, q) => grad((p: Tensor) => sums(p, q!))(x!), f64([1, 2, 3]), f64([1, 2, 3, 4]))[0]!,
      f64([10, 10, 10]),
      0,
    );
    const wide = (p: Tensor, q: Tensor) => p.expand([4, 3, 5]).sum([1, 2]).mul(q).sum();
    expectClose(
      run((x, q) => grad((p: Tensor) => wide(p, q!))(x!), f64([[1], [2], [3]]), f64([1, 2, 3, 4]))[0]!,
      f64([[50], [50], [50]]),
      0,
    );
  });
  test("slices of one tensor cost its size once", () => {
    const rows = (x: Tensor) => stack(Array.from({ length: 50 }, (_, t) => x.at(t).mul(t + 1)));
    const { outputs } = trace((x) => grad((p: Tensor) => rows(p).square().sum())(x!), spec(50, 2));
    expect(count(outputs, "pad")).toBe(0);
    const shared = (x: Tensor) =>
      stack(
        Array.from({ length: 50 }, (_, t) =>
          x
            .slice(0, 1, 3)
            .sin()
            .mul(t + 1),
        ),
      ).sum();
    const once = trace((x) => grad(shared)(x!), spec(9));
    expect(count(once.outputs, "pad")).toBe(1);
    const [g] = run((x) => grad(shared)(x!), f64([0, 0, 0, 0]));
    expectClose(g!, f64([0, 1275, 1275, 0]), 1e-14);
  });
  test("constants have no derivative", () => {
    const [x, y] = [input("x", spec(2)), input("y", spec(2))];
    expect(pullback([y.exp()], [x], [full(y, 1)])).toEqual([undefined]);
    expect(pushforward([y.exp(), x.floor()], [x], [x])).toEqual([undefined, undefined]);
  });
  test("a batch of vectors times one matrix is one product", () => {
    const { outputs } = trace(
      (x, w) => vmap((row: Tensor, m: Tensor) => row.matmul(m), [0, null])(x!, w!),
      spec(7, 3),
      spec(3, 2),
    );
    const [product] = reachable(outputs).filter((t) => t.op.kind === "dot");
    expect(product!.shape).toEqual([7, 2]);
    expect(count(outputs, "expand")).toBe(0);
  });
  test("a graph of 10⁵ nodes, without recursion", () => {
    const x = input("x", spec(3));
    let y = x;
    for (let k = 0; k < 50_000; k++) y = y.mul(x).sin();
    const [g] = pullback([y], [x], [x]);
    const [d] = pushforward([y], [x], [x]);
    expect([g!.shape, d!.shape]).toEqual([[3], [3]]);
  });
  test("an inner gradient does not walk the graph behind its variable", () => {
    // Unrolled gradient descent: each step differentiates at the last one's result. 20,000 walks to the beginning
    // would not end within the test's time.
    let x = input("x", spec(3));
    for (let k = 0; k < 20_000; k++) x = x.sub(grad((y: Tensor) => y.sin().sum())(x).mul(0.1));
    expect(reachable([x]).length).toBeLessThan(20_000 * 8);
  });
});

describe("splitLinear", () => {
  const layers = (x: Tensor, w: Tensor) => x.matmul(w).tanh().matmul(w.transpose()).sigmoid();
  const program = trace(
    (x, w, t) => {
      const [y, push] = linearize((v: Tensor) => layers(x!, v), w!);
      return [push(t!), y];
    },
    spec(5, 3),
    spec(3, 4),
    spec(3, 4),
  );
  const values = [randomArray([5, 3], 1), randomArray([3, 4], 2), randomArray([3, 4], 3)];
  const { known, dependent } = splitLinear(program, [program.inputs[2]!]);

  test("the parts make the whole", () => {
    const residuals = evaluate(known, values.slice(0, 2));
    const results = evaluate(dependent, [...residuals, values[2]!]);
    evaluate(program, values).forEach((expected, k) => {
      expectClose(results[k]!, expected, 0);
    });
  });
  test("the forward pass and its factors are in the known part", () => {
    expect(known.inputs).toEqual(program.inputs.slice(0, 2));
    for (const kind of ["tanh", "sigmoid"]) {
      expect(count(known.outputs, kind)).toBe(1);
      expect(count(dependent.outputs, kind)).toBe(0);
    }
    // t enters both layers: x·ṫ, then ẏ·wᵀ and y·ṫᵀ.
    expect(count(dependent.outputs, "dot")).toBe(3);
    expect(reachable(dependent.outputs).filter((t) => t.op.kind === "input").length).toBeLessThanOrEqual(
      dependent.inputs.length,
    );
  });
  test("views are made again, not stored", () => {
    const view = trace(
      (x, t) => jvp((v: Tensor) => x!.transpose().reshape([2, 3]).mul(v), [t!], [t!])[1],
      spec(3, 2),
      spec(2, 3),
    );
    const split = splitLinear(view, [view.inputs[1]!]);
    expect(split.known.outputs).toEqual([view.inputs[0]]);
    const [x, t] = [randomArray([3, 2], 1), randomArray([2, 3], 2)];
    expectClose(evaluate(split.dependent, [x, t])[0]!, evaluate(view, [x, t])[0]!, 0);
  });
  test.each([
    ["a function of single elements", (x: Tensor) => x.gelu("tanh"), ["input", "input", "mul"]],
    [
      "softmax",
      (x: Tensor) => x.softmax(),
      ["expand", "input", "input", "mul", "mul", "reduceSum", "reshape", "sub"],
    ],
  ])("%s keeps one array, for the tangent and its transpose", (_name, f, operations) => {
    const [x, t] = [randomArray([3, 4], 1), randomArray([3, 4], 2)];
    const forward = trace((x, t) => linearize(f, x!)[1](t!), x, t);
    const split = splitLinear(forward, [forward.inputs[1]!]);
    expect(split.known.outputs.length).toBe(1);
    expect(kinds(split.dependent.outputs).sort()).toEqual(operations);
    const direct = trace((x, t) => jvp(f, [x!], [t!])[1], x, t);
    expectClose(evaluate(forward, [x, t])[0]!, evaluate(direct, [x, t])[0]!, 1e-14);
    const whole = trace((x, t) => [linearize(f, x!)[1](t!), vjp(f, x!)[1](t!)[0]], x, t);
    expect(splitLinear(simplify(whole), [whole.inputs[1]!]).known.outputs.length).toBe(1);
  });
  test("a program that does not depend on the inputs is known", () => {
    const free = trace((x, _t) => x!.exp(), spec(2), spec(2));
    const split = splitLinear(free, [free.inputs[1]!]);
    expect(split.known.outputs).toEqual(free.outputs);
    expect(split.dependent.outputs).toEqual([split.dependent.inputs[0]]);
  });
});
