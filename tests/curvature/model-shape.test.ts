import { afterAll, beforeAll, expect, test } from "vitest";
import { modelShapeOf, parameterCount } from "../../src/curvature/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { networks, using } from "./networks.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const brief = (name: string) =>
  using(runtime, networks[name]!, (objective) => {
    const shape = modelShapeOf(objective);
    expect(parameterCount(shape)).toBe(objective.layout.size);
    return shape.layers.map(({ kind, inputs, outputs, positions, uses }) => [
      kind,
      inputs,
      outputs,
      positions,
      uses,
    ]);
  });

test("dense layers, the bias one more input", () => {
  expect(brief("mlp")).toEqual([
    ["dense", 5, 5, 1, 1],
    ["dense", 6, 4, 1, 1],
    ["dense", 5, 3, 1, 1],
  ]);
});

test("a convolution acts on every pixel of an image", () => {
  expect(brief("cnn")[0]).toEqual(["conv2d", 3 * 3 * 1 + 1, 2, 36, 1]);
});

test("recurrent weights act at every time", () => {
  expect(brief("rnn").every(([kind]) => kind === "dense")).toBe(true);
  expect(brief("rnn").some(([, , , positions]) => positions === 6)).toBe(true);
});

test("a transformer has tables, maps and norms", () => {
  const kinds = brief("transformer").map(([kind]) => kind);
  for (const kind of ["embedding", "dense", "scaleShift"]) expect(kinds).toContain(kind);
});
