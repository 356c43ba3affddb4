import { afterAll, expect, it } from "vitest";
import { activationMoments } from "../../src/curvature/activations.js";
import { createRuntime } from "../../src/runtime/runtime.js";
import { networks, using } from "./networks.js";

const runtime = await createRuntime({ threads: 1 });
afterAll(() => runtime.close());

it("the kurtosis of a layer's inputs is that of a plain loop over its rows", () => {
  using(runtime, networks.mlp!, (objective) => {
    const [x] = objective.batch;
    const [rows, units] = x!.shape as [number, number];
    const moments = activationMoments(objective);
    // The same batch twice: more rows, the same moments.
    moments.add();
    moments.add();
    const expected = Array.from({ length: units }, (_, u) => {
      const column = Array.from({ length: rows }, (_, r) => x!.data[r * units + u]!);
      const mean = column.reduce((a, b) => a + b) / rows;
      const central = (p: number) => column.reduce((sum, a) => sum + (a - mean) ** p, 0) / rows;
      return central(4) / central(2) ** 2;
    });
    moments.layers[0]!.kurtosis().forEach((value, u) => {
      expect(value).toBeCloseTo(expected[u]!, 8);
    });
    expect(moments.layers.map((layer) => layer.units)).toEqual([4, 5, 4]);
    moments.release();
  });
});

it("a table of words has no moments; the layers behind it have", () => {
  using(runtime, networks.transformer!, (objective) => {
    const moments = activationMoments(objective);
    moments.add();
    expect(moments.layers.length).toBeGreaterThan(3);
    for (const { kurtosis } of moments.layers)
      for (const value of kurtosis()) expect(value).toBeGreaterThanOrEqual(1 - 1e-9);
    moments.release();
  });
});

it("units that never change are left out", () => {
  using(runtime, networks.mlp!, (objective) => {
    objective.batch[0]!.data.fill(1);
    const moments = activationMoments(objective);
    moments.add();
    expect(moments.layers[0]!.kurtosis()).toHaveLength(0);
    moments.release();
  });
});
