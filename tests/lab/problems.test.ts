import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openProblem, problems } from "../../src/lab/problems/registry.js";
import { optimizerFor, suggestedFor } from "../../src/lab/session.js";
import { findMethod } from "../../src/optimizers/index.js";
import { createRuntime } from "../../src/runtime/runtime.js";
import { temporaryFolder, writeTable } from "./folder.js";

const root = temporaryFolder();
const runtime = await createRuntime({ threads: 1 });

describe("problems", () => {
  it("are what they say: 784-128-10 on the digits", () => {
    const problem = openProblem({ name: "digits-mlp", options: {} });
    expect(problem.summary).toBe("784-128-10 relu, 101,770 parameters; 8,000 images to learn, 2,000 to test");
    expect(problem.defaults.target).toEqual({ metric: "accuracy", value: 0.97, goal: "max" });
    expect(problem.settings.options).toMatchObject({ hidden: "128", activation: "relu", shift: 1 });
  });
  it("start at the same θ and batches for the same seed, at others for another", () => {
    const problem = openProblem({ name: "digits-mlp", options: { hidden: "8" } });
    const begin = (seed: number) => {
      const instance = problem.start(runtime, { seed, batch: 4 });
      instance.load(3);
      const values = [instance.objective.parameters.copy(), instance.objective.batch[0]!.copy()];
      const measured = instance.evaluate();
      instance.release();
      return { values, measured };
    };
    expect(begin(5)).toEqual(begin(5));
    expect(begin(5).values[0]).not.toEqual(begin(6).values[0]);
    expect(begin(5).values[1]).not.toEqual(begin(6).values[1]);
  });
  it("average images over squares: 49 numbers of 784, in dense layers and convolutions", () => {
    const small = openProblem({ name: "digits-mlp", options: { pool: 4, hidden: "none" } });
    expect(small.summary).toBe("49-10 relu, 500 parameters; 8,000 images to learn, 2,000 to test");
    const instance = small.start(runtime, { seed: 0, batch: 2 });
    instance.load(0);
    const { objective } = instance;
    const [images, labels] = objective.batch;
    const { offset } = objective.layout.entries.find(({ shape }) => shape.length === 2)!;
    objective.parameters.data.fill(0);
    const training = optimizerFor(small, { name: "sgd", settings: { learningRate: 1 } }).start(objective);
    training.step();
    // From θ = 0, θ = mean of x·(y − 1/10)ᵀ with x the means over squares.
    for (const [square, label] of [
      [24, 3],
      [17, labels!.data[0]!],
    ] as const) {
      const expected = [0, 1].reduce((sum, example) => {
        const [top, left] = [4 * Math.floor(square / 7), 4 * (square % 7)];
        let mean = 0;
        for (let k = 0; k < 16; k++)
          mean += images!.data[784 * example + 28 * (top + (k >> 2)) + left + (k & 3)]! / 16;
        return sum + (mean * (Number(labels!.data[example] === label) - 0.1)) / 2;
      }, 0);
      expect(objective.parameters.data[offset + 10 * square + label]).toBeCloseTo(expected, 6);
    }
    training.release();
    instance.release();
    const open = (name: string, pool: number) => openProblem({ name, options: { pool, channels: "2" } });
    expect(open("digits-cnn", 2).summary).toContain("1,010 parameters");
    expect(() => open("digits-cnn", 29)).toThrow("a window of 29×29 does not fit into examples");
  });
  it("evaluate all of the test data, the last part included", () => {
    // Rows whose number is no multiple of anything: the mean over parts must be the mean over rows.
    const file = writeTable(root, 97);
    const problem = openProblem({ name: "table", options: { file, target: "y", hidden: "none" } });
    const instance = problem.start(runtime, { seed: 0, batch: 8 });
    instance.objective.parameters.data.fill(0);
    // Standardised on the training rows, a prediction of 0 has about the variance as its error.
    const { loss, squaredError } = instance.evaluate();
    expect(squaredError).toBeCloseTo(2 * loss!, 5);
    expect(squaredError).toBeGreaterThan(0.3);
    expect(squaredError).toBeLessThan(3);
    instance.release();
  });
  it("with validation data are measured on it, and on the same test as without", () => {
    const begin = (validation: number) => {
      const problem = openProblem({ name: "digits-mlp", options: { hidden: "8", validation } });
      const instance = problem.start(runtime, { seed: 5, batch: 4 });
      const measured = { summary: problem.summary, shown: instance.evaluate(), test: instance.test?.() };
      instance.release();
      return measured;
    };
    const [without, held] = [begin(0), begin(1000)];
    expect(without.test).toBeUndefined();
    expect(held.summary).toContain("7,000 images to learn, 1,000 to validate, 2,000 to test");
    expect(held.test).toEqual(without.shown);
    expect(held.shown.loss).not.toBe(held.test!.loss);
    // A thousand examples: the accuracy is a whole number of them.
    expect(Math.abs(1000 * held.shown.accuracy! - Math.round(1000 * held.shown.accuracy!))).toBeLessThan(
      1e-3,
    );
  });
  it("train convolutions and f64 as well", () => {
    for (const options of [
      { channels: "2", precision: "f64" },
      { channels: "2-3", activation: "gelu" },
    ]) {
      const problem = openProblem({ name: "digits-cnn", options });
      const instance = problem.start(runtime, { seed: 0, batch: 8 });
      const training = optimizerFor(problem, { name: "momentum", settings: {} }).start(instance.objective);
      const losses = Array.from({ length: 12 }, () => {
        instance.load(0);
        return training.step().loss;
      });
      expect(losses.at(-1)).toBeLessThan(losses[0]!);
      training.release();
      instance.release();
    }
  });
  it("put suggested settings between the optimizer's and the user's", () => {
    const problem = openProblem({ name: "digits-mlp", options: {} });
    expect(optimizerFor(problem, { name: "adam", settings: {} }).settings).toMatchObject({
      learningRate: 2e-3,
      beta1: 0.9,
    });
    expect(optimizerFor(problem, { name: "adam", settings: { learningRate: 1 } }).settings).toMatchObject({
      learningRate: 1,
    });
    const hybrid = { name: "switchTo", settings: { first: "adam", "second.damping": 0.5 } };
    expect(optimizerFor(problem, hybrid).settings).toMatchObject({
      "first.learningRate": 2e-3,
      "second.schedule": problem.suggested.kfac!.schedule,
      "second.damping": 0.5,
    });
    // In parts of 1/λ: what suits sgd alone says nothing.
    expect(problem.suggested.momentum!.learningRate).not.toBe(0.05);
    const scheduled = (settings: Record<string, string>) =>
      optimizerFor(problem, { name: "curvatureSchedule", settings }).settings;
    expect(scheduled({ optimizer: "momentum" })["optimizer.learningRate"]).toBe(0.05);
    expect(scheduled({ optimizer: "adam" })["optimizer.learningRate"]).toBe(2e-3);
    for (const { name } of problems.filter((kind) => kind.name.startsWith("digits"))) {
      const digits = openProblem({ name, options: {} });
      for (const optimizer of Object.keys(digits.suggested))
        expect(() => optimizerFor(digits, { name: optimizer, settings: {} })).not.toThrow();
    }
  });
  it("suggest for a hybrid what suits its parts, then what suits itself where nobody names other parts", () => {
    const suggested = { adam: { learningRate: 1, beta1: 0.5 }, sgd: { learningRate: 2 } };
    const own = { inner: "adam", every: 3, "inner.learningRate": 4, "outer.damping": 5 };
    const of = (settings: Record<string, string>) =>
      suggestedFor({ suggested: { ...suggested, periodic: own } }, findMethod("periodic"), settings);
    expect(of({})).toEqual({ ...own, "inner.beta1": 0.5 });
    expect(of({ inner: "adam" })).toEqual(of({}));
    expect(of({ inner: "sgd" })).toEqual({
      inner: "adam",
      every: 3,
      "inner.learningRate": 2,
      "outer.damping": 5,
    });
  });
  it("say what is wrong with a name, an option or the data", () => {
    const open =
      (name: string, options: Record<string, string | number> = {}) =>
      () =>
        openProblem({ name, options });
    expect(open("digit-mlp")).toThrow(/no problem "digit-mlp"; did you mean digits-mlp/);
    expect(open("digits-mlp", { hidde: 3 })).toThrow(
      /digits-mlp: there is no setting "hidde"; did you mean hidden/,
    );
    expect(open("digits-mlp", { hidden: "0" })).toThrow(/hidden is "0"; use whole numbers joined by "-"/);
    expect(open("table", { target: "y" })).toThrow(/table: needs file/);
    expect(open("images-mlp", { directory: root })).toThrow(/has no train-images-idx3-ubyte/);
    const path = join(root, "text.csv");
    writeFileSync(path, "a,y\n1,2\nx,3\n3,4\n4,5\n5,6\n");
    expect(open("table", { file: path, target: "y" })).toThrow(/row 3, column "a": "x" is not a number/);
  });
});
