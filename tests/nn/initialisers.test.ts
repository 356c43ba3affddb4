import { describe, expect, test } from "vitest";
import { type Initialiser, initialisers, random } from "../../src/nn/index.js";

const {
  blocks,
  constant,
  fans,
  glorotNormal,
  glorotUniform,
  heNormal,
  heUniform,
  lecunNormal,
  lecunUniform,
  normal,
  ones,
  orthogonal,
  sparse,
  uniform,
  zeros,
} = initialisers;

const draw = (initialise: Initialiser, shape: readonly number[], seed = 1) =>
  Array.from(initialise(random(seed), shape, "f64").data);

function moments(values: readonly number[]): { mean: number; variance: number; kurtosis: number } {
  const moment = (power: number, about: number) =>
    values.reduce((sum, v) => sum + (v - about) ** power, 0) / values.length;
  const mean = moment(1, 0);
  const variance = moment(2, mean);
  return { mean, variance, kurtosis: moment(4, mean) / variance ** 2 };
}

test("fans of dense and convolution weights", () => {
  expect(fans([30, 20])).toEqual({ fanIn: 30, fanOut: 20 });
  expect(fans([3, 5, 7, 11])).toEqual({ fanIn: 105, fanOut: 165 });
  expect(() => fans([3])).toThrow("[..., in, out]");
});

const dense = [200, 300];
const convolution = [3, 3, 50, 100];
test.each<[string, Initialiser, readonly number[], number, number]>([
  ["glorotNormal", glorotNormal(), dense, 2 / 500, 3],
  ["glorotUniform", glorotUniform(), dense, 2 / 500, 1.8],
  ["glorotUniform", glorotUniform(), convolution, 2 / (9 * 150), 1.8],
  ["heNormal", heNormal(), dense, 2 / 200, 3],
  ["heUniform", heUniform(), convolution, 2 / 450, 1.8],
  ["lecunNormal", lecunNormal(), convolution, 1 / 450, 3],
  ["lecunUniform", lecunUniform(), dense, 1 / 200, 1.8],
  ["normal", normal(0.3), [60_000], 0.09, 3],
  ["uniform", uniform(-3, 3), [60_000], 3, 1.8],
])("%s has its variance and shape", (_name, initialise, shape, variance, kurtosis) => {
  const found = moments(draw(initialise, shape));
  expect(Math.abs(found.mean)).toBeLessThan(5 * Math.sqrt(variance / 45_000));
  expect(found.variance / variance).toBeCloseTo(1, 1);
  expect(Math.abs(found.variance / variance - 1)).toBeLessThan(0.03);
  expect(Math.abs(found.kurtosis - kurtosis)).toBeLessThan(0.1);
});

test("constants", () => {
  expect(draw(zeros(), [2])).toEqual([0, 0]);
  expect(draw(ones(), [2])).toEqual([1, 1]);
  expect(draw(constant(0.5), [1, 2])).toEqual([0.5, 0.5]);
  expect(draw(blocks([zeros(), ones(), constant(2)]), [2, 6])).toEqual([0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2]);
  expect(() => draw(blocks([zeros(), ones()]), [3])).toThrow("2 equal blocks");
});

describe("orthogonal", () => {
  test.each([[[6, 6]], [[9, 4]], [[4, 9]], [[2, 2, 3, 5]]])(
    "%j: gain² on the diagonal of the smaller Gram matrix",
    (shape) => {
      const columns = shape.at(-1)!;
      const values = draw(orthogonal(1.5), shape);
      const rows = values.length / columns;
      const count = Math.min(rows, columns);
      for (let a = 0; a < count; a++)
        for (let b = 0; b < count; b++) {
          let sum = 0;
          for (let k = 0; k < Math.max(rows, columns); k++)
            sum +=
              rows >= columns
                ? values[k * columns + a]! * values[k * columns + b]!
                : values[a * columns + k]! * values[b * columns + k]!;
          expect(sum).toBeCloseTo(a === b ? 2.25 : 0, 12);
        }
    },
  );

  test("is uniform over rotations: elements of many draws have mean 0 and variance 1/n", () => {
    const corner = Array.from({ length: 4000 }, (_, seed) => draw(orthogonal(), [3, 3], seed)[0]!);
    const { mean, variance } = moments(corner);
    expect(Math.abs(mean)).toBeLessThan(0.05);
    expect(Math.abs(variance - 1 / 3)).toBeLessThan(0.03);
  });
});

test("sparse: so many normal weights into each output, at places that differ", () => {
  const [rows, columns] = [40, 500];
  const values = draw(sparse(15, 0.5), [rows, columns]);
  const used = Array.from({ length: rows }, () => 0);
  for (let j = 0; j < columns; j++) {
    const places = used.flatMap((_, i) => (values[i * columns + j] === 0 ? [] : [i]));
    expect(places.length).toBe(15);
    for (const i of places) used[i]!++;
  }
  // Each input is used by 15/40 of the outputs.
  for (const count of used) expect(Math.abs(count / columns - 15 / rows)).toBeLessThan(0.1);
  const { mean, variance, kurtosis } = moments(values.filter((value) => value !== 0));
  expect(Math.abs(mean)).toBeLessThan(0.03);
  expect(variance / 0.25).toBeCloseTo(1, 1);
  expect(kurtosis).toBeCloseTo(3, 0);
  expect(draw(sparse(15), [3, 4]).every((value) => value !== 0)).toBe(true);
});

describe("random", () => {
  test("repeats for a seed, differs between seeds and streams", () => {
    const draws = (seed: number, name?: string) => {
      const rng = name === undefined ? random(seed) : random(seed).stream(name);
      return Array.from({ length: 4 }, () => rng.uniform());
    };
    expect(draws(1)).toEqual(draws(1));
    const all = [draws(1), draws(2), draws(1, "a"), draws(1, "b"), draws(2, "a"), draws(1, "ab")].map(
      (d) => d[0],
    );
    expect(new Set(all).size).toBe(all.length);
    // These bits are the same everywhere.
    expect(Array.from(random(0).key().data)).toEqual([-984716906, 613945457]);
    expect(Array.from(random(1).stream("layers.0").key().data)).toEqual([563551412, 471776032]);
    expect(random(7).uniform()).toBe(0.49429672654072176);
    expect(random(7).normal()).toBeCloseTo(-0.10058275659328327, 14);
  });

  test("a stream does not depend on what was drawn before", () => {
    const rng = random(3);
    const first = rng.stream("w").normal();
    for (let i = 0; i < 10; i++) rng.normal();
    expect(rng.stream("w").normal()).toBe(first);
  });

  test("neighbouring streams are uncorrelated", () => {
    const size = 20_000;
    const [a, b] = [0, 1].map((name) => {
      const rng = random(5).stream(name);
      return Array.from({ length: size }, () => rng.normal());
    });
    const correlation = a!.reduce((sum, v, i) => sum + v * b![i]!, 0) / size;
    expect(Math.abs(correlation)).toBeLessThan(0.03);
  });

  test("integers cover their range evenly", () => {
    const rng = random(6);
    const counts = [0, 0, 0];
    for (let i = 0; i < 30_000; i++) counts[rng.integer(3)]!++;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(400);
  });
});
