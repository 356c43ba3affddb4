import { describe, expect, it } from "vitest";
import { type Architecture, factorEntries, forwardFlops } from "../../../src/advisor/model.js";
import { readConfig } from "../../../src/advisor/read/config.js";
import { separateProjections } from "../../../src/advisor/read/layers.js";
import { parameterCount } from "../../../src/curvature/index.js";

const gpt2 = { model_type: "gpt2", vocab_size: 50257, n_positions: 1024, n_embd: 768, n_layer: 12 };
const gpt2Medium = { ...gpt2, n_embd: 1024, n_layer: 24 };
const bert = {
  model_type: "bert",
  vocab_size: 30522,
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  max_position_embeddings: 512,
  type_vocab_size: 2,
};
const llama2 = {
  model_type: "llama",
  vocab_size: 32000,
  hidden_size: 4096,
  intermediate_size: 11008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  max_position_embeddings: 4096,
  torch_dtype: "float16",
};
const vit = {
  model_type: "vit",
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  image_size: 224,
  patch_size: 16,
  num_labels: 1000,
};
const resnet50 = {
  model_type: "resnet",
  embedding_size: 64,
  hidden_sizes: [256, 512, 1024, 2048],
  depths: [3, 4, 6, 3],
  layer_type: "bottleneck",
  num_labels: 1000,
};

describe("parameters equal the published", () => {
  const published: [string, object, number][] = [
    ["GPT-2", gpt2, 124_439_808],
    ["GPT-2 medium", gpt2Medium, 354_823_168],
    ["BERT-base", bert, 109_482_240],
    [
      "RoBERTa-base",
      { ...bert, model_type: "roberta", vocab_size: 50265, max_position_embeddings: 514, type_vocab_size: 1 },
      124_645_632,
    ],
    [
      "DistilBERT-base",
      {
        model_type: "distilbert",
        vocab_size: 30522,
        dim: 768,
        hidden_dim: 3072,
        n_layers: 6,
        max_position_embeddings: 512,
      },
      66_362_880,
    ],
    ["Llama-2-7B", llama2, 6_738_415_616],
    [
      "Mistral-7B",
      {
        ...llama2,
        model_type: "mistral",
        intermediate_size: 14336,
        num_key_value_heads: 8,
        max_position_embeddings: 32768,
      },
      7_241_732_096,
    ],
    [
      "Qwen2-0.5B",
      {
        model_type: "qwen2",
        vocab_size: 151936,
        hidden_size: 896,
        intermediate_size: 4864,
        num_hidden_layers: 24,
        num_attention_heads: 14,
        num_key_value_heads: 2,
        max_position_embeddings: 131072,
        tie_word_embeddings: true,
      },
      494_032_768,
    ],
    ["ViT-B/16", vit, 86_567_656],
    ["ResNet-50", resnet50, 25_557_032],
    [
      "ResNet-18",
      { ...resnet50, hidden_sizes: [64, 128, 256, 512], depths: [2, 2, 2, 2], layer_type: "basic" },
      11_689_512,
    ],
  ];
  it.each(published)("%s", (name, config, parameters) => {
    expect(parameterCount(readConfig(config, name))).toBe(parameters);
  });
});

describe("entries of Kronecker factors", () => {
  const withoutBiases = (model: Architecture): number =>
    model.layers
      .filter(({ kind, name }) => (kind === "dense" || kind === "conv2d") && !name.startsWith("pooler"))
      .reduce(
        (sum, { inputs, outputs, arrays }) =>
          sum + (inputs - (arrays.length > 1 ? 1 : 0)) ** 2 + outputs ** 2,
        0,
      );

  it("of GPT-2 medium, with queries, keys and values as one layer and as three", () => {
    const model = readConfig(gpt2Medium, "GPT-2 medium");
    expect(factorEntries(model)).toBe(1_157_972_064);
    expect(factorEntries(separateProjections(model))).toBe(1_057_407_120);
    expect(parameterCount(separateProjections(model))).toBe(parameterCount(model));
    expect(withoutBiases(model)).toBe(24 * 46 * 1024 ** 2);
  });

  it("of BERT-base and ResNet-50", () => {
    expect(withoutBiases(readConfig(bert, "BERT-base"))).toBe(297_271_296);
    const resnet = readConfig(resnet50, "ResNet-50");
    expect(Math.round(withoutBiases(resnet) / 1e5)).toBe(1538);
    expect(Math.max(...resnet.layers.map(({ inputs, kind }) => (kind === "conv2d" ? inputs : 0)))).toBe(4608);
  });
});

it("counts the FLOPs of a forward pass", () => {
  // 4.09 G multiply-adds of ResNet-50 on 224×224 are published (He et al. 2015 print 3.8 for the stride in the 1×1).
  expect(forwardFlops(readConfig(resnet50, "ResNet-50")) / 2e9).toBeCloseTo(4.09, 2);
  expect(forwardFlops(readConfig(vit, "ViT-B/16")) / 2e9).toBeCloseTo(17.56, 1);
  const model = readConfig(gpt2, "GPT-2");
  const [d, tokens] = [768, 1024];
  expect(forwardFlops(model)).toBe(2 * tokens * (12 * 12 * d * d + 50257 * d) + 12 * 4 * tokens * tokens * d);
});

it("takes shorter sequences, and tells what it assumed", () => {
  const model = readConfig(gpt2, "GPT-2", 128);
  expect(model.example).toBe("sequence of 128 tokens");
  expect(model.layers[0]).toMatchObject({ kind: "embedding", uses: 2, positions: 256 });
  expect(model.notes.join()).toContain("used twice");
  expect(readConfig(llama2, "llama").storedBytes).toBe(2);
  expect(() => readConfig(gpt2, "GPT-2", 2048)).toThrow("sequences of 2048 tokens are longer");
});

it("says what is wrong with a configuration", () => {
  const messages: [object, string][] = [
    [{ ...bert, model_type: "mamba" }, `model_type "mamba", which cannot be read; gpt2, llama`],
    [{ hidden_size: 1 }, "has no model_type"],
    [{ model_type: "toString" }, `model_type "toString", which cannot be read`],
    [{ ...bert, hidden_size: undefined }, "config.json: hidden_size is missing"],
    [{ ...bert, hidden_size: 1.5 }, "config.json: hidden_size is 1.5: must be a whole number"],
    [{ ...bert, num_hidden_layers: 1e9 }, "num_hidden_layers is 1000000000: must be at most 10,000"],
    [{ ...llama2, num_attention_heads: 33 }, "hidden_size 4096 is no multiple of num_attention_heads 33"],
    [{ ...llama2, num_key_value_heads: 5 }, "num_attention_heads 32 is no multiple of num_key_value_heads 5"],
    [{ ...vit, patch_size: 225 }, "patch_size 225 is larger than image_size 224"],
    [{ ...resnet50, depths: [3] }, "hidden_sizes has 4 stages, depths has 1"],
    [{ ...llama2, hidden_size: 1e8, num_attention_heads: 1 }, "its shapes are damaged"],
  ];
  for (const [config, message] of messages) expect(() => readConfig(config, "config.json")).toThrow(message);
});
