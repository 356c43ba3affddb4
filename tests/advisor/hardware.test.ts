import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { afterAll, describe, expect, it } from "vitest";
import { findHardware, hardware, hardwareSchema, productRate } from "../../src/advisor/hardware.js";
import { measureHardware } from "../../src/advisor/measure.js";
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

describe("the rate of a product", () => {
  const products = [
    { size: 10, rate: 1e9 },
    { size: 1000, rate: 1e11 },
  ];
  const measured = { ...hardware["cpu-2"]!, products };
  it("is interpolated where it was measured", () => {
    expect(productRate(measured, 2 * 100 ** 3)).toBeCloseTo(1e10, -2);
    expect(productRate(measured, 2)).toBe(1e9);
    expect(productRate(measured, 2e12)).toBe(1e11);
  });
  it("is a share of the peak elsewhere", () => {
    const h100 = hardware.h100!;
    expect(productRate(h100, 1e12, h100.matmul.bf16)).toBeCloseTo(0.4 * 989.4e12, -3);
  });
});

it("this machine is measured, and gives its memory back", async () => {
  const runtime = await createRuntime({ threads: 1 });
  // What portable factorizations keep for themselves is allocated by the first ones.
  measureHardware(runtime);
  const before = runtime.used;
  const here = measureHardware(runtime);
  expect(v.is(hardwareSchema, here)).toBe(true);
  expect(runtime.used).toBe(before);
  await runtime.close();
});
