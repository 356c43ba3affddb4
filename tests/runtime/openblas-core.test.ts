import { describe, expect, it } from "vitest";
import { betterCore } from "../../src/runtime/openblas-core.js";

const haswell = ["avx", "avx2", "fma"];
const skylake = [...haswell, "avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"];

describe("kernels of OpenBLAS", () => {
  it("are replaced where the library did not know the processor", () => {
    expect(betterCore("Prescott", new Set(skylake))).toBe("SKYLAKEX");
    expect(betterCore("Prescott", new Set(haswell))).toBe("HASWELL");
    expect(betterCore("Nehalem", new Set(["avx"]))).toBe("SANDYBRIDGE");
  });
  it("stay where the processor can do no more, or the library chose well", () => {
    expect(betterCore("Prescott", new Set(["sse2"]))).toBeUndefined();
    expect(betterCore("Haswell", new Set(skylake))).toBeUndefined();
    expect(betterCore("SapphireRapids", new Set(skylake))).toBeUndefined();
    expect(betterCore("Zen", new Set(haswell))).toBeUndefined();
  });
});
