import { DataError } from "./error.js";
import { shuffled } from "./shuffle.js";

/** Examples side by side: example i holds inputs[i·inputSize …] and targets[i·targetSize …]. */
export interface Dataset {
  readonly name: string;
  readonly size: number;
  /** Shape of one example's input, without the batch axis. */
  readonly inputShape: readonly number[];
  /** Int32Array for class numbers, such as the characters of a text. */
  readonly inputs: Float32Array | Int32Array;
  /** `[]` for class numbers. */
  readonly targetShape: readonly number[];
  /** Class numbers (Int32Array) or values (Float32Array). */
  readonly targets: Int32Array | Float32Array;
  /** Names of the classes, where targets are class numbers. */
  readonly classes?: readonly string[];
}

export interface Split {
  readonly train: Dataset;
  readonly test: Dataset;
  /** Examples to decide by, so that the test decides nothing. */
  readonly validation?: Dataset;
}

const extent = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/**
 * The examples at the given indices, copied, in that order.
 *
 *     subset(data, [0, 5, 7])
 *
 * @throws DataError when an index is out of range.
 */
export function subset(data: Dataset, indices: ArrayLike<number>, name = data.name): Dataset {
  const [width, depth] = [extent(data.inputShape), extent(data.targetShape)];
  const like = (values: Float32Array | Int32Array, length: number) =>
    values instanceof Int32Array ? new Int32Array(length) : new Float32Array(length);
  const inputs = like(data.inputs, indices.length * width);
  const targets = like(data.targets, indices.length * depth);
  for (let k = 0; k < indices.length; k++) {
    const i = indices[k]!;
    if (!(i >= 0 && i < data.size))
      throw new DataError(`${data.name}: example ${i} does not exist; there are ${data.size}`);
    inputs.set(data.inputs.subarray(i * width, (i + 1) * width), k * width);
    targets.set(data.targets.subarray(i * depth, (i + 1) * depth), k * depth);
  }
  return { ...data, name, size: indices.length, inputs, targets };
}

/**
 * The first `count` examples, or all where there are no more.
 *
 *     take(digits().train, 500).size   // 500
 */
export const take = (data: Dataset, count: number): Dataset =>
  count >= data.size
    ? data
    : subset(
        data,
        Array.from({ length: count }, (_, i) => i),
      );

/**
 * A seeded split into training and test examples.
 *
 *     const { train, test } = split(data, 0.2, 0);   // one fifth for the test
 *
 * @throws DataError when the fraction leaves one side empty.
 */
export function split(data: Dataset, testFraction: number, seed: number): Split {
  const testSize = Math.round(data.size * testFraction);
  if (!(testSize >= 1 && testSize < data.size))
    throw new DataError(
      `${data.name}: a test fraction of ${testFraction} of ${data.size} examples leaves one side empty; use a value between 0 and 1`,
    );
  const order = shuffled(data.size, seed);
  return {
    train: subset(data, order.subarray(testSize), `${data.name} (train)`),
    test: subset(data, order.subarray(0, testSize), `${data.name} (test)`),
  };
}

/**
 * The same split with `count` examples, drawn by the seed, moved from those to learn to those to validate on.
 *
 *     holdOut(digits(), 1000, 0)   // 7,000 to learn, 1,000 to validate, 2,000 to test
 *
 * @throws DataError when nothing is left to learn.
 */
export function holdOut(data: Split, count: number, seed: number): Split {
  const { train } = data;
  if (!(Number.isInteger(count) && count >= 1 && count < train.size))
    throw new DataError(
      `${train.name}: ${count} of ${train.size} examples to validate on; use 1 to ${train.size - 1}`,
    );
  const order = shuffled(train.size, seed);
  return {
    ...data,
    train: subset(train, order.subarray(count)),
    validation: subset(train, order.subarray(0, count), `${train.name} (validation)`),
  };
}
