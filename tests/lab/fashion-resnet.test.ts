import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { encodeIdx } from "../../src/data/idx.js";
import { residualNetwork } from "../../src/lab/problems/fashion-resnet.js";
import { openProblem } from "../../src/lab/problems/registry.js";
import { optimizerFor } from "../../src/lab/session.js";
import { model, random } from "../../src/nn/index.js";
import { createRuntime } from "../../src/runtime/runtime.js";
import { temporaryFolder } from "./folder.js";

const directory = temporaryFolder();
const runtime = await createRuntime({ threads: 1 });

/** Images of a bright square whose row tells the class, in place of clothing. */
function writeImages(part: string, count: number): void {
  const rng = random(1).stream(part);
  const images = Uint8Array.from({ length: count * 144 }, (_, k) => {
    const [image, row] = [Math.floor(k / 144), Math.floor((k % 144) / 12)];
    return row === image % 10 ? 200 + rng.integer(50) : rng.integer(50);
  });
  writeFileSync(join(directory, `${part}-images-idx3-ubyte`), encodeIdx([count, 12, 12], images));
  const labels = Uint8Array.from({ length: count }, (_, k) => k % 10);
  writeFileSync(join(directory, `${part}-labels-idx1-ubyte`), encodeIdx([count], labels));
}
writeImages("train", 40);
writeImages("t10k", 20);
const options = { directory, channels: "2-4", shift: 0 };

describe("the residual network", () => {
  it("has the layers that it says", () => {
    // 3·3·1·8 + 16, then (3·3·8·8 + 16)·2, then 3·3·8·16 + 3·3·16·16 + 8·16 + 3·32, then 17·10.
    const { layout, outputShape } = model(residualNetwork([8, 16], 1, 10), [28, 28, 1]);
    expect(layout.size).toBe(88 + 2 * 592 + (1152 + 2304 + 128 + 96) + 170);
    expect(outputShape).toEqual([10]);
    expect(openProblem({ name: "fashion-resnet", options }).summary).toMatch(
      /^residual network of 6 layers, channels 2-4, batch norm, .* 40 images to learn, 20 to test$/,
    );
  });
  it("learns by first and by second order, and is tested with running statistics", () => {
    const problem = openProblem({ name: "fashion-resnet", options });
    for (const name of ["momentum", "kfac"]) {
      const instance = problem.start(runtime, { seed: 0, batch: 40 });
      const before = instance.objective.state!.copy();
      const training = optimizerFor(problem, { name, settings: {} }).start(instance.objective);
      const losses = Array.from({ length: 15 }, (_, step) => {
        instance.load(step);
        return training.step().loss;
      });
      expect(losses.at(-1)).toBeLessThan(losses[0]! - 0.05);
      expect(instance.objective.state!.copy()).not.toEqual(before);
      const tested = instance.evaluate();
      // Other statistics, another result on the same images.
      instance.objective.state!.set(before);
      expect(instance.evaluate().loss).not.toBe(tested.loss);
      training.release();
      instance.release();
    }
  });
});
