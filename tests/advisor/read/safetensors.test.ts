import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { factorEntries, forwardFlops } from "../../../src/advisor/model.js";
import { readConfig } from "../../../src/advisor/read/config.js";
import { readModel } from "../../../src/advisor/read/model-file.js";
import { readSafetensors } from "../../../src/advisor/read/safetensors.js";
import { sourceOf } from "../../../src/advisor/read/source.js";
import { parameterCount } from "../../../src/curvature/index.js";
import {
  type Arrays,
  folder,
  gpt2Arrays,
  headerOf,
  llamaBlock,
  safetensors,
  writeSafetensors,
} from "./files.js";

const at = folder();
afterAll(() => rmSync(at, { recursive: true }));

const infer = (arrays: Arrays) => {
  const { bytes, size } = headerOf(arrays);
  return readSafetensors({ ...sourceOf(bytes, "model.safetensors"), size: bytes.length + size });
};

it("reads GPT-2's checkpoint as its configuration says", () => {
  const model = infer(gpt2Arrays(24, 1024, 50257, 1024));
  const config = readConfig(
    { model_type: "gpt2", vocab_size: 50257, n_positions: 1024, n_embd: 1024, n_layer: 24 },
    "config.json",
  );
  expect(parameterCount(model)).toBe(354_823_168);
  expect(factorEntries(model)).toBe(factorEntries(config));
  expect(forwardFlops(model)).toBe(forwardFlops(config));
  expect(model).toMatchObject({ kind: "transformer", example: "sequence of 1,024 tokens", storedBytes: 2 });
  expect(model.notes.join()).toContain("the table of words (wte) is taken for it");
});

