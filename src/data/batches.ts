import type { Dataset } from "./dataset.js";
import { DataError } from "./error.js";
import { shuffle } from "./shuffle.js";

/** What a batch is written into: a typed array that holds batchSize examples. */
export interface Target {
  readonly length: number;
  [index: number]: number;
  set(values: ArrayLike<number>, offset: number): void;
}

/** Batches whose content depends on (seed, step) alone: a resumed run sees what an uninterrupted one would. */
export interface BatchSampler {
  readonly batchSize: number;
  readonly stepsPerEpoch: number;
  /**
   * Writes the batch of a step (counted from 0). Allocates nothing.
   *
   * @throws DataError when the arrays are not as long as the batch: what was not filled would be learned too.
   */
  fill(step: number, inputs: Target, targets: Target): void;
}

export interface Sampling {
  /** Moves each image by up to this many pixels along both axes, drawn anew each time it is seen; zeros come in. */
  readonly shift?: number;
}

/**
 * Shuffles anew each epoch; the examples that do not fill a last batch are left out of that epoch.
 *
 *     const sampler = sampleBatches(train, 64, seed, { shift: 1 });
 *     sampler.fill(step, x.data, y.data);
 *
 * @throws DataError when the batch is larger than the data set, or what should be shifted is no image [h, w, c].
 */
export function sampleBatches(
  data: Dataset,
  batchSize: number,
  seed: number,
  { shift = 0 }: Sampling = {},
): BatchSampler {
  if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > data.size)
    throw new DataError(
      `${data.name}: a batch of ${batchSize} from ${data.size} examples; use 1 to ${data.size}`,
    );
  if (shift !== 0 && (data.inputShape.length !== 3 || !Number.isInteger(shift) || shift < 0))
    throw new DataError(
      `${data.name}: a shift of ${shift} needs images [height, width, channels] and a whole number`,
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
  const move = shift === 0 ? undefined : mover(data, shift);
  return {
    batchSize,
    stepsPerEpoch,
    fill(step, inputsOut, targetsOut) {
      if (inputsOut.length !== batchSize * width || targetsOut.length !== batchSize * depth)
        throw new DataError(
          `${data.name}: a batch of ${batchSize} is ${batchSize * width} inputs and ${batchSize * depth} targets; the arrays hold ${inputsOut.length} and ${targetsOut.length}`,
        );
      const epoch = Math.floor(step / stepsPerEpoch);
      if (epoch !== shuffledEpoch) {
        for (let i = 0; i < order.length; i++) order[i] = i;
        // A full batch keeps the order of the data.
        if (batchSize < data.size) shuffle(order, hash(seed, epoch, 0));
        shuffledEpoch = epoch;
      }
      const first = (step % stepsPerEpoch) * batchSize;
      for (let k = 0; k < batchSize; k++) {
        const i = order[first + k]!;
        if (!move) inputsOut.set(inputs[i]!, k * width);
        else {
          const draw = hash(seed, step, k + 1) >>> 0;
          const down = (draw % (2 * shift + 1)) - shift;
          const right = ((draw >>> 16) % (2 * shift + 1)) - shift;
          inputsOut.set(move(inputs[i]!, down, right), k * width);
        }
        targetsOut.set(targets[i]!, k * depth);
      }
    },
  };
}

/**
 * Moves images by (down, right). A move is one shift of the whole row-major array, for which there is room on both
 * sides, and zeros where it brought in what lay beyond an edge: one copy instead of a loop over pixels.
 */
function mover({ inputShape, inputs }: Dataset, shift: number) {
  const [height, width, channels] = inputShape as [number, number, number];
  const row = width * channels;
  const size = height * row;
  // Copies into shared memory go byte by byte, five times slower, where source and target differ in alignment to 8 bytes.
  const room = 4 * Math.ceil((shift * (row + channels)) / 4);
  const space = new (inputs instanceof Int32Array ? Int32Array : Float32Array)(room + size + room);
  const moved = space.subarray(room, room + size);
  return (image: Dataset["inputs"], down: number, right: number): Dataset["inputs"] => {
    space.set(image, room + down * row + right * channels);
    const top = Math.min(height, Math.max(0, down));
    const bottom = Math.max(0, Math.min(height, height + down));
    moved.fill(0, 0, top * row);
    moved.fill(0, bottom * row);
    const left = right > 0 ? 0 : Math.max(0, width + right) * channels;
    const gap = Math.min(row, Math.abs(right) * channels);
    for (let y = top; y < bottom; y++)
      for (let j = y * row + left; j < y * row + left + gap; j++) moved[j] = 0;
    return moved;
  };
}

/** 32 bits that depend on three numbers in no simple way. */
function hash(a: number, b: number, c: number): number {
  let h = Math.imul(a + 1, 0x9e3779b1) ^ Math.imul(b + 1, 0x85ebca6b) ^ Math.imul(c, 0xc2b2ae35);
  for (const [bits, factor] of mixing) h = Math.imul(h ^ (h >>> bits), factor);
  return h ^ (h >>> 16);
}
const mixing = [
  [16, 0x21f0aaad],
  [15, 0x735a2d97],
] as const;
