import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeEnvironment } from "../../../src/lab/machine.js";
import { compareWithAdam, summarise } from "../../../src/lab/meta-train/compare.js";
import { drawArchitecture, drawProblem } from "../../../src/lab/meta-train/family.js";
import {
  initialPhi,
  levelOf,
  type MetaSettings,
  metaDefaults,
} from "../../../src/lab/meta-train/meta-train.js";
import { metaTrain } from "../../../src/lab/meta-train/run.js";
import { createMetaTraining, resumeMetaTraining, weightsPath } from "../../../src/lab/meta-train/store.js";
import { decodeWeights, encodeWeights } from "../../../src/lab/meta-train/weights-file.js";
import { phiLayout } from "../../../src/optimizers/learned/network.js";
import { shippedWeights } from "../../../src/optimizers/learned/weights.js";
import { createRuntime, type Runtime } from "../../../src/runtime/runtime.js";
import { temporaryFolder } from "../folder.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

/** Seconds, not an hour: one architecture of a single hidden layer (seed 2), short trainings. */
const tiny: MetaSettings = {
  ...metaDefaults,
  seed: 2,
  steps: 12,
  pairs: 3,
  stretch: 3,
  shortest: 1,
  longest: 3,
  architectures: 1,
  validateEvery: 4,
  validationProblems: 2,
  validationSteps: 10,
};

const begin = (folder: string, settings = tiny) =>
  createMetaTraining(folder, settings, describeEnvironment(runtime));

describe("meta-training", () => {
  test("killed and resumed it ends with the same weights and the same record, to the bit", async () => {
    const [whole, cut] = [join(temporaryFolder(), "whole"), join(temporaryFolder(), "cut")];
    const first = await begin(whole);
    const result = await metaTrain(runtime, first);
    first.close();
    expect(result).toMatchObject({ reason: "steps", steps: 12 });

    const second = await begin(cut);
    const killed = metaTrain(runtime, second, {
      onProgress: ({ step }) => {
        if (step >= 6) throw new Error("killed");
      },
    });
    await expect(killed).rejects.toThrow("killed");
    second.close();
    const third = await resumeMetaTraining(cut);
    expect(third.checkpoint?.state.step).toBeLessThanOrEqual(12);
    // Interrupted in between as well: that saves where it is.
    const controller = new AbortController();
    const interrupted = await metaTrain(runtime, third, {
      signal: controller.signal,
      onProgress: ({ step }) => {
        if (step >= 7) controller.abort();
      },
    });
    third.close();
    expect(interrupted.steps).toBeGreaterThanOrEqual(7);
    const fourth = await resumeMetaTraining(cut);
    await metaTrain(runtime, fourth);
    fourth.close();

    expect(readFileSync(weightsPath(cut))).toEqual(readFileSync(weightsPath(whole)));
    const lines = (folder: string) =>
      readFileSync(join(folder, "metrics.jsonl"), "utf8")
        .trim()
        .split("\n")
        .map((line) => ({ ...(JSON.parse(line) as object), seconds: 0 }));
    expect(lines(cut)).toEqual(lines(whole));
    expect(lines(whole).map((line) => (line as unknown as { step: number }).step)).toEqual([0, 4, 8, 12]);
  });

  test("a folder that is none, or holds one already, is refused in a sentence", async () => {
    const folder = temporaryFolder();
    await expect(resumeMetaTraining(folder)).rejects.toThrow(
      /holds no meta-training: it has no meta-train.json/,
    );
    const store = await begin(join(folder, "one"));
    store.close();
    await expect(begin(join(folder, "one"))).rejects.toThrow(
      /already holds a meta-training; go on with --resume/,
    );
    writeFileSync(join(folder, "one", "meta-train.json"), '{"format":"thalweg-meta-train","version":1}');
    await expect(resumeMetaTraining(join(folder, "one"))).rejects.toThrow(
      /damaged or of another program: created/,
    );
    rmSync(join(folder, "one", "lock"), { force: true });
  });

  test("losses count by their logarithm; those that diverged count as the worst", () => {
    expect(levelOf(0.5, 2)).toBeCloseTo(Math.log(0.251), 12);
    expect(levelOf(Number.NaN, 1)).toBe(levelOf(1e9, 1));
    expect(levelOf(0, 1)).toBeCloseTo(Math.log(0.001), 12);
  });
});

