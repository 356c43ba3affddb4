import { describe, expect, it } from "vitest";
import { encodeText, mobyDick } from "../../src/data/text.js";
import { randomWindows, windows } from "../../src/lab/problems/moby-dick.js";
import { openProblem } from "../../src/lab/problems/registry.js";
import { optimizerFor } from "../../src/lab/session.js";
import { createRuntime } from "../../src/runtime/runtime.js";

const runtime = await createRuntime({ threads: 1 });
const small = { context: 32, width: 8, heads: 2, blocks: 1 } as const;

describe("the language model of Moby Dick", () => {
  it("reads the novel as numbers of its characters", () => {
    const { codes, vocabulary } = mobyDick();
    expect([codes.length, vocabulary.length]).toEqual([1_212_971, 81]);
    const text = Array.from(codes, (code) => vocabulary[code]!).join("");
    expect(text.startsWith("ETYMOLOGY. (Supplied by")).toBe(true);
    expect(text).toContain("Call me Ishmael. Some years ago—never mind how long precisely—");
    expect([...encodeText("a text", "aba c").codes]).toEqual([1, 2, 1, 0, 3]);
  });
  it("asks for the character after each, in windows side by side or at random places", () => {
    const codes = Int32Array.from({ length: 100 }, (_, k) => k);
    const { size, inputs, targets } = windows("numbers", codes, 8);
    expect([size, inputs.length, targets.length]).toEqual([12, 96, 96]);
    expect(inputs.every((code, k) => code === k && targets[k] === k + 1)).toBe(true);

    const batch = (seed: number, step: number) => {
      const [x, y] = [new Int32Array(24), new Int32Array(24)];
      randomWindows(codes, 8, 3, seed).fill(step, x, y);
      expect(x.every((code, k) => y[k] === code + 1 && (k % 8 === 0 || code === x[k - 1]! + 1))).toBe(true);
      return [...x];
    };
    expect(batch(1, 5)).toEqual(batch(1, 5));
    expect(batch(1, 6)).not.toEqual(batch(1, 5));
    expect(batch(2, 5)).not.toEqual(batch(1, 5));
  });
  it("measures a guess as the logarithm of the vocabulary", () => {
    const instance = openProblem({ name: "moby-dick", options: small }).start(runtime, { seed: 0, batch: 2 });
    instance.objective.parameters.data.fill(0);
    const { loss, bitsPerCharacter } = instance.evaluate();
    expect(loss).toBeCloseTo(Math.log(81), 4);
    expect(bitsPerCharacter).toBeCloseTo(Math.log2(81), 4);
    instance.release();
  });
  it("learns by first and by second order, with either head", () => {
    const sizes = new Map<string, number>();
    for (const [head, name] of [
      ["untied", "adam"],
      ["tied", "adam"],
      ["untied", "kfac"],
    ] as const) {
      const problem = openProblem({ name: "moby-dick", options: { ...small, head } });
      const instance = problem.start(runtime, { seed: 0, batch: 16 });
      sizes.set(head, instance.objective.layout.size);
      const training = optimizerFor(problem, { name, settings: {} }).start(instance.objective);
      const losses = Array.from({ length: 12 }, (_, step) => {
        instance.load(step);
        return training.step().loss;
      });
      expect(losses.at(-1)).toBeLessThan(losses[0]! - 0.1);
      training.release();
      instance.release();
    }
    expect(sizes.get("untied")! - sizes.get("tied")!).toBe(81 * 8 + 81);
  });
  it("refuses what does not fit", () => {
    const open = (options: Record<string, number>) => () => openProblem({ name: "moby-dick", options });
    expect(open({ width: 30 })).toThrow("width 30 does not split into 4 heads; use a multiple of heads");
    expect(open({ context: 200_000 })).toThrow("the test has 121,298 characters, use fewer");
    expect(open({ dropout: 1 })).toThrow("dropout is 1; use a number below 1");
  });
});
