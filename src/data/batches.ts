import type { Dataset } from "./dataset.js";
import { DataError } from "./error.js";
import { shuffle } from "./shuffle.js";

/** Batches whose content depends on (seed, step) alone: a resumed run sees what an uninterrupted one would. */
export interface BatchSampler {
  readonly batchSize: number;
  readonly stepsPerEpoch: number;
  /** Writes the batch of a step (counted from 0) into the given arrays, which hold batchSize examples. */
  fill(
    step: number,
    inputs: { set(values: ArrayLike<number>, offset: number): void },
    targets: { set(values: ArrayLike<number>, offset: number): void },
  ): void;
}

/**
 * Shuffles anew each epoch; the examples that do not fill a last batch are left out of that epoch.
 *
 *     const sampler = sampleBatches(train, 64, seed);
 *     sampler.fill(step, x.data, y.data);
 *
 * @throws DataError when the batch is larger than the data set.
 */
export function sampleBatches(data: Dataset, batchSize: number, seed: number): BatchSampler {
  if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > data.size)
    throw new DataError(
      `${data.name}: a batch of ${batchSize} from ${data.size} examples; use 1 to ${data.size}`,
    );
  const stepsPerEpoch = Math.floor(data.size / batchSize);
  const width = data.inputShape.reduce((a, b) => a * b, 1);
  const depth = data.targetShape.reduce((a, b) => a * b, 1);
  const order = new Int32Array(data.size);
  let shuffledEpoch = -1;
  // Views are made once: filling a batch allocates nothing.
  const inputs = Array.from({ length: data.size }, (_, i) =>
    data.inputs.subarray(i * width, (i + 1) * width),
  );
  const targets = Array.from({ length: data.size }, (_, i) =>
    data.targets.subarray(i * depth, (i + 1) * depth),
  );
  return {
    batchSize,
    stepsPerEpoch,
    fill(step, inputsOut, targetsOut) {
      const epoch = Math.floor(step / stepsPerEpoch);
      if (epoch !== shuffledEpoch) {
        for (let i = 0; i < order.length; i++) order[i] = i;
        // A full batch keeps the order of the data.
        if (batchSize < data.size)
          shuffle(order, Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(epoch + 1, 0x85ebca6b));
        shuffledEpoch = epoch;
      }
      const first = (step % stepsPerEpoch) * batchSize;
      for (let k = 0; k < batchSize; k++) {
        const i = order[first + k]!;
        inputsOut.set(inputs[i]!, k * width);
        targetsOut.set(targets[i]!, k * depth);
      }
    },
  };
}
