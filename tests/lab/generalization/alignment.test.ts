import { describe, expect, it } from "vitest";
import { aligned, denseChain } from "../../../src/lab/generalization/alignment.js";
import { leastAssignment } from "../../../src/lab/generalization/assignment.js";
import { layoutOf } from "../../../src/nn/parameters.js";
import { random } from "../../../src/nn/random.js";

const permutations = (list: number[]): number[][] =>
  list.length === 0
    ? [[]]
    : list.flatMap((first) => permutations(list.filter((x) => x !== first)).map((rest) => [first, ...rest]));

describe("an assignment", () => {
  it.each([1, 2, 3, 6])("of %i rows has the least sum of all permutations", (n) => {
    for (let seed = 0; seed < 20; seed++) {
      const rng = random(seed).stream("costs");
      // Of few whole numbers, so that there are ties.
      const cost = Float64Array.from({ length: n * n }, () => rng.integer(7) - 3);
      const sum = (columns: ArrayLike<number>) =>
        Array.from(columns).reduce((total, j, i) => total + cost[i * n + j]!, 0);
      const found = leastAssignment(cost, n);
      expect([...found].sort()).toEqual([...Array(n).keys()]);
      expect(sum(found)).toBe(Math.min(...permutations([...Array(n).keys()]).map(sum)));
    }
  });
});

describe("alignment", () => {
  const f64 = (...shape: number[]) => ({ dtype: "f64" as const, shape });
  const layout = layoutOf({
    layers: {
      1: { bias: f64(5), weight: f64(40, 5) },
      3: { weight: f64(5, 4) },
      5: { bias: f64(2), weight: f64(4, 2) },
    },
  });
  const rng = random(1).stream("theta");
  const a = Float64Array.from({ length: layout.size }, () => rng.normal());
  it("finds the order of the units of every hidden layer", () => {
    const orders = [[...Array(40).keys()], [3, 0, 4, 1, 2], [2, 0, 3, 1], [0, 1]];
    const b = a.slice();
    for (const [l, name] of ["layers.1", "layers.3", "layers.5"].entries()) {
      const { offset, shape } = layout.entry(`${name}.weight`);
      const [rows, columns] = shape as [number, number];
      for (let r = 0; r < rows; r++)
        for (let i = 0; i < columns; i++)
          b[offset + orders[l]![r]! * columns + orders[l + 1]![i]!] = a[offset + r * columns + i]!;
      if (name === "layers.3") continue;
      const bias = layout.entry(`${name}.bias`).offset;
      for (let i = 0; i < columns; i++) b[bias + orders[l + 1]![i]!] = a[bias + i]!;
    }
    expect([...b]).not.toEqual([...a]);
    expect([...aligned(denseChain(layout)!, a, b)]).toEqual([...a]);
    expect([...aligned(denseChain(layout)!, a, a)]).toEqual([...a]);
  });
  it("is for dense layers alone, each reading what the one before makes", () => {
    const chainOf = (tree: Parameters<typeof layoutOf>[0]) => denseChain(layoutOf(tree));
    const dense = (inputs: number, outputs: number) => ({ bias: f64(outputs), weight: f64(inputs, outputs) });
    expect(chainOf({ a: dense(3, 5), b: dense(5, 2) })).toHaveLength(2);
    expect(chainOf({ a: dense(3, 5) })).toBeUndefined();
    expect(chainOf({ a: dense(3, 5), b: dense(6, 2) })).toBeUndefined();
    expect(chainOf({ a: dense(3, 5), b: { bias: f64(5), scale: f64(5) }, c: dense(5, 2) })).toBeUndefined();
    expect(chainOf({ a: { bias: f64(4), weight: f64(3, 3, 1, 4) }, b: dense(4, 2) })).toBeUndefined();
  });
});
