/** The interpreter against numbers found in other ways. */
import { describe, expect, test } from "vitest";
import { array } from "../../src/tensor/array.js";
import { evaluate } from "../../src/tensor/evaluate.js";
import { erf } from "../../src/tensor/primitives/special.js";
import { trace } from "../../src/tensor/program.js";
import { concat, constant, iota, scatterAdd, Tensor } from "../../src/tensor/tensor.js";
import { cases, programOf, sample } from "./cases.js";
import { f64, i32, randomArray, run } from "./numbers.js";

const values = (f: (...inputs: Tensor[]) => Tensor, ...inputs: Parameters<typeof run>[1][]) =>
  [...run(f, ...inputs)[0]!.data].map((x) => x);

describe("rounding", () => {
  test("f32 results are rounded after each primitive, sums only at their end", () => {
    const x = array([1, 2 ** -24, 2 ** -24]);
    expect(values((t) => t!.sum(), x)).toEqual([1 + 2 ** -23]);
    expect(values((t) => t!.at(0).add(t!.at(1)).add(t!.at(2)), x)).toEqual([1]);
    expect(values((t) => t!.exp(), array([1]))).toEqual([Math.fround(Math.E)]);
  });
  test("integers wrap around", () => {
    expect(values((t) => t!.mul(t!), i32([65537, -3]))).toEqual([131073, 9]);
    expect(values((t) => t!.add(1), i32([2 ** 31 - 1]))).toEqual([-(2 ** 31)]);
  });
  test("casts to integers truncate and saturate", () => {
    expect(values((t) => t!.cast("i32"), f64([1.9, -1.9, 1e20, -1e20, Number.NaN]))).toEqual([
      1,
      -1,
      2 ** 31 - 1,
      -(2 ** 31),
      0,
    ]);
    expect(values((t) => t!.cast("bool"), f64([0, -0, 0.1, Number.NaN]))).toEqual([0, 0, 1, 1]);
  });
});

test("erf to 1e-15", () => {
  // mpmath with 40 digits, at the doubles written here.
  const known: [number, number][] = [
    [1e-8, 1.1283791670955126e-8],
    [0.1, 0.1124629160182849],
    [0.5, 0.5204998778130465],
    [0.999, 0.8422852702064969],
    [1, 0.8427007929497149],
    [1.5, 0.9661051464753108],
    [2, 0.9953222650189527],
    [2.5, 0.999593047982555],
    [4, 0.9999999845827421],
    [7, 1],
  ];
  for (const [x, y] of known) {
    expect(Math.abs(erf(x) / y - 1), `erf ${x}`).toBeLessThan(1e-15);
    expect(erf(-x)).toBe(-erf(x));
  }
  expect(erf(Number.NaN)).toBeNaN();
});

test("random: the hash in 64-bit arithmetic", () => {
  const word = (x: bigint) => BigInt.asUintN(32, x);
  const mix = (x: bigint) => {
    x = word(x);
    x ^= x >> 16n;
    x = word(x * 0x21f0aaadn);
    x ^= x >> 15n;
    x = word(x * 0x735a2d97n);
    return x ^ (x >> 15n);
  };
  const key = [-123456789, 2 ** 31 - 5];
  const stream = 7n;
  const bits = Array.from({ length: 12 }, (_, i) => {
    const [k0, k1] = key.map((k) => word(BigInt(k)));
    return Number(
      mix(mix(BigInt(i) + mix(k0! + stream * 0x9e3779b9n)) ^ mix(k1! + 0x85ebca6bn + stream * 0xc2b2ae35n)),
    );
  });
  const draw = (dtype: "f32" | "f64") => (k: Tensor | undefined) =>
    Tensor.source({ kind: "random", stream: 7 }, { dtype, shape: [3, 4] }, k!);
  expect(values(draw("f64"), i32(key))).toEqual(bits.map((b) => b * 2 ** -32));
  expect(values(draw("f32"), i32(key))).toEqual(bits.map((b) => (b >>> 8) * 2 ** -24));
});

test("random: uniform, and streams are independent", () => {
  const draw = (stream: number) =>
    run(
      (k) => Tensor.source({ kind: "random", stream }, { dtype: "f64", shape: [20000] }, k!),
      i32([1, 2]),
    )[0]!.data;
  const [a, b] = [draw(0), draw(1)];
  const n = a.length;
  const mean = [...a].reduce((sum, x) => sum + x, 0) / n;
  let [variance, covariance] = [0, 0];
  for (let i = 0; i < n; i++) {
    variance += (a[i]! - 0.5) ** 2 / n;
    covariance += ((a[i]! - 0.5) * (b[i]! - 0.5)) / n;
  }
  // Four standard deviations of each estimate.
  expect(Math.abs(mean - 0.5)).toBeLessThan(4 * Math.sqrt(1 / 12 / n));
  expect(Math.abs(variance - 1 / 12)).toBeLessThan(4 * Math.sqrt(1 / 180 / n));
  expect(Math.abs(covariance)).toBeLessThan(4 / 12 / Math.sqrt(n));
});

