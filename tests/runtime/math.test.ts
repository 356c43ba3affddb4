/** Elementary functions against series in long integers, at random and at special arguments, with and without fused multiply-add. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { useFusedMultiplyAdd } from "../../src/runtime/vectors.js";
import { allocate } from "../../src/tensor/dtype.js";
import { evaluate } from "../../src/tensor/evaluate.js";
import { trace } from "../../src/tensor/program.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { run } from "../compiler/run.js";
import { uniform } from "../tensor/cases.js";
import { type Precise, precise, precisePow, ulps } from "./precise.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

type Type = "f32" | "f64";
type Name = keyof typeof precise;

const arrayOf = (type: Type, values: readonly number[]) => {
  const data = allocate(type, values.length);
  data.set(values);
  return { dtype: type, shape: [values.length], data };
};
const compute = (type: Type, f: (...x: Tensor[]) => Tensor, ...inputs: (readonly number[])[]): number[] => {
  const arrays = inputs.map((values) => arrayOf(type, values));
  return [...run(runtime, trace(f, ...arrays), arrays)[0]!.data];
};
/** Uniform between the bounds, or uniform in the logarithm where they are far apart. */
function samples(type: Type, [low, high]: readonly [number, number], count: number, seed: number): number[] {
  const next = uniform(seed);
  const all = Array.from({ length: count }, () => {
    const u = next();
    return low > 0 && high / low > 100
      ? Math.exp(Math.log(low) + u * (Math.log(high) - Math.log(low)))
      : low + (high - low) * u;
  });
  return type === "f32" ? all.map(Math.fround) : all;
}
/** The exact value, computed once for both forms of a kernel. */
const values = new Map<string, Precise>();
function exact(name: Name | "pow", x: number, y = 0): Precise {
  const key = `${name} ${x} ${y}`;
  const value = values.get(key) ?? (name === "pow" ? precisePow(x, y) : precise[name](x));
  values.set(key, value);
  return value;
}
const forms: [Type, boolean][] = [
  ["f32", true],
  ["f32", false],
  ["f64", true],
  ["f64", false],
];

interface Row {
  readonly name: Name;
  readonly ranges: Record<Type, readonly (readonly [number, number])[]>;
  /** Units of the last place. */
  readonly bound: Record<Type, number>;
}
const bothWays = (...ranges: (readonly [number, number])[]) => ({ f32: ranges, f64: ranges });
const rows: readonly Row[] = [
  {
    name: "exp",
    ranges: {
      f32: [
        [-86.6, 89],
        [-1, 1],
      ],
      f64: [
        [-707.6, 710],
        [-1, 1],
      ],
    },
    bound: { f32: 1.1, f64: 1.1 },
  },
  {
    name: "expm1",
    ranges: {
      f32: [
        [-25, 89],
        [-1, 1],
        [1e-30, 1e-3],
      ],
      f64: [
        [-40, 710],
        [-1, 1],
        [1e-200, 1e-3],
      ],
    },
    bound: { f32: 2, f64: 2 },
  },
  {
    name: "log",
    ranges: {
      f32: [
        [1e-44, 3e38],
        [0.5, 2],
        [0.99, 1.01],
      ],
      f64: [
        [1e-320, 1e308],
        [0.5, 2],
        [0.99, 1.01],
      ],
    },
    bound: { f32: 1, f64: 1 },
  },
  {
    name: "log1p",
    ranges: bothWays([-0.999, 5], [-1e-3, 1e-3], [1, 1e30], [1e-30, 1]),
    bound: { f32: 1.3, f64: 1.3 },
  },
  { name: "tanh", ranges: bothWays([-10, 10], [-1, 1], [1e-30, 1]), bound: { f32: 5, f64: 2.5 } },
  {
    name: "sigmoid",
    ranges: {
      f32: [
        [-86, 20],
        [-1, 1],
      ],
      f64: [
        [-707, 40],
        [-1, 1],
      ],
    },
    bound: { f32: 2.2, f64: 2.2 },
  },
  {
    name: "softplus",
    ranges: {
      f32: [
        [-86, 100],
        [-1, 1],
      ],
      f64: [
        [-707, 800],
        [-1, 1],
      ],
    },
    bound: { f32: 2, f64: 2 },
  },
  {
    name: "erf",
    ranges: bothWays([-7, 7], [-1, 1], [0.7, 1], [1e-30, 1]),
    bound: { f32: 2.6, f64: 2.2 },
  },
  { name: "sin", ranges: bothWays([-10, 10], [1e-30, 1]), bound: { f32: 2, f64: 2 } },
  { name: "cos", ranges: bothWays([-10, 10], [1e-30, 1]), bound: { f32: 2, f64: 2 } },
];

