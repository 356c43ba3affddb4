import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import {
  DataError,
  type Dataset,
  digits,
  encodeIdx,
  fashionMnist,
  holdOut,
  imageDirectory,
  parseCsv,
  parseIdx,
  readTable,
  sampleBatches,
  shuffled,
  split,
  subset,
} from "../../src/data/index.js";

const folder = mkdtempSync(join(tmpdir(), "thalweg-data-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, content: string | Uint8Array) => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};

describe("digits", () => {
  const { train, test } = digits();
  it("are 8,000 and 2,000 images of all ten digits", () => {
    expect([train.size, test.size, train.inputShape, train.inputs.length]).toEqual([
      8000,
      2000,
      [28, 28, 1],
      8000 * 784,
    ]);
    for (const part of [train, test]) {
      const counts = new Array(10).fill(0);
      for (const label of part.targets) counts[label]++;
      for (const count of counts) expect(count / part.size).toBeGreaterThan(0.08);
    }
  });
  it("have pixels from 0 to 1 with ink in the middle", () => {
    expect(Math.min(...train.inputs.subarray(0, 78400))).toBe(0);
    expect(Math.max(...train.inputs.subarray(0, 78400))).toBe(1);
    expect(train.inputs[0]).toBe(0);
  });
});

describe("IDX", () => {
  it("survives a round trip, gzipped or not", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), (data, zipped) => {
        const bytes = encodeIdx([data.length], data);
        const read = parseIdx(zipped ? gzipSync(bytes) : bytes, "x");
        expect(read.shape).toEqual([data.length]);
        expect([...read.data]).toEqual([...data]);
      }),
    );
  });
  it("explains every truncation and never fails otherwise", () => {
    const whole = encodeIdx([2, 3], Uint8Array.of(1, 2, 3, 4, 5, 6));
    for (let length = 0; length < whole.length; length++)
      expect(() => parseIdx(whole.subarray(0, length), "cut.idx")).toThrow(DataError);
    const zipped = gzipSync(whole);
    for (let length = 2; length < zipped.length; length++)
      expect(() => parseIdx(zipped.subarray(0, length), "cut.gz")).toThrow(DataError);
  });
  it("does not believe a hostile header", () => {
    const huge = Uint8Array.of(0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255);
    expect(() => parseIdx(huge, "huge.idx")).toThrow(/"huge.idx" has 16 bytes where shape .* truncated/);
    expect(() => parseIdx(new TextEncoder().encode("PNG!...."), "a.png")).toThrow(/not an IDX file/);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          parseIdx(bytes, "any");
        } catch (error) {
          expect(error).toBeInstanceOf(DataError);
        }
      }),
    );
  });
  it("says which file of a directory is missing, and how to get Fashion-MNIST", () => {
    expect(() => imageDirectory("mine", folder)).toThrow(/has no train-images-idx3-ubyte/);
    expect(() => fashionMnist(join(folder, "nowhere"))).toThrow(/apt-get install dataset-fashion-mnist/);
  });
});

describe("CSV", () => {
  it("reads quoted fields, CRLF and a byte order mark", () => {
    expect(parseCsv('\ufeffa,"b, ""c"""\r\n1,"two\nlines"\r\n', "x")).toEqual([
      ["a", 'b, "c"'],
      ["1", "two\nlines"],
    ]);
  });
  it("survives a round trip of any fields", () => {
    const quote = (field: string) => `"${field.replaceAll('"', '""')}"`;
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.string(), { minLength: 2, maxLength: 2 }), { minLength: 1 }),
        (rows) => {
          expect(parseCsv(rows.map((row) => row.map(quote).join(",")).join("\n"), "x")).toEqual(rows);
        },
      ),
    );
  });
  it("standardizes features with the training part and numbers text classes", () => {
    const rows = Array.from({ length: 100 }, (_, i) => `${i},${i % 2 ? "odd" : "even"},7`);
    const { train, test } = readTable(file("t.csv", `n,kind,same\n${rows.join("\n")}\n`), { target: "kind" });
    expect([train.size, test.size, train.classes]).toEqual([80, 20, ["even", "odd"]]);
    const column = Array.from({ length: 80 }, (_, i) => train.inputs[2 * i]!);
    expect(column.reduce((a, b) => a + b, 0) / 80).toBeCloseTo(0, 5);
    expect(column.reduce((a, b) => a + b * b, 0) / 80).toBeCloseTo(1, 5);
    expect(train.inputs[1]).toBeCloseTo(0);
  });
  it("names the row, the column and the remedy", () => {
    const path = file("bad.csv", "a,b\n1,2\n1,x\n");
    expect(() => readTable(path, { target: "c" })).toThrow(/no column "c"; it has "a", "b"/);
    expect(() => readTable(path, { target: "a", features: ["b"] })).toThrow(
      /row 3, column "b": "x" is not a number/,
    );
    expect(() => readTable(file("ragged.csv", "a,b\n1\n"), { target: "a" })).toThrow(
      /row 2 has 1 fields, its header 2/,
    );
    expect(() => readTable(file("empty.csv", ""), { target: "a" })).toThrow(/no rows/);
    expect(() => readTable(join(folder, "none.csv"), { target: "a" })).toThrow(/ENOENT/);
    expect(() => parseCsv('a,"b', "open.csv")).toThrow(/quote is not closed/);
  });
});