it("reads 7 billion parameters in three shards from their headers alone", () => {
  const blocks = (from: number, to: number): Arrays =>
    Object.assign({}, ...Array.from({ length: to - from }, (_, k) => llamaBlock(from + k)));
  const shards: Record<string, Arrays> = {
    "model-1-of-3.safetensors": { "model.embed_tokens.weight": [32000, 4096], ...blocks(0, 11) },
    "model-2-of-3.safetensors": blocks(11, 22),
    "model-3-of-3.safetensors": {
      ...blocks(22, 32),
      "model.norm.weight": [4096],
      "lm_head.weight": [32000, 4096],
    },
  };
  for (const [file, arrays] of Object.entries(shards)) writeSafetensors(join(at, file), arrays);
  const weight_map = Object.fromEntries(
    Object.entries(shards).flatMap(([file, arrays]) => Object.keys(arrays).map((name) => [name, file])),
  );
  const index = join(at, "model.safetensors.index.json");
  writeFileSync(index, JSON.stringify({ metadata: { total_size: 1 }, weight_map }));
  const model = readModel(index);
  expect(parameterCount(model)).toBe(6_738_415_616);
  expect(parameterCount(readModel(at))).toBe(6_738_415_616);
  expect(model.layers.filter(({ kind }) => kind === "dense")).toHaveLength(32 * 7 + 1);
  expect(model.layers.at(-1)).toMatchObject({ name: "lm_head", kind: "dense", outputs: 32000 });
  expect(model.notes.join()).toContain("2,048 tokens are assumed");
  expect(readModel(index, { tokens: 512 }).example).toBe("sequence of 512 tokens");
  rmSync(join(at, "model-2-of-3.safetensors"));
  expect(() => readModel(index)).toThrow(/model-2-of-3.safetensors" is missing.*config.json/);
  writeSafetensors(join(at, "model-2-of-3.safetensors"), blocks(11, 21));
  expect(() => readModel(index)).toThrow('lacks "model.layers.21.input_layernorm.weight"');
  writeFileSync(index, JSON.stringify({ weight_map: { a: "../../etc/passwd" } }));
  expect(() => readModel(index)).toThrow('into "../../etc/passwd", which is no name of a file beside it');
});

it("reads convolutions, norms and recurrent layers in PyTorch's shapes", () => {
  const model = infer({
    "conv1.weight": [64, 3, 7, 7],
    "bn1.weight": [64],
    "bn1.bias": [64],
    "bn1.running_mean": [64],
    "dw.weight": [64, 1, 3, 3],
    "fc.weight": [10, 64],
    "fc.bias": [10],
  });
  expect(model.layers).toMatchObject([
    { name: "conv1", kind: "conv2d", inputs: 147, outputs: 64, arrays: [{ shape: [7, 7, 3, 64] }] },
    { name: "bn1", kind: "scaleShift", inputs: 128 },
    { name: "dw.weight", kind: "other" },
    { name: "fc", kind: "dense", inputs: 65, outputs: 10, positions: 1 },
  ]);
  expect(model.kind).toBe("convolutional");
  const lstm = infer({
    "rnn.weight_ih_l0": [256, 32],
    "rnn.weight_hh_l0": [256, 64],
    "rnn.bias_ih_l0": [256],
    "rnn.bias_hh_l0": [256],
  });
  expect(lstm.kind).toBe("recurrent");
  expect(lstm.layers).toMatchObject([
    { name: "rnn_ih_l0", kind: "dense", inputs: 33, outputs: 256 },
    { name: "rnn_hh_l0", kind: "dense", inputs: 65, outputs: 256 },
  ]);
});

describe("damaged files", () => {
  const entry = (begin: number, end: number, shape = [(end - begin) / 4]) =>
    JSON.stringify({ dtype: "F32", shape, data_offsets: [begin, end] });
  const files: [string, Uint8Array, string][] = [
    ["too short", new Uint8Array(5), "5 bytes are no safetensors file"],
    [
      "a header of 2⁶³ bytes",
      safetensors("{}", 0, 2n ** 63n),
      "header of 9223372036854775808 bytes is longer than the file (10)",
    ],
    ["cut short", safetensors(`{"a":${entry(0, 8)}}`, 4), "its arrays end at"],
    ["something behind", safetensors(`{"a":${entry(0, 8)}}`, 12), "its arrays end at"],
    [
      "overlapping",
      safetensors(`{"a":${entry(0, 8)},"b":${entry(4, 12)}}`, 12),
      "where another array lies (8)",
    ],
    ["a gap", safetensors(`{"a":${entry(0, 8)},"b":${entry(12, 16)}}`, 16), "where nothing ends (8)"],
    ["one name twice", safetensors(`{"a":${entry(0, 8)},"a":${entry(0, 8)}}`, 8), 'has the name "a" twice'],
    ["one name twice, escaped", safetensors(`{"a":1,"\\u0061":1}`), 'has the name "a" twice'],
    ["NaN", safetensors('{"a":NaN}'), "is no JSON"],
    ["no UTF-8", safetensors("{}").fill(0xff, 8), "it is not UTF-8"],
    ["a list", safetensors("[]"), "its header is no object"],
    ["no entry", safetensors('{"a":null}'), 'the entry of "a" is no object'],
    ["a size below 0", safetensors(`{"a":${entry(0, 8, [-2])}}`, 8), "is no list of whole numbers"],
    ["sizes that overflow", safetensors(`{"a":${entry(0, 8, [2 ** 40, 2 ** 40])}}`, 8), '"a" has 1.2'],
    ["an unknown type", safetensors('{"a":{"dtype":"constructor"}}'), 'unknown dtype "constructor"'],
    ["deep nesting", safetensors(`{"a":${"[".repeat(1e6)}`), "nested more than 100 deep"],
    ["no arrays", safetensors("{}"), "holds no weights"],
  ];
  it.each(files)("%s", (_, bytes, message) => {
    expect(() => readSafetensors(sourceOf(bytes, "model.safetensors"))).toThrow(message);
  });

  it("a million arrays", () => {
    const header = `{"a":${entry(0, 0, [0])}${Array.from({ length: 1e6 }, (_, k) => `,"${k}":{"dtype":""}`).join("")}}`;
    expect(() => readSafetensors(sourceOf(safetensors(header), "model.safetensors"))).toThrow(
      "more than 500,000 names: it is too large to be read",
    );
  });

  it("a hundred thousand arrays are too many, and told so before any is looked at", () => {
    const header = `{${Array.from({ length: 100_001 }, (_, k) => `"${k}":0`).join()}}`;
    expect(() => readSafetensors(sourceOf(safetensors(header), "model.safetensors"))).toThrow(
      "holds more than 100,000 arrays",
    );
  });
});