describe.each(forms)("%s, fused multiply-add %s", (type, fused) => {
  beforeAll(() => useFusedMultiplyAdd(fused));

  it.each(rows.map((row) => [row.name, row] as const))("%s is accurate", (name, row) => {
    row.ranges[type].forEach((range, k) => {
      const x = samples(type, range, 1500, 31 + k);
      compute(type, (t) => t[name](), x).forEach((y, i) => {
        const error = ulps(y, exact(name, x[i]!), type);
        if (!(error <= row.bound[type]))
          expect.fail(`${name}(${x[i]}) = ${y}: ${error} units of the last place`);
      });
    });
  });

  it.each(["sin", "cos"] as const)("%s is accurate absolutely where its period is resolved", (name) => {
    const [limit, error] = type === "f32" ? [5e4, 2 ** -23] : [1.3e7, 2 ** -52];
    const x = samples(type, [-limit, limit], 4000, 5);
    compute(type, (t) => t[name](), x).forEach((y, i) => {
      const { m, e } = exact(name, x[i]!);
      const wanted = Number(m >> BigInt(-e - 80)) / 2 ** 80;
      if (!(Math.abs(y - wanted) <= error)) expect.fail(`${name}(${x[i]}) = ${y}, not ${wanted}`);
    });
    const far = samples(type, [1e5, 1e38], 500, 6);
    for (const y of compute(type, (t) => t[name](), far)) expect(Math.abs(y)).toBeLessThanOrEqual(1);
  });

  it("pow errs by what the logarithm errs", () => {
    const next = uniform(9);
    const round = type === "f32" ? Math.fround : (value: number) => value;
    const x = Array.from({ length: 2000 }, () => round(10 ** (6 * next() - 3)));
    const y = x.map((base) => round(((2 * next() - 1) * 85) / Math.max(1, Math.abs(Math.log(base)))));
    compute(type, (a, b) => a!.pow(b!), x, y).forEach((power, i) => {
      const error = ulps(power, exact("pow", x[i]!, y[i]!), type);
      if (!(error <= 2.5 + 1.5 * Math.abs(y[i]! * Math.log(x[i]!))))
        expect.fail(`${x[i]} ** ${y[i]} = ${power}: ${error} units of the last place`);
    });
  });

  it.each(["tanh", "erf", "sigmoid", "sin", "cos"] as const)("%s stays within its bounds", (name) => {
    const x = samples(type, [-12, 12], 20_000, 8);
    for (const y of compute(type, (t) => t[name](), x)) expect(Math.abs(y)).toBeLessThanOrEqual(1);
  });

  const [tiny, least, largest] =
    type === "f32"
      ? [2 ** -126, 2 ** -149, (2 - 2 ** -23) * 2 ** 127]
      : [2 ** -1022, 2 ** -1074, Number.MAX_VALUE];
  const edges =
    type === "f32"
      ? [88.72283, 88.72284, 89, 90, 103.9, 104, 200, 9.01, 20, 4, 6]
      : [709.78, 709.79, 710, 711, 745, 746, 1000, 19, 40, 6, 8];
  const special = [
    ...[0, Infinity, least, 3 * least, tiny, largest, 1, 2, 3, 0.5, 1.5, 1e-20, 1e5, ...edges].flatMap(
      (x) => [x, -x],
    ),
    Number.NaN,
    ...(type === "f32" ? [1 + 2 ** -23, 1 - 2 ** -24] : [1 + 2 ** -52, 1 - 2 ** -53]),
  ].map((x) => (type === "f32" ? Math.fround(x) : x));

  /** Equal, signs of zero included; or close; or both below the normal range, where results may vanish. */
  const agree = (got: number, wanted: number, relative: number) =>
    Object.is(got, wanted) ||
    Math.abs(got - wanted) <= relative * Math.abs(wanted) ||
    (Math.abs(got) === Infinity && got * wanted > 0 && Math.abs(wanted) >= largest * (1 - relative)) ||
    (Math.abs(wanted) < 2 * tiny && Math.abs(got) < 2 * tiny && got * wanted >= 0);
  const epsilon = type === "f32" ? 2 ** -23 : 2 ** -52;

  it.each([
    "exp",
    "expm1",
    "log",
    "log1p",
    "tanh",
    "sigmoid",
    "erf",
    "sin",
    "cos",
    "sqrt",
    "sign",
    "floor",
  ] as const)("%s at special numbers", (name) => {
    const input = arrayOf(type, special);
    const wanted = evaluate(
      trace((x) => x![name](), input),
      [input],
    )[0]!.data;
    compute(type, (x) => x![name](), special).forEach((y, i) => {
      const x = special[i]!;
      // The period of sine and cosine is not resolved there.
      if ((name === "sin" || name === "cos") && Math.abs(x) > 2e5 && Number.isFinite(x)) return;
      if (!agree(y, wanted[i]!, 8 * epsilon)) expect.fail(`${name}(${x}) = ${y}, not ${wanted[i]}`);
    });
  });

  it.each(["pow", "max", "min", "add", "mul", "div"] as const)("%s at pairs of special numbers", (name) => {
    const pairs = special.flatMap((x) => special.map((y) => [x, y] as const));
    const inputs = [0, 1].map((side) =>
      arrayOf(
        type,
        pairs.map((pair) => pair[side]!),
      ),
    );
    const wanted = evaluate(
      trace((x, y) => x![name](y!), ...inputs),
      inputs,
    )[0]!.data;
    const got = run(
      runtime,
      trace((x, y) => x![name](y!), ...inputs),
      inputs,
    )[0]!.data;
    pairs.forEach(([x, y], i) => {
      const spread = name === "pow" ? 3000 * epsilon : 0;
      if (!agree(got[i]!, wanted[i]!, spread))
        expect.fail(`${name}(${x}, ${y}) = ${got[i]}, not ${wanted[i]}`);
    });
  });

  it("maxima keep NaN", () => {
    for (const place of [0, 1, 5, 12]) {
      const values = Array.from({ length: 13 }, (_, i) => (i === place ? Number.NaN : i));
      expect(compute(type, (x) => x!.maximum(), values)).toEqual([Number.NaN]);
      expect(compute(type, (x) => x!.reshape([13, 1]).expand([13, 5]).maximum(0), values)).toEqual(
        new Array(5).fill(Number.NaN),
      );
      expect(compute(type, (x) => x!.reshape([1, 13]).mul(1).maximum(1), values)).toEqual([Number.NaN]);
    }
  });
});