describe("batches", () => {
  const data: Dataset = {
    name: "numbers",
    size: 10,
    inputShape: [2],
    inputs: Float32Array.from({ length: 20 }, (_, i) => i),
    targetShape: [],
    targets: Int32Array.from({ length: 10 }, (_, i) => i),
  };
  const batch = (sampler: ReturnType<typeof sampleBatches>, step: number) => {
    const [x, y] = [new Float32Array(sampler.batchSize * 2), new Int32Array(sampler.batchSize)];
    sampler.fill(step, x, y);
    y.forEach((target, k) => {
      expect([...x.subarray(2 * k, 2 * k + 2)]).toEqual([2 * target, 2 * target + 1]);
    });
    return [...y];
  };
  it("show each example once an epoch, in another order each time", () => {
    const sampler = sampleBatches(data, 5, 3);
    const epoch = (e: number) => [...batch(sampler, 2 * e), ...batch(sampler, 2 * e + 1)];
    const sorted = (list: number[]) => [...list].sort((a, b) => a - b);
    expect(sorted(epoch(0))).toEqual([...data.targets]);
    expect(sorted(epoch(1))).toEqual([...data.targets]);
    expect(epoch(0)).not.toEqual(epoch(1));
  });
  it("depend on seed and step only", () => {
    const [first, second] = [sampleBatches(data, 3, 8), sampleBatches(data, 3, 8)];
    for (let step = 0; step < 9; step++) batch(first, step);
    for (const step of [8, 2, 5]) expect(batch(second, step)).toEqual(batch(first, step));
    expect(batch(sampleBatches(data, 3, 9), 0)).not.toEqual(batch(first, 0));
  });
  it("keep the order of a full batch and refuse an impossible one", () => {
    expect(batch(sampleBatches(data, 10, 1), 4)).toEqual([...data.targets]);
    expect(() => sampleBatches(data, 11, 1)).toThrow(/batch of 11 from 10 examples; use 1 to 10/);
  });
  it("refuse arrays of another length, of which a part would stay as it was", () => {
    expect(() => sampleBatches(data, 3, 1).fill(0, new Float32Array(8), new Int32Array(4))).toThrow(
      "numbers: a batch of 3 is 6 inputs and 3 targets; the arrays hold 8 and 4",
    );
  });
  it("shift images by whole pixels, with zeros coming in", () => {
    const image: Dataset = {
      ...data,
      size: 1,
      inputShape: [3, 3, 1],
      inputs: Float32Array.of(0, 0, 0, 0, 1, 0, 0, 0, 0),
      targets: Int32Array.of(0),
    };
    const sampler = sampleBatches(image, 1, 0, { shift: 1 });
    const places = new Set<number>();
    const [x, y] = [new Float32Array(9), new Int32Array(1)];
    for (let step = 0; step < 200; step++) {
      sampler.fill(step, x, y);
      expect(x.reduce((a, b) => a + b)).toBe(1);
      places.add(x.indexOf(1));
    }
    expect(places.size).toBe(9);
    expect(() => sampleBatches(data, 1, 0, { shift: 1 })).toThrow(/needs images/);
  });
  it("move every pixel of an image by the same way, of any shape and by any shift", () => {
    fc.assert(
      fc.property(
        fc.tuple(
          fc.integer({ min: 1, max: 5 }),
          fc.integer({ min: 1, max: 5 }),
          fc.integer({ min: 1, max: 3 }),
        ),
        fc.integer({ min: 1, max: 7 }),
        fc.integer(),
        ([height, width, channels], shift, seed) => {
          const size = height * width * channels;
          const inputs = Float32Array.from({ length: 2 * size }, (_, i) => i + 1);
          const images: Dataset = { ...data, size: 2, inputShape: [height, width, channels], inputs };
          const out = new Float64Array(size);
          const target = new Int32Array(1);
          const sampler = sampleBatches(images, 1, seed, { shift });
          for (let step = 0; step < 20; step++) {
            sampler.fill(step, out, target);
            const image = inputs.subarray(target[0]! * size, (target[0]! + 1) * size);
            const movedBy = (down: number, right: number) =>
              out.every((value, p) => {
                const [y, x] = [
                  Math.floor(p / (width * channels)) - down,
                  (Math.floor(p / channels) % width) - right,
                ];
                const inside = y >= 0 && y < height && x >= 0 && x < width;
                return value === (inside ? image[(y * width + x) * channels + (p % channels)] : 0);
              });
            const ways = Array.from({ length: 2 * shift + 1 }, (_, k) => k - shift);
            expect(ways.some((down) => ways.some((right) => movedBy(down, right)))).toBe(true);
          }
        },
      ),
      { numRuns: 50 },
    );
  });
  it("shuffles are permutations", () => {
    fc.assert(
      fc.property(fc.nat(200), fc.integer(), (size, seed) => {
        expect([...shuffled(size, seed)].sort((a, b) => a - b)).toEqual(
          Array.from({ length: size }, (_, i) => i),
        );
      }),
    );
  });
  it("holds out examples to validate on from those to learn, and leaves the test alone", () => {
    const before = split(data, 0.3, 1);
    const after = holdOut(before, 2, 5);
    expect(after.validation!.size).toBe(2);
    expect([...after.train.targets, ...after.validation!.targets].sort()).toEqual(
      [...before.train.targets].sort(),
    );
    expect(after.test).toBe(before.test);
    expect(holdOut(before, 2, 5)).toEqual(after);
    const others = [6, 7, 8].map((seed) => holdOut(before, 2, seed).validation!.targets);
    expect(others).not.toEqual(Array(3).fill(after.validation!.targets));
    for (const count of [0, 1.5, before.train.size])
      expect(() => holdOut(before, count, 0)).toThrow(/examples to validate on; use 1 to/);
  });
  it("splits are disjoint and complete; subsets check their indices", () => {
    const { train, test } = split(data, 0.3, 1);
    expect([...train.targets, ...test.targets].sort()).toEqual([...data.targets].sort());
    expect(() => split(data, 0, 1)).toThrow(/leaves one side empty/);
    expect(() => subset(data, [10])).toThrow(/example 10 does not exist/);
  });
});