describe("layout", () => {
  const x = f64([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  test.each<[string, (t: Tensor) => Tensor, number[]]>([
    ["permute", (t) => t.transpose(), [1, 4, 2, 5, 3, 6]],
    ["expand", (t) => t.slice(0, 0, 1).expand([2, 3]), [1, 2, 3, 1, 2, 3]],
    ["slice", (t) => t.slice(1, 0, 3, 2), [1, 3, 4, 6]],
    [
      "pad",
      (t) => Tensor.apply({ kind: "pad", low: [0, 1], high: [1, 0], interior: [0, 1] }, t.slice(1, 0, 2)),
      [0, 1, 0, 2, 0, 4, 0, 5, 0, 0, 0, 0],
    ],
    ["concat", (t) => concat([t, t.slice(1, 2)], 1), [1, 2, 3, 3, 4, 5, 6, 6]],
    ["reverse", (t) => t.reverse([0, 1]), [6, 5, 4, 3, 2, 1]],
    ["sum", (t) => t.sum(0), [5, 7, 9]],
    ["maximum", (t) => t.maximum(1), [3, 6]],
    ["argMax", (t) => t.mul(t.sub(7)).neg().argMax(1), [2, 0]],
    ["cumsum", (t) => t.cumsum(0), [1, 2, 3, 5, 7, 9]],
    ["iota", (t) => t.mul(0).add(iota([2, 3], 0, "f64")), [0, 0, 0, 1, 1, 1]],
    ["gather, clamped", (t) => t.gather(constant([9, 0, -1], "i32")), [4, 5, 6, 1, 2, 3, 1, 2, 3]],
    ["scatterAdd", (t) => scatterAdd(constant([2, 2], "i32"), t, 3), [0, 0, 0, 0, 0, 0, 5, 7, 9]],
    ["dot", (t) => t.matmul(t.transpose()), [14, 32, 32, 77]],
  ])("%s", (_, f, expected) => {
    expect(values((t) => f(t!), x)).toEqual(expected);
  });
});

test("patches · weights is convolution", () => {
  const [n, h, w, c, out] = [2, 5, 6, 2, 3];
  const window = {
    kernel: [3, 2],
    stride: [2, 1],
    padding: [
      [1, 0],
      [0, 2],
    ],
    dilation: [1, 2],
  } as const;
  const [x, weights] = [randomArray([n, h, w, c], 1), randomArray([3, 2, c, out], 2)];
  const [y] = run((t, u) => t!.patches(window).matmul(u!.reshape([-1, out])), x, weights);
  const [, oh, ow] = y!.shape as [number, number, number];
  expect(y!.shape).toEqual([2, 2, 6, 3]);
  for (let b = 0; b < n; b++)
    for (let r = 0; r < oh; r++)
      for (let q = 0; q < ow; q++)
        for (let o = 0; o < out; o++) {
          let sum = 0;
          for (let i = 0; i < 3; i++)
            for (let j = 0; j < 2; j++)
              for (let k = 0; k < c; k++) {
                const [row, column] = [2 * r - 1 + i, q + 2 * j];
                if (row < 0 || row >= h || column < 0 || column >= w) continue;
                sum +=
                  x.data[((b * h + row) * w + column) * c + k]! *
                  weights.data[((i * 2 + j) * c + k) * out + o]!;
              }
          expect(y!.data[((b * oh + r) * ow + q) * out + o]).toBeCloseTo(sum, 12);
        }
});

test("evaluate takes any tensor of the graph as an input", () => {
  const program = trace((x) => x!.exp().mul(2), { dtype: "f64", shape: [] });
  const inner = program.outputs[0]!.inputs[0]!;
  expect(evaluate({ inputs: [inner], outputs: program.outputs }, [f64(3)])[0]!.data[0]).toBe(6);
});

test("evaluate says which value does not fit", () => {
  const program = trace((x) => x!, { dtype: "f64", shape: [2] });
  expect(() => evaluate(program, [])).toThrow("evaluate: 0 values for 1 inputs");
  expect(() => evaluate(program, [f64([1, 2, 3])])).toThrow("input 0 is f64[2], its value f64[3]");
  expect(() => evaluate({ inputs: [], outputs: program.outputs }, [])).toThrow(
    'no value for input "input 0"',
  );
});

test.each(cases.map((row) => [`${row.kind}: ${row.name}`, row] as const))(
  "f32 %s is close to f64",
  (_, row) => {
    if (row.kind === "random") return; // draws differ by design
    const narrow = sample(row, "f32", 3);
    const wide = narrow.map((x) => (x.dtype === "f32" ? f64(Float64Array.from(x.data), x.shape) : x));
    const [y] = evaluate(programOf(row, "f32"), narrow);
    const [z] = evaluate(programOf(row, "f64"), wide);
    expect(y!.dtype).toBe(z!.dtype === "f64" ? "f32" : z!.dtype);
    y!.data.forEach((value, i) => {
      expect(Math.abs(value - z!.data[i]!)).toBeLessThanOrEqual(2e-6 * (1 + Math.abs(z!.data[i]!)));
    });
  },
);