describe("family", () => {
  test("problems are a function of their seeds, and differ otherwise", () => {
    const architecture = drawArchitecture("training", 3, 0);
    const draw = (index: number) => drawProblem("training", architecture, 3, index);
    expect(draw(1).examples.inputs).toEqual(draw(1).examples.inputs);
    expect(draw(1).initial).toEqual(draw(1).initial);
    expect(draw(1).initial).not.toEqual(draw(2).initial);
    expect(draw(1).examples.inputs).not.toEqual(draw(2).examples.inputs);
  });

  test("the halves share no widths and no images", () => {
    const widthsOf = (half: "training" | "test") =>
      new Set(
        Array.from({ length: 40 }, (_, index) => drawArchitecture(half, 0, index))
          .flatMap(({ model }) => model.layout.entries.map(({ shape }) => shape.at(-1)!))
          .filter((width) => width > 5 && width !== 49),
      );
    expect([...widthsOf("training")].sort((a, b) => a - b)).toEqual([8, 16, 32]);
    expect([...widthsOf("test")].sort((a, b) => a - b)).toEqual([12, 24, 48]);
    const imagesOf = (half: "training" | "test") => {
      const { examples } = drawProblem(half, drawArchitecture(half, 0, 1), 0, 0);
      return new Set(
        Array.from({ length: examples.size }, (_, n) => examples.inputs.slice(n * 49, (n + 1) * 49).join()),
      );
    };
    const seen = imagesOf("training");
    expect([...imagesOf("test")].filter((image) => seen.has(image))).toEqual([]);
  });

  test("the scale is the loss of the best constant prediction", () => {
    for (const index of [0, 1, 3]) {
      const { scale, examples, architecture } = drawProblem("test", drawArchitecture("test", 0, index), 0, 7);
      if (architecture.kind === "classifier") expect(scale).toBe(Math.log(architecture.outputs));
      else {
        const width = examples.targets.length / examples.size;
        const means = Array.from({ length: width }, (_, k) => {
          let sum = 0;
          for (let n = 0; n < examples.size; n++) sum += examples.targets[n * width + k]!;
          return sum / examples.size;
        });
        let sum = 0;
        examples.targets.forEach((value, at) => {
          sum += (value - means[at % width]!) ** 2;
        });
        expect(scale).toBeCloseTo(sum / examples.targets.length, 8);
      }
    }
  });
});

describe("weights", () => {
  test("the package's are those of its file, whose metadata are complete", () => {
    const path = new URL("../../../assets/learned.safetensors", import.meta.url);
    const { phi, provenance } = decodeWeights(readFileSync(path), "assets/learned.safetensors");
    expect(phi).toEqual(shippedWeights());
    expect(provenance.command).toMatch(/^thalweg meta-train --seed \d+ --steps \d+/);
    expect(provenance.version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(provenance.machine).toMatch(/Node v\d+/);
    expect(provenance.step).toBeGreaterThan(0);
    expect(provenance.validation).toBeLessThan(0);
    expect(Number.isSafeInteger(provenance.seed)).toBe(true);
  });

  test("a file comes back as it was; another's, or one of another network, is refused", () => {
    const phi = initialPhi(4);
    const about = { command: "c", seed: 4, step: 2, validation: -1.5, version: "0.1.0", machine: "m" };
    const file = encodeWeights(phi, about);
    expect(decodeWeights(file, "w")).toEqual({ phi: Float32Array.from(phi), provenance: about });
    const replaced = (from: string, to: string) =>
      Buffer.from(Buffer.from(file).toString("latin1").replace(from, to), "latin1");
    expect(() => decodeWeights(replaced("thalweg-learned", "another-learned"), "w")).toThrow(
      /"w" holds no weights of a learned optimizer/,
    );
    expect(() => decodeWeights(replaced("bias1", "bias9"), "w")).toThrow(
      /"bias1" should be f32\[4\] and is missing/,
    );
  });
});

test("the comparison counts Adam's best rate for each target, and steps that the learned optimizer needs", () => {
  const phi = initialPhi(0);
  const settings = { problems: 2, budgets: [10, 20], rates: [1e-4, 0.02], every: 5, seed: 5 };
  const finishes = compareWithAdam(runtime, phi, settings);
  expect(finishes.map(({ budget }) => budget)).toEqual([10, 20, 10, 20]);
  for (const { adam, budget, rate, target } of finishes) {
    expect(adam).toBeLessThanOrEqual(budget);
    expect(rate).toBe(0.02);
    expect(target).toBeGreaterThan(0);
  }
  expect(phi.length).toBe(phiLayout.size);
  const never = Number.POSITIVE_INFINITY;
  const finish = { budget: 10, target: 1, rate: 1 };
  const [first] = summarise(
    [
      { ...finish, problem: "a", adam: 10, byRate: [never, 10, 12], learned: 5 },
      { ...finish, problem: "b", adam: 10, byRate: [10, never, 15], learned: never },
      { ...finish, problem: "c", adam: 8, byRate: [never, 8, 8], learned: 8 },
    ],
    [1, 2, 3],
  );
  // Rate 1 arrives once; 2 twice and, in the median, as soon as any; 3 always, later than 2.
  expect(first).toEqual({
    budget: 10,
    adamSteps: 10,
    learnedSteps: 8,
    speedup: 1,
    sooner: 1,
    family: { rate: 2, sooner: 1, later: 0 },
    problems: 3,
  });
});
