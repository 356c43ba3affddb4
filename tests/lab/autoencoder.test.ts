import { describe, expect, it } from "vitest";
import type { Dataset } from "../../src/data/dataset.js";
import { digits } from "../../src/data/images.js";
import { openProblem } from "../../src/lab/problems/registry.js";
import { optimizerFor } from "../../src/lab/session.js";
import { createRuntime } from "../../src/runtime/runtime.js";

const runtime = await createRuntime({ threads: 1 });
const small = { encoder: "4-2", precision: "f64" } as const;

describe("the autoencoder", () => {
  it("is that of the literature unless it is told otherwise", () => {
    const { summary, metrics } = openProblem({ name: "autoencoder", options: {} });
    expect(summary).toBe(
      "784-1000-500-250-30-250-500-1000-784 tanh, 2,837,314 parameters; 8,000 images to learn, 2,000 to test",
    );
    expect(Object.keys(metrics)[0]).toBe("trainingError");
    expect(() => openProblem({ name: "autoencoder", options: { encoder: "none" } })).toThrow(
      'autoencoder: encoder is "none"; use whole numbers joined by "-", such as 128-16',
    );
  });
  it("measures loss and error on all training and all test images as a plain loop does", () => {
    const instance = openProblem({ name: "autoencoder", options: small }).start(runtime, {
      seed: 3,
      batch: 4,
    });
    const { layout, parameters } = instance.objective;
    const layers = layout.entries.map(({ offset, size }) => parameters.data.subarray(offset, offset + size));
    const forward = (x: Dataset["inputs"]): number[] => {
      let h = Array.from(x);
      for (let k = 0; k < 8; k += 2) {
        const [W, b] = [layers[k]!, layers[k + 1]!];
        const s = Array.from(b, (bias, j) =>
          h.reduce((sum, value, i) => sum + value * W[i * b.length + j]!, bias),
        );
        // 784-4-2-4-784: tanh after both layers of 4, none after the code and the last.
        h = k === 0 || k === 4 ? s.map(Math.tanh) : s;
      }
      return h;
    };
    const means = ({ inputs, size }: Pick<Dataset, "inputs" | "size">) => {
      let [loss, error] = [0, 0];
      for (let n = 0; n < size; n++) {
        const x = inputs.subarray(784 * n, 784 * (n + 1));
        forward(x).forEach((o, k) => {
          loss += (Math.log1p(Math.exp(-Math.abs(o))) + Math.max(o, 0) - x[k]! * o) / size;
          error += (1 / (1 + Math.exp(-o)) - x[k]!) ** 2 / size;
        });
      }
      return { loss, error };
    };
    const { train, test } = digits();
    const measured = instance.evaluate();
    const [training, tested] = [means(train), means(test)];
    expect(measured.trainingLoss! / training.loss).toBeCloseTo(1, 6);
    expect(measured.trainingError! / training.error).toBeCloseTo(1, 6);
    expect(measured.loss! / tested.loss).toBeCloseTo(1, 6);
    expect(measured.error! / tested.error).toBeCloseTo(1, 6);
    instance.release();
  });
  it("starts sparse where that is asked for", () => {
    const instance = openProblem({ name: "autoencoder", options: { ...small, initial: "sparse" } }).start(
      runtime,
      { seed: 0, batch: 4 },
    );
    const { layout, parameters } = instance.objective;
    const weights = layout.entries.filter(({ name }) => name.endsWith("weight"));
    for (const { offset, size, shape } of weights) {
      const values = parameters.data.subarray(offset, offset + size);
      expect(values.filter((value) => value !== 0).length).toBe(shape[1]! * Math.min(15, shape[0]!));
    }
    instance.release();
  });
  it("learns by first and by second order", () => {
    const problem = openProblem({ name: "autoencoder", options: { encoder: "12-3" } });
    for (const name of ["adam", "kfac", "hessianFree"]) {
      const instance = problem.start(runtime, { seed: 0, batch: 64 });
      const training = optimizerFor(problem, { name, settings: {} }).start(instance.objective);
      const losses = Array.from({ length: 5 }, (_, step) => {
        instance.load(step);
        return training.step().loss;
      });
      expect(losses.at(-1)).toBeLessThan(losses[0]!);
      training.release();
      instance.release();
    }
  });
});
