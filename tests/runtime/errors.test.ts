/** What the environment can get wrong: one line that says what, with the value, and what to do. */
import { existsSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { compile } from "../../src/compiler/compile.js";
import { createRuntime, type RuntimeOptions } from "../../src/runtime/runtime.js";
import { trace } from "../../src/tensor/program.js";

const { THALWEG_BLAS, THALWEG_THREADS } = process.env;
const set = (name: "THALWEG_BLAS" | "THALWEG_THREADS", value: string | undefined) => {
  if (value === undefined) delete process.env[name];
  else process.env[name] = value;
};
afterEach(() => {
  set("THALWEG_BLAS", THALWEG_BLAS);
  set("THALWEG_THREADS", THALWEG_THREADS);
});

async function messageOf(options: RuntimeOptions): Promise<string> {
  const runtime = await createRuntime(options).catch((error: Error) => error);
  if (!(runtime instanceof Error)) {
    await runtime.close();
    expect.fail("a runtime was made");
  }
  expect(runtime.message).not.toContain("\n");
  return runtime.message;
}

describe("a runtime", () => {
  it("says which library cannot be loaded", async () => {
    set("THALWEG_BLAS", "/nowhere/libblas.so");
    const message = await messageOf({ threads: 1 });
    expect(message).toMatch(
      /^THALWEG_BLAS names "\/nowhere\/libblas\.so", which is no usable BLAS: it cannot be loaded \(.+\)\. Give the path/,
    );
    expect(message).toContain("THALWEG_BLAS=portable");
  });

  const plain = [
    "/lib/x86_64-linux-gnu/libm.so.6",
    "/lib/aarch64-linux-gnu/libm.so.6",
    "/lib64/libm.so.6",
  ].find((path) => existsSync(path));
  it.skipIf(plain === undefined)("says that a library is no BLAS", async () => {
    set("THALWEG_BLAS", plain);
    expect(await messageOf({ threads: 1 })).toMatch(
      /^THALWEG_BLAS names ".+libm\.so\.6", which is no usable BLAS: it has no function cblas_sgemm\. Give the path/,
    );
  });

  it("does not look for a library that is not wanted", async () => {
    set("THALWEG_BLAS", "/nowhere/libblas.so");
    const runtime = await createRuntime({ threads: 1, blas: "portable" });
    expect(runtime.blas.kind).toBe("portable");
    await runtime.close();
  });

  it.each(["abc", "0", "1000", "-1", "1.5", "Infinity"])("refuses THALWEG_THREADS=%s", async (given) => {
    set("THALWEG_THREADS", given);
    expect(await messageOf({})).toBe(`THALWEG_THREADS is "${given}"; use a whole number from 1 to 64`);
  });
  it.each([0, 65, 1.5, Number.NaN])("refuses %s threads", async (threads) => {
    expect(await messageOf({ threads })).toBe(`runtime: ${threads} threads; use a whole number from 1 to 64`);
  });
  it("takes its threads from the environment, and rather from its options", async () => {
    set("THALWEG_THREADS", "1");
    expect((await createRuntime()).threads).toBe(1);
    set("THALWEG_THREADS", "abc");
    expect((await createRuntime({ threads: 1 })).threads).toBe(1);
  });
});

describe("memory that does not suffice", () => {
  const exceeded =
    /^memory: (\d+\.\d\d) GiB more would exceed WebAssembly's 4 GiB \(.+ in use\); use a smaller batch or model, or release executables that are no longer needed$/;

  it("is said with its size, and nothing stays allocated", async () => {
    const runtime = await createRuntime({ threads: 1 });
    const before = runtime.used;
    expect(() => runtime.buffer("f32", [2 ** 31])).toThrow(exceeded);
    // Inputs and outputs fit, what lies between does not.
    const program = trace((x) => x!.matmul(x!.transpose()).exp().sum(), { dtype: "f32", shape: [40_000, 2] });
    expect(() => compile(runtime, program)).toThrow(exceeded);
    expect(runtime.used).toBe(before);
    // A bound buffer that does not fit.
    const small = runtime.buffer("f32", [3]);
    expect(() => compile(runtime, program, { outputs: [small] })).toThrow(/^compile: output 0 is f32\[\]/);
    small.release();
    expect(runtime.used).toBe(before);
    await runtime.close();
  });

  it("does not keep what is smaller from running", async () => {
    const runtime = await createRuntime({ threads: 1 });
    expect(() => runtime.buffer("f64", [2 ** 30])).toThrow(exceeded);
    const executable = compile(
      runtime,
      trace((x) => x!.add(1), { dtype: "f32", shape: [3] }),
    );
    executable.run();
    expect([...executable.outputs[0]!.data]).toEqual([1, 1, 1]);
    await runtime.close();
  });
});
