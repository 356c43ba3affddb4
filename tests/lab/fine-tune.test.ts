import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { pretrainedFolder } from "../../src/lab/problems/pretrained.js";
import { openProblem } from "../../src/lab/problems/registry.js";
import { modelArrays, optimizerFor } from "../../src/lab/session.js";
import { encodeTensors } from "../../src/lab/tensors.js";
import { createRuntime } from "../../src/runtime/runtime.js";
import { temporaryFolder } from "./folder.js";

const folder = temporaryFolder();
const runtime = await createRuntime({ threads: 1 });
const small = { channels: "2-3", examples: 40 } as const;
const file = join(folder, "pretrained.safetensors");

/** A checkpoint of the same layers with values of another seed, in place of a long training. */
function writePretrained(): Float32Array {
  const other = openProblem({ name: "digits-cnn", options: { channels: "2-3" } });
  const { objective, release } = other.start(runtime, { seed: 9, batch: 2 });
  writeFileSync(file, encodeTensors(modelArrays(objective), {}));
  const values = Float32Array.from(objective.parameters.data);
  release();
  return values;
}
const pretrained = writePretrained();
const open = (options: Record<string, string | number> = {}) =>
  openProblem({ name: "fine-tune", options: { ...small, pretrained: file, ...options } });

describe("fine-tuning", () => {
  it("begins with the pretrained layers and a fresh head", () => {
    const begin = (seed: number) => {
      const { objective, release } = open().start(runtime, { seed, batch: 10 });
      const head = objective.layout.entry("layers.7.weight").offset;
      const theta = Float32Array.from(objective.parameters.data);
      release();
      return { below: theta.slice(0, head), head: theta.slice(head) };
    };
    const [first, second] = [begin(0), begin(1)];
    expect(first.below).toEqual(pretrained.slice(0, first.below.length));
    expect(second.below).toEqual(first.below);
    expect(second.head).not.toEqual(first.head);
    const scratch = open({ pretrained: "none" });
    expect(scratch.summary).toContain("from random values");
    const { objective, release } = scratch.start(runtime, { seed: 0, batch: 10 });
    expect(objective.parameters.data.slice(0, 18)).not.toEqual(first.below.slice(0, 18));
    release();
  });
  it("trains the head alone on what the layers below see", () => {
    const whole = open().start(runtime, { seed: 0, batch: 10 });
    const head = open({ trains: "head" }).start(runtime, { seed: 0, batch: 10 });
    const { layout, parameters } = whole.objective;
    const { offset } = layout.entry("layers.7.weight");
    expect(head.objective.layout.size).toBe(layout.size - offset);
    head.objective.parameters.set(parameters.data.subarray(offset));
    const [all, alone] = [whole.evaluate(), head.evaluate()];
    expect(alone.accuracy).toBeCloseTo(all.accuracy!, 6);
    expect(alone.loss! / all.loss!).toBeCloseTo(1, 5);
    whole.release();
    head.release();
  });
  it("learns by first and by second order", () => {
    for (const [trains, name, settings] of [
      ["all", "adam", {}],
      ["all", "kfac", {}],
      ["head", "hessianFree", { iterations: 5 }],
    ] as const) {
      const problem = open({ trains });
      const instance = problem.start(runtime, { seed: 0, batch: 40 });
      const training = optimizerFor(problem, { name, settings }).start(instance.objective);
      const losses = Array.from({ length: 6 }, (_, step) => {
        instance.load(step);
        return training.step().loss;
      });
      expect(losses.at(-1)).toBeLessThan(losses[0]! - 0.01);
      training.release();
      instance.release();
    }
  });
  it("says how a pretrained network is made, and what is wrong with one", () => {
    const nowhere = join(folder, "nowhere");
    expect(() => open({ pretrained: nowhere })).toThrow(
      `there is no pretrained network at "${nowhere}"; make it with: thalweg train fashion-cnn:channels=2-3 --out ${nowhere}`,
    );
    expect(() => open({ channels: "2-4" })).toThrow(
      `the network in "${file}" is another one: "layers.3.weight" should be [3, 3, 2, 4] and is [3, 3, 2, 3]; train it with the same layers`,
    );
    const cut = join(folder, "cut.safetensors");
    writeFileSync(cut, encodeTensors([], {}).subarray(0, 5));
    expect(() => open({ pretrained: cut })).toThrow(`"${cut}" is damaged`);
    const empty = join(folder, "empty");
    mkdirSync(empty);
    expect(() => open({ pretrained: empty })).toThrow(/empty/);
  });
  it("keeps pretrained runs in the user's cache", () => {
    const before = process.env.XDG_CACHE_HOME;
    process.env.XDG_CACHE_HOME = folder;
    try {
      expect(pretrainedFolder("fashion-cnn")).toBe(join(folder, "thalweg", "pretrained", "fashion-cnn"));
    } finally {
      if (before === undefined) delete process.env.XDG_CACHE_HOME;
      else process.env.XDG_CACHE_HOME = before;
    }
  });
});
