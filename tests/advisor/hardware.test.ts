import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { afterAll, describe, expect, it } from "vitest";
import { findHardware, type Hardware, hardware, hardwareSchema } from "../../src/advisor/hardware.js";
import { measureHardware } from "../../src/advisor/measure.js";
import {
  elementwiseSeconds,
  factorizationSeconds,
  productSeconds,
  rateAt,
  squareSeconds,
} from "../../src/advisor/time.js";
import { createRuntime } from "../../src/runtime/runtime.js";

const folder = mkdtempSync(join(tmpdir(), "thalweg-hardware-"));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, text: string) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

describe("devices", () => {
  it("are complete", () => {
    for (const device of Object.values(hardware)) expect(v.is(hardwareSchema, device)).toBe(true);
  });
  it("come by name, or from a file of the same fields", () => {
    expect(findHardware("h100").memory).toBe(80e9);
    const path = file("mine.json", JSON.stringify({ ...hardware.a100, name: "mine", memory: 40e9 }));
    expect(findHardware(path)).toMatchObject({ name: "mine", memory: 40e9 });
  });
  it("that are none are said in one line", () => {
    expect(() => findHardware("h10")).toThrow('there is no hardware "h10"; did you mean h100');
    expect(() => findHardware(join(folder, "none.json"))).toThrow("cannot read the hardware in");
    expect(() => findHardware(file("broken.json", "{"))).toThrow("cannot read the hardware in");
    const bad = JSON.stringify({ ...hardware.a100, bandwidth: -1 });
    expect(() => findHardware(file("bad.json", bad))).toThrow("describes no hardware: bandwidth is -1");
    const infinite = JSON.stringify(hardware.a100).replace('"memory":80000000000', '"memory":1e999');
    expect(() => findHardware(file("infinite.json", infinite))).toThrow("memory is Infinity");
  });
});

describe("seconds", () => {
  const points = [
    { size: 10, rate: 1e9 },
    { size: 1000, rate: 1e11 },
  ];
  const measured: Hardware = {
    ...hardware["cpu-2"]!,
    measured: {
      products: points,
      thinProducts: [
        { size: 1, rate: 1e8 },
        { size: 64, rate: 1e12 },
      ],
      bandwidths: [
        { size: 1e6, rate: 1e11 },
        { size: 1e8, rate: 1e10 },
      ],
      cholesky: points,
      eigen: [{ size: 10, rate: 2e9 }],
      elementwise: 1e10,
      transcendental: 1e9,
      call: 1e-6,
    },
  };
  it("come from rates between measured sizes, and the last beyond", () => {
    expect(rateAt(points, 100)).toBeCloseTo(1e10, -2);
    expect([rateAt(points, 1), rateAt(points, 1e6)]).toEqual([1e9, 1e11]);
  });
  it("of a product in the cache are those of a square of its volume", () => {
    expect(squareSeconds(measured, 2 * 100 ** 3)).toBeCloseTo((2 * 100 ** 3) / 1e10, 12);
    expect(squareSeconds(measured, 0)).toBe(0);
  });
  it("of a thin product are those of its short side", () => {
    expect(productSeconds(measured, { m: 1000, k: 1000, n: 1 })).toBeGreaterThan(2e6 / 1e8);
  });
  it("of what lies in memory are longer by what memory is slower than the cache", () => {
    const product = { m: 100, k: 100, n: 100 };
    const [near, far] = [1e6, 1e8].map((walked) => productSeconds(measured, product, undefined, walked));
    expect(far! - near!).toBeCloseTo(4 * 3e4 * (1 / 1e10 - 1 / 1e11), 12);
  });
  it("of elementwise work are arithmetic or the cache, then memory and calls", () => {
    const work = { operations: 1e6, transcendentals: 1e5, bytes: 1e6, walked: 1e8, steps: 3 };
    expect(elementwiseSeconds(measured, work)).toBeCloseTo(2e-4 + 1e6 * (1e-10 - 1e-11) + 3e-6, 12);
    expect(elementwiseSeconds(measured, { ...work, bytes: 1e8 })).toBeCloseTo(1e8 / 1e10 + 3e-6, 12);
  });
  it("of factorizations are each at its order's rate", () => {
    const flops = 10 ** 3 + 1000 ** 3;
    const expected = 10 ** 3 / 1e9 + 1000 ** 3 / 1e11;
    expect(factorizationSeconds(measured, "cholesky", flops, [10, 1000])).toBeCloseTo(expected, 12);
    expect(factorizationSeconds(hardware.a100!, "eigen", 1e12, [10, 1000])).toBe(1);
  });
  it("are a roofline where peaks alone are known", () => {
    const { h100 } = hardware as { h100: Hardware };
    const bf16 = { bytes: 2, peak: h100.matmul.bf16! };
    const side = 8192;
    const square = { m: side, k: side, n: side };
    expect(productSeconds(h100, square, bf16)).toBeCloseTo((2 * side ** 3) / (0.4 * 989.4e12), 9);
    expect(productSeconds(h100, { m: 1, k: 1e4, n: 1e4 })).toBeCloseTo(4e8 / (0.8 * 3.35e12), 6);
  });
});

it("this machine is measured, and gives its memory back", async () => {
  const runtime = await createRuntime({ threads: 1 });
  // What portable factorizations keep for themselves is allocated by the first ones.
  measureHardware(runtime, 1);
  const before = runtime.used;
  const here = measureHardware(runtime, 1);
  expect(v.is(hardwareSchema, here)).toBe(true);
  expect(runtime.used).toBe(before);
  await runtime.close();
});
