/** Each primitive against its definition: derivatives by central differences, vmap by a loop. */
import { describe, expect, test } from "vitest";
import { grad, jvp, vjp, vmap } from "../../src/autodiff/index.js";
import { array, type NDArray } from "../../src/tensor/array.js";
import { isFloat } from "../../src/tensor/dtype.js";
import { rules } from "../../src/tensor/primitives/index.js";
import { constant, type Tensor } from "../../src/tensor/tensor.js";
import {
  type Case,
  cases,
  differentiable,
  sample,
  sampleArgument,
  specsOf,
  uniform,
} from "../tensor/cases.js";
import { centralDifference, expectClose, inner, randomArray, run } from "../tensor/numbers.js";

test("every primitive has a row", () => {
  expect(new Set(cases.map((row) => row.kind))).toEqual(new Set(Object.keys(rules)));
});

/** Nonempty subsets of the indices for which `allowed` holds. */
function subsets(count: number, allowed: (index: number) => boolean): number[][] {
  const free = Array.from({ length: count }, (_, k) => k).filter(allowed);
  return Array.from({ length: 2 ** free.length - 1 }, (_, bits) =>
    free.filter((_, k) => ((bits + 1) >> k) % 2 === 1),
  );
}

/** The case as a function of some of its inputs, the others fixed. */
function restrict(row: Case, values: readonly NDArray[], free: readonly number[]) {
  return (...inputs: Tensor[]): Tensor =>
    row.apply(...values.map((value, k) => (free.includes(k) ? inputs[free.indexOf(k)]! : constant(value))));
}

const name = (row: Case) => `${row.kind}: ${row.name}`;
const differentiableCases = cases.filter((row) => {
  const [output] = run(row.apply, ...sample(row, "f64"));
  return isFloat(output!.dtype) && row.inputs.some(differentiable);
});

describe.each(differentiableCases.map((row) => [name(row), row] as const))("%s", (_, row) => {
  const values = sample(row, "f64");
  const choices = subsets(values.length, (k) => differentiable(row.inputs[k]!));

  test.each(choices.map((free) => [free.join(" and "), free] as const))("derivative by %s", (_, free) => {
    const f = restrict(row, values, free);
    const x = free.map((k) => values[k]!);
    const t = x.map((value, k) => randomArray(value.shape, 10 + k));
    const forward = (...given: Tensor[]) =>
      jvp<Tensor[], Tensor>(f, given.slice(0, x.length), given.slice(x.length));
    const [y, dy] = run(forward, ...x, ...t) as [NDArray, NDArray];
    expectClose(y, run(f, ...x)[0]!, 0, "value");
    expectClose(dy, centralDifference(f, x, t)[0]!, 1e-8, "jvp");

    const c = randomArray(y.shape, 20);
    const reverse = (...given: Tensor[]) => vjp<Tensor[], Tensor>(f, ...given.slice(0, -1))[1](given.at(-1)!);
    const bars = run(reverse, ...x, c);
    bars.forEach((bar, k) => {
      expect(bar.shape).toEqual(x[k]!.shape);
    });
    const transposed = bars.reduce((sum, bar, k) => sum + inner(bar, t[k]!), 0);
    expect(transposed).toBeCloseTo(inner(c, dy), 10);
  });

  test("second derivative", () => {
    const free = choices.at(-1)!;
    const f = restrict(row, values, free);
    const x = free.map((k) => values[k]!);
    const [t, s] = [10, 30].map((seed) => x.map((value, k) => randomArray(value.shape, seed + k)));
    const weights = constant(randomArray(run(f, ...x)[0]!.shape, 20));
    const loss = (given: readonly Tensor[]): Tensor =>
      f(...given)
        .mul(weights)
        .sum();
    const gradient = (...given: Tensor[]) => grad(loss)(given);
    const overReverse = (...given: Tensor[]) =>
      jvp((g: Tensor[]) => grad(loss)(g), [given.slice(0, x.length)], [given.slice(x.length)])[1];
    const overForward = (...given: Tensor[]) =>
      grad((g: Tensor[]) => jvp(loss, [g], [given.slice(x.length)])[1])(given.slice(0, x.length));
    const products = run(overReverse, ...x, ...t!);
    const expected = centralDifference(gradient, x, t!);
    const others = run(overForward, ...x, ...t!);
    products.forEach((product, k) => {
      expectClose(product, expected[k]!, 1e-7, "forward over reverse");
      expectClose(others[k]!, product, 1e-11, "reverse over forward");
    });
    const symmetric = run(overReverse, ...x, ...s!);
    const left = products.reduce((sum, product, k) => sum + inner(product, s![k]!), 0);
    expect(symmetric.reduce((sum, product, k) => sum + inner(product, t![k]!), 0)).toBeCloseTo(left, 10);
  });
});

describe.each(cases.map((row) => [name(row), row] as const))("vmap of %s", (_, row) => {
  const choices = subsets(row.inputs.length, () => true);
  test.each(choices.map((mapped) => [mapped.join(" and "), mapped] as const))("over %s", (_, mapped) => {
    const size = 3;
    const random = uniform(7);
    const examples = Array.from({ length: size }, () =>
      specsOf(row, "f64").map((spec, k) => sampleArgument(row.inputs[k]!, spec, random)),
    );
    for (const example of examples)
      for (let k = 0; k < example.length; k++) if (!mapped.includes(k)) example[k] = examples[0]![k]!;
    const batched = examples[0]!.map((value, k) =>
      mapped.includes(k) ? stacked(examples.map((example) => example[k]!)) : value,
    );
    const axes = row.inputs.map((_, k) => (mapped.includes(k) ? 0 : null));
    const [result] = run(vmap(row.apply, axes), ...batched);
    expectClose(result!, stacked(examples.map((example) => run(row.apply, ...example)[0]!)), 1e-13);
  });
});

function stacked(items: readonly NDArray[]): NDArray {
  const [first] = items as [NDArray];
  const data = first.data.slice(0, 0).constructor as Float64ArrayConstructor;
  return array(
    data.from(items.flatMap((item) => [...item.data])),
    [items.length, ...first.shape],
    first.dtype,
  );
}
